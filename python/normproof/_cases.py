"""Inputs that break norm kernels: reproducible from a seed, on the host."""
from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any, Iterator, NamedTuple, Optional, Union

from normproof import _core
from normproof._functions import as_outputs, check_call, make_policy, set_outputs
from normproof._judged import (check_judged, has_subnormals, is_judged, judged_inputs, judged_policy, require_usual, takes_epsilon, tensor_of,
                               with_outputs)
from normproof._results import CheckResult, Outputs
from normproof._tensors import (ACTIVATION_DTYPES, QUANTIZED_DTYPES, as_numpy, code_dtypes, dtype_name, has_input,
                                require_operation, require_whole)
from normproof._takes import Takes, require_takes, taken_dtypes
from normproof._types import ActivationDType, CodeDType, JudgedOperation, Operation, Policy, WeightDType

if TYPE_CHECKING:
    import numpy


class Case:
    """The inputs of one call. Every access to a tensor gives a new numpy array, so a kernel may work in place."""

    def __init__(self, call: "_core.Call", seed: Optional[int] = None, index: Optional[int] = None) -> None:
        self._call = call
        self._properties = call.properties()
        self.seed = seed
        self.index = index

    name = property(lambda self: self._properties["name"], doc="A short identifier.")
    operation = property(lambda self: self._properties["operation"])
    dtype = property(lambda self: self._properties["dtype"], doc='Of x: "bf16", "fp16" or "fp32".')
    weight_dtype = property(lambda self: self._properties["weight_dtype"], doc="None: the norm has no weight.")
    quantized_dtype = property(lambda self: self._properties["quantized_dtype"], doc="Of out; None: that of x.")
    shape = property(lambda self: tuple(self._properties["shape"]), doc="Of x; the last dimension is the hidden size.")
    epsilon = property(lambda self: self._properties["epsilon"], doc="Exactly an fp32 number.")

    @property
    def rows(self) -> int:
        """The product of the leading dimensions."""
        return math.prod(self.shape[:-1])

    @property
    def scale(self) -> Optional[float]:
        """Exactly an fp32 number; None where the operation takes none."""
        return self._properties["scale"] if has_input(self.operation, "scale") else None

    @property
    def scale_ub(self) -> Optional[float]:
        """The upper bound of the maxima that scales of rows are made of, exactly an fp32 number; None: there is none."""
        found: Optional[float] = self._properties["scale_ub"]
        return found

    def _tensor(self, name: str, dtype: str, shape: tuple[int, ...]) -> "numpy.ndarray[Any, Any]":
        return as_numpy(self._call.bits(name), dtype, shape)

    @property
    def x(self) -> "numpy.ndarray[Any, Any]":
        """``shape``, in ``dtype``."""
        return self._tensor("x", self.dtype, self.shape)

    @property
    def residual(self) -> "Optional[numpy.ndarray[Any, Any]]":
        """As x; None where the operation adds no residual."""
        return self._tensor("residual", self.dtype, self.shape) if has_input(self.operation, "residual") else None

    @property
    def weight(self) -> "Optional[numpy.ndarray[Any, Any]]":
        """``[H]`` in ``weight_dtype``, or None."""
        return self._tensor("weight", self.weight_dtype, self.shape[-1:]) if self.weight_dtype else None

    def arguments(self, takes: Optional[Takes] = None) -> tuple[Any, ...]:
        """x, the residual if there is one, weight (may be None), the scale if there is one, scale_ub if there is one, epsilon.
        `takes`: of the function that is called with them; it says whether scale_ub is among them, as None where there is none."""
        return tuple(getattr(self, name) for name in self._argument_names(takes))

    def _argument_names(self, takes: Optional[Takes] = None) -> "tuple[str, ...]":
        residual = ("residual",) if has_input(self.operation, "residual") else ()
        scale = ("scale",) if has_input(self.operation, "scale") else ()
        has_bound = self.scale_ub is not None if takes is None else takes.scale_ub and has_input(self.operation, "scale_ub")
        return ("x", *residual, "weight", *scale, *(("scale_ub",) if has_bound else ()), "epsilon")

    def check(self, out: Any, residual_out: Any = None, policy: Policy = "native", canonical: bool = False,
              scales: Any = None) -> CheckResult:
        """Judges what a kernel made of these inputs; as ``normproof.check``."""
        call = self._with_outputs(out=out, residual_out=residual_out, scales=scales)
        return check_call(call, make_policy(policy), canonical)

    def _with_outputs(self, **outputs: Any) -> "_core.Call":
        """The call with these outputs. Raises ValueError and TypeError naming what does not fit."""
        call = self._call.copy()
        set_outputs(call, self.shape, **outputs)
        return call

    def run(self) -> Outputs:
        """What our kernels make of it, on the CPU."""
        return as_outputs(self._call, self._call.run(), self.shape)

    def expected(self, policy: Policy = "native") -> Outputs:
        """What `policy` says, in the canonical order of summation."""
        return as_outputs(self._call, self._call.expected(make_policy(policy)), self.shape)

    def _outside(self, takes: Takes) -> str:
        """Why `takes` does not have the case; empty where it has."""
        if takes.dtypes and self.dtype not in takes.dtypes:
            return f"dtype {self.dtype}"
        return self._call.outside(takes._limits())

    def to_json(self) -> str:
        """A case file, for ``read_case`` and the normproof program."""
        return self._call.to_json()

    def __repr__(self) -> str:
        return f"<Case {self.name}: {self._properties['subject']}>"


class JudgedCase(Case):
    """The inputs of one call of an operation that is judged where outputs are given."""

    def __init__(self, call: "_core.JudgedCall", seed: Optional[int] = None, index: Optional[int] = None) -> None:
        self._judged = call
        self._properties = call.properties()
        self.seed = seed
        self.index = index

    scale = None
    scale_ub = None

    def tensor(self, name: str) -> "Optional[numpy.ndarray[Any, Any]]":
        """A new array; None where the case has no such tensor."""
        return tensor_of(self._judged, name)

    @property
    def x(self) -> "numpy.ndarray[Any, Any]":
        """``shape``, in ``dtype``."""
        x = self.tensor("x")
        assert x is not None
        return x

    @property
    def residual(self) -> "Optional[numpy.ndarray[Any, Any]]":
        """As x; None where the operation adds no residual."""
        return self.tensor("residual")

    @property
    def weight(self) -> "Optional[numpy.ndarray[Any, Any]]":
        """``[H]`` in ``weight_dtype``, or None."""
        return self.tensor("weight")

    def arguments(self, takes: Optional[Takes] = None) -> tuple[Any, ...]:
        """The operation's inputs in the order of its table (weight and bias may be None; dresidual, scale_ub, mean and rstd are
        there where the case has them), then epsilon if it takes one."""
        return tuple(self.epsilon if name == "epsilon" else self.tensor(name) for name in self._argument_names())

    def _argument_names(self, takes: Optional[Takes] = None) -> "tuple[str, ...]":
        tensors = self._properties["tensors"]
        names = (name for name in judged_inputs(self.operation)
                 if name not in ("dresidual", "scale_ub", "mean", "rstd") or name in tensors)
        return (*names, *(("epsilon",) if takes_epsilon(self.operation, tensors) else ()))

    def check(self, out: Any = None, residual_out: Any = None, policy: Policy = "native", canonical: bool = False,
              scales: Any = None, **outputs: Any) -> CheckResult:
        """Judges what a kernel made of these inputs; as ``normproof.check``. Without outputs: those that the case file holds."""
        require_usual(self.operation, canonical=(canonical, False))
        given = {name: value for name, value in dict(out=out, scales=scales, residual_out=residual_out, **outputs).items() if value is not None}
        call = with_outputs(self._judged, given) if given or not self._properties["has_outputs"] else self._judged
        return check_judged(call, judged_policy(self.operation, policy, None, None))

    def run(self) -> Outputs:
        """Nothing runs these operations: ValueError."""
        raise ValueError(f"operation: expected one that runs, got {self.operation!r}")

    def expected(self, policy: Policy = "native") -> Outputs:
        """Nothing runs these operations: ValueError."""
        raise ValueError(f"operation: expected one that runs, got {self.operation!r}")

    def _outside(self, takes: Takes) -> str:
        limits = (("dtypes", self.dtype, not takes.dtypes or self.dtype in takes.dtypes),
                  ("hidden_multiple", self.shape[-1], self.shape[-1] % max(takes.hidden_multiple, 1) == 0),
                  ("greatest_hidden", self.shape[-1], self.shape[-1] <= (takes.greatest_hidden or self.shape[-1])),
                  ("least_rows", self.rows, self.rows >= takes.least_rows),
                  ("greatest_rows", self.rows, self.rows <= (takes.greatest_rows or self.rows)),
                  ("least_rank", len(self.shape), len(self.shape) >= takes.least_rank),
                  ("greatest_rank", len(self.shape), len(self.shape) <= (takes.greatest_rank or len(self.shape))),
                  ("subnormals", "of a tensor", takes.subnormals or not has_subnormals(self._judged)))
        return next((f"{name} {value}" for name, value, fits in limits if not fits), "")

    def to_json(self) -> str:
        """A case file, for ``read_case`` and the normproof program."""
        return self._judged.to_json()


class DTypes(NamedTuple):
    """What `dtype`, `weight` and `quantized_dtype` ask for, by the names in the contract."""
    dtype: str
    weight: Optional[str]  # "same", "fp32", None
    quantized: str

    @property
    def weight_dtype(self) -> Optional[str]:
        return self.dtype if self.weight == "same" else self.weight

    def kind_of(self, operation: str) -> "_core.Kind":
        return _core.kind(operation, self.dtype, self.weight_dtype, self.quantized if code_dtypes(operation) else None)


def require_dtypes(dtype: Any, weight: Any, quantized_dtype: Any, name: str = "weight", operation: Optional[str] = None) -> DTypes:
    """Raises ValueError and TypeError naming the argument and its value. `name`: of the argument `weight`; `operation`: one that our
    kernels run, whose codes `quantized_dtype` may be."""
    dtype = dtype_name("dtype", dtype, ACTIVATION_DTYPES)
    if weight is not None and not (isinstance(weight, str) and weight == "same"):
        weight = dtype_name(name, weight, tuple(dict.fromkeys((dtype, "fp32"))), ", 'same', None")
        weight = weight if weight == "fp32" else "same"
    return DTypes(dtype, weight, dtype_name("quantized_dtype", quantized_dtype, code_dtypes(operation or "") or QUANTIZED_DTYPES))


def cases(operation: Union[Operation, JudgedOperation], dtype: Optional[ActivationDType] = None, *, count: int = 100, seed: int = 0,
          first: int = 0, weight: WeightDType = "same", quantized_dtype: CodeDType = "fp8_e4m3fn", epsilon: Optional[float] = None,
          max_rows: int = 8, max_hidden: int = 4096, finite: bool = False, takes: Optional[Takes] = None, bias: WeightDType = "same",
          rotation: WeightDType = "same") -> Iterator[Case]:
    """Inputs that break norm kernels: values on rounding ties, at extreme scales, special ones, odd sizes.

    Case i of a seed is the same on every machine, whatever `count`. One in four is made to tell rounding policies apart.

    operation: one of ``normproof.OPERATIONS`` or ``normproof.JUDGED_OPERATIONS``.
    dtype: of x, "bf16", "fp16" or "fp32", or a framework's own, as torch.bfloat16; default: those of `takes` in turn, else bf16.
    count, first: cases `first` to `first + count - 1` of the seed.
    weight: "same" (the dtype of x), "fp32", or None for a norm without a weight.
    quantized_dtype: of out, where the operation quantizes; int8 where each row gets a scale of its own.
    epsilon: fixed; None: drawn, mostly 1e-6 and 1e-5.
    max_rows, max_hidden: largest sizes; there may be no row at all.
    finite: no infinity and no NaN in the inputs.
    takes: which calls the function takes; where it says otherwise, it wins.
    bias, rotation: as `weight`, of layer_norm's bias and of the cos and sin of a rotary embedding (which cannot be None).
    """
    if not is_judged(operation):
        require_operation(operation)
        for argument, wanted_dtype in (("bias", bias), ("rotation", rotation)):
            if wanted_dtype != "same":
                raise TypeError(f"{argument}: {operation} has none, got {wanted_dtype!r}")
    if rotation is None:
        raise ValueError("rotation: expected a dtype or 'same', got None")
    taken = require_takes(takes, operation)
    turns = [require_dtypes(each, weight, quantized_dtype, operation=operation) for each in taken_dtypes(taken, dtype)]
    of_bias = [require_dtypes(each.dtype, bias, quantized_dtype, "bias", operation).weight_dtype for each in turns]
    of_rotation = [require_dtypes(each.dtype, rotation, quantized_dtype, "rotation", operation).weight_dtype for each in turns]
    for name, value, low, high in (("count", count, 0, 1 << 62), ("first", first, 0, 1 << 62),
                                   ("seed", seed, 0, (1 << 64) - 1), ("max_rows", max_rows, 1, 1 << 16),
                                   ("max_hidden", max_hidden, 1, 1 << 16)):
        require_whole(name, value, low, high)

    limits = taken._limits()

    def generate() -> Iterator[Case]:
        for index in range(first, first + count):
            turn = index % len(turns)
            wanted = turns[turn]
            if is_judged(operation):
                yield JudgedCase(_core.random_judged_call(
                    operation, wanted.dtype, wanted.weight_dtype, of_bias[turn], of_rotation[turn], epsilon,
                    min(max_rows, taken.greatest_rows or max_rows), max(taken.least_rows, 1),
                    min(max_hidden, taken.greatest_hidden or max_hidden), max(taken.hidden_multiple, 1), finite,
                    not taken.no_statistics, seed, index), seed, index)
                continue
            call = _core.random_call(wanted.kind_of(operation), epsilon, max_rows, max_hidden, finite, limits, seed, index)
            yield Case(call, seed, index)

    return generate()


def read_case(file: "str | os.PathLike[str]") -> Case:
    """A case file (JSON), or a dump of one of ``normproof.JUDGED_OPERATIONS``; layout and launch choices in it are left out. Raises
    ValueError naming file and field."""
    if os.path.isfile(file) and (judged := _core.read_judged_call(os.fspath(file))):
        return JudgedCase(judged[0])
    return Case(_core.read_call(os.fspath(file)))
