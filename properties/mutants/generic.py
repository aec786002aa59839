#!/usr/bin/env python3
"""Generic mutants: universalmutator changes operators, constants, indices and statements of kernels/, one at a time,
and `normproof verify` must see each change.

    properties/mutants/generic.py --sample 60      # a sample, the same for the same seed
    properties/mutants/generic.py                  # all; goes on where an earlier run stopped

Needs a release build (`./normproof list`) and, in its own environment below build/, universalmutator. Only the
translation unit that a change can reach is compiled, without optimization and with traps where behaviour is undefined (an
index outside its array, as preset ubsan sees it), and linked with the production archive.
A mutant whose object file is the original's byte for byte counts as identical; one that does not compile as invalid;
survivors that change nothing stand in generic_equivalent.json, each with the reason.
Exit codes: 0 all others are seen, 1 some survive, 2 usage, 3 could not run.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import random
import re
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOOL = "universalmutator==1.1.13"
FOLDER = ROOT / "build/generic"
EQUIVALENT = pathlib.Path(__file__).with_name("generic_equivalent.json")
COMPILE = ["clang++-19", "-std=c++20", "-O0", "-w", "-fPIC", "-fvisibility=hidden", "-fvisibility-inlines-hidden",
           "-ffp-contract=off", "-fsanitize=undefined", "-fno-sanitize=vptr,function", "-fsanitize-trap=undefined",
           "-fstrict-flex-arrays=3", "-x", "c++"]
SECONDS = 60  # of processor time for verify; more is a hang, which is seen too


def could_not_run(message):
    print(f"generic.py: {message}", file=sys.stderr)
    sys.exit(3)


def sources():
    """Files below kernels/ that are compiled for the host. The C interface's header is not among them: its callers
    are compiled with it too, and a change of one copy only is no bug of a kernel. Nor is what only the GPU runs."""
    folder = ROOT / "kernels"
    others = {"normproof_kernels.h", "register_kernel.cuh", "register_shape.h", "block_reduction.cuh", "row_numbers.cuh",
              "quick_operands.h", "packed_arithmetic.cuh", "cache_hint.cuh"}
    found = [*folder.glob("*.cpp"), *folder.glob("*.cuh"), *folder.glob("*.cu"), *folder.glob("*.h")]
    return sorted(path for path in found if path.name not in others)


def host_lines(text):
    """For each line whether the host compiler sees it: not in #if ...__CUDACC__ or ..._ON_DEVICE."""
    seen, stack = [], []
    for line in text.splitlines():
        word = line.strip()
        if word.startswith("#if"):
            device = "__CUDACC__" in word or "ON_DEVICE" in word
            negated = "!defined" in word or word.startswith("#ifndef")
            stack.append((device, not device or negated))
        elif word.startswith(("#else", "#elif")) and stack:
            device, on = stack[-1]
            stack[-1] = (device, not on if device else True)
        elif word.startswith("#endif") and stack:
            stack.pop()
        seen.append(all(on for _, on in stack))
    return seen


def changes_code(before, after):
    """Whether the change is neither in a comment nor in a directive nor inside a string."""
    strip = lambda line: re.sub(r'"(\\.|[^"\\])*"|\s', "", line.split("//")[0])
    skipped = ("#", "//", "/*", "*", "namespace", "using", "template")
    return strip(before) != strip(after) and not before.lstrip().startswith(skipped)


def mutate_tool():
    """The program `mutate`, installed below build/ if need be."""
    environment = ROOT / "build/generic-venv"
    tool = environment / "bin/mutate"
    if not tool.exists():
        for command in ([sys.executable, "-m", "venv", str(environment)],
                        [str(environment / "bin/pip"), "install", "--quiet", TOOL]):
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode != 0:
                could_not_run(f"{TOOL} cannot be installed: {' '.join(command)}: {result.stderr[-500:]}")
    return tool


def generate(files):
    """All mutants of the files as (file, line number, line before, line after), the same on every machine."""
    tool, mutants = mutate_tool(), []
    for source in files:
        text = source.read_text()
        lines, seen = text.splitlines(), host_lines(text)
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder) / (source.stem + ".cpp")
            copy.write_text(text)
            result = subprocess.run([str(tool), str(copy), "cpp", "--noCheck", "--mutantDir", folder], cwd=folder,
                                    capture_output=True, text=True, stdin=subprocess.DEVNULL)
            if result.returncode != 0:
                could_not_run(f"mutate {source}: {(result.stdout + result.stderr)[-500:]}")
            for path in pathlib.Path(folder).glob(f"{source.stem}.mutant.*.cpp"):
                other = path.read_text(errors="replace").splitlines()
                if len(other) != len(lines):
                    continue
                changed = [i for i, (a, b) in enumerate(zip(lines, other)) if a != b]
                if len(changed) == 1 and seen[changed[0]] and changes_code(lines[changed[0]], other[changed[0]]):
                    mutants.append((source.name, changed[0] + 1, lines[changed[0]], other[changed[0]]))
    return sorted(set(mutants))


def key_of(mutant):
    file, number, before, after = mutant
    return hashlib.sha256(f"{file}\n{number}\n{before}\n{after}".encode()).hexdigest()[:16]


def units_of(file):
    """Sources to be compiled for a change of `file`; a .cuh reaches instances/ alone."""
    if file.endswith((".cpp", ".cu")):
        return [file]
    instances = sorted(f"instances/{path.name}" for path in (ROOT / "kernels/instances").glob("*.cu"))
    if file.endswith(".cuh"):
        return instances
    return instances + sorted(path.name for path in sources() if path.suffix in (".cpp", ".cu"))


def compile_units(include, units, folder):
    """One object file, or nothing where it does not compile."""
    unit = folder / "unit.cpp"
    instances = [name for name in units if name.startswith("instances/")]
    others = [name for name in units if not name.startswith("instances/")]
    groups = ([instances] if instances else []) + [[name] for name in others]
    objects = []
    for index, group in enumerate(groups):
        unit.write_text("".join(f'#include "kernels/{name}"\n' for name in group))
        target = folder / f"unit{index}.o"
        # Launch errors name the file: the same one wherever the copy lies.
        command = [*COMPILE, f"-fmacro-prefix-map={include}=.", f"-I{include}", f"-I{ROOT}", "-c", str(unit), "-o",
                   str(target)]
        if subprocess.run(command, capture_output=True).returncode != 0:
            return None
        objects.append(target)
    return objects


def digest(objects):
    return hashlib.sha256(b"".join(path.read_bytes() for path in objects)).hexdigest()


def examine(mutant, originals, build):
    """'invalid', 'identical', 'killed' or 'survived', and what saw it."""
    file, number, _, after = mutant
    with tempfile.TemporaryDirectory(dir=FOLDER) as name:
        work = pathlib.Path(name)
        (work / "kernels").mkdir()
        text = (ROOT / "kernels" / file).read_text().splitlines()
        text[number - 1] = after
        # A changed .cuh must be found before the original by files that lie beside the original.
        for path in (ROOT / "kernels").rglob("*"):
            if path.suffix in (".cuh", ".cu", ".cpp", ".h") and path.parent.name in ("kernels", "instances"):
                copy = work / path.relative_to(ROOT)
                copy.parent.mkdir(exist_ok=True)
                copy.write_bytes(path.read_bytes())
        (work / "kernels" / file).write_text("\n".join(text) + "\n")
        units = units_of(file)
        objects = compile_units(work, units, work)
        if objects is None:
            return "invalid", ""
        if digest(objects) == originals[tuple(units)]:
            return "identical", ""
        library = work / "libmutant_generic.so"
        link = ["clang++-19", "-shared", "-o", str(library), *map(str, objects), "-Wl,-u,normproof_rms_norm",
                str(build / "kernels/libnormproof_kernels.a"), str(build / "kernels/host/libnormproof_host.a"), "-lboost_context"]
        result = subprocess.run(link, capture_output=True, text=True)
        if result.returncode != 0:
            return "invalid", ""
        limit = lambda: resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        environment = dict(os.environ, NORMPROOF_MUTANTS=str(work))
        verify = [str(build / "bin/normproof"), "verify", "--target", "mutant:generic", "--seed", "1", "--jobs", "1",
                  "--seconds", "8", "--no-shrink", "--findings", str(work / "findings")]
        result = subprocess.run(verify, capture_output=True, text=True, preexec_fn=limit, env=environment,
                                errors="replace")
        if result.returncode < 0:
            return "killed", "hangs or crashes"
        if result.returncode == 1:
            found = re.search(r"VIOLATION found by (.*)|VIOLATION: (.*)", result.stdout)
            return "killed", next((word for word in found.groups() if word), "") if found else ""
        if result.returncode == 0:
            return "survived", ""
        if result.returncode == 2:
            could_not_run(f"{' '.join(verify)}: {result.stderr or result.stdout}")
        return "killed", "verify could not finish: " + (result.stdout + result.stderr)[-200:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=0, help="as many, drawn with --seed; default: all")
    parser.add_argument("--files", type=int, default=0, help="of so many files only, drawn with --seed; default: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--file", default="", help="only mutants of this file, for instance arguments.cpp")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release", help="an optimized build")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    parser.add_argument("--limit-seconds", type=float, default=0, help="begin no further mutant after this time")
    arguments = parser.parse_args()
    if arguments.sample < 0 or arguments.files < 0 or arguments.jobs < 1:
        parser.error("--sample, --files and --jobs must not be negative or 0")
    build = arguments.build.resolve()
    if not (build / "bin/normproof").exists():
        could_not_run(f"{build}/bin/normproof is missing; `./normproof list` builds it")
    FOLDER.mkdir(parents=True, exist_ok=True)

    files = [path for path in sources() if arguments.file in ("", path.name)]
    if 0 < arguments.files < len(files):
        files = sorted(random.Random(arguments.seed).sample(files, arguments.files))
    chosen = generated = generate(files)
    if arguments.sample:
        chosen = list(generated)
        random.Random(arguments.seed).shuffle(chosen)  # so that a smaller sample is part of a larger one
        chosen = chosen[:arguments.sample]
    kernels = hashlib.sha256(b"".join(path.read_bytes() for path in sources())).hexdigest()[:16]
    results_file = FOLDER / f"results-{kernels}.json"
    results = {}
    if results_file.exists() and not arguments.fresh:
        results = json.loads(results_file.read_text())
    todo = [mutant for mutant in chosen if key_of(mutant) not in results]
    originals = {}
    for units in {tuple(units_of(mutant[0])) for mutant in todo}:
        with tempfile.TemporaryDirectory(dir=FOLDER) as name:
            objects = compile_units(ROOT, list(units), pathlib.Path(name))
            if objects is None:
                could_not_run(f"the unchanged kernels do not compile: {units}")
            originals[units] = digest(objects)

    begin, done = time.monotonic(), 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        def work(mutant):
            if arguments.limit_seconds and time.monotonic() - begin > arguments.limit_seconds:
                return mutant, None
            return mutant, examine(mutant, originals, build)
        for mutant, outcome in pool.map(work, todo):
            done += 1
            if outcome is None:
                continue
            results[key_of(mutant)] = {"mutant": mutant, "outcome": outcome[0], "seen_by": outcome[1]}
            temporary = results_file.with_suffix(".new")
            temporary.write_text(json.dumps(results, indent=1))
            temporary.replace(results_file)
            if sys.stderr.isatty():
                left = (time.monotonic() - begin) / done * (len(todo) - done)
                print(f"\r\033[K{done} of {len(todo)}, {left:.0f} s left", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    return report(generated, chosen, results)


def report(generated, chosen, results):
    equivalent = {(entry["file"], entry["before"], entry["after"]): entry["reason"]
                  for entry in json.loads(EQUIVALENT.read_text())}
    counts, survivors, files = {}, [], {}
    for mutant in chosen:
        result = results.get(key_of(mutant))
        outcome = result["outcome"] if result else "not run"
        file, number, before, after = mutant
        if outcome == "survived" and (file, before.strip(), after.strip()) in equivalent:
            outcome = "equivalent"
        elif outcome == "survived":
            survivors.append(mutant)
        counts[outcome] = counts.get(outcome, 0) + 1
        files.setdefault(file, {}).setdefault(outcome, 0)
        files[file][outcome] += 1
    names = ["killed", "survived", "equivalent", "identical", "invalid", "not run"]
    print(f"{'file':<24}" + "".join(f"{name:>12}" for name in names))
    for file, figures in sorted(files.items()):
        print(f"{file:<24}" + "".join(f"{figures.get(name, 0):>12}" for name in names))
    print(f"{'total':<24}" + "".join(f"{counts.get(name, 0):>12}" for name in names))
    for file, number, before, after in survivors:
        print(f"SURVIVES kernels/{file}:{number}\n  - {before.strip()}\n  + {after.strip()}")
    killed, alive = counts.get("killed", 0), counts.get("survived", 0)
    if killed + alive == 0:
        could_not_run("no mutant was examined")
    print(f"{len(generated)} mutants, {len(chosen)} chosen; of those that change what the kernels do "
          f"{killed} of {killed + alive} are seen ({100 * killed / (killed + alive):.1f} %)")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
