"""The largest difference of two conforming kernels, and for given inputs the interval of each output."""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional, Sequence, Union

from normproof import _core
from normproof._cases import require_dtypes
from normproof._functions import make_call, make_policy, read_scale_ub
from normproof._tensors import QUANTIZED_DTYPES, as_numpy, dtype_name, require_operation, require_whole
from normproof._types import ActivationDType, CodeDType, Operation, Policy, QuantizedDType, WeightDType

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True)
class PairBound:
    """Of two kernels, of which the one follows the policy `first` and the other `second`."""
    first: str
    second: str
    ulp: int
    """The largest difference in numbers of the output's dtype; of fp8 in codes."""
    rtol: float
    atol: float
    root_ratio: float
    """Of the larger inverse root of a row to the smaller one, at most."""
    residual_ulp: int
    """The same of residual_out."""
    scale_ulp: int
    """Of rows' scales, in numbers of fp32; 0 where rows have none of their own. `scale_rtol`: relative."""
    scale_rtol: float
    best_found: Optional[int]
    """The difference, in `ulp`, of two conforming kernels that were found; None where none were looked for."""
    best_rtol: Optional[float]
    column: Optional[int]
    """Where the two outputs of `cases` differ so much."""
    cases: Optional[tuple[str, str]]
    """Case files for ``normproof check``: the same inputs, and what each of the two kernels gives."""

    @property
    def attained(self) -> bool:
        return self.best_found == self.ulp


@dataclass(frozen=True)
class Bound:
    """What ``normproof.bound`` found. ``|a - b| <= atol + rtol * min(|a|, |b|)`` for all outputs of two such kernels."""
    ulp: int
    rtol: float
    atol: float
    pairs: tuple[PairBound, ...]
    conditions: tuple[str, ...]
    """The inputs for which it holds."""
    tolerance: dict[str, float]
    """The rtol and atol as decimals of three digits, rounded up, for assert_close."""

    def __str__(self) -> str:
        pairs = ", ".join(f"{pair.first} against {pair.second}: {pair.ulp} ulp" for pair in self.pairs)
        return f"{pairs}; assert_close(a, b, rtol={self.tolerance['rtol']}, atol={self.tolerance['atol']})"


class NoBoundError(ValueError):
    """No bound exists, or none is known; the message says why."""


def _policies(policies: Union[Policy, Sequence[Policy]], inverse_root_ulp: Optional[int], sum_depth: Optional[int]) -> list["_core.Policy"]:
    names = [policies] if isinstance(policies, str) else list(policies)
    if not names:
        raise ValueError("policies: expected at least one, got none")
    return [make_policy(name, inverse_root_ulp, sum_depth) for name in names]


def bound(operation: Operation, *, dtype: ActivationDType = "bf16", hidden: int = 4096, weight: WeightDType = "same",
          quantized_dtype: CodeDType = "fp8_e4m3fn", policies: Union[Policy, Sequence[Policy]] = "native", sum_depth: Optional[int] = None,
          inverse_root_ulp: Optional[int] = None, max_weight: float = 16.0, search: bool = True, scale_ub: Optional[float] = None) -> Bound:
    """The largest difference that two conforming kernels can show, whose policies are any of `policies`.

    quantized_dtype: of out, where the operation quantizes; int8 where each row gets a scale of its own.
    sum_depth: the longest chain of additions; None: any order of summation.
    inverse_root_ulp: how many numbers the inverse root may be off, 2 unless said.
    max_weight: atol is for weights up to it.
    search: whether to look for inputs that attain it.
    scale_ub: the upper bound of scales of both calls, where each row gets a scale; None: there is none.
    Raises NoBoundError where there is none, ValueError and TypeError for arguments that make no sense.
    """
    require_operation(operation)
    wanted = require_dtypes(dtype, weight, quantized_dtype, operation=operation)
    require_whole("hidden", hidden, 1, 1 << 20)
    if not (isinstance(max_weight, (int, float)) and math.isfinite(max_weight) and max_weight >= 0):
        raise ValueError(f"max_weight: expected a finite number that is not negative, got {max_weight!r}")
    found = _core.bound(wanted.kind_of(operation), hidden, _policies(policies, inverse_root_ulp, sum_depth), float(max_weight), search,
                        read_scale_ub(operation, scale_ub))
    if found["no_bound"]:
        raise NoBoundError(found["no_bound"])
    pairs = tuple(PairBound(ulp=pair.pop("apart"), residual_ulp=pair.pop("residual_apart"),
                            scale_ulp=pair.pop("scale_apart"), **pair) for pair in found["pairs"])
    return Bound(found["apart"], found["rtol"], found["atol"], pairs, tuple(found["conditions"]),
                 {"rtol": float(found["rtol_text"]), "atol": float(found["atol_text"])})


def intervals(operation: Operation, *, x: Any, epsilon: float, weight: Any = None, residual: Any = None, scale: Any = None,
              policies: Union[Policy, Sequence[Policy]] = "native", quantized_dtype: QuantizedDType = "fp8_e4m3fn",
              sum_depth: Optional[int] = None, inverse_root_ulp: Optional[int] = None) -> "tuple[numpy.ndarray[Any, Any], numpy.ndarray[Any, Any]]":
    """For given inputs the smallest and the largest output of conforming kernels, as two numpy arrays of the shape of x.

    Both are NaN where nothing is said. Tensors as for ``check``.
    """
    require_operation(operation)
    call, read = make_call(operation, x, weight, residual, scale, epsilon, dtype_name("quantized_dtype", quantized_dtype, QUANTIZED_DTYPES))
    dtype = call.properties()["output_dtype"]
    low, high = _core.intervals(call, _policies(policies, inverse_root_ulp, sum_depth))
    return as_numpy(low, dtype, read.shape), as_numpy(high, dtype, read.shape)
