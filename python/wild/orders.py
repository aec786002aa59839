#!/usr/bin/env python3
"""In which order do libraries add the squares of a row? Installs them from PyPI, asks normproof.order, writes a table.

    python3 python/wild/orders.py --package build/ci/python/package --page python/orders.md

Without --torch no library is installed that brings CUDA packages. Exit codes: 0 every order is certified or said to be none,
1 a function did not answer, 2 usage, 3 could not run."""
from __future__ import annotations

import argparse
import datetime
import os
import pathlib
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, Optional

from honest_kernels import HERE, environment, versions

SMALL = HERE / "order_requirements.txt"
SMALL_GIB = 3


@dataclass(frozen=True)
class Row:
    """A line of the table: one function, dtype and length."""
    library: str
    function: str
    dtype: str
    hidden: int
    found: Any
    """A normproof.Order; None where the function did not answer."""
    alone: str
    """The order of calls of one row, against that of `rows` rows: "the same" or what it is."""
    seconds: float
    text: str = ""


def look_at(function: Any, dtype: str, hidden: int, rows: int, seed: int) -> Row:
    import numpy

    import normproof
    started = time.monotonic()
    norm = function.make()

    def call(x: Any, weight: Any, epsilon: float) -> Any:
        with numpy.errstate(all="ignore"):
            return norm(x, epsilon)

    found = normproof.order(call, dtype=dtype, hidden=hidden, rows=rows, seed=seed)
    alone = normproof.order(call, dtype=dtype, hidden=hidden, rows=1, seed=seed)
    same = found.kind == alone.kind and found.tree == alone.tree
    other = f"{alone.family or 'another one'}, depth {alone.depth}" if alone.certified else alone.kind
    return Row(function.library, function.name, dtype, hidden, found, "the same" if same else other,
               time.monotonic() - started)


def all_rows(libraries: Optional[list[str]], hidden: list[int], rows: int, seed: int) -> list[Row]:
    import order_functions
    table = []
    for function in order_functions.functions():
        if libraries is not None and function.library not in libraries:
            continue
        for dtype in function.dtypes:
            for size in hidden:
                try:
                    row = look_at(function, dtype, size, rows, seed)
                except Exception as error:  # a library that is not there, or has no such function, is a line, too
                    row = Row(function.library, function.name, dtype, size, None, "", 0.0, f"{type(error).__name__}: {str(error).strip()[:200]}")
                table.append(row)
                print(f"{row.library:12}{row.function:34}{row.dtype:6}{row.hidden:6}  {row.found if row.found else row.text}"
                      f"{'' if row.alone in ('', 'the same') else '; one row per call: ' + row.alone}", flush=True)
    return table


def line(row: Row, known: dict[str, str]) -> str:
    start = f"| {row.library} | {known[row.library]} | {row.function} | {row.dtype} | {row.hidden} | "
    if row.found is None:
        return start + f"no answer | | | | | | {row.text.splitlines()[0]} |"
    found = row.found
    order = (found.family or "no known one") if found.certified else "not certified"
    fused = "-" if found.fused is None else str(found.fused)
    depth = "-" if found.depth is None else str(found.depth)
    return start + f"{found.kind} | {order} | {depth} | {fused} | {found.root} | {found.rows} | {row.alone} |"


def page(table: list[Row], command: str, arguments: argparse.Namespace) -> str:
    known = versions(sorted({row.library for row in table}))
    lines = ["# Orders of summation of the wild", "",
             "In which order libraries, as PyPI has them, add the squares of a row on the CPU, from outputs alone. Every order in the table",
             "is certified: its rows determine the tree ([how](../properties/order/README.md)). The order may depend on the machine's vector",
             "instructions.", "", f"Made on {datetime.date.today()} by", "", "```sh", command, "```", "",
             f"{arguments.rows} rows per call, seed {arguments.seed}. \"fma\": squares that are added by an fma; only fp32 shows them. \"One row per call\":",
             "whether calls of one row have that order too.", "",
             "| library | version | function | dtype | H | kind | order | depth | fma | root | rows asked | one row per call |",
             "|---|---|---|---|---:|---|---|---:|---:|---|---:|---|"]
    return "\n".join(lines + [line(row, known) for row in table]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", help="the virtual environment; default: build/orders/venv, with --torch that of honest_kernels.py")
    parser.add_argument("--package", help="folder of a built normproof; without it, pip installs this repository")
    parser.add_argument("--libraries", nargs="+", help="only these")
    parser.add_argument("--torch", action="store_true", help="install torch, too (6 GiB)")
    parser.add_argument("--hidden", nargs="+", type=int, default=[64, 1000])
    parser.add_argument("--rows", type=int, default=64, help="per call")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--page", help="write the table to this file")
    parser.add_argument("--inside", action="store_true", help="the libraries are in this interpreter")
    arguments = parser.parse_args()
    libraries = arguments.libraries or (None if arguments.torch else ["numpy", "jax", "onnxruntime", "tinygrad"])
    if not arguments.inside:
        folder = arguments.environment or ("build/honest/venv" if arguments.torch else "build/orders/venv")
        try:
            python = environment(pathlib.Path(folder), arguments.package, *(() if arguments.torch else (SMALL, SMALL_GIB)))
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"orders: {error}", file=sys.stderr)
            return 3
        path = {"PYTHONPATH": arguments.package} if arguments.package else {}
        return subprocess.run([python, __file__, "--inside", *sys.argv[1:]], env={**os.environ, **path}).returncode
    table = all_rows(libraries, arguments.hidden, arguments.rows, arguments.seed)
    if not table:
        print(f"orders: no function of {' '.join(libraries or [])}", file=sys.stderr)
        return 2
    command = shlex.join(["python3", "python/wild/orders.py", *[a for a in sys.argv[1:] if a != "--inside"]])
    if arguments.page:
        pathlib.Path(arguments.page).write_text(page(table, command, arguments))
    return 1 if any(row.found is None for row in table) else 0


if __name__ == "__main__":
    sys.exit(main())
