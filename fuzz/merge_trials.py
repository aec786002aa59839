#!/usr/bin/env python3
"""Damages the results of shards in many ways and demands of `normproof merge`: it never crashes or hangs, refuses with a reason
(exit code 2), and never says 0 where a shard says otherwise.

merge_trials.py PROGRAM CORPUS [--trials N] [--seed S]
"""
import argparse
import copy
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import script

VALUES = [None, True, False, -1, 0, 1, 2, 3, 10 ** 9, 2 ** 63, 2 ** 64, 1.5, -0.0, "", "x", "host", "bf16", "NaN", [], {}, [[]],
          {"a": 1}, "\ud800".encode("utf-16", "surrogatepass").decode("utf-16", "replace")]


def places(value, path=()):
    """Every place in a document, as the keys that lead there."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], path + (key,))
    elif isinstance(value, list):
        for index in range(min(len(value), 6)):
            yield from places(value[index], path + (index,))


def damage(document, choices):
    """The document with one thing changed, and what was changed."""
    changed = copy.deepcopy(document)
    path = choices.choice([place for place in places(changed) if place])
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    way = choices.choice(["value", "value", "remove", "twice", "add"])
    if way == "value":
        parent[path[-1]] = choices.choice(VALUES)
    elif way == "remove":
        del parent[path[-1]]
    elif way == "twice" and isinstance(parent, list):
        parent.append(copy.deepcopy(parent[path[-1]]))
    elif isinstance(parent, dict):
        parent[choices.choice(["", "x", "exit_code"])] = choices.choice(VALUES)
    return changed, f"{way} at {path}"


def says_all_good(document):
    return (isinstance(document, dict) and document.get("exit_code") == 0 and not document.get("findings") and
            not document.get("unchecked") and not document.get("problems") and
            all(check.get("passed") for check in document.get("checks", []) if isinstance(check, dict)))


def merge(program, files, folder):
    out = folder / "merged.json"
    out.unlink(missing_ok=True)
    done = subprocess.run([program, "merge", *map(str, files), "--json", str(out)], capture_output=True, timeout=20)
    return done.returncode, done.stdout + done.stderr


def results(program, corpus, folder):
    """The two shards of a run of verify, as they are written."""
    files = [folder / "1.json", folder / "2.json"]
    for index, file in enumerate(files, 1):
        subprocess.run([program, "verify", "--corpus", corpus, "--op", "rms_norm", "--dtype", "fp16", "--seconds", "0", "--cases", "40",
                        "--property-cases", "1", "--seed", "1", "--shard", f"{index}/2", "--json", str(file)],
                       stdout=subprocess.DEVNULL, check=True)
    return files


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("corpus")
    parser.add_argument("--trials", type=script.positive, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    script.need(options.program)
    choices = random.Random(options.seed)
    print(f"seed {options.seed}")
    refused = merged = 0
    failed = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        files = results(options.program, options.corpus, folder)
        status, text = merge(options.program, files, folder)
        if status != 0:
            script.could_not_run(f"the undamaged shards do not merge: {text.decode(errors='replace')}")
        whole = files[1].read_text()
        document = json.loads(whole)
        for trial in range(options.trials):
            if choices.random() < 0.2:  # bytes
                position = choices.randrange(len(whole))
                damaged = whole[:position] + choices.choice(["", "{", "]", "\"", "\0", "9" * 40]) + whole[position + 1:]
                what, good = f"bytes at {position}", True
            else:
                changed, what = damage(document, choices)
                damaged, good = json.dumps(changed), says_all_good(changed)
            files[1].write_text(damaged)
            try:
                status, text = merge(options.program, files, folder)
            except subprocess.TimeoutExpired:
                failed.append(f"trial {trial}: {what}: it hangs")
                continue
            refused += status == 2
            merged += status in (0, 1, 3)
            if status not in (0, 1, 2, 3):
                failed.append(f"trial {trial}: {what}: status {status}")
            elif status == 2 and b"normproof: " not in text:
                failed.append(f"trial {trial}: {what}: refused without a reason")
            elif status == 0 and not good:
                failed.append(f"trial {trial}: {what}: all good, though a shard says otherwise")
    for line in failed:
        print(line)
    print(f"{options.trials} trials: {refused} refused, {merged} merged, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
