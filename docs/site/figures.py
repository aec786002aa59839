#!/usr/bin/env python3
"""Writes the figures of the pages from saved results, so that nobody types a number twice.

Usage: docs/site/figures.py [--check]    --check: writes nothing, ends with 1 where a page and its results disagree

In a page a block stands between `<!-- figures: NAME -->` and `<!-- end of figures -->`; NAME is a function below. Results
are in docs/results/ and bench/results/; each says the date, the machine and the command.
"""
import argparse
import csv
import functools
import json
import lzma
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs/results"
H200_BENCH = "bench/results/2026-11-29-h200-bench.csv"
H200_BENCH_SCALED = "bench/results/2026-11-30-h200-bench-scaled-rows.csv"
H200_BENCH_FAMILY = "bench/results/2026-12-01-h200-bench-family.csv"
H200_VERIFY = "bench/results/2026-11-29-h200-verify-cuda.json.xz"
OPERATIONS = {"rms": "rms_norm", "add": "fused add", "rmsq": "rms_norm, fp8", "addq": "fused add, fp8"}
SCALED_OPERATIONS = {"rmsdq": "rms_norm", "adddq": "fused add"}
BLOCK = re.compile(r"(<!-- figures: ([a-z_0-9]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def saved(name):
    return json.loads((RESULTS / name).read_text())


def table(head, rows):
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]).replace("| --- ", "|---").replace(
        "|--- ", "|---").replace("--- |", "---|") + "\n"


def percent(part, whole):
    return f"{100 * part / whole:.0f} %"


def measured(part):
    found = saved("measured.json")[part]
    return f"On {found['machine']}.\n\n" + table(
        ["what", "figure", "command", "date"],
        [[row["what"], row["figure"], row["command"], row["date"]] for row in found["rows"]])


def measured_cpu():
    return measured("cpu")


def measured_gpu():
    return measured("gpu")


def assess():
    found = saved("assess.json")
    dates = sorted({row["date"] for row in found["rows"]})
    return f"`{found['command']}` on {found['machine']}, {' to '.join(sorted({dates[0], dates[-1]}))}.\n\n" + table(
        ["question", "figure"], [[row["question"], row["figure"]] for row in found["rows"]])


def assess_family():
    """Runs of the studies of the norm family: `studies` is what `assess --json` writes under `family`."""
    def row(study):
        honest, faulty = study["honest"], study["faulty"]
        undecided = f", {honest['undecided']:,} undecided" if honest.get("undecided") else ""
        return [f"{study['study']} ({study['unit']})", f"{honest['rows']:,}", f"{honest['elements']:,}", f"{honest['refused']:,}{undecided}",
                *(f"{number:,}" for number in (faulty["rows"], faulty["refuted"], faulty["disagreements"]))]
    return "\n".join(f"`{run['command']}` on {run['machine']}, {run['date']}.\n\n" + table(
        ["judge", "honest rows", "elements", "refused", "faulty rows", "refuted", "disagreements"], map(row, run["studies"]))
        for run in saved("assess.json")["family"])


def mutants():
    found = saved("mutants.json")
    total = found["mutants"]
    return f"`{found['command']}` on {found['machine']}, {found['date']}.\n\n" + table(
        ["check", f"of {total} mutants it detects", "share"],
        [[row["check"], ", ".join(map(str, row["killed"])), ", ".join(percent(killed, total) for killed in row["killed"])]
         for row in found["rows"]])


def mutants_in_a_line():
    found = saved("mutants.json")
    ours, theirs = found["rows"][0]["killed"][0], found["rows"][-1]["killed"][0]
    return (f"Of {found['mutants']} real bugs planted in a copy of the RMSNorm kernels, `verify` finds {ours}; the published tolerance tests of "
            f"vLLM, FlashInfer, Liger and QuACK together find {theirs} of the {found['of_operations_with_tolerance_tests']} in operations "
            f"for which they are repeated here ([details](docs/mutants.md)).\n")


def family_mutants():
    found = saved("family_mutants.json")
    least, most = found["seconds"]
    return (f"`{found['command']}` on {found['machine']}, {found['date']}: {len(found['rows'])} of {len(found['rows'])} found, each run "
            f"over after {least} to {most} s.\n\n" + table(["mutant", "found in", "after so many calls of these operations", "as"],
            [[f"`{row['mutant']}`", f"`{row['operation']}`", str(row["calls"]), row["seen_as"]] for row in found["rows"]]))


@functools.cache
def bench(name=H200_BENCH):
    lines = (ROOT / name).read_text().splitlines()
    return lines[0].removeprefix("# "), list(csv.DictReader(lines[1:]))


def row_of(operation, hidden, tokens, mode):
    found = [row for row in bench()[1] if (row["op"], row["dtype"], row["H"], row["tokens"], row["mode"])
             == (operation, "bf16", str(hidden), str(tokens), mode)]
    return found[0] if found else None


def speed_8192():
    def cell(hidden, operation):
        row = row_of(operation, hidden, 8192, "cold")
        return f"{float(row['ratio']):.2f} ({float(row['best_peer_ratio']):.2f})" if row else ""
    return table(["8192 tokens, cold", *OPERATIONS.values()],
                 [[f"H = {hidden}, 32 heads" if hidden == 128 else str(hidden), *(cell(hidden, operation) for operation in OPERATIONS)]
                  for hidden in (128, 1024, 2048, 4096, 5120, 7168, 8192, 16384)])


@functools.cache
def fastest_peers(file):
    """The least microseconds of anybody else in a table of calls and peers, by call."""
    lines = [line for line in (ROOT / file).read_text().splitlines() if not line.startswith("#")]
    no_peers = ("op", "details", "H", "tokens", "mode", "copy", "goal", "goal_us")
    fastest = {}
    for row in csv.DictReader(lines):
        times = [float(time) for peer, time in row.items() if time and peer not in no_peers and not peer.startswith("prototype")]
        if times:
            fastest[call_of(row)] = min(times)
    return fastest


def call_of(row):
    return tuple(row.get(word, "") for word in ("op", "details", "H", "tokens", "mode"))


def peer_microseconds(row):
    """The fastest peer's, of the peers' own table; None where nobody else was measured."""
    return fastest_peers("bench/peers.csv").get(call_of(row))


def family_peer_microseconds(row):
    return fastest_peers("bench/family_rows.csv").get(call_of(row))


def speed_1():
    def cell(hidden, operation):
        row = row_of(operation, hidden, 1, "hot")
        if not row:
            return ""
        return f"{float(row['kernel_us']):.2f} ({peer_microseconds(row):.2f})"
    return table(["1 token, microseconds (best peer)", *OPERATIONS.values()],
                 [[f"H = {hidden}", *(cell(hidden, operation) for operation in OPERATIONS)]
                  for hidden in (2048, 4096, 5120, 7168, 8192, 16384)])


def speed_summary():
    head, rows = bench()
    compared = [row for row in rows if row["dtype"] == "bf16"]
    fast = sum(float(row["ratio"]) >= float(row["best_peer_ratio"]) for row in compared)
    in_time = sum(float(row["kernel_us"]) <= peer_microseconds(row) for row in compared)
    large = [float(row["ratio"]) for row in rows if int(row["tokens"]) >= 8192 and row["mode"] == "cold"]
    return (f"{head.split(': ')[0]}, bf16: in microseconds {in_time} of {len(compared)} rows are at least as fast as the best peer, "
            f"relative to a copy {fast}. From 8192 tokens on, beyond the cache, every row of every dtype takes at most "
            f"{1 / min(large):.2f} times a copy of its bytes.\n")


def speed_scaled_rows():
    """Operations that give each row a scale: by a copy where there are many tokens, in microseconds where there is one."""
    head, rows = bench(H200_BENCH_SCALED)
    of_bf16 = {(row["op"], row["H"], row["tokens"]): row for row in rows if row["dtype"] == "bf16"}

    def cell(operation, hidden, tokens):
        row = of_bf16[operation, str(hidden), str(tokens)]
        peer = peer_microseconds(row)
        if tokens == 1:
            return f"{float(row['kernel_us']):.2f}" + (f" ({peer:.2f})" if peer else "")
        return f"{float(row['ratio']):.2f}" + (f" ({float(row['best_peer_ratio']):.2f})" if peer else "")

    columns = [(operation, tokens) for operation in SCALED_OPERATIONS for tokens in (1, 8192, 32768)]
    heads = [f"{SCALED_OPERATIONS[operation]}, {'1 token, us' if tokens == 1 else f'{tokens} tokens'}" for operation, tokens in columns]
    compared = [row for row in rows if row["best_peer"]]
    in_time = sum(float(row["kernel_us"]) <= peer_microseconds(row) for row in compared)
    return (f"{head.split(': ')[0]}, bf16 to e4m3fn; {in_time} of {len(compared)} rows with a peer are at least as fast, in "
            f"microseconds.\n\n" + table(["H", *heads], [[str(hidden), *(cell(operation, hidden, tokens) for operation, tokens in columns)]
                                                        for hidden in (1024, 2048, 4096, 7168, 16384)]))


def family_name(row):
    codes = {"out=fp8_e4m3fn": "e4m3fn", "out=uint8": "e2m1", "group=128": "groups of 128"}
    words = [codes[word] for word in row["details"].split() if word in codes]
    return f"`{row['op']}`" + (f", {', '.join(words)}" if words else "")


def speed_family():
    """Operations by name: relative to a copy with 8192 tokens, in microseconds with one; the fastest peer's microseconds beside."""
    head, rows = bench(H200_BENCH_FAMILY)
    names = list(dict.fromkeys((row["op"], row["details"]) for row in rows))

    def cell(name, hidden, tokens):
        row = next((row for row in rows if (row["op"], row["details"]) == name and (row["H"], row["tokens"]) == (hidden, tokens)), None)
        if row is None:
            return ""
        peer = family_peer_microseconds(row)
        own = float(row["kernel_us"])
        first = f"{own:.2f}" if tokens == "1" else f"{float(row['ratio']):.2f}"
        return first + (f" ({peer / own:.1f} x)" if peer else "")

    columns = [("4096", "1"), ("7168", "1"), ("1024", "8192"), ("2048", "8192"), ("4096", "8192"), ("7168", "8192"), ("16384", "8192"),
               ("4096", "32768")]
    heads = [f"{tokens} x {hidden}" + (", us" if tokens == "1" else "") for hidden, tokens in columns]
    compared = [row for row in rows if row["best_peer"]]
    faster = sum(float(row["kernel_us"]) <= family_peer_microseconds(row) for row in compared)
    table_rows = []
    for name in names:
        row = next(row for row in rows if (row["op"], row["details"]) == name)
        if row["op"] != "qk_norm_rope":
            table_rows.append([family_name(row), *(cell(name, *column) for column in columns)])
    heads_row = {row["tokens"]: row for row in rows if row["op"] == "qk_norm_rope"}
    rope = ", ".join(f"{tokens} token{'s' if tokens != '1' else ''} {float(row['kernel_us']):.2f} us ({float(row['ratio']):.2f} of a copy)"
                     for tokens, row in heads_row.items())
    return (f"{head.split(': ')[0]}, bf16; {faster} of {len(compared)} rows with a peer take at most its microseconds.\n\n"
            + table(["tokens x H", *heads], table_rows)
            + f"\n`qk_norm_rope`, 40 heads of 128 in place: {rope}.\n")


def missed_goals():
    """What `bench` names as exceptions to the goals of bench/family_rows.csv, operation by operation."""
    _, rows = bench(H200_BENCH_FAMILY)
    missed = {}
    for row in rows:
        if row["goal"] and float(row["ratio"]) < float(row["goal"]):
            missed.setdefault(family_name(row), []).append(
                f"{row['tokens']} x {row['H']}: {float(row['ratio']):.3f} of {float(row['goal']):.2f}")
        if row["goal_us"] and float(row["kernel_us"]) > float(row["goal_us"]):
            missed.setdefault(family_name(row), []).append(
                f"{row['tokens']} x {row['H']}: {float(row['kernel_us']):.2f} us, wanted {float(row['goal_us']):.2f}")
    goals = sum(bool(row["goal"]) + bool(row["goal_us"]) for row in rows)
    return (f"{goals - sum(map(len, missed.values()))} of {goals} goals are reached. Those that are not:\n\n"
            + "\n".join(f"- {name}: {'; '.join(which)}" for name, which in missed.items()) + "\n")


def verify_cuda():
    found = json.loads(lzma.decompress((ROOT / H200_VERIFY).read_bytes()))
    total = found["total"]
    return (f"{total['elements']:,} output elements in {total['rows']:,} rows, {total['mismatches']} mismatches, "
            f"{len(found['combinations'])} combinations of operation, dtypes, weight and path, in {found['seconds']:.0f} s "
            f"(seed {found['seed']}).\n")


@functools.cache
def contract_table(heading):
    """The rows of the first table below a heading of the contract."""
    below = (ROOT / "oracle/CONTRACT.md").read_text().split(f"\n{heading}\n", 1)[1]
    lines = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def policies_by_engine():
    operations = re.findall(r'^ +(?:\{Operation::\w+, )?"(\w*rms_norm\w*)",', (ROOT / "corpus/operation.cpp").read_text(), re.MULTILINE)
    engines = {}
    for name, policy, source in contract_table("### Named policies"):
        engine, dot, operation = name.strip("`").rpartition(".")
        if operation not in operations:  # a kind of its own: gemma_rms_norm, rms_norm_none
            base = next((each for each in operations if each in operation), None)
            engine, operation = (f"{engine}, {operation.replace(base, '').strip('_')}", base) if dot and base else (None, None)
        if engine:
            engines.setdefault((engine, source), {})[operation] = f"`{policy}`"
    return table(["engine", *(f"`{operation}`" for operation in operations)],
                 [[f"{engine} ({source})", *(of.get(operation, "") for operation in operations)]
                  for (engine, source), of in sorted(engines.items())])


def engines_by_value():
    return table(["axis", "value", "formula", "seen in"], contract_table("## Policies"))


FIGURES = {function.__name__: function for function in (measured_cpu, measured_gpu, assess, assess_family, mutants, mutants_in_a_line,
                                                        family_mutants, speed_8192, speed_1, speed_summary, speed_scaled_rows, speed_family, missed_goals, verify_cuda,
                                                        policies_by_engine, engines_by_value)}


def in_page(text, page):
    """Links in results are from the root; those of a page, from where it lies."""
    depth = len(page.relative_to(ROOT).parts) - 1
    return re.sub(r"\]\((?!https?:|#)", "](" + "../" * depth, text) if depth else text


def rendered(page):
    def block(found):
        if found[2] not in FIGURES:
            sys.exit(f"{page.relative_to(ROOT)}: there are no figures '{found[2]}', but {', '.join(FIGURES)}")
        return found[1] + in_page(FIGURES[found[2]](), page) + found[3]
    return BLOCK.sub(block, page.read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    check = parser.parse_args().check
    used, stale = set(), []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]:
        used |= {found[2] for found in BLOCK.finditer(page.read_text())}
        text = rendered(page)
        if text != page.read_text():
            stale.append(str(page.relative_to(ROOT)))
            if not check:
                page.write_text(text)
                print(f"wrote {stale[-1]}")
    unused = sorted(set(FIGURES) - used)
    if unused:
        sys.exit(f"no page shows {', '.join(unused)}")
    if check and stale:
        sys.exit(f"these pages and their results disagree: {', '.join(stale)} (docs/site/figures.py writes them)")
    print(f"{len(used)} blocks of figures agree with their results")


if __name__ == "__main__":
    main()
