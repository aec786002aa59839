"""The public functions: their arguments are checked here, the work is done in _core."""
from __future__ import annotations

import os
from typing import Any, Optional, Union, overload

from normproof import _core
from normproof._judged import check_judged, has_tensor, identify_judged, is_judged, judged_call, judged_policy, require_usual
from normproof._results import (Certificate, CertificateElement, CheckResult, Explanation, Identification, LoosePolicy,
                                Mismatch, NamedPolicy, Outputs, RowGroup, ViolationError)
from normproof._tensors import (ACTIVATION_DTYPES, Tensor, as_numpy, code_dtypes, dtype_name, has_input, output_names, read,
                                real, require_operation)
from normproof._types import CodeDType, JudgedOperation, Operation, Policy


def _shape_text(shape: tuple[int, ...]) -> str:
    return "(" + ", ".join(map(str, shape)) + ")"


def _require_shape(name: str, tensor: Tensor, shape: tuple[int, ...], like: str) -> None:
    if tensor.shape != shape:
        raise ValueError(f"{name}: expected shape {_shape_text(shape)}, {like}, got {_shape_text(tensor.shape)}")


def _require_dtype(name: str, tensor: Tensor, dtypes: tuple[str, ...]) -> None:
    if tensor.dtype not in dtypes:
        raise TypeError(f"{name}: expected dtype {' or '.join(dict.fromkeys(dtypes))}, got {tensor.dtype}")


def _only_where(condition: bool, name: str, value: Any, operation: str) -> None:
    if condition and value is None:
        raise TypeError(f"{name}: {operation} needs it, got None")
    if not condition and value is not None:
        raise TypeError(f"{name}: {operation} has none, got {type(value).__name__}")


def read_scale_ub(operation: str, scale_ub: Any) -> Optional[float]:
    """The upper bound of scales of a call, None where there is none. Raises TypeError and ValueError."""
    if scale_ub is None:
        return None
    if "scales" not in output_names(operation):
        raise TypeError(f"scale_ub: {operation} has none, got {type(scale_ub).__name__}")
    bound = real("scale_ub", scale_ub)
    if not bound > 0:
        raise ValueError(f"scale_ub: expected a number above 0, got {bound}")
    return bound


def make_call(operation: str, x: Any, weight: Any, residual: Any, scale: Any, epsilon: Any, quantized_dtype: Any,
              output_dtype: Optional[str] = None, scale_ub: Any = None) -> tuple["_core.Call", Tensor]:
    """The call without outputs, and x. `output_dtype`: of out, where it is another than that of x and not quantized. Raises
    TypeError and ValueError naming the argument and its value."""
    require_operation(operation)
    codes = code_dtypes(operation)
    quantized = dtype_name("quantized_dtype", quantized_dtype, codes) if codes else None
    scale_ub = read_scale_ub(operation, scale_ub)
    for name, value in (("residual", residual), ("scale", scale)):
        _only_where(has_input(operation, name), name, value, operation)
    x = read("x", x)
    _require_dtype("x", x, ACTIVATION_DTYPES)
    if not x.shape:
        raise ValueError("x: expected at least one dimension, the hidden size, got shape ()")
    hidden = x.shape[-1]
    if hidden == 0:
        raise ValueError(f"x: the last dimension, the hidden size, is at least 1, got shape {_shape_text(x.shape)}")
    if weight is not None:
        weight = read("weight", weight)
        _require_dtype("weight", weight, (x.dtype, "fp32"))
        _require_shape("weight", weight, (hidden,), "the hidden size")
    if residual is not None:
        residual = read("residual", residual)
        _require_dtype("residual", residual, (x.dtype, "fp32"))
        _require_shape("residual", residual, x.shape, "that of x")
    call = _core.make_call(
        _core.kind(operation, x.dtype, weight.dtype if weight else None, quantized), fp32_output=output_dtype == "fp32" != x.dtype,
        fp32_residual=residual is not None and residual.dtype != x.dtype, shape=[x.elements // hidden, hidden], epsilon=real("epsilon", epsilon),
        scale=1.0 if scale is None else real("scale", scale), scale_ub=scale_ub, x=x.array, residual=residual.array if residual else None,
        weight=weight.array if weight else None)
    return call, x


def set_outputs(call: "_core.Call", shape: tuple[int, ...], **outputs: Any) -> None:
    """Gives the call its outputs, tensors in `shape`, that of x, but for the scales. Raises TypeError and ValueError naming
    what does not fit."""
    properties = call.properties()
    operation = properties["operation"]
    dtypes = {"out": properties["output_dtype"], "residual_out": properties["residual_dtype"], "scales": "fp32"}
    arrays = {}
    for name, wanted in dtypes.items():
        value = outputs.get(name)
        if name != "out":
            _only_where(name in output_names(operation), name, value, operation)
        if value is None and name != "out":
            continue
        tensor = read(name, value)
        _require_dtype(name, tensor, (wanted,))
        if name != "scales":
            _require_shape(name, tensor, shape, "that of x")
        elif tensor.shape not in (shape[:-1], (*shape[:-1], 1)):
            raise ValueError(f"scales: expected shape {_shape_text((*shape[:-1], 1))}, one for each row of x, got "
                             f"{_shape_text(tensor.shape)}")
        arrays[name] = tensor.array
    call.set_outputs(arrays)


def _call_with_outputs(operation: str, x: Any, weight: Any, residual: Any, scale: Any, epsilon: Any, scale_ub: Any = None,
                       **outputs: Any) -> "_core.Call":
    require_operation(operation)
    for name in ("residual_out", "scales"):
        _only_where(name in output_names(operation), name, outputs.get(name), operation)
    quantized_dtype = output_dtype = None
    tensor = read("out", outputs["out"])
    if code_dtypes(operation):
        _require_dtype("out", tensor, code_dtypes(operation))
        quantized_dtype = tensor.dtype
    elif weight is None or read("weight", weight).dtype == "fp32":
        output_dtype = tensor.dtype  # an fp32 weight may leave fp32
    call, x = make_call(operation, x, weight, residual, scale, epsilon, quantized_dtype, output_dtype, scale_ub)
    set_outputs(call, x.shape, **outputs)
    return call


def make_policy(policy: Any, inverse_root_ulp: Optional[int] = None, sum_depth: Optional[int] = None,
                flush_to_zero: bool = False) -> "_core.Policy":
    if not isinstance(policy, str):
        raise TypeError(f"policy: expected a name or a list such as 'weight=fp32', got {type(policy).__name__} {policy!r}")
    if inverse_root_ulp is not None and not 0 <= inverse_root_ulp <= 1 << 20:
        raise ValueError(f"inverse_root_ulp: expected 0 to {1 << 20}, got {inverse_root_ulp}")
    if sum_depth is not None and not 0 <= sum_depth <= 1 << 40:
        raise ValueError(f"sum_depth: expected 0 to {1 << 40}, got {sum_depth}")
    try:
        return _core.policy(policy, inverse_root_ulp, sum_depth, flush_to_zero)
    except ValueError as error:
        raise ValueError(f"policy: {error}") from None


def _certificate(entry: dict[str, Any]) -> Certificate:
    elements = tuple(CertificateElement(**element) for element in entry["elements"])
    return Certificate(**{**entry, "kind": entry["kind"].removesuffix(" violation"), "elements": elements})


def check_call(call: "_core.Call", policy: "_core.Policy", canonical: bool = False, threads: int = 0) -> CheckResult:
    """Judges a call that has outputs."""
    found = call.check_canonical(policy, threads) if canonical else call.check(policy, threads)
    certificates = tuple(map(_certificate, found.pop("certificates", ())))
    mismatches = tuple(Mismatch(**entry) for entry in found.pop("first_mismatches"))
    first = (certificates or mismatches or (None,))[0]
    if canonical:
        found |= {"conforming_rows": 0, "rounding_violations": 0, "scale_violations": 0, "worst_ulp_distance": 0}
        if not found["mismatches"]:
            found["conforming_rows"] = found["rows"]
    found["doubt"] = found.get("doubt", "").strip()
    repro = call.row(first.row if first else 0) if found["rows"] else None
    return CheckResult(subject=call.properties()["subject"], policy=str(policy),
                       judge="canonical" if canonical else "witness", certificates=certificates,
                       first_mismatches=mismatches, _repro=repro, _policy=policy, **found)


def _judged_tensors(operation: str, tensors: dict[str, Any]) -> dict[str, Any]:
    """Those that were given."""
    for name in ("scale", "scales", "scale_ub"):
        if not has_tensor(operation, name):
            _only_where(False, name, tensors.pop(name), operation)
    return {name: value for name, value in tensors.items() if value is not None}


def _by_rows_of_weight(operation: Any, weight: Any) -> Any:
    """rms_norm whose weight has several rows is an operation of its own."""
    return "grouped_rms_norm" if operation == "rms_norm" and getattr(weight, "ndim", 1) > 1 else operation


def _policy_of(operation: Any, judged: Any, policy: Any) -> Any:
    """The policy of an operation as axes of the one that judges it."""
    return policy if operation == judged else str(make_policy(policy))


def _no_more_tensors(operation: str, tensors: dict[str, Any]) -> None:
    require_operation(operation)
    for name, value in tensors.items():
        raise TypeError(f"{name}: {operation} has none, got {type(value).__name__}")


def _needed(operation: str, out: Any, epsilon: Any) -> None:
    _only_where(True, "out", out, operation)
    _only_where(True, "epsilon", epsilon, operation)


@overload
def check(operation: Operation, *, x: Any, out: Any, epsilon: float, weight: Any = None, residual: Any = None,
          residual_out: Any = None, scale: Any = None, scales: Any = None, scale_ub: Any = None, policy: Policy = "native",
          canonical: bool = False, inverse_root_ulp: Optional[int] = None, sum_depth: Optional[int] = None, flush_to_zero: bool = False,
          threads: int = 0, raises: bool = False) -> CheckResult: ...


@overload
def check(operation: JudgedOperation, *, x: Any, epsilon: Optional[float] = None, policy: Policy = "native",
          inverse_root_ulp: Optional[int] = None, sum_depth: Optional[int] = None, threads: int = 0, raises: bool = False,
          **tensors: Any) -> CheckResult: ...


def check(operation: Union[Operation, JudgedOperation], *, x: Any, out: Any = None, epsilon: Optional[float] = None,
          weight: Any = None, residual: Any = None, residual_out: Any = None, scale: Any = None, scales: Any = None,
          scale_ub: Any = None, policy: Policy = "native", canonical: bool = False, inverse_root_ulp: Optional[int] = None,
          sum_depth: Optional[int] = None, flush_to_zero: bool = False, threads: int = 0, raises: bool = False,
          **tensors: Any) -> CheckResult:
    """Judges the outputs that any kernel gave, bit for bit, on all cores.

    A row conforms if one fp32 inverse RMS that a faithful evaluation can reach, in any order of summation, explains
    every bit of it under `policy`. There is no tolerance.

    operation: one of ``normproof.OPERATIONS``, or of ``normproof.JUDGED_OPERATIONS``: layer_norm, gradients, q/k norm + rope, norms
        that quantize by blocks.
    tensors: those of the judged operations by their names, as `bias`, `mean`, `rstd`, `dy`, `dx`, `dweight`, `dbias`, `cos`, `sin`
        (docs/howto/layer-norm-and-backward.md), `scales`, `normalized`, `global_scale` (docs/howto/block-quantization.md); `out`, `weight`, `residual` and `residual_out` as below. They have neither
        `canonical` nor `flush_to_zero`; gradients have an `epsilon` only where there is no `rstd`.
    x: the input before the call, ``[..., H]`` in bf16, fp16 or fp32; leading dimensions are rows.
    out: ``[..., H]`` in the dtype of x, or in an fp8 dtype where the operation quantizes, or int8 where each row gets a scale; in fp32, too, where the weight is
        fp32 or there is none.
    epsilon: what is added to the mean square; rounded to fp32.
    weight: ``[H]`` in the dtype of x or in fp32; None for a norm without a weight. With more of the last dimensions of x, row r of x
        goes with its row r modulo their number: rms_norm is then ``grouped_rms_norm``; layer_norm and gated_rms_norm have such weights, too.
    residual, residual_out: ``[..., H]`` in the dtype of x or both in fp32, where the operation adds a residual; before and
        after.
    scale: one number, where the operation quantizes by a scale that is given: out is y / scale.
    scales: ``[..., 1]`` in fp32, where each row gets a scale of its own: what the kernel gave.
    scale_ub: one number above 0: the upper bound of the maximum that a row's scale is made of. None: there is none.
    policy: a name of ``policies()``, or a list such as ``"weight=fp32,sum=mixed"``.
    canonical: demand the contract's order of summation; every bit is then determined.
    inverse_root_ulp: representable numbers that the kernel's inverse root may lie from the correctly rounded one (2).
    sum_depth: the longest chain of additions in the kernel's sum of squares; None: any order of summation.
    flush_to_zero: the kernel may flush subnormal fp32 results to zero.
    threads: 0 for one per core.
    raises: raise ViolationError, an AssertionError with the certificate, where the outputs do not conform.

    Raises ValueError and TypeError naming the argument and its value.
    """
    __tracebackhide__ = True  # pytest shows the caller's line
    asked, operation = operation, _by_rows_of_weight(operation, weight)
    if is_judged(operation):
        require_usual(operation, canonical=(canonical, False), flush_to_zero=(flush_to_zero, False))
        judged = judged_call(operation, _judged_tensors(operation, dict(
            x=x, out=out, weight=weight, residual=residual, residual_out=residual_out, scale=scale, scales=scales, scale_ub=scale_ub,
            **tensors)), epsilon)
        result = check_judged(judged, judged_policy(operation, _policy_of(asked, operation, policy), inverse_root_ulp, sum_depth), threads)
    else:
        _no_more_tensors(operation, tensors)
        _needed(operation, out, epsilon)
        call = _call_with_outputs(operation, x, weight, residual, scale, epsilon, scale_ub, out=out, residual_out=residual_out,
                                  scales=scales)
        result = check_call(call, make_policy(policy, inverse_root_ulp, sum_depth, flush_to_zero), canonical, threads)
    if raises and not result.conforms:
        raise ViolationError(result)
    return result


def identify_call(call: "_core.Call", model: "_core.Policy") -> Identification:
    found = call.identify(model)
    loose = tuple(LoosePolicy(*entry) for entry in found.pop("loose"))
    split = tuple(RowGroup(policy, tuple(rows)) for policy, rows in found.pop("split"))
    return Identification(subject=call.properties()["subject"], survivors=tuple(found.pop("survivors")),
                          names=tuple(found.pop("names")), loose=loose, split=split, hints=tuple(found.pop("hints")), **found)


@overload
def identify(operation: Operation, *, x: Any, out: Any, epsilon: float, weight: Any = None, residual: Any = None,
             residual_out: Any = None, scale: Any = None, scales: Any = None, scale_ub: Any = None, rows: int = 256,
             inverse_root_ulp: Optional[int] = None, sum_depth: Optional[int] = None, flush_to_zero: bool = False) -> Identification: ...


@overload
def identify(operation: JudgedOperation, *, x: Any, epsilon: Optional[float] = None, rows: int = 256,
             inverse_root_ulp: Optional[int] = None, sum_depth: Optional[int] = None, **tensors: Any) -> Identification: ...


def identify(operation: Union[Operation, JudgedOperation], *, x: Any, out: Any = None, epsilon: Optional[float] = None,
             weight: Any = None, residual: Any = None, residual_out: Any = None, scale: Any = None, scales: Any = None,
             scale_ub: Any = None, rows: int = 256, inverse_root_ulp: Optional[int] = None, sum_depth: Optional[int] = None,
             flush_to_zero: bool = False, **tensors: Any) -> Identification:
    """Which of the known rounding policies explains the outputs, and why not the others.

    Arguments as for ``check``; `rows`: so many rows from the first are looked at.
    """
    if rows < 1:
        raise ValueError(f"rows: expected at least 1, got {rows}")
    operation = _by_rows_of_weight(operation, weight)
    if is_judged(operation):
        require_usual(operation, flush_to_zero=(flush_to_zero, False))
        judged = judged_call(operation, _judged_tensors(operation, dict(
            x=x, out=out, weight=weight, residual=residual, residual_out=residual_out, scale=scale, scales=scales, scale_ub=scale_ub,
            **tensors)), epsilon)
        if 0 in judged.properties()["shape"]:
            raise ValueError("x: expected at least one row, got none")
        return identify_judged(judged, judged_policy(operation, "native", inverse_root_ulp, sum_depth), rows)
    _no_more_tensors(operation, tensors)
    _needed(operation, out, epsilon)
    call = _call_with_outputs(operation, x, weight, residual, scale, epsilon, scale_ub, out=out, residual_out=residual_out,
                                  scales=scales)
    total = call.properties()["shape"][0]
    if total == 0:
        raise ValueError("x: expected at least one row, got none")
    if rows < total:
        call = call.first_rows(rows)
    return identify_call(call, make_policy("native", inverse_root_ulp, sum_depth, flush_to_zero))


def explain(operation: Operation, *, x: Any, epsilon: float, weight: Any = None, residual: Any = None, scale: Any = None,
            out: Any = None, residual_out: Any = None, scales: Any = None, row: Optional[int] = None, column: Optional[int] = None,
            policy: Policy = "native", quantized_dtype: CodeDType = "fp8_e4m3fn", scale_ub: Any = None) -> Explanation:
    """Every rounding step behind one output element, in the canonical order of summation.

    Arguments as for ``check``. With `out`, what was got is explained too: which change of policy or rounding gives
    exactly these bits. `row` (leading dimensions flattened) and `column` default to the first element of `out` that the
    contract says otherwise, else to 0. `quantized_dtype`: of the result, where there is no `out` to say it.
    """
    require_operation(operation)
    chosen = make_policy(policy)
    if out is not None:
        call = _call_with_outputs(operation, x, weight, residual, scale, epsilon, scale_ub, out=out, residual_out=residual_out,
                              scales=scales)
    else:
        for name, value in (("residual_out", residual_out), ("scales", scales)):
            if value is not None:
                raise TypeError(f"{name}: expected together with out, got it alone")
        call, _ = make_call(operation, x, weight, residual, scale, epsilon,
                            quantized_dtype, scale_ub=scale_ub)
    rows, hidden = call.properties()["shape"]
    for name, value, size in (("row", row, rows), ("column", column, hidden)):
        if value is not None and not 0 <= value < size:
            raise ValueError(f"{name}: expected 0 to {size - 1}, got {value}")
    if rows == 0:
        raise ValueError("x: expected at least one row, got none")
    if out is not None and row is None and column is None:
        mismatches = call.check_canonical(chosen)["first_mismatches"]
        if mismatches:
            row, column = mismatches[0]["row"], mismatches[0]["column"]
    found = call.explain(row or 0, column or 0, chosen)
    output = next(entry for entry in found["outputs"] if entry["tensor"] == "out")
    return Explanation(row=found["row"], column=found["column"], wanted=output["wanted"], got=output["got"],
                       reproduced_by=tuple(output["reproduced_by"]), text=found["text"])


def as_outputs(call: "_core.Call", arrays: "dict[str, Any]", shape: tuple[int, ...]) -> Outputs:
    properties = call.properties()
    dtypes = {"out": properties["output_dtype"], "residual_out": properties["residual_dtype"], "scales": "fp32"}
    return Outputs(**{name: as_numpy(arrays[name], dtypes[name], (*shape[:-1], 1) if name == "scales" else shape)
                      for name in output_names(properties["operation"])})


def run(operation: Operation, *, x: Any, epsilon: float, weight: Any = None, residual: Any = None, scale: Any = None,
        quantized_dtype: CodeDType = "fp8_e4m3fn", scale_ub: Any = None) -> Outputs:
    """What our CUDA kernels give, their threads run one by one on the CPU: bit for bit what they give on a GPU.

    Arguments as for ``check``; `quantized_dtype`: of the result, where the operation quantizes; it may be int8 where each row gets a
    scale of its own. Nothing is modified: the outputs are new numpy arrays.
    """
    require_operation(operation)
    call, x = make_call(operation, x, weight, residual, scale, epsilon, quantized_dtype, scale_ub=scale_ub)
    return as_outputs(call, call.run(), x.shape)


def expected(operation: Operation, *, x: Any, epsilon: float, weight: Any = None, residual: Any = None, scale: Any = None,
             policy: Policy = "native", quantized_dtype: CodeDType = "fp8_e4m3fn", scale_ub: Any = None) -> Outputs:
    """What `policy` says, in the canonical order of summation, computed without kernel code. Arguments as for ``run``."""
    require_operation(operation)
    call, x = make_call(operation, x, weight, residual, scale, epsilon,
                        quantized_dtype, scale_ub=scale_ub)
    return as_outputs(call, call.expected(make_policy(policy)), x.shape)


def write_dump(file: "str | os.PathLike[str]", operation: Union[Operation, JudgedOperation], *, x: Any, out: Any = None,
               epsilon: Optional[float] = None, weight: Any = None, residual: Any = None, residual_out: Any = None, scale: Any = None,
               scales: Any = None, scale_ub: Any = None, policy: Optional[Policy] = None, **tensors: Any) -> None:
    """Writes a call and its outputs as a safetensors file for ``normproof check`` and ``identify``.

    Arguments as for ``check``.
    """
    asked, operation = operation, _by_rows_of_weight(operation, weight)
    if is_judged(operation):
        judged = judged_call(operation, _judged_tensors(operation, dict(
            x=x, out=out, weight=weight, residual=residual, residual_out=residual_out, scale=scale, scales=scales, scale_ub=scale_ub,
            **tensors)), epsilon)
        judged.write_dump(os.fspath(file), None if policy is None else
                          str(judged_policy(operation, _policy_of(asked, operation, policy), None, None)))
        return
    _no_more_tensors(operation, tensors)
    _needed(operation, out, epsilon)
    call = _call_with_outputs(operation, x, weight, residual, scale, epsilon, scale_ub, out=out, residual_out=residual_out,
                                  scales=scales)
    _core.write_dump(call, os.fspath(file), None if policy is None else str(make_policy(policy)))


def policies() -> tuple[NamedPolicy, ...]:
    """The rounding policies that have a name: those of published norm kernels."""
    return tuple(NamedPolicy(*row) for row in _core.policy_table() + _core.judged_policy_table())
