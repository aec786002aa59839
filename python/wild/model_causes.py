#!/usr/bin/env python3
"""Does compare name the norm in which two runs of a model differ? Installs torch and transformers from PyPI, plants causes in small
models with random weights, and compares each with the model as it was; then times watch and compare on 32 layers of 1,000 tokens.

    python3 python/wild/model_causes.py --package build/ci/python/package --page python/model_causes.md

Exit codes: 0 all named right and no other norm accused, 1 not so, 2 usage, 3 could not run."""
from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
import pathlib
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import honest_kernels

HERE = pathlib.Path(__file__).resolve().parent
REQUIREMENTS = HERE / "model_requirements.txt"
ROWS = 96
LAYERS, TOKENS, SECONDS = 32, 1000, 60.0
ALONE = "the model alone"


@dataclass(frozen=True)
class Row:
    model: str
    cause: str
    wanted: str
    named: str
    accused: "tuple[str, ...]"
    """Norms that were accused though nothing was planted in them."""
    seconds: float

    @property
    def right(self) -> bool:
        return self.wanted == self.named and not self.accused


def watched(made: Any, tokens: Any, rows: int = 32, **keywords: Any) -> Any:
    import torch

    import normproof.torch
    with torch.no_grad(), normproof.torch.watch(made, rows=rows, **keywords) as found:
        made(tokens)
    return found


def text(first: Any, first_inputs: Any) -> str:
    if first is not None:
        return f"{first.module}: {first.difference}"
    return f"no norm; inputs differ first in {first_inputs.module}" if first_inputs is not None else "same bits"


def wanted_text(module: Any, difference: Any) -> str:
    if module is not None:
        return f"{module}: {difference}"
    return f"no norm; inputs differ first in {difference}" if difference is not None else "same bits"


def planted_rows(name: str) -> "list[Row]":
    import planted
    import torch

    import normproof
    usual = {dtype: watched(planted.model(name, dtype), planted.tokens(), ROWS) for dtype in (torch.bfloat16, torch.float32)}
    print(usual[torch.bfloat16], flush=True)
    order = [norm.module for norm in usual[torch.bfloat16].norms]
    reference = planted.model(name, torch.bfloat16)
    rows = []
    for cause in planted.causes(name):
        begin = time.monotonic()
        made = planted.model(name, cause.dtype)
        wanted = cause.plant(made, order)
        found = normproof.compare(usual[cause.dtype], watched(made, planted.tokens(), ROWS))
        changed = {module for module, norm in planted.norms(made) if "forward" in vars(norm) or
                   planted.epsilon_of(norm) != planted.epsilon_of(reference.get_submodule(module)) or
                   any(not torch.equal(value.bfloat16(), reference.get_submodule(module).get_parameter(each))
                       for each, value in norm.named_parameters())}
        accused = tuple(norm.module for norm in found.norms if norm.is_arithmetic and norm.module not in changed)
        row = Row(name, cause.name, wanted_text(*wanted), text(found.first, found.first_other_inputs), accused, time.monotonic() - begin)
        rows.append(row)
        print(f"{'right' if row.right else 'WRONG'}  {name:12}{row.cause:44}{row.named}", flush=True)
        if not row.right:
            print(f"    wanted {row.wanted}; accused {', '.join(accused) or 'none'}\n{found}", flush=True)
    return rows


def timed() -> "dict[str, float]":
    """Seconds of each step on 32 layers of 1,000 tokens."""
    import planted
    import torch

    import normproof
    made = planted.model("Llama", torch.bfloat16, layers=LAYERS, attention="sdpa")
    tokens = planted.tokens(TOKENS)
    steps = {}

    watched(made, planted.tokens(8))  # what is imported and warmed up once

    def step(name: str, work: Any) -> Any:
        begin = time.monotonic()
        result = work()
        steps[name] = time.monotonic() - begin
        return result
    with tempfile.TemporaryDirectory() as folder:
        one, other = pathlib.Path(folder) / "one.safetensors", pathlib.Path(folder) / "other.safetensors"
        with torch.no_grad():
            step(ALONE, lambda: made(tokens))
        step("watch, with dump", lambda: watched(made, tokens, dump=one))
        planted.everywhere("", planted.other_multiply, "policy").plant(made, ["-"])
        step("watch of the other, with dump", lambda: watched(made, tokens, dump=other))
        found = step("compare", lambda: normproof.compare(one, other))
        print(f"size of a dump: {one.stat().st_size / (1 << 20):.2f} MiB")
    assert found.first is not None and found.first.module == "model.layers.0.input_layernorm", str(found)
    return steps


def seconds_of(steps: "dict[str, float]") -> float:
    """Of recording two runs and comparing them."""
    return sum(seconds for name, seconds in steps.items() if name != ALONE)


def page(rows: "list[Row]", steps: "dict[str, float]", command: str) -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers"))
    lines = ["# Causes planted in models", "",
             "Small models of transformers' configurations with random weights, on the CPU. In each a cause was planted, and",
             f"[`compare`](../docs/howto/compare.md) was asked which norm differs from the model as it was, from {ROWS} rows of each norm.", "",
             f"Made on {datetime.date.today()} by", "", "```sh", command, "```", "",
             f"with {versions}, Python {platform.python_version()}, {os.cpu_count()} cores.", "",
             f"In all {sum(row.right for row in rows)} of {len(rows)} named right; norms accused in which nothing was planted: "
             f"{sum(len(row.accused) for row in rows)}.", "",
             f"{LAYERS} layers of {TOKENS:,} tokens, two runs recorded and compared: {seconds_of(steps):.1f} s.", "", "| step | seconds |", "|---|---:|"]
    lines += [f"| {name} | {seconds:.2f} |" for name, seconds in steps.items()]
    lines += ["", "| model | planted | named | right |", "|---|---|---|---|"]
    lines += [f"| {row.model} | {row.cause} | {row.named} | {'yes' if row.right else 'no: ' + row.wanted} |" for row in rows]
    return "\n".join(lines) + "\n"


def inside(arguments: argparse.Namespace) -> int:
    import planted
    rows = [row for name in arguments.models or planted.MODELS + planted.LAYER_NORM_MODELS for row in planted_rows(name)]
    steps = timed()
    for name, seconds in steps.items():
        print(f"{name:32}{seconds:8.2f}")
    whole = seconds_of(steps)
    wrong = [row for row in rows if not row.right]
    print(f"{len(rows) - len(wrong)} of {len(rows)} named right; {LAYERS} layers of {TOKENS} tokens: {whole:.1f} s")
    if arguments.page:
        shown = shlex.join(["python3", "python/wild/model_causes.py", *[a for a in sys.argv[1:] if a != "--inside"]])
        pathlib.Path(arguments.page).write_text(page(rows, steps, shown))
    return 1 if wrong or whole > SECONDS else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", default="build/models/venv", help="the virtual environment")
    parser.add_argument("--package", help="folder of a built normproof; without it, pip installs this repository")
    parser.add_argument("--models", nargs="+", help="only these of Llama, Qwen3, Gemma3, DeepSeek-V3, GPT-2, BERT")
    parser.add_argument("--page", help="write the table to this file")
    parser.add_argument("--inside", action="store_true", help="the libraries are in this interpreter")
    arguments = parser.parse_args()
    if arguments.inside:
        return inside(arguments)
    try:
        python = honest_kernels.environment(pathlib.Path(arguments.environment), arguments.package, REQUIREMENTS)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"model_causes: {error}", file=sys.stderr)
        return 3
    path = {"PYTHONPATH": arguments.package} if arguments.package else {}
    return subprocess.run([python, __file__, "--inside", *sys.argv[1:]], env={**os.environ, **path}).returncode


if __name__ == "__main__":
    sys.exit(main())
