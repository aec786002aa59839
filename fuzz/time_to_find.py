#!/usr/bin/env python3
"""Executions until a fuzzer finds planted bugs, from an empty corpus: the table of fuzz/README.md.

time_to_find.py BUILD [--each-mutation [--ways REGEX]] [--without NAME,...] [--seeds 20] [--jobs 2] [--only REGEX] [--harness REGEX]
                [--flag=-use_value_profile=1 ...] [--list]
BUILD is a folder of preset fuzz with the mutants that the table names; --list prints the targets that build them. Executions
are counted, not time: given the same seeds and build, a row is the same under any load, but for mutants that lack a barrier.
--without leaves out mutations, or other ways to a new case, in all runs; --each-mutation leaves out each in turn, finds the bug
that suffers most with seeds 1 to --seeds, and measures that bug once more with as many seeds that had no part in the choice.
"""
import argparse
import concurrent.futures
import pathlib
import re
import statistics

import script

# What the bug does, the mutant, the harness that is to find it, and the most executions that it gets.
BUGS = [
    ("fp32 weight multiply, vectorized", "B1-fp32-weight-multiply-vectorized", "conformance", 100_000),
    ("fp32 weight multiply, scalar", "B1-fp32-weight-multiply-scalar", "conformance", 100_000),
    ("fp32 weight multiply, fp8", "B1-fp32-weight-multiply-fp8", "conformance", 100_000),
    ("unrounded fused sum", "B3-unrounded-sum-normalized", "conformance", 100_000),
    ("unrounded quantization", "B4-fp8-skips-rounding", "conformance", 100_000),
    ("truncation to bf16", "B5-truncated-bf16", "conformance", 100_000),
    ("truncated residual", "B5-truncated-residual", "conformance", 100_000),
    ("ties away from zero, bf16", "B5-ties-away-from-zero-bf16", "conformance", 100_000),
    ("ties away from zero, fp8", "B5-ties-away-from-zero-fp8", "conformance", 100_000),
    ("missing clamp", "B18-fp8-not-clamped", "conformance", 100_000),
    ("swallowed NaN", "B21-clamp-swallows-nan", "conformance", 100_000),
    ("low-precision variance", "B6-low-precision-variance", "conformance", 100_000),
    ("fp8 divided", "B19-fp8-divided", "conformance", 100_000),
    ("residual not written back, fp8", "B25-residual-not-written-back-fp8", "conformance", 100_000),
    ("dropped tail", "B15-tail-dropped", "conformance", 100_000),
    ("stride ignored in the second pass", "B12-stride-ignored-in-second-pass", "wide", 20_000),
    ("the same, fused add", "B12-stride-ignored-in-second-pass-fused", "wide", 20_000),
    ("missing barrier before the groups are summed", "B17-missing-barrier-before-the-groups-are-summed", "wide", 20_000),
    ("missing barrier before the next row", "B17-missing-barrier-before-the-next-row", "wide", 20_000),
    ("the same, fused add", "B17-missing-barrier-before-the-next-row-fused", "wide", 20_000),
    ("missing barrier, cached row", "B17-missing-barrier-cached", "wide", 20_000),
    ("missing barrier, two passes", "B17-missing-barrier-two-pass", "wide", 20_000),
    ("missing barrier, fused add", "B17-missing-barrier-fused", "wide", 20_000),
    ("missing barrier, fp8", "B17-missing-barrier-fp8", "wide", 20_000),
    ("32-bit row offset", "B11-32-bit-row-offset", "wide", 20_000),
    ("misaligned vector access", "B14-pointer-alignment-not-checked", "conformance", 100_000),
    ("write beyond the row's end", "B15-tail-overrun", "conformance", 100_000),
    ("read beyond the row's end", "B15-tail-overread", "conformance", 100_000),
    # The harnesses that hold several runs, or memory, against each other.
    ("unrounded fused sum", "B3-unrounded-sum-normalized", "composition", 100_000),
    ("unrounded quantization", "B4-fp8-skips-rounding", "composition", 100_000),
    ("missing barrier, cached row", "B17-missing-barrier-cached", "schedule", 20_000),
    ("missing barrier, two passes", "B17-missing-barrier-two-pass", "schedule", 20_000),
    ("write beyond the row's end", "B15-tail-overrun", "memory", 100_000),
    ("read beyond the row's end", "B15-tail-overread", "memory", 100_000),
    ("input read again after the store", "B24-input-read-again-after-the-store", "memory", 100_000),
    # Kernels that are called by name.
    ("LayerNorm, variance in one pass", "B6-layer-norm-one-pass-variance", "named_kernels", 100_000),
    ("LayerNorm, epsilon added to the root", "B8-layer-norm-epsilon-after-the-root", "named_kernels", 100_000),
    ("LayerNorm, mean not rounded", "B3-without-rounding-in-the-mean-of-layer-norm", "named_kernels", 100_000),
    ("LayerNorm, fp32 weight rounded", "B27-fp32-weight-rounded-layer-norm", "named_kernels", 100_000),
    ("LayerNorm, bias skipped in the tail", "B15-layer-norm-bias-skipped-in-the-tail", "named_kernels", 100_000),
    ("LayerNorm, rstd at the block", "B25-rstd-of-layer-norm-at-the-block", "named_kernels", 100_000),
    ("LayerNorm, largest number of e5m2", "B20-layer-norm-e5m2-maximum-448", "named_kernels", 100_000),
    ("LayerNorm, no floor of scales", "B30-no-floor-layer-norm", "named_kernels", 100_000),
    ("gradient, residual not added", "B25-residual-gradient-not-added", "named_kernels", 100_000),
    ("gradient, mean not taken away", "B31-mean-of-the-gradient-not-taken-away", "named_kernels", 100_000),
    ("gradient, stride of dy ignored", "B12-stride-of-dy-ignored", "named_kernels", 100_000),
    ("gradient, tail of rows not in dweight", "B41-tail-of-rows-not-in-dweight", "named_kernels", 100_000),
    ("gradient, rows in place of H", "B44-rows-in-place-of-hidden-size-in-dx", "named_kernels", 100_000),
    ("gradient, dweight written to dbias", "B25-weight-gradient-written-to-dbias", "named_kernels", 100_000),
    ("rotation, pairs interleaved", "B12-neox-pairs-as-interleaved", "named_kernels", 100_000),
    ("rotation, position of the first token", "B12-position-of-the-first-token", "named_kernels", 100_000),
    ("rotation, partial, half a head apart", "B15-partial-rotary-half-a-head-apart", "named_kernels", 100_000),
    ("rotation, epsilon hard-coded", "B8-rope-epsilon-hardcoded", "named_kernels", 100_000),
    ("blocks, scales by columns", "B12-scales-of-blocks-by-columns", "named_kernels", 100_000),
    ("blocks, maximum of a short block reaches back", "B15-maximum-of-a-short-block-reaches-back", "named_kernels", 100_000),
    ("blocks, int8 truncated", "B5-truncated-int8", "named_kernels", 100_000),
    ("blocks, residual not written back", "B25-residual-not-written-back-blocks", "named_kernels", 100_000),
    ("MX, exponent truncated", "B5-truncated-exponent-of-mx", "named_kernels", 100_000),
    ("MX, scales written as fp32", "B20-mx-scales-written-as-fp32", "named_kernels", 100_000),
    ("e2m1, halves of a byte swapped", "B20-nibbles-of-e2m1-swapped", "named_kernels", 100_000),
    ("e2m1, negative zero", "B20-negative-zero-of-e2m1-lost", "named_kernels", 100_000),
    ("NVFP4, block of zeros", "B22-zero-block-of-nvfp4", "named_kernels", 100_000),
]
# Each asks for something that few others ask for; with some of BUGS, what the mutations are measured with.
BUGS_OF_MUTATIONS = [bug for bug in BUGS if re.match(
    "B1-|B3-|B4-|B5-|B12-|B14-|B19-|B17-missing-barrier-before-the-next-row$", bug[1]) and bug[2] in ("conformance", "wide")] + [
    ("stride of the residual ignored", "B12-residual-stride-ignored", "conformance", 20_000),
    ("alignment of the residual", "B14-residual-alignment-not-checked", "conformance", 20_000),
    ("alignment of the weight", "B14-weight-alignment-not-checked", "conformance", 20_000),
    ("half of a wide chunk", "B15-half-of-a-wide-chunk", "conformance", 20_000),
    ("missing clamp, fused, vectorized", "B18-not-clamped-fused-fp8-vectorized", "conformance", 20_000),
    ("largest number of e4m3fnuz", "B20-e4m3fnuz-maximum-224", "conformance", 20_000),
    ("negative zero of fnuz", "B20-fnuz-negative-zero", "conformance", 20_000),
    ("NaN becomes infinity, fp16", "B21-nan-becomes-infinity-in-fp16", "conformance", 20_000),
    ("NaN becomes zero, bf16", "B21-nan-becomes-zero-in-bf16", "conformance", 20_000),
    ("row of zeros, fused add", "B22-zero-row-fused-add", "conformance", 20_000),
    ("in place refused", "B24-in-place-refused", "conformance", 20_000),
    ("order of the sum by the path", "B26-order-depends-on-the-path", "conformance", 20_000),
    ("fp32 weight rounded", "B27-fp32-weight-rounded", "conformance", 20_000),
    ("two roundings instead of an fma", "B6-fma-replaced-by-two-roundings", "conformance", 20_000),
    ("epsilon rounded to bf16", "B8-epsilon-in-bf16", "conformance", 20_000),
    ("epsilon added to the root", "B8-epsilon-after-the-root", "conformance", 20_000),
    ("leading sizes collapsed", "B13-leading-dimensions-collapsed", "wide", 20_000),
    ("long rows cut", "B16-long-rows-cut", "wide", 20_000),
    ("no rows launched", "B23-zero-rows-launched", "wide", 20_000),
    ("order of the sum by the block", "B26-order-depends-on-the-block", "wide", 20_000),
]
HERE = pathlib.Path(__file__).resolve().parent


def executions_to_find(build, mutant, harness, most, seed, flags, without=None):
    """The number of executions until the fuzzer died of a finding; None where it ended without one."""
    environment = {"NORMPROOF_TARGET": f"mutant:{mutant}", "NORMPROOF_MUTANTS": str(build / "mutants")}
    if without:
        environment["NORMPROOF_WITHOUT_MUTATION"] = without
    run = script.hunt(build, harness, most, seed, environment, flags)
    if run is None:
        return None
    # A sanitizer's report of the target is a finding as well; anything else is a broken run.
    if run.executed is None or not re.search(r"^VIOLATION on target|ERROR: AddressSanitizer|ERROR: libFuzzer", run.log, re.MULTILINE):
        script.no_finding(f"{mutant}, seed {seed}", run)
    return run.executed


def ways_to_a_case():
    """The mutations in the order of their table, and the other ways to a new case, by name."""
    names = re.findall(r'Mutation\{"([a-z-]+)"', (HERE / "case_mutator.cpp").read_text())
    other = re.findall(r'k(?:FreshCase|Crossover|Engine) = "([a-z-]+)"', (HERE / "case_mutator.h").read_text())
    if not names or len(other) != 3:
        script.could_not_run("case_mutator.cpp and case_mutator.h have no table of mutations")
    return names + other


def what_each_mutation_is_worth(build, bugs, options):
    """For each way that is left out: the executions to find, and the bug that suffers most."""
    left_out = options.without.split(",") if options.without else []
    choosing = range(1, options.seeds + 1)
    confirming = range(options.seeds + 1, 2 * options.seeds + 1)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        def start(bug, name, seeds):
            _, mutant, harness, most = bug
            most = min(most, options.most)
            without = ",".join(left_out + [name] if name else left_out)
            return [(most, pool.submit(executions_to_find, build, mutant, harness, most, seed, options.flag, without)) for seed in seeds]

        def mean(runs):
            """The geometric mean over the seeds; a run without a finding counts as one more than the most."""
            counts = [(most, run.result()) for most, run in runs]
            return (statistics.geometric_mean([most + 1 if count is None else count for most, count in counts]),
                    sum(count is not None for _, count in counts))

        def means(name, seeds, of=bugs):
            started = {bug: start(bug, name, seeds) for bug in of}
            return {bug: mean(runs) for bug, runs in started.items()}

        with_all = means(None, choosing)
        confirmed_with_all = means(None, confirming)
        print(f"left out in all runs: {options.without or 'nothing'}; {len(bugs)} bugs, "
              f"{sum(found for _, found in with_all.values())} of {len(bugs) * options.seeds} runs find theirs, "
              f"after {statistics.geometric_mean(count for count, _ in with_all.values()):,.0f} executions in the geometric mean\n\n"
              "| left out | runs that find the bug | executions, relative | suffers most | with other seeds |\n|---|---|---|---|---|", flush=True)
        for name in [name for name in ways_to_a_case() if name not in left_out and options.ways.search(name)]:
            without = means(name, choosing)
            ratios = {bug: without[bug][0] / with_all[bug][0] for bug in bugs}
            worst = max(bugs, key=lambda bug: ratios[bug])
            again = means(name, confirming, [worst])[worst][0] / confirmed_with_all[worst][0]
            print(f"| `{name}` | {sum(found for _, found in without.values())} | "
                  f"{statistics.geometric_mean(ratios.values()):.2f} | {worst[0]} ({worst[2]}): {ratios[worst]:.1f} | {again:.1f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path, nargs="?")
    parser.add_argument("--seeds", type=script.positive, default=20)
    parser.add_argument("--jobs", type=script.positive, default=2)
    parser.add_argument("--only", type=script.expression, default="", help="regular expression: only mutants whose names match")
    parser.add_argument("--harness", type=script.expression, default="", help="regular expression: only harnesses whose names match")
    parser.add_argument("--flag", action="append", default=[], help="a further flag of the fuzzer")
    parser.add_argument("--each-mutation", action="store_true", help="what becomes worse without each mutation")
    parser.add_argument("--without", default="", help="mutations and other ways to a new case that no run has, with commas between them")
    parser.add_argument("--ways", type=script.expression, default="", help="regular expression: with --each-mutation, leave out only those whose names match")
    parser.add_argument("--most", type=script.positive, default=20_000, help="executions at most, with --each-mutation")
    parser.add_argument("--list", action="store_true", help="print the build's targets")
    options = parser.parse_args()
    bugs = [bug for bug in (BUGS_OF_MUTATIONS if options.each_mutation else BUGS)
            if options.only.search(bug[1]) and options.harness.search(bug[2])]
    if not bugs:
        parser.error(f"no mutant matches '{options.only.pattern}' for a harness that matches '{options.harness.pattern}'")
    if options.list:
        print(" ".join(sorted({f"{harness}_fuzzer" for _, _, harness, _ in bugs} | {f"mutant_{mutant}" for _, mutant, _, _ in bugs})))
        return
    if options.build is None:
        parser.error("which BUILD?")
    build = options.build.resolve()
    for _, mutant, harness, _ in bugs:
        script.need(build / "bin" / f"{harness}_fuzzer", build / "mutants" / f"libmutant_{mutant}.so")
    if options.each_mutation:
        return what_each_mutation_is_worth(build, bugs, options)
    print("| bug | mutant | harness | found | median | slowest |\n|---|---|---|---|---|---|")
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for what, mutant, harness, most in bugs:
            runs = [pool.submit(executions_to_find, build, mutant, harness, most, seed, options.flag, options.without)
                    for seed in range(1, options.seeds + 1)]
            counts = [run.result() for run in runs]
            found = [count for count in counts if count is not None]
            median = statistics.median_low([most + 1 if count is None else count for count in counts])

            def shown(count):
                return f"{count:,}" if count <= most else f"> {most:,}"

            print(f"| {what} | `{mutant}` | {harness} | {len(found)} of {len(counts)} | {shown(median)} | "
                  f"{shown(max(most + 1 if count is None else count for count in counts))} |", flush=True)


if __name__ == "__main__":
    main()
