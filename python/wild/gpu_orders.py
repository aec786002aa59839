#!/usr/bin/env python3
"""In which order do PyTorch, torch.compile and Liger add the squares of a row on a GPU? Asks `normproof order` through the bridge.

    python3 python/wild/gpu_orders.py --program build/ci/bin/normproof --bridge build/ci/bin/libnormproof_bridge.so --output orders.json
    python3 python/wild/gpu_orders.py --page python/gpu_orders.md --output orders.json   # the table, from a saved result

Needs torch, and liger_kernel for its rows: what cannot be imported is said. Exit codes: 0 every function answered, 1 one did not,
2 usage, 3 could not run."""
from __future__ import annotations

import argparse
import json
import lzma
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from honest_kernels import versions

HERE = pathlib.Path(__file__).resolve().parent
SERVER = HERE.parent.parent / "properties/plugin/bridge/serve.py"
DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
FUNCTIONS = ("rms_norm", "rms_norm_compiled", "llama", "llama_compiled", "llama_max_autotune", "liger")


class Served:
    """serve.py with one function, while it is entered."""

    def __init__(self, function: str, folder: pathlib.Path) -> None:
        self.path = folder / f"{function}.socket"
        self.log = open(folder / f"{function}.log", "w+")
        self.process = subprocess.Popen(
            [sys.executable, SERVER, f"{HERE / 'gpu_functions.py'}:{function}", "--socket", self.path, "--device", "cuda",
             "--weights", "same" if function == "liger" else "none,same"], stdout=self.log, stderr=self.log)

    def __enter__(self) -> "Served":
        while not self.path.exists():
            if self.process.poll() is not None:
                self.log.seek(0)
                raise RuntimeError(self.log.read()[-2000:])
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def run(options: argparse.Namespace, served: Served, *arguments: str) -> "tuple[int, str, float]":
    started = time.monotonic()
    done = subprocess.run([options.program, *arguments, "--target", os.path.abspath(options.bridge)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, "NORMPROOF_BRIDGE": str(served.path), "NORMPROOF_PATIENCE": "300",
                               "NORMPROOF_MEMORY": "16384"})
    return done.returncode, done.stdout, time.monotonic() - started


PAGE = """# Orders of summation on a GPU

In which order PyTorch, torch.compile and Liger add the squares of a row, from outputs alone
([how](../properties/order/README.md)). Every tree in the table is certified by 2 (H - 2) rows.

{device}; torch {torch}, triton {triton}, liger_kernel {liger_kernel}. Made on {date} by

```sh
python3 python/wild/gpu_orders.py --program build/ci/bin/normproof --bridge build/ci/bin/libnormproof_bridge.so --output orders.json
```

The functions are those of `python/wild/gpu_functions.py`; the program asks them through
[the bridge](../properties/plugin/bridge/README.md). 64 rows per call; the last column says whether calls of one row have
that order too. A kind that is no tree, or a reason, stands where nothing could be certified. {note}

| function | dtype | H | kind | order | depth | fma | root | asked | one row per call |
|---|---|---:|---|---|---:|---|---|---|---|
"""


def described(row: "dict[str, object]") -> "dict[str, str]":
    """What `normproof order` printed, by its first words."""
    found = {}
    for line in str(row["says"]).splitlines():
        name, _, value = line.strip().partition("  ")
        found.setdefault(name, value.strip())
        if line.startswith("1 row per call"):
            found["alone"] = line.partition(": ")[2]
        if line.startswith("normproof: could not run: "):
            found["reason"] = line.partition("run: ")[2]
    return found


def page(result: "dict[str, object]", date: str) -> str:
    text = PAGE.format(device=result["device"], date=date, note=result.get("note", ""), **result["versions"])
    for row in result["rows"]:
        found = described(row)
        cells = [f"`{row['function']}`", row["dtype"], row["hidden"], found.get("kind", found.get("reason", "?"))]
        fma = found.get("fma", "-")
        cells += [found.get("family", "-"), found.get("depth", "-"), "-" if fma.startswith("cannot show") else fma,
                  found.get("root", "-"), found.get("asked", "-").partition(",")[0], found.get("alone", "-")]
        text += "| " + " | ".join(str(cell).replace("|", "or") for cell in cells) + " |\n"
    text += "\n## Policies\n\n`normproof identify` of the functions that are not compiled, with a weight of the dtype:\n\n"
    for row in result["policies"]:
        verdict = next((line.partition(" aligned  ")[2].strip() for line in str(row["says"]).splitlines() if " aligned  " in line),
                       "could not be told")
        text += f"- `{row['function']}`, {row['dtype']}: {verdict}\n"
    for line in result["not_asked"]:
        text += f"- not asked: {line}\n"
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program")
    parser.add_argument("--bridge")
    parser.add_argument("--page", help="write the table of the result named by --output to this file, and ask nothing")
    parser.add_argument("--output", required=True)
    parser.add_argument("--hidden", default="1000,1024,4096,8192")
    parser.add_argument("--functions", default=",".join(FUNCTIONS))
    parser.add_argument("--seconds", type=float, default=480, help="begin nothing after so long")
    options = parser.parse_args()
    if options.page:
        data = pathlib.Path(options.output).read_bytes()
        saved = json.loads(lzma.decompress(data) if options.output.endswith(".xz") else data)
        pathlib.Path(options.page).write_text(page(saved, saved["date"]))
        return 0
    if not options.program or not options.bridge:
        parser.error("--program and --bridge are needed")
    import torch
    if not torch.cuda.is_available():
        print("gpu_orders.py: torch sees no GPU", file=sys.stderr)
        return 3
    begun = time.monotonic()
    result = {"device": torch.cuda.get_device_name(), "versions": versions(["torch", "triton", "liger_kernel"]), "date": time.strftime("%Y-%m-%d"), "rows": [], "policies": [], "not_asked": []}
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for function in options.functions.split(","):
            if function == "liger" and not result["versions"]["liger_kernel"]:
                result["not_asked"].append("liger: not installed")
                continue
            with Served(function, pathlib.Path(folder)) as served:
                for dtype in DTYPES:
                    if not function.endswith(("compiled", "autotune")):
                        code, text, seconds = run(options, served, "identify", "--op", "rms_norm", "--dtype", dtype, "--weight",
                                                  dtype)
                        result["policies"].append({"function": function, "dtype": dtype, "exit": code, "says": text})
                    for hidden in options.hidden.split(","):
                        if time.monotonic() - begun > options.seconds:
                            result["not_asked"].append(f"{function} {dtype} {hidden}: out of time")
                            continue
                        file = pathlib.Path(folder) / "order.json"
                        file.unlink(missing_ok=True)
                        code, text, seconds = run(options, served, "order", "--dtype", dtype, "--hidden", hidden,
                                                  "--rows-per-call", "64,1", "--aligned-only", "--jobs", "1", "--json", str(file))
                        row = {"function": function, "dtype": dtype, "hidden": int(hidden), "exit": code,
                               "seconds": round(seconds, 1), "says": text}
                        failed = failed or not file.exists()
                        result["rows"].append(row)
                        print(function, dtype, hidden, f"exit {code}, {seconds:.1f} s", text.strip().splitlines()[:1], flush=True)
                        pathlib.Path(options.output).write_text(json.dumps(result, indent=1) + "\n")
    pathlib.Path(options.output).write_text(json.dumps(result, indent=1) + "\n")
    return 1 if failed or not result["rows"] else 0


if __name__ == "__main__":
    sys.exit(main())
