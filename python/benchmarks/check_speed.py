#!/usr/bin/env python3
"""Time of normproof.check from Python beside the C++ program on a dump of the same tensors.

Wall time, the smallest of several runs in turn; both judge on all cores. The program's time is that of
`normproof check DUMP`, reading the dump (from the page cache) included, as Python's includes reading the arrays.

Usage: check_speed.py NORMPROOF_PROGRAM [--rows 8192] [--hidden 8192] [--runs 5]
Ends with 1 where Python takes more than twice the program's time.
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
        python, program = [], []
        for _ in range(options.runs):
            begin = time.perf_counter()
            result = normproof.check("rms_norm", **call)
            python.append(time.perf_counter() - begin)
            assert result, result
            begin = time.perf_counter()
            subprocess.run([options.program, "check", "--quiet", dump], check=True, stdout=subprocess.DEVNULL)
            program.append(time.perf_counter() - begin)
    ratio = min(python) / min(program)
    print(f"check of {options.rows} x {options.hidden} bf16 on {os.cpu_count()} cores: Python {min(python):.3f} s, "
          f"the program {min(program):.3f} s, ratio {ratio:.2f}")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
