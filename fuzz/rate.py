#!/usr/bin/env python3
"""Executions per second of processor time: of small cases while fuzzing, and of single rows of 4096 elements.

rate.py BUILD [--least-small N] [--least-long N]
BUILD is a folder of preset fuzz with conformance_fuzzer, wide_fuzzer, write_seeds and the seeds. Processor time is what is
counted, so that other load on the machine changes little. Exit code 1 where a rate is below the least that is wanted, 3 where
something is not built or fails.
"""
import argparse
import itertools
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile

import script

HERE = pathlib.Path(__file__).resolve().parent
SMALL_RUNS, LONG_RUNS = 300_000, 100  # all of small, each of long
OPERATIONS = ("rms_norm", "fused_add_rms_norm", "rms_norm_static_fp8_quant", "fused_add_rms_norm_static_fp8_quant")


def processor_seconds(command, folder):
    """Runs the command in the folder; what it took, children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if done.returncode != 0:
        script.could_not_run(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stderr.decode(errors='replace')[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def write_long_cases(folder):
    """One row of 4096: every operation with every dtype of activation and weight, values of everyday size."""
    data = {"recipe": {"class": "normal", "seed": 1}}
    for operation, dtype, weight in itertools.product(OPERATIONS, ("bf16", "fp16", "fp32"), ("none", "same", "fp32")):
        case = {"normproof_case": 1, "name": f"{operation}-{dtype}-{weight}", "operation": operation, "dtype": dtype,
                "shape": [1, 4096], "epsilon": 1e-6, "input": data}
        if weight != "none":
            case |= {"weight_dtype": dtype if weight == "same" else "fp32", "weight": data}
        if "fused" in operation:
            case["residual"] = data
        if "fp8" in operation:
            case |= {"quantized_dtype": "fp8_e4m3fn", "scale": 0.02}
        (folder / f"{case['name']}.json").write_text(json.dumps(case))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--least-small", type=float, default=0)
    parser.add_argument("--least-long", type=float, default=0)
    options = parser.parse_args()
    build = options.build.resolve()
    script.need(*(build / "bin" / name for name in ("conformance_fuzzer", "wide_fuzzer", "write_seeds")), build / "fuzz" / "seeds" / "cases")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for part in ("corpus", "cases", "inputs"):
            (folder / part).mkdir()
        fuzzer = [HERE / "run.sh", build / "bin" / "conformance_fuzzer"]
        seconds = processor_seconds([*fuzzer, f"-runs={SMALL_RUNS}", "-seed=1", "corpus", build / "fuzz" / "seeds" / "cases"], folder)
        small = SMALL_RUNS / seconds
        print(f"conformance, at most 3 rows of 64: {small:,.0f} executions per second of processor time", flush=True)

        write_long_cases(folder / "cases")
        subprocess.run([build / "bin" / "write_seeds", folder / "cases", folder / "inputs"], check=True, stdout=subprocess.DEVNULL)
        inputs = sorted((folder / "inputs").iterdir())
        fuzzer = [HERE / "run.sh", build / "bin" / "wide_fuzzer", "-rss_limit_mb=4096"]
        start = processor_seconds([*fuzzer, "-runs=1", *inputs], folder)
        long = (LONG_RUNS - 1) * len(inputs) / (processor_seconds([*fuzzer, f"-runs={LONG_RUNS}", *inputs], folder) - start)
        print(f"wide, one row of 4096, {len(inputs)} kinds of case: {long:,.0f} executions per second of processor time")
    sys.exit(small < options.least_small or long < options.least_long)


if __name__ == "__main__":
    main()
