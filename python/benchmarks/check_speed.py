#!/usr/bin/env python3
"""Time of normproof.check from Python beside the C++ program on a dump of the same tensors.

Wall time, the smallest of several runs in turn; both judge on all cores. The program's time is that of
`normproof check DUMP`, reading the dump (from the page cache) included, as Python's includes reading the arrays.

The same outputs are then judged by a policy that hardly a row follows: what a dump with every row wrong costs beside a
right one.

Usage: check_speed.py NORMPROOF_PROGRAM [--rows 8192] [--hidden 8192] [--runs 5]
Ends with 1 where Python takes more than twice the program's time, or wrong outputs more than three times that of right
ones in either.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time

import ml_dtypes
import numpy

import normproof

LIMIT = 2.0
WRONG_LIMIT = 3.0
OTHER_POLICY = "weight=fp32"


def seconds(work):
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--hidden", type=int, default=8192)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    random = numpy.random.default_rng(1)
    x = random.standard_normal((options.rows, options.hidden), "f4").astype(ml_dtypes.bfloat16)
    weight = (1 + 0.1 * random.standard_normal(options.hidden, "f4")).astype(ml_dtypes.bfloat16)
    call = dict(x=x, weight=weight, epsilon=1e-6)
    call["out"] = normproof.expected("rms_norm", **call).out
    with tempfile.TemporaryDirectory() as folder:
        dump = os.path.join(folder, "dump.safetensors")
        normproof.write_dump(dump, "rms_norm", **call)
        times = {(who, policy): [] for policy in ("native", OTHER_POLICY) for who in ("Python", "the program")}
        for _ in range(options.runs):
            for policy in ("native", OTHER_POLICY):
                taken, result = seconds(lambda: normproof.check("rms_norm", policy=policy, **call))
                times["Python", policy].append(taken)
                assert bool(result) == (policy == "native"), result
                taken, result = seconds(lambda: subprocess.run(
                    [options.program, "check", "--quiet", "--policy", policy, dump], stdout=subprocess.DEVNULL))
                times["the program", policy].append(taken)
                assert result.returncode == (0 if policy == "native" else 1), result
    best = {key: min(taken) for key, taken in times.items()}
    ratio = best["Python", "native"] / best["the program", "native"]
    print(f"check of {options.rows} x {options.hidden} bf16 on {os.cpu_count()} cores: Python "
          f"{best['Python', 'native']:.3f} s, the program {best['the program', 'native']:.3f} s, ratio {ratio:.2f}")
    good = ratio <= LIMIT
    for who in ("Python", "the program"):
        wrong = best[who, OTHER_POLICY] / best[who, "native"]
        print(f"{who}, rows wrong: {best[who, OTHER_POLICY]:.3f} s, ratio to right ones {wrong:.2f}")
        good = good and wrong <= WRONG_LIMIT
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
