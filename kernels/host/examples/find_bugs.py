#!/usr/bin/env python3
"""Which fuzzer finds the bugs planted in the examples, and by what: the table of README.md.

find_bugs.py BUILD [--seed 1] [--jobs 2] [--only REGEX]
BUILD is a folder of preset fuzz in which `cmake --build BUILD --target hosted_bugs conformance_fuzzer wide_fuzzer` has been
run. From an empty corpus; executions are counted, not time. Exits with 1 where a bug is not found.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
RUNS = {"conformance": 30_000, "wide": 6_000}


def found_by(log):
    """What stopped the fuzzer, in few words; None where nothing did."""
    sanitizer = re.search(r"^==\d+==ERROR: (AddressSanitizer: [\w-]+)", log, re.MULTILINE)
    place = re.search(r"#\d+ 0x\w+ in .*?(\w+\.cuh?:\d+)", log)
    violation = re.search(r"^VIOLATION on target .*?\n(.*?)\n\{", log, re.MULTILINE | re.DOTALL)
    if violation:
        text = violation.group(1)
        for words in ("misaligned access", "null pointer", "divergent barrier", "outside 1.."):
            if words in text:
                place = re.search(r"(\w+\.cuh?:\d+)", text)
                return words.replace("outside 1..", "invalid launch configuration") + (f", {place.group(1)}" if place else "")
        return "wrong bits" if text.startswith("wrong bits") else text.split("\n")[0].split(",")[0]
    if sanitizer:
        return sanitizer.group(1) + (f", {place.group(1)}" if place else "")
    return None


def hunt(build, bug, seed):
    for harness, most in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(os.path.join(folder, "corpus"))
            environment = dict(os.environ, NORMPROOF_TARGET=str(build / "hosted" / f"libhosted_{bug}.so"), NORMPROOF_FINDINGS=folder)
            done = subprocess.run([build / "bin" / "run.sh", build / "bin" / f"{harness}_fuzzer", f"-runs={most}", f"-seed={seed}",
                                   "-rss_limit_mb=4096", "-timeout=60", "-print_final_stats=1", os.path.join(folder, "corpus")],
                                  cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        log = done.stderr.decode(errors="replace")
        if done.returncode == 0:
            continue
        executed = re.findall(r"^stat::number_of_executed_units: +(\d+)", log, re.MULTILINE)
        by = found_by(log)
        if not executed or by is None:
            sys.exit(f"{bug}: status {done.returncode} without a finding\n{log[-2000:]}")
        return harness, by, int(executed[-1])
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="regular expression: only bugs whose names match")
    options = parser.parse_args()
    build = options.build.resolve()
    patches = sorted((HERE / "bugs").glob("*.patch"), key=lambda patch: (patch.stem.split("-")[1], int(patch.stem[1:].split("-")[0])))
    bugs = [patch.stem for patch in patches if re.search(options.only, patch.stem)]
    for bug in bugs:
        if not (build / "hosted" / f"libhosted_{bug}.so").exists():
            sys.exit(f"libhosted_{bug}.so is not built in {build}/hosted")
    missed = 0
    print("| bug | fuzzer | found by | executions |\n|---|---|---|---|")
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for bug, outcome in zip(bugs, pool.map(lambda bug: hunt(build, bug, options.seed), bugs)):
            missed += outcome is None
            harness, by, executions = outcome or ("", "not found", sum(RUNS.values()))
            print(f"| `{bug}` | {harness} | {by} | {executions:,} |", flush=True)
    print(f"{len(bugs) - missed} of {len(bugs)} bugs found", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
