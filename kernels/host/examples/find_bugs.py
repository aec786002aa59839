#!/usr/bin/env python3
"""Which fuzzer finds the bugs planted in the examples, and by what: the table of README.md.

find_bugs.py BUILD [--seed 1] [--jobs 2] [--only REGEX]
BUILD is a folder of preset fuzz in which `cmake --build BUILD --target hosted_bugs conformance_fuzzer wide_fuzzer` has been
run. From an empty corpus; executions are counted, not time. Exits with 1 where a bug is not found, with 3 where something
is not built.
"""
import argparse
import concurrent.futures
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "fuzz"))
import script
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
        run = script.hunt(build, harness, most, seed, {"NORMPROOF_TARGET": str(build / "hosted" / f"libhosted_{bug}.so")})
        if run is None:
            continue
        by = found_by(run.log)
        if run.executed is None or by is None:
            script.no_finding(bug, run)
        return harness, by, run.executed
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--seed", type=script.positive, default=1)
    parser.add_argument("--jobs", type=script.positive, default=2)
    parser.add_argument("--only", type=script.expression, default="", help="regular expression: only bugs whose names match")
    options = parser.parse_args()
    build = options.build.resolve()
    patches = sorted((HERE / "bugs").glob("*.patch"), key=lambda patch: (patch.stem.split("-")[1], int(patch.stem[1:].split("-")[0])))
    bugs = [patch.stem for patch in patches if options.only.search(patch.stem)]
    if not bugs:
        parser.error(f"no bug matches '{options.only.pattern}'")
    script.need(*(build / "bin" / f"{harness}_fuzzer" for harness in RUNS),
                *(build / "hosted" / f"libhosted_{bug}.so" for bug in bugs))
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
