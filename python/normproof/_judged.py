"""Operations that are judged where outputs are given: layer_norm, gradients, q/k norm + rope, norms that quantize by blocks."""
from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any, Container, Optional

from normproof import _core
from normproof._results import Certificate, CertificateElement, CheckResult, Identification, LoosePolicy
from normproof._tensors import as_numpy, read, real

if TYPE_CHECKING:
    import numpy

# The program's own table: tensors in the order of the call, and which of them a call cannot do without.
_TABLE = {entry["name"]: entry for entry in _core.judged_operation_table()}
JUDGED_OPERATIONS: tuple[str, ...] = tuple(_TABLE)


def is_judged(operation: Any) -> bool:
    return isinstance(operation, str) and operation in JUDGED_OPERATIONS


def judged_inputs(operation: str) -> tuple[str, ...]:
    return tuple(_TABLE[operation]["inputs"])


def judged_outputs(operation: str) -> tuple[str, ...]:
    return tuple(_TABLE[operation]["outputs"])


def takes_epsilon(operation: str, tensors: Container[str]) -> bool:
    """Whether a call with these tensors does."""
    without = _TABLE[operation]["epsilon_without"]
    return bool(_TABLE[operation]["epsilon"]) or bool(without) and without not in tensors


def has_tensor(operation: str, name: str) -> bool:
    return name in judged_inputs(operation) + judged_outputs(operation)


def _given(tensors: dict[str, Any]) -> list[tuple[str, str, list[int], Any]]:
    found = []
    for name, value in tensors.items():
        if name in ("scale", "scale_ub", "global_scale") and isinstance(value, numbers.Real):
            import numpy
            value = numpy.array([value], "f4")
        if value is not None:
            tensor = read(name, value)
            found.append((name, tensor.dtype, list(tensor.shape), tensor.array))
    return found


def judged_call(operation: str, tensors: dict[str, Any], epsilon: Any) -> "_core.JudgedCall":
    """The call with its outputs. `tensors`: by name; None where there is none. Raises TypeError and ValueError naming the argument."""
    without = _TABLE[operation]["epsilon_without"]
    takes = takes_epsilon(operation, {name for name, value in tensors.items() if value is not None})
    if takes and epsilon is None:
        call = f"{operation} without {without}" if without else operation
        raise TypeError(f"epsilon: {call} needs it, got None")
    if not takes and epsilon is not None:
        raise TypeError(f"epsilon: {operation} has none, got {type(epsilon).__name__}")
    return _core.make_judged_call(operation, _given(tensors), 0.0 if epsilon is None else real("epsilon", epsilon), True)


def with_outputs(call: "_core.JudgedCall", outputs: dict[str, Any]) -> "_core.JudgedCall":
    return call.with_outputs(_given(outputs))


def require_usual(operation: str, **arguments: tuple[Any, Any]) -> None:
    """Refuses what these operations do not have. `arguments`: name -> value and default."""
    for name, (value, default) in arguments.items():
        if value != default:
            raise ValueError(f"{name}: expected {default!r} for {operation}, which is judged from given outputs alone, got {value!r}")


def judged_policy(operation: str, policy: Any, inverse_root_ulp: Optional[int], sum_depth: Optional[int]) -> "_core.JudgedPolicy":
    if not isinstance(policy, str):
        raise TypeError(f"policy: expected a name or a list such as 'affine=fp32', got {type(policy).__name__} {policy!r}")
    for name, value, most in (("inverse_root_ulp", inverse_root_ulp, 1 << 20), ("sum_depth", sum_depth, 1 << 40)):
        if value is not None and not 0 <= value <= most:
            raise ValueError(f"{name}: expected 0 to {most}, got {value}")
    return _core.judged_policy(operation, policy, inverse_root_ulp, sum_depth)


def _certificate(entry: dict[str, Any]) -> Certificate:
    elements = tuple(CertificateElement(tensor=entry["tensor"], column=column, operand=values.get("x", 0), weight=values.get("weight", 0),
                                        got=values["got"], needs=None, values=values) for column, values in entry["elements"])
    return Certificate(kind=entry["kind"], row=entry["row"], elements=elements, admissible=None, correctly_rounded_root=0,
                       text=entry["text"], window=tuple(entry["window"]))


def check_judged(call: "_core.JudgedCall", policy: "_core.JudgedPolicy", threads: int = 0) -> CheckResult:
    found = call.check(policy, threads)
    return CheckResult(subject=call.properties()["subject"], policy=str(policy), judge="search", rows=found["units"],
                       elements=found["elements"], special_rows=0, conforming_rows=found["conforming"],
                       rounding_violations=found["units"] - found["conforming"], scale_violations=0, mismatches=0,
                       worst_ulp_distance=0, certificates=tuple(map(_certificate, found["certificates"])), first_mismatches=(),
                       random_outputs_accepted=found["random_outputs_accepted"], doubt=found["doubt"], parts=found["parts"],
                       not_looked_at=tuple(found["not_looked_at"]), undecided=found["undecided"], _judged_repro=found["repro"] if found["units"] else None)


def identify_judged(call: "_core.JudgedCall", model: "_core.JudgedPolicy", rows: int) -> Identification:
    found = call.identify(model, rows)
    loose = tuple(LoosePolicy(*entry) for entry in found.pop("loose"))
    return Identification(subject=call.properties()["subject"], survivors=tuple(found.pop("survivors")),
                          names=tuple(found.pop("names")), loose=loose, split=(), hints=(), **found)


def tensor_of(call: "_core.JudgedCall", name: str) -> "Optional[numpy.ndarray[Any, Any]]":
    """A new array; None where the call has no such tensor."""
    found = call.properties()["tensors"].get(name)
    return None if found is None else as_numpy(call.bits(name), found[0], tuple(found[1]))


def has_subnormals(call: "_core.JudgedCall") -> bool:
    import numpy
    for name in call.properties()["tensors"]:
        tensor = tensor_of(call, name)
        if tensor is None:
            continue
        smallest = 2.0 ** -14 if tensor.dtype.itemsize == 2 and tensor.dtype.name == "float16" else 2.0 ** -126
        values = numpy.abs(tensor.astype("f8"))
        if ((values > 0) & (values < smallest)).any():
            return True
    return False


def returned_outputs(operation: str, returned: Any) -> dict[str, Any]:
    """What a function that computes `operation` returned, by name: a tensor, or a tuple in the order of the table, in which what
    is None or missing at the end is not judged."""
    names = judged_outputs(operation)
    values = tuple(returned) if isinstance(returned, (tuple, list)) else (returned,)
    if len(values) > len(names) or all(value is None for value in values):
        raise TypeError(f"{operation}: the function must return {names[0]} or a tuple ({', '.join(names)}), got "
                        f"{'a tuple of ' + str(len(values)) if isinstance(returned, (tuple, list)) else type(returned).__name__}")
    return {name: value for name, value in zip(names, values) if value is not None}
