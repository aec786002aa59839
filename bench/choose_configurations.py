#!/usr/bin/env python3
"""Writes the kernels' table of configurations for a GPU from what `normproof bench --tune FILE` measured on it.

For every operation, row length and number of rows the configuration whose worst loss against the best of each
measurement (dtype, hot or cold) is smallest; among those within 0.2 % the one that the table uses most. Only shapes that
kernels/register_shapes.inc still has are chosen.

Usage: choose_configurations.py GPU TUNE.csv... > kernels/configuration_table_GPU.inc, for instance GPU = h200
"""
import collections
import csv
import pathlib
import re
import sys

NAMES = {"rms": "kPlain", "add": "kAdded", "rmsq": "kQuantized", "addq": "kAddedAndQuantized"}
TOLERANCE = 1.002
LANES, WARP = 1024, 32
SHAPES = pathlib.Path(__file__).resolve().parent.parent / "kernels/register_shapes.inc"
BYTES = {"bf16": 2, "fp16": 2, "fp32": 4}


def own_threads(shape, slots, chunks):
    """What configurations.cpp takes for a line with 0 threads: as many as the row's length asks for. None where a line
    has to say it."""
    if not shape.startswith("block"):
        return None
    groups = -(-min(chunks, LANES) // WARP)
    return -(-groups // slots) * WARP


def main():
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    # (operation, chunks, rows) -> configuration -> loss in each measurement
    losses = collections.defaultdict(lambda: collections.defaultdict(dict))
    times = collections.defaultdict(list)
    shapes = {name: int(slots) for name, slots in
              re.findall(r"^NORMPROOF_SHAPE\((\w+), \w+::\w+, (\d+)", SHAPES.read_text(), re.MULTILINE)}
    shapes |= {"two_pass": 0, "within_warp": 0}
    gpu, names = sys.argv[1], sys.argv[2:]
    for name in names:
        with open(name) as file:
            for line in csv.DictReader(file):
                if line["shape"] not in shapes:
                    continue
                hidden, tokens = int(line["H"]), int(line["tokens"])
                place = (line["op"], hidden * BYTES[line["dtype"]] // 16, tokens * 32 if hidden == 128 else tokens)
                times[place, line["dtype"], line["mode"]].append(
                    (float(line["kernel_us"]), (line["shape"], int(line["threads"]), int(line["dependent"]))))
    for (place, *measurement), measured in times.items():
        best = min(time for time, _ in measured)
        for time, configuration in measured:
            losses[place][configuration][tuple(measurement)] = time / best
    # Only what was measured everywhere can be compared.
    worst = {}
    for place, configurations in losses.items():
        most = max(len(by_measurement) for by_measurement in configurations.values())
        worst[place] = {configuration: max(by_measurement.values())
                        for configuration, by_measurement in configurations.items() if len(by_measurement) == most}
    popularity = collections.Counter()
    for configurations in worst.values():
        least = min(configurations.values())
        for configuration, loss in configurations.items():
            if loss <= TOLERANCE * least:
                popularity[configuration[0], configuration[2]] += 1
    chosen = {}
    for place, configurations in worst.items():
        least = min(configurations.values())
        close = [configuration for configuration, loss in configurations.items() if loss <= TOLERANCE * least]
        chosen[place] = max(close, key=lambda c: (popularity[c[0], c[2]], -configurations[c]))

    print("// Lines {chunks, rows, shape, threads, dependent}, see configurations.cpp. Written by")
    print(f"// bench/choose_configurations.py from what `normproof bench --tune` measured on an NVIDIA {gpu.upper()}.")
    for operation, name in NAMES.items():
        places = sorted(place for place in chosen if place[0] == operation)
        lengths = sorted({place[1] for place in places})
        print(f"constexpr Line {name}[] = {{")
        for length in lengths:
            rows = sorted(place[2] for place in places if place[1] == length)
            for index, count in enumerate(rows):
                shape, threads, dependent = chosen[operation, length, count]
                # Half way, by ratio, to the next number of rows that was measured.
                limit = str(round((count * rows[index + 1]) ** 0.5)) if index + 1 < len(rows) else "kAnyRows"
                # From the row's own length, so that shorter rows of the line get fewer.
                number = 0 if threads == own_threads(shape, shapes[shape], length) else threads
                reach = 32 if length < 32 else length
                print(f"    {{{reach}, {limit}, ShapeKind::{shape}, {number}, {'true' if dependent else 'false'}}},")
        print("};")
    return 0


if __name__ == "__main__":
    sys.exit(main())
