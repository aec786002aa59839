#!/usr/bin/env python3
"""Writes the kernels' table of configurations for a GPU from what `normproof bench --tune FILE` measured on it.

For every operation, row length and number of rows the configuration whose worst loss against the best of each
measurement (hot or cold, interrupted or not) is smallest, in bf16 where bf16 was measured; among those within 0.2 % the
one that loses least in the other dtypes, and of these the one that the table uses most. A dtype that it costs more than
1 % gets a line of its own. Of a configuration that was measured more than once the slowest time counts: some have times
that differ from run to run. Only shapes that kernels/register_shapes.inc still has are chosen.

Files may be compressed by xz.

Usage: choose_configurations.py GPU TUNE.csv... > kernels/configuration_table_GPU.inc, for instance GPU = h200
"""
import collections
import csv
import lzma
import math
import pathlib
import re
import sys

NAMES = {"rms": "kPlain", "add": "kAdded", "rmsq": "kQuantized", "addq": "kAddedAndQuantized", "rmsdq": "kScaled", "adddq": "kAddedAndScaled"}
SCALED = ("rmsdq", "adddq")  # have no NORMPROOF_FURTHER_SHAPE
TOLERANCE = 1.002
OWN_LINE = 1.01
LANES, WARP = 1024, 32
SHAPES = pathlib.Path(__file__).resolve().parent.parent / "kernels/register_shapes.inc"
BYTES = {"bf16": 2, "fp16": 2, "fp32": 4}  # in order of precedence

Configuration = collections.namedtuple("Configuration", "shape threads dependent")
Place = collections.namedtuple("Place", "operation chunks rows")


def refuse(text):
    print(f"choose_configurations.py: {text}", file=sys.stderr)
    sys.exit(2)


def own_threads(shape, slots, chunks):
    """What configurations.cpp takes for a line with 0 threads: as many as the row's length asks for. None where a line
    has to say it."""
    if not shape.startswith("block"):
        return None
    groups = -(-min(chunks, LANES) // WARP)
    return -(-groups // slots) * WARP


def read_times(files, shapes, further):
    """place -> dtype -> mode -> configuration -> microseconds"""
    times = collections.defaultdict(lambda: collections.defaultdict(lambda: collections.defaultdict(dict)))
    for name in files:
        try:
            with lzma.open(name, "rt") if str(name).endswith(".xz") else open(name) as file:
                for line in csv.DictReader(file):
                    if line["shape"] not in shapes or (line["op"] in SCALED and line["shape"] in further):
                        continue
                    hidden, tokens, dtype = int(line["H"]), int(line["tokens"]), line["dtype"]
                    place = Place(line["op"], hidden * BYTES[dtype] // 16, tokens * 32 if hidden == 128 else tokens)
                    configuration = Configuration(line["shape"], int(line["threads"]), int(line["dependent"]))
                    measured = times[place][dtype][line["mode"]]
                    measured[configuration] = max(measured.get(configuration, 0), float(line["kernel_us"]))
        except (OSError, lzma.LZMAError) as error:
            refuse(f"{name}: {getattr(error, 'strerror', None) or error}")
        except (KeyError, ValueError, TypeError) as error:
            refuse(f"{name}: not what `normproof bench --tune` writes: {error!r}")
    return times


def worst_losses(place, dtype, by_mode):
    """configuration -> how many times the best one's time it takes, where that is most. Only what was measured in every
    mode can be compared."""
    measured = set.intersection(*(set(times) for times in by_mode.values()))
    if not measured:
        refuse(f"{place.operation}, {dtype}, {place.chunks} chunks, {place.rows} rows: no configuration was measured in all "
               f"of {', '.join(by_mode)}")
    best = {mode: min(times.values()) for mode, times in by_mode.items()}
    return {each: max(times[each] / best[mode] for mode, times in by_mode.items()) for each in measured}


def excess(losses, configuration):
    """How many times the least loss of all the configuration's is."""
    return losses.get(configuration, math.inf) / min(losses.values())


def near_best(losses):
    return [configuration for configuration in losses if excess(losses, configuration) <= TOLERANCE]


def choose(times):
    """place -> dtype, or None for any -> configuration"""
    losses = {place: {dtype: worst_losses(place, dtype, by_dtype[dtype]) for dtype in BYTES if dtype in by_dtype}
              for place, by_dtype in times.items()}
    popularity = collections.Counter(
        (place.operation in SCALED, configuration.shape)
        for place, by_dtype in losses.items() for configuration in near_best(next(iter(by_dtype.values()))))

    def best(place, own, others=()):
        def merit(configuration):
            elsewhere = max((excess(other, configuration) for other in others), default=1)
            return -max(elsewhere, OWN_LINE), popularity[place.operation in SCALED, configuration.shape], -own[configuration], configuration

        return max(near_best(own), key=merit)

    chosen = {}
    for place, by_dtype in losses.items():
        first, *others = by_dtype.values()
        general = best(place, first, others)
        chosen[place] = {None: general} | {dtype: best(place, own) for dtype, own in by_dtype.items()
                                           if own is not first and excess(own, general) > OWN_LINE}
    return chosen


def evicts_last(by_dtype):
    return any(configuration.shape.endswith("_evict_last") for configuration in by_dtype.values())


def line_text(place, limit, dtype, configuration, slots):
    # From the row's own length, so that shorter rows of the line get fewer.
    threads = 0 if configuration.threads == own_threads(configuration.shape, slots, place.chunks) else configuration.threads
    reach = 32 if place.chunks < 32 else place.chunks
    type_text = f"DType::{dtype}" if dtype else "kAnyDtype"
    dependent = "true" if configuration.dependent else "false"
    return f"    {{{reach}, {limit}, {type_text}, {{ShapeKind::{configuration.shape}, {threads}, {dependent}}}}},"


def main():
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    lines = re.findall(r"^NORMPROOF_(FURTHER_)?SHAPE\((\w+), \w+::\w+, (\d+)", SHAPES.read_text(), re.MULTILINE)
    shapes = {name: int(slots) for _, name, slots in lines} | {"two_pass": 0, "within_warp": 0}
    further = {name for is_further, name, _ in lines if is_further}
    chosen = choose(read_times(sys.argv[2:], shapes, further))

    print("// Lines {chunks, rows, dtype, {shape, threads, dependent}}, see configurations.cpp. Written by")
    print(f"// bench/choose_configurations.py from what `normproof bench --tune` measured on an NVIDIA {sys.argv[1].upper()}.")
    for operation, name in NAMES.items():
        if operation in SCALED and not any(place.operation == operation for place in chosen):
            continue  # configurations.cpp takes other lines
        print(f"constexpr Line {name}[] = {{")
        places = sorted(place for place in chosen if place.operation == operation)
        for place, following in zip(places, places[1:] + [None]):
            by_dtype = chosen[place]
            if following is None or following.chunks != place.chunks:
                limit = "kAnyRows"
            elif evicts_last(chosen[following]) and not evicts_last(by_dtype):
                limit = following.rows - 1  # what fewer rows read and write the cache may hold
            else:
                # Half way, by ratio, to the next number of rows that was measured.
                limit = round((place.rows * following.rows) ** 0.5)
            for dtype in sorted(by_dtype, key=lambda dtype: dtype is None):  # the general line last
                configuration = by_dtype[dtype]
                print(line_text(place, limit, dtype, configuration, shapes[configuration.shape]))
        print("};")
    return 0


if __name__ == "__main__":
    sys.exit(main())
