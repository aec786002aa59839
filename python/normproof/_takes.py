"""Which calls a function takes: what its caller declares, and what it says itself by NotImplementedError."""
from __future__ import annotations

import collections
from dataclasses import dataclass, field, fields
from typing import Any, Iterable, Optional

from normproof import _core
from normproof._tensors import ACTIVATION_DTYPES, OPERATIONS, dtype_name, greatest_rank, require_whole
from normproof._types import ActivationDType

LARGEST = 1 << 62


@dataclass(frozen=True, repr=False)
class Takes:
    """Which calls a function is made for, for ``takes=``: cases are drawn inside, and shrinking stays there. 0 is no limit.

    As a plug-in's limits (``normproof_plugin_limits``), whose names these are.
    """
    hidden_multiple: int = 0
    """Hidden sizes are multiples of it."""
    greatest_hidden: int = 0
    least_rank: int = 0
    """Of x, rows and hidden size included: from 2 up to the operation's greatest, which is 4 for rms_norm and 2 elsewhere."""
    greatest_rank: int = 0
    least_rows: int = 0
    """1: no empty batch."""
    greatest_rows: int = 0
    dtypes: "tuple[ActivationDType, ...]" = ()
    """Of x; empty: all. Where no `dtype` is asked for, the cases take turns among them."""
    no_statistics: bool = False
    """True: a gradient computes the mean and rstd of the forward pass itself, and is called with epsilon in their place."""
    subnormals: bool = True
    """False: no input and no number is subnormal. What is computed from them still may be: ``flush_to_zero`` speaks of that."""
    scale_ub: bool = False
    """True: where each row gets a scale of its own, the function takes an upper bound of the maxima that scales are made of, before
    epsilon: a number, or None where a case has none."""

    def __post_init__(self) -> None:
        for name in ("hidden_multiple", "greatest_hidden", "least_rank", "greatest_rank", "least_rows", "greatest_rows"):
            require_whole(f"takes.{name}", getattr(self, name), 0, LARGEST)
        names = (self.dtypes,) if isinstance(self.dtypes, str) else tuple(self.dtypes)
        object.__setattr__(self, "dtypes", tuple(dtype_name("takes.dtypes", name, ACTIVATION_DTYPES) for name in names))
        for least, greatest in (("least_rank", "greatest_rank"), ("least_rows", "greatest_rows"), ("hidden_multiple", "greatest_hidden")):
            high = getattr(self, greatest)
            if high and getattr(self, least) > high:
                raise ValueError(f"takes.{least}: expected at most {greatest}, {high}, got {getattr(self, least)}")
        if self.greatest_rank == 1:
            raise ValueError("takes.greatest_rank: expected 2 or more, rows and hidden size, got 1")

    def __repr__(self) -> str:
        said = (f"{entry.name}={getattr(self, entry.name)!r}" for entry in fields(self)
                if getattr(self, entry.name) != entry.default)
        return f"normproof.Takes({', '.join(said)})"

    def _limits(self) -> "_core.Takes":
        limits = _core.Takes()
        for entry in fields(self):
            if entry.name not in ("dtypes", "no_statistics"):
                setattr(limits, entry.name, getattr(self, entry.name))
        return limits


EVERYTHING = Takes()


def require_takes(takes: Any, operation: str) -> Takes:
    """None stands for everything. Raises TypeError and ValueError naming the value."""
    if takes is None:
        return EVERYTHING
    if not isinstance(takes, Takes):
        raise TypeError(f"takes: expected normproof.Takes(...), got {type(takes).__name__} {takes!r}")
    if operation in OPERATIONS and takes.least_rank > greatest_rank(operation):
        raise ValueError(f"takes.least_rank: expected at most {greatest_rank(operation)}, the greatest of {operation}, got {takes.least_rank}")
    return takes


def taken_dtypes(takes: Takes, dtype: Optional[ActivationDType], usual: ActivationDType = "bf16") -> "tuple[ActivationDType, ...]":
    """The dtypes to draw from: the one that is asked for, or those that are taken. Raises ValueError where it is none of them."""
    if dtype is None:
        return takes.dtypes or (usual,)
    if takes.dtypes and dtype_name("dtype", dtype, ACTIVATION_DTYPES) not in takes.dtypes:
        raise ValueError(f"dtype: expected one that `takes` names, {', '.join(map(str, takes.dtypes))}, got {dtype!r}")
    return (dtype,)


@dataclass
class NotTaken:
    """Counts calls that were not taken, by reason."""
    reasons: "collections.Counter[str]" = field(default_factory=collections.Counter)

    def add(self, reason: str) -> None:
        self.reasons[reason] += 1

    @property
    def count(self) -> int:
        return sum(self.reasons.values())

    def texts(self) -> "tuple[str, ...]":
        """The reasons, the most frequent first."""
        return tuple(f"{reason} ({count})" for reason, count in self.reasons.most_common())


class NotTakenError(AssertionError):
    """A function took none of the calls: nothing was judged, so nothing passes."""

    def __init__(self, name: str, calls: str, reasons: Iterable[str]) -> None:
        super().__init__("\n  ".join([f"{name} took none of {calls}: nothing was judged", *reasons]))
