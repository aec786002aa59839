"""Codes of a fused kernel beside the unfused computation of the same call: which of them may legally differ?"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional, Union

from normproof import _core, _results
from normproof._functions import _call_with_outputs, _judged_tensors, _no_more_tensors, make_policy
from normproof._judged import is_judged, judged_call, judged_policy, require_usual
from normproof._results import ViolationError
from normproof._tensors import ACTIVATION_DTYPES, read, require_operation
from normproof._types import JudgedOperation, Operation, Policy


@dataclass(frozen=True)
class CodeBeside:
    """An element of which the fused code and the unfused one differ, or which has a code that no honest evaluation gives."""
    row: int
    column: int
    fused: int
    """Bits of the code; any NaN is one."""
    unfused: int
    reachable: tuple[int, ...]
    """The codes that honest evaluations give, in any order of summation."""
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class ScaleBeside:
    """A scale, of a row or of a block of it, that no honest evaluation gives."""
    row: int
    first_column: int
    last_column: int
    fused: int
    """Bits of the scale's dtype."""
    unfused: int
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class BesideSide:
    """What its judge says of one side's rows."""
    subject: str
    policy: str
    rows: int
    conforming_rows: int
    conforms: bool


@dataclass(frozen=True, repr=False)
class Beside:
    """What fused codes are beside the unfused computation. True in a condition exactly if nothing is illegal and both sides conform."""
    fused: BesideSide
    unfused: BesideSide
    codes: int
    codes_that_may_differ: int
    """An honest fused kernel can give these elements another code than the unfused one: so many may differ at most."""
    codes_that_differ: int
    codes_that_differ_legally: int
    illegal_codes: int
    """That no admissible inverse RMS gives, whether they differ or not."""
    codes_not_compared: int
    """Made with a scale that is not legal."""
    scales: int
    scales_that_may_differ: int
    scales_that_differ: int
    illegal_scales: int
    first_illegal_codes: tuple[CodeBeside, ...]
    """The first 8, as in the two below."""
    first_legal_codes: tuple[CodeBeside, ...]
    """That differ."""
    first_illegal_scales: tuple[ScaleBeside, ...]
    diagnosis: str
    """What is wrong, in a line; empty where nothing is."""
    text: str

    @property
    def legal(self) -> bool:
        return not self.diagnosis

    def __bool__(self) -> bool:
        if not self.legal and _results.note_false:
            _results.note_false(self.text)
        return self.legal

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        counts = f"{self.codes_that_differ} of {self.codes} codes differ, {self.codes_that_may_differ} may"
        return f"<Beside: {self.fused.subject}: {self.diagnosis or 'legal'}; {counts}>"


def _beside(found: "dict[str, Any]") -> Beside:
    fused, unfused = (BesideSide(**found.pop(name)) for name in ("fused", "unfused"))
    text = (f"{fused.subject}\n  policy {fused.policy}; any order of summation that it admits\n  beside {unfused.subject}\n"
            f"  policy {unfused.policy}\n{found.pop('counts')}"
            f"  fused: {fused.conforming_rows} of {fused.rows} rows conform\n"
            f"  unfused: {unfused.conforming_rows} of {unfused.rows} rows conform")
    if found["diagnosis"]:
        text += f"\n  diagnosis: {found['diagnosis']}"
    for name, kind in (("first_illegal_codes", CodeBeside), ("first_legal_codes", CodeBeside), ("first_illegal_scales", ScaleBeside)):
        entries = [entry | ({"reachable": tuple(entry["reachable"])} if "reachable" in entry else {}) for entry in found[name]]
        found[name] = tuple(kind(**entry) for entry in entries)
    return Beside(fused=fused, unfused=unfused, text=text, **found)


def _call(operation: str, epsilon: float, tensors: "dict[str, Any]") -> Any:
    if is_judged(operation):
        return judged_call(operation, _judged_tensors(operation, tensors), epsilon)
    usual = {name: tensors.pop(name, None) for name in ("x", "weight", "residual", "scale", "scale_ub", "out", "residual_out", "scales")}
    _no_more_tensors(operation, tensors)
    return _call_with_outputs(operation, epsilon=epsilon, **usual)


def _unfused_call(operation: str, epsilon: float, tensors: "dict[str, Any]") -> Any:
    """What is wrong with it says whose it is."""
    try:
        return _call(operation, epsilon, tensors)
    except (TypeError, ValueError) as error:
        raise type(error)(f"unfused: {error}") from None


def beside(operation: Union[Operation, JudgedOperation], *, x: Any, out: Any, epsilon: float, unfused: Any, weight: Any = None,
           residual: Any = None, residual_out: Any = None, scale: Any = None, scales: Any = None, scale_ub: Any = None,
           unfused_residual_out: Any = None, unfused_scales: Any = None, policy: Policy = "native", unfused_policy: Optional[Policy] = None,
           inverse_root_ulp: Optional[int] = None, sum_depth: Optional[int] = None, flush_to_zero: bool = False, threads: int = 0,
           raises: bool = False, **tensors: Any) -> Beside:
    """How many codes of a fused kernel may legally differ from those of the unfused computation, and which of those that differ are not
    legal; as ``normproof check FUSED --beside UNFUSED``. There is no tolerance.

    operation: one that quantizes, by a scale that is given, by rows or by blocks. x, out, epsilon, weight, residual, residual_out, scale,
        scales, scale_ub and tensors (`global_scale`): of the fused kernel's call, as ``check`` takes them.
    unfused: of the same inputs, either y, ``[..., H]`` in the dtype of x, which is quantized as `policy` says; or codes that other kernels
        made, in the dtype of `out`, with `unfused_scales` where the operation has scales.
    unfused_residual_out: of an operation that adds a residual; None: it is `residual_out`.
    policy, unfused_policy: of the fused and of the unfused side. None: the same, or of y the norm's part of it.
    inverse_root_ulp, sum_depth, flush_to_zero: as ``check`` has them, of both sides.
    threads: 0 for one per core.
    raises: raise ViolationError, an AssertionError, where something is not legal.

    Raises ValueError and TypeError naming the argument and its value.
    """
    __tracebackhide__ = True  # pytest shows the caller's line
    norm = _core.norm_beside(operation) if isinstance(operation, str) else None
    if norm is None:
        if not is_judged(operation):
            require_operation(operation)
        raise ValueError(f"operation: expected one that quantizes, by a scale that is given, by rows or by blocks, got {operation!r}")
    if is_judged(operation):
        require_usual(operation, flush_to_zero=(flush_to_zero, False))
    inputs = {"x": x, "weight": weight, "residual": residual, "scale": scale, "scale_ub": scale_ub, **tensors}
    fused = _call(operation, epsilon, {**inputs, "out": out, "scales": scales, "residual_out": residual_out})
    of_unfused: str = norm if read("unfused", unfused).dtype in ACTIVATION_DTYPES else operation
    shared = ("x", "weight", "residual") if of_unfused == norm else (name for name in inputs if name != "normalized")
    other = _unfused_call(of_unfused, epsilon, {name: inputs[name] for name in shared} | {
        "out": unfused, "scales": unfused_scales, "residual_out": residual_out if unfused_residual_out is None else unfused_residual_out})

    def policy_of(operation: str, text: Policy) -> Any:
        if is_judged(operation):
            return judged_policy(operation, text, inverse_root_ulp, sum_depth)
        return make_policy(text, inverse_root_ulp, sum_depth, flush_to_zero)
    found = _core.beside(fused, policy_of(operation, policy), other,
                         None if unfused_policy is None else policy_of(of_unfused, unfused_policy), threads)
    result = _beside(found)
    if raises and not result.legal:
        raise ViolationError(result)
    return result
