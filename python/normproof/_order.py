"""In which order a function adds the squares of a row."""
from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, Callable, Optional

from normproof import _core
from normproof._tensors import ACTIVATION_DTYPES, as_numpy, dtype_name, read, require_whole
from normproof._types import ActivationDType, Tensors

KINDS = {"trivial": "trivial", "fp32_tree": "binary fp32 tree", "fp64_tree": "binary fp64 tree",
         "compensated_tree": "tree of compensated fp32 sums", "wide": "wider than fp32", "fused_adder": "fused adder", "mixed": "mixed",
         "varies": "differs from call to call", "no_tree": "no tree", "no_reader": "no reader"}


@dataclass(frozen=True)
class Order:
    """What ``normproof.order`` found. A tree is given only with its certificate."""
    kind: str
    """A key of ``normproof.ORDER_KINDS``: "fp32_tree", "fp64_tree", "compensated_tree", "wide", "varies", ..."""
    certified: bool
    """Whether the function has passed rows that no other binary tree passes."""
    family: str
    """The name of a known order, as "numpy pairwise"; "" where it is none."""
    depth: Optional[int]
    """The longest chain of additions."""
    fused: Optional[int]
    """How many squares are added by an fma; None where that does not show (bf16, fp16)."""
    root: str
    """"rounded_once", "quotient" (1 / fl(sqrt)), "divides" (x / fl(sqrt)), "other" or "unknown"."""
    reason: str
    """Where there is no tree: what was seen instead."""
    dtype: str
    hidden: int
    rows_per_call: int
    rows: int
    """That were asked, in `calls` calls and `seconds` seconds; `certificate_rows` of them are the certificate."""
    calls: int
    seconds: float
    certificate_rows: int
    tree: Optional[dict[str, Any]]
    """The additions, run-length coded."""

    @property
    def accumulator(self) -> Optional[str]:
        """What additions do with a correction: "plain", "kahan", "kahan_corrected", "neumaier"; None without a tree."""
        return None if self.tree is None else str(self.tree.get("accumulator", "plain"))

    def to_json(self) -> str:
        """A file for ``--order`` of the normproof program."""
        entry: dict[str, Any] = {
            "operation": "rms_norm", "dtype": self.dtype, "hidden_size": self.hidden, "rows": self.rows_per_call,
            "kind": self.kind, "reason": self.reason, "certified": self.certified, "family": self.family, "depth": self.depth,
            "fma_known": self.fused is not None, "root": {"code": self.root}}
        if self.tree is not None:
            entry["tree"] = self.tree
        return json.dumps({"normproof_order": 1, "orders": [entry]}) + "\n"

    def __str__(self) -> str:
        text = KINDS[self.kind]
        if not self.certified:
            return f"{text}: {self.reason}"
        return f"{text}, {self.family or 'no known family'}, depth {self.depth}, certified by {self.certificate_rows} rows"


def order(fn: Callable[..., Any], *, dtype: ActivationDType = "bf16", hidden: int = 1024, rows: int = 64, seed: int = 0,
          tensors: Tensors = "numpy") -> Order:
    """Finds the order of summation of ``fn(x, weight, epsilon)``, a norm without a weight: `weight` is None.

    Every call has `rows` rows of `hidden` elements, mostly zero; what `fn` returns is looked at and nothing else. Where
    it refuses a negative epsilon by an exception, positive ones are tried.

    dtype: of x, "bf16", "fp16" or "fp32"; only fp32 shows which squares are added by an fma.
    tensors: what `fn` takes, as in ``normproof.testing.assert_conforms``.
    Raises RuntimeError where `fn` gives no outputs at all, TypeError and ValueError for outputs that do not fit.
    """
    from normproof.testing import _to_framework
    wanted = dtype_name("dtype", dtype, ACTIVATION_DTYPES)
    for name, value, low, high in (("hidden", hidden, 1, 1 << 17), ("rows", rows, 1, 1 << 16), ("seed", seed, 0, (1 << 64) - 1)):
        require_whole(name, value, low, high)
    convert = _to_framework(tensors)

    def call(data: Any, epsilon: float) -> Any:
        x = convert(as_numpy(data, wanted, (rows, hidden)))
        try:
            returned = fn(x, None, epsilon)
        except Exception as error:  # it refuses, whatever its reason
            return f"{type(error).__name__}: {error}"
        out = read("out", returned)
        if out.dtype != wanted:
            raise TypeError(f"out: expected dtype {wanted}, got {out.dtype}")
        if out.shape != (rows, hidden):
            raise ValueError(f"out: expected shape ({rows}, {hidden}), that of x, got {out.shape}")
        packed = _core.make_call(_core.kind("rms_norm", wanted, None, None), fp32_output=False, fp32_residual=False,
                                 shape=[rows, hidden], epsilon=1e-6, scale=1.0, scale_ub=None, x=out.array, residual=None, weight=None)
        return packed.bits("x")

    found = _core.find_order(call, wanted, hidden, rows, seed)
    tree = found.pop("tree")
    return Order(**found, tree=None if tree is None else json.loads(tree), dtype=wanted, hidden=hidden, rows_per_call=rows)
