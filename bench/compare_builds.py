#!/usr/bin/env python3
"""The speed of the kernels of two versions of this repository on one GPU, side by side.

compare_builds.py BEFORE AFTER [--rounds N] [--arch sm_90] [--work FOLDER] [--csv FILE]. BEFORE and AFTER are source trees (a
checkout each; `git worktree add` makes one). The kernels of both are compiled with nvcc, then both time the same rows in
turn, one round after the other, so that a GPU that is slower for a while is so for both. Of each row the table has both
medians over the rounds, and the median of the rounds' ratios, before / after: above 1, the second is faster.

Exit status: 0, or 1 where a row is more than --slower percent slower (default: 2), 2 for wrong arguments, 3 where it could not
run.
"""
import argparse
import concurrent.futures
import csv
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
DTYPES = {"fp32": 0, "fp16": 1, "bf16": 2}  # normproof_dtype
OPERATIONS = {"rms_norm": (0, 0), "fused_add_rms_norm": (1, 0), "rms_norm_static_fp8_quant": (0, 1),
              "fused_add_rms_norm_static_fp8_quant": (1, 1)}
ROWS = [(operation, "bf16", tokens, hidden) for operation in OPERATIONS for hidden in (1024, 4096, 7168) for tokens in (1, 8192)]
ROWS += [("rms_norm", dtype, 8192, 4096) for dtype in ("fp16", "fp32")]
ROWS += [("rms_norm", "bf16", tokens, 16384) for tokens in (1, 8192)]


def could_not_run(text):
    print(f"compare_builds: {text}", file=sys.stderr)
    sys.exit(3)


def run(command, **more):
    done = subprocess.run([str(word) for word in command], text=True, capture_output=True, **more)
    if done.returncode:
        could_not_run(f"{' '.join(str(word) for word in command)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def sources_after(command, folder):
    """The sources that a command of the folder's CMakeLists.txt lists."""
    listed = re.search(command + r"([^)]*)\)", (folder / "CMakeLists.txt").read_text())
    if listed is None:
        could_not_run(f"{folder}/CMakeLists.txt lists no sources after '{command}'")
    return [folder / name for name in listed[1].split()]


def kernel_sources(tree):
    named = sources_after(r"set\(NORMPROOF_KERNEL_SOURCES\n", tree / "kernels")
    return named + sorted((tree / "kernels/device").glob("*.cpp"))


def bench_sources(tree):
    return sources_after(r"add_library\(bench_cuda SHARED ", tree / "bench") + [HERE / "time_rows.cpp"]


def build(tree, folder, arch, pool):
    """The program that times the rows with the kernels of the tree."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["-std=c++20", "-O3", "-DNDEBUG", f"-arch={arch}", "--fmad=false", "-DNORMPROOF_KERNELS_ON_DEVICE", f"-I{tree}",
               "-Xcompiler", "-fPIC", "-include", "cstdint"]  # which a source of old versions forgot
    objects = []
    for source in kernel_sources(tree) + bench_sources(tree):
        target = folder / (str(source.relative_to(tree if source.is_relative_to(tree) else HERE)).replace("/", "-") + ".o")
        objects.append((target, pool.submit(run, ["nvcc", *options, "-c", source, "-o", target])))
    for _, compiled in objects:
        compiled.result()
    program = folder / "time_rows"
    run(["nvcc", f"-arch={arch}", *(target for target, _ in objects), "-o", program, "-ldl"])
    return program


def times(program):
    lines = "".join(f"{OPERATIONS[operation][0]} {OPERATIONS[operation][1]} {DTYPES[dtype]} {tokens} {hidden}\n"
                    for operation, dtype, tokens, hidden in ROWS)
    measured = [float(line) for line in run([program], input=lines).split()]
    if len(measured) != len(ROWS):
        could_not_run(f"{program} measured {len(measured)} of {len(ROWS)} rows")
    return measured


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=pathlib.Path)
    parser.add_argument("after", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--arch", default="sm_90")
    parser.add_argument("--slower", type=float, default=2.0, metavar="PERCENT")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--work", type=pathlib.Path, help="keep what is built there")
    parser.add_argument("--csv", type=pathlib.Path)
    options = parser.parse_args()
    for tree in (options.before, options.after):
        for name in ("kernels/CMakeLists.txt", "bench/CMakeLists.txt"):
            if not (tree / name).is_file():
                parser.error(f"{tree} is no source tree: it has no {name}")
    for name in ("rounds", "jobs"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} {getattr(options, name)}: at least 1")
    if shutil.which("nvcc") is None:
        could_not_run("there is no nvcc on the PATH")
    with tempfile.TemporaryDirectory() as scratch, concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        work = options.work or pathlib.Path(scratch)
        programs = [build(tree.resolve(), work / name, options.arch, pool)
                    for tree, name in ((options.before, "before"), (options.after, "after"))]
        # Who is first changes from round to round.
        rounds = [{side: times(programs[side]) for side in ((0, 1), (1, 0))[number % 2]} for number in range(options.rounds)]
    table = []
    for index, row in enumerate(ROWS):
        before, after = ([measured[side][index] for measured in rounds] for side in (0, 1))
        ratio = statistics.median(one / other for one, other in zip(before, after))
        table.append((*row, round(statistics.median(before), 3), round(statistics.median(after), 3), round(ratio, 3)))
    header = ("operation", "dtype", "tokens", "hidden", "before us", "after us", "before / after")
    for line in (header, *table):
        print("{:<36} {:<5} {:>6} {:>6} {:>10} {:>10} {:>15}".format(*line))
    slow = [line for line in table if line[-1] < 1 - options.slower / 100]
    ratios = [line[-1] for line in table]
    print(f"{len(table)} rows, {options.rounds} rounds in turn; before / after {min(ratios)} to {max(ratios)}, median "
          f"{statistics.median(ratios):.3f}; {len(slow)} more than {options.slower:g} % slower")
    if options.csv:
        with open(options.csv, "w", newline="") as file:
            csv.writer(file).writerows((header, *table))
    sys.exit(1 if slow else 0)


if __name__ == "__main__":
    main()
