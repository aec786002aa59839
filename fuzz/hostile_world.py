#!/usr/bin/env python3
"""A world that misbehaves, tried on the built program: hostile files, options, texts, paths, outputs, limits, signals and plug-ins.

hostile_world.py NORMPROOF FAULTY-PLUGIN [--seed 1] [--every 1] [--only REGEX] [--jobs 2]
NORMPROOF is the program, FAULTY-PLUGIN libfaulty_plugin.so of its build; --every N tries each Nth fault alone. Whatever is
tried, the program ends by itself, in time, with one of its four exit codes and the one that the fault demands; says what was
wrong on standard error; prints no byte that steers a terminal; writes documents that can be read; leaves no process, no
unfinished file, and carries out nothing that a name says. Exit codes: 0 all held, 1 some failed, 2 usage, 3 could not run.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree

import hostile_stops
import hostile_trials
import script

MOST = 10 << 20  # bytes that one prints


def processes_of(session):
    """Those that are left of a session, zombies apart, which nobody but their parent can end."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(entry.name))
    return found


def wrong_documents(folder):
    for path in folder.glob("r.*"):
        try:
            if path.suffix in (".json", ".sarif"):
                json.loads(path.read_text(encoding="utf-8"))
            elif path.suffix == ".xml":
                xml.etree.ElementTree.parse(path)
            else:
                path.read_text(encoding="utf-8")
        except (ValueError, xml.etree.ElementTree.ParseError) as error:
            return f"{path.name}: {error}"
    return None


def what_failed(each, folder, status, printed, complaint):
    if status not in each.codes:
        return f"exit status {status} instead of {' or '.join(map(str, each.codes))}"
    try:
        text = printed.decode()
    except UnicodeDecodeError as error:
        return f"what it prints is not UTF-8: {error}"
    if control := re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text):
        return f"it prints the control character {control[0]!r}"
    if status in (2, 3) and not complaint and "exec <&-" not in each.before and "NOT " not in text:
        return "it does not say why"
    if any(path.name == "PWN" for path in folder.rglob("*")):
        return "a name was carried out as a command"
    if left := [path.name for path in folder.rglob("*.unfinished")]:
        return f"unfinished files are left: {left}"
    return wrong_documents(folder) or (each.check(folder, text) if each.check else None)


def run(each, program, plugin):
    """What failed; None where it held."""
    with tempfile.TemporaryDirectory(prefix="hostile-world-") as name:
        folder = pathlib.Path(name)
        shutil.copy(plugin, folder / "faulty.so")
        for file, case in (
            ("case.json", hostile_trials.CASE),
            ("judged.json", hostile_trials.judged_case()),
            ("conforming.json", dict(hostile_trials.CASE, outputs={"out": {"bits": [" ".join(["3f80"] * 8)] * 2}})),
        ):
            (folder / file).write_text(json.dumps(case))
        if each.prepare:
            each.prepare(folder)
        # The shell is there in any case, so that all trials are started alike.
        command = ["bash", "-c", f'{each.before}\nexec "$@"', "bash", str(program), *each.arguments]
        log, complaints = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=complaints,
            start_new_session=True,
            env=dict(os.environ, **each.environment),
        )
        try:
            if each.during:
                each.during(process, log)
            status = process.wait(hostile_trials.SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            return f"no end within {hostile_trials.SECONDS} s"
        deadline = time.monotonic() + 3
        while (left := processes_of(process.pid)) and time.monotonic() < deadline:
            time.sleep(0.02)
        if left:
            os.killpg(process.pid, 9)
            return f"processes are left: {left}"
        texts = []
        for file in (log, complaints):
            file.seek(0)
            texts.append(file.read(MOST))
            file.close()
        try:
            return what_failed(each, folder, status, b"".join(texts), texts[1])
        except Exception as error:  # a trial that breaks has not held
            return f"the trial broke: {type(error).__name__} {error}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("plugin", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=script.positive, default=1, help="try each Nth fault alone")
    parser.add_argument("--only", type=script.expression, default=re.compile(""), help="of the faults' names")
    parser.add_argument("--jobs", type=script.positive, default=os.cpu_count())
    chosen = parser.parse_args()
    script.need(chosen.program, chosen.plugin)
    program, plugin = chosen.program.resolve(), chosen.plugin.resolve()
    print(f"seed {chosen.seed}", flush=True)
    draw = random.Random(chosen.seed)
    trials = [
        (group.__name__, each)
        for group in hostile_trials.GROUPS + hostile_stops.GROUPS
        for each in group(random.Random(draw.random()), program, plugin)
    ]
    trials = [pair for pair in trials[:: chosen.every] if chosen.only.search(pair[1].name)]
    if not trials:
        print(f"hostile_world.py: no trial matches '{chosen.only.pattern}'", file=sys.stderr)
        return 2
    tried, failed, lock, begin = collections.Counter(), collections.Counter(), threading.Lock(), time.monotonic()

    def attempt(pair):
        group, each = pair
        reason = run(each, program, plugin)
        with lock:
            tried[group] += 1
            if reason:
                failed[group] += 1
                shown = ascii(f"{each.name}: {reason}")[1:-1]
                print(f"FAILED {group}, {shown}\n  normproof {ascii(each.arguments)}", flush=True)
            if sys.stderr.isatty():
                print(f"\r\033[K{sum(tried.values())} of {len(trials)}", end="", file=sys.stderr, flush=True)

    with concurrent.futures.ThreadPoolExecutor(chosen.jobs) as pool:
        list(pool.map(attempt, trials))
    for group in tried:
        print(f"{group:<8} tried {tried[group]:>4}, held {tried[group] - failed[group]:>4}, failed {failed[group]:>3}")
    total, bad = sum(tried.values()), sum(failed.values())
    print(f"tried {total}, held {total - bad}, failed {bad}, {time.monotonic() - begin:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
