#!/usr/bin/env python3
"""Does normproof refuse an honest kernel? Installs libraries from PyPI, runs their norms over seeded rows, judges each row
under the policy that the library's source says, and writes a table.

    python3 python/wild/honest_kernels.py --package build/ci/python/package --page python/honest_kernels.md

Exit codes: 0 no row refused, 1 a row refused, 2 usage, 3 could not run."""
from __future__ import annotations

import argparse
import datetime
import hashlib
import importlib.metadata
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, Optional

HERE = pathlib.Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
# What the libraries take: torch's CUDA packages are most of it.
DISK_GIB = 16


@dataclass(frozen=True)
class Row:
    """A line of the table."""
    library: str
    function: str
    dtype: str
    policy: str
    subnormals: bool
    judged: int
    refused: int
    text: str = ""
    """Of the first refused row: its inputs and certificate; or why nothing was judged."""


def judge(kernel: Any, dtype: str, seed: int, rows: int, hidden: tuple[int, ...]) -> Row:
    """Runs the kernel on all inputs of `dtype`."""
    import numpy

    import inputs
    import normproof
    function = kernel.make()
    judged = refused = 0
    text = ""
    sizes = tuple(size for size in hidden if kernel.hidden[0] <= size <= kernel.hidden[1])
    for given in inputs.inputs(dtype, seed, rows, kernel.subnormals, sizes):
        fused = kernel.operation.startswith("fused_add")
        weight = (given.weight - numpy.ones_like(given.weight)) if kernel.zero_centred else given.weight
        arrays = (given.x, given.residual, weight) if fused else (given.x, weight)
        with numpy.errstate(all="ignore"):
            found = function(*arrays)
        out, residual_out = found if fused else (found, None)
        result = normproof.check(kernel.operation, x=given.x, residual=given.residual if fused else None, weight=weight,
                                 out=out, residual_out=residual_out, epsilon=inputs.EPSILON, policy=kernel.policy)
        judged += result.rows
        # Rows with a wrong residual_out are counted by the elements that are wrong, at most all rows.
        refused += min(result.rows, result.rounding_violations + result.scale_violations + result.mismatches)
        if not result and not text:
            text = f"H {given.hidden}, {given.kind}: {result.certificate.strip()}"
    return Row(kernel.library, kernel.function, dtype, kernel.policy, kernel.subnormals, judged, refused, text)


def versions(libraries: list[str]) -> dict[str, str]:
    found = {}
    for library in libraries:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            found[library] = ""
    return found


def all_rows(libraries: Optional[list[str]], seed: int, rows: int, hidden: Optional[tuple[int, ...]] = None) -> list[Row]:
    """Judges every kernel of `libraries`, None for all, printing each line as it comes."""
    import inputs
    import kernels
    found = []
    for kernel in kernels.kernels():
        if libraries is not None and kernel.library not in libraries:
            continue
        for dtype in kernel.dtypes:
            started = time.monotonic()
            try:
                row = judge(kernel, dtype, seed, rows, hidden or inputs.HIDDEN)
            except Exception as error:  # a library that does not import, or has no such kernel, is a line, too
                row = Row(kernel.library, kernel.function, dtype, kernel.policy, kernel.subnormals, 0, 0,
                          f"not judged: {type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}")
            found.append(row)
            print(f"{row.library:13}{row.function:48}{dtype:6}{row.policy:34}{row.judged:7} judged{row.refused:7} refused"
                  f"{time.monotonic() - started:7.1f} s", flush=True)
            if row.text:
                print("    " + row.text.replace("\n", "\n    "), flush=True)
    return found


def page(found: list[Row], command: str, arguments: argparse.Namespace) -> str:
    import inputs
    import kernels
    known = versions(sorted({row.library for row in found}))
    lines = [
        "# Honest kernels of the wild", "",
        "Norms of libraries as PyPI has them, on the CPU, each row judged by the witness judge under the policy that the",
        "library's source says; where that was found by judging instead, the last table says so. A refused row would be a wrong",
        "judge or a wrong policy.", "",
        f"Made on {datetime.date.today()} by", "", "```sh", command, "```", "",
        f"Seed {arguments.seed}, {arguments.rows} rows of each kind ({', '.join(inputs.KINDS)}) at each H of "
        f"{', '.join(map(str, inputs.HIDDEN))}; epsilon {inputs.EPSILON:.3g};",
        "the weight, about 1, in the dtype of x. All inputs are finite. \"Subnormals no\": elements below 2^-62 are zero, so that",
        "no square is subnormal, since XLA on the CPU takes subnormal numbers for zero.", "",
        f"In all {sum(row.judged for row in found):,} rows judged, {sum(row.refused for row in found):,} refused.", "",
        "| library | version | function | dtype | policy | subnormals | rows judged | rows refused |",
        "|---|---|---|---|---|---|---:|---:|"]
    for row in found:
        subnormals = "yes" if row.subnormals else "no"
        counts = f"{row.judged} | {row.refused}" if row.judged else "not judged | not judged"
        lines.append(f"| {row.library} | {known[row.library]} | {row.function} | {row.dtype} | `{row.policy}` | {subnormals} | "
                     f"{counts} |")
    noted = [row for row in found if row.text]
    if noted:
        lines += ["", "## What was refused or not judged", ""]
        for row in noted:
            lines += [f"{row.library} {row.function}, {row.dtype}:", "", "```", row.text, "```", ""]
    lines += ["", "## Where the policies come from", "", "| library | function | in its source |", "|---|---|---|"]
    lines += [f"| {kernel.library} | {kernel.function} | {kernel.source.replace('|', '/')} |" for kernel in kernels.kernels()
              if kernel.library in known]
    return "\n".join(lines) + "\n"


def environment(folder: pathlib.Path, package: Optional[str], requirements: pathlib.Path = REQUIREMENTS,
                disk_gib: int = DISK_GIB) -> pathlib.Path:
    """The interpreter of a virtual environment with the libraries, made where it is missing."""
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    python = folder / "bin" / "python"
    if not (folder / wanted).exists():
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free >> 30
        if free < disk_gib:
            raise OSError(f"{folder}: the libraries take up to {disk_gib} GiB, {free} GiB are free")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--requirement", requirements],
                       check=True)
        (folder / wanted).touch()
    if package is None:
        subprocess.run([python, "-m", "pip", "install", "--quiet", HERE.parents[1]], check=True)
    return python


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", default="build/honest/venv", help="the virtual environment")
    parser.add_argument("--package", help="folder of a built normproof; without it, pip installs this repository")
    parser.add_argument("--libraries", nargs="+", help="only these")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rows", type=int, default=16, help="of each kind and size")
    parser.add_argument("--page", help="write the table to this file")
    parser.add_argument("--inside", action="store_true", help="the libraries are in this interpreter")
    arguments = parser.parse_args()
    if not arguments.inside:
        try:
            python = environment(pathlib.Path(arguments.environment), arguments.package)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"honest_kernels: {error}", file=sys.stderr)
            return 3
        path = {"PYTHONPATH": arguments.package} if arguments.package else {}
        return subprocess.run([python, __file__, "--inside", *sys.argv[1:]], env={**os.environ, **path}).returncode
    found = all_rows(arguments.libraries, arguments.seed, arguments.rows)
    if not found:
        print(f"honest_kernels: no kernel of {' '.join(arguments.libraries)}", file=sys.stderr)
        return 2
    command = shlex.join(["python3", "python/wild/honest_kernels.py", *[a for a in sys.argv[1:] if a != "--inside"]])
    if arguments.page:
        pathlib.Path(arguments.page).write_text(page(found, command, arguments))
    return 1 if any(row.refused for row in found) else 3 if any(not row.judged for row in found) else 0


if __name__ == "__main__":
    sys.exit(main())
