"""Dumps of a model's norms: rows that were recorded, the policy that each norm follows, and what two dumps say of each other.

Knows no framework beyond what ``read`` takes; ``_watch`` records what torch's modules do.
"""
from __future__ import annotations

import collections
import contextlib
import functools
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional, Union

from normproof import _core
from normproof._functions import _call_with_outputs, check_call, identify_call, make_policy
from normproof._judged import check_judged, has_tensor, identify_judged, judged_call, judged_outputs, judged_policy
from normproof._results import CheckResult, Identification
from normproof._tensors import Bits, Tensor, output_names, read, require_operation, require_whole
from normproof._types import Policy, WatchedOperation

if TYPE_CHECKING:
    import numpy


def sampled_rows(total: int, wanted: int) -> "list[int]":
    """Evenly spaced, the first and the last among them: the same for the same total, so that two dumps hold the same rows."""
    if total <= wanted:
        return list(range(total))
    return [index * (total - 1) // max(wanted - 1, 1) for index in range(wanted)]


def _as_integers(tensor: Tensor) -> "numpy.ndarray[Any, Any]":
    import numpy
    kind = {4: "u4", 2: "u2", 1: "u1"}
    array = numpy.asarray(tensor.array)
    return array.view(kind[array.dtype.itemsize])


def _take(name: str, value: Any, rows: Optional["list[int]"]) -> Bits:
    """A copy of these rows (None: of all there is) as bits."""
    import numpy
    if rows is not None and hasattr(value, "detach") and type(value).__module__.partition(".")[0] == "torch":
        # On the tensor's own device, so that no more than these rows are copied.
        import torch  # type: ignore[import-not-found, unused-ignore]
        integers = {4: torch.int32, 2: torch.int16, 1: torch.uint8}.get(value.element_size())
        if integers is not None:
            whole, kept = value.detach(), read(name, value[:0]).dtype
            flat = whole.view(integers).reshape(-1, whole.shape[-1])
            array = flat[torch.tensor(rows, dtype=torch.long, device=flat.device)].cpu().numpy()
            return Bits(array.view(f"u{array.itemsize}"), kept)
    tensor = read(name, value)
    bits = _as_integers(tensor)
    if rows is None:
        return Bits(bits.copy(), tensor.dtype)
    return Bits(numpy.ascontiguousarray(bits.reshape(-1, tensor.shape[-1])[rows]), tensor.dtype)


@functools.cache
def _multipliers(count: int) -> "numpy.ndarray[Any, Any]":
    """Odd numbers of 64 bits that look random (splitmix64)."""
    import numpy
    with numpy.errstate(over="ignore"):
        mixed = (numpy.arange(count, dtype="u8") + numpy.uint64(1)) * numpy.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> numpy.uint64(shift))) * numpy.uint64(factor)
        return (mixed ^ (mixed >> numpy.uint64(31))) | numpy.uint64(1)


ROWS_AT_ONCE = 512
WATCHED_JUDGED = ("layer_norm", "fused_add_layer_norm", "gated_rms_norm")
"""Of the operations that are judged where outputs are given, those that norm modules compute."""
INPUTS = ("x", "residual", "gate")
"""Of a call: what has a row for each row."""
SHOWN = 3
"""Of names in a line."""


def _digest(name: str, value: Any) -> int:
    """Of all bits of a tensor, modulo 2^64: each element times a number of its column and one of its row. They are odd, so that two
    tensors that differ in one element have other digests. The same in every framework."""
    import numpy
    if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach"):
        import torch  # type: ignore[import-not-found, unused-ignore]
        integers, mask = {4: (torch.int32, 0xFFFFFFFF), 2: (torch.int16, 0xFFFF), 1: (torch.uint8, 0xFF)}[value.element_size()]
        flat = value.detach().view(integers).reshape(-1, value.shape[-1])
        columns, rows = (torch.from_numpy(_multipliers(count).view("i8")).to(flat.device) for count in (flat.shape[1], flat.shape[0]))
        parts = [((flat[first:first + ROWS_AT_ONCE].long() & mask) * columns).sum(-1) for first in range(0, flat.shape[0], ROWS_AT_ONCE)]
        return int((torch.cat(parts) * rows).sum()) & 0xFFFFFFFFFFFFFFFF if parts else 0
    bits = _as_integers(read(name, value))
    flat = bits.reshape(-1, bits.shape[-1])
    sums = [(flat[first:first + ROWS_AT_ONCE].astype("u8") * _multipliers(flat.shape[1])).sum(-1, dtype="u8")
            for first in range(0, len(flat), ROWS_AT_ONCE)]
    return int((numpy.concatenate(sums) * _multipliers(len(flat))).sum(dtype="u8")) if sums else 0


def _digests(tensors: "dict[str, Any]") -> int:
    """Of several tensors."""
    total = 0
    for number, (name, value) in enumerate(tensors.items()):
        total += _digest(name, value) * (2 * number + 1)
    return total & 0xFFFFFFFFFFFFFFFF


@dataclass
class _Recorded:
    """What is kept of one module."""
    operation: str
    epsilons: "tuple[float, ...]"
    """The epsilon, or all that it may be."""
    parameters: "dict[str, Bits]"
    """weight and bias, where it has them."""
    tensors: "dict[str, list[Bits]]" = field(default_factory=lambda: collections.defaultdict(list))
    places: "list[tuple[int, int]]" = field(default_factory=list)
    digests: "list[tuple[int, int]]" = field(default_factory=list)
    calls: int = 0
    recorded_calls: int = 0
    rows: int = 0

    def has_parameters(self, parameters: "dict[str, Any]", epsilons: "tuple[float, ...]") -> bool:
        import numpy
        if parameters.keys() != self.parameters.keys() or epsilons != self.epsilons:
            return False
        return all(numpy.array_equal(_take(name, value, None).array, self.parameters[name].array) for name, value in parameters.items())

    def call(self, epsilon: float) -> "_core.Call | _core.JudgedCall":
        import numpy

        def whole(name: str) -> Any:
            parts = self.tensors.get(name)
            if not parts:
                return None
            if len({part.dtype for part in parts}) > 1:
                raise TypeError(f"{name}: expected one dtype in all calls, got {', '.join(sorted({part.dtype for part in parts}))}")
            return Bits(numpy.concatenate([part.array for part in parts]), parts[0].dtype)
        if self.operation in WATCHED_JUDGED:
            tensors = {name: whole(name) for name in (*INPUTS, *judged_outputs(self.operation))}
            return judged_call(self.operation, {**tensors, **self.parameters}, epsilon)
        outputs = {name: whole(name) for name in output_names(self.operation)}
        return _call_with_outputs(self.operation, whole("x"), self.parameters.get("weight"), whole("residual"), None, epsilon, **outputs)

    def identified(self, call: "_core.Call | _core.JudgedCall") -> Identification:
        if isinstance(call, _core.JudgedCall):
            return identify_judged(call, judged_policy(self.operation, "native", None, None), len(self.places))
        return identify_call(call, make_policy("native"))

    def judged(self, call: "_core.Call | _core.JudgedCall", policy: str) -> CheckResult:
        """Raises ValueError where the operation has no such policy."""
        if isinstance(call, _core.JudgedCall):
            return check_judged(call, judged_policy(self.operation, policy, None, None))
        return check_call(call, make_policy(policy))


@dataclass(frozen=True)
class WatchedNorm:
    """A norm of a model, some rows of which were recorded."""
    module: str
    operation: str
    rows: int
    """That are judged; the first and the last of each call are among them."""
    of_rows: int
    """That ran."""
    of_calls: int
    identification: Identification
    result: CheckResult
    """Under the policy that was demanded, else under the one that is named; where none is named, under native."""
    _call: "_core.Call | _core.JudgedCall" = field(repr=False, compare=False)
    _places: "tuple[tuple[int, int], ...]" = field(repr=False, compare=False)
    _digests: "tuple[tuple[int, int], ...]" = field(repr=False, compare=False)

    @property
    def policy(self) -> Optional[str]:
        """That it follows; None where it is none of the known ones."""
        return self.identification.policy if self.identification.identified else None


def _demanded(policy: Any) -> str:
    """Raises where no operation has such a policy."""
    try:
        return str(make_policy(policy))
    except ValueError as error:
        for operation in WATCHED_JUDGED:
            with contextlib.suppress(ValueError):
                return str(judged_policy(operation, policy, None, None))
        raise error


class Watched:
    """The norms of a model that ran, in the order in which they first did. True in a condition exactly if there is one, and each
    follows a known policy, or the one that was demanded."""

    def __init__(self, rows: int = 32, calls: int = 4, policy: Optional[Policy] = None) -> None:
        """`rows`: so many of each of the first `calls` calls of a norm are kept."""
        require_whole("rows", rows, 1, 1 << 20)
        require_whole("calls", calls, 1, 1 << 20)
        self.norms: tuple[WatchedNorm, ...] = ()
        self.not_judged: "dict[str, str]" = {}
        """Module -> why nothing is said of it."""
        self._rows, self._calls = rows, calls
        self._demanded = None if policy is None else _demanded(policy)
        self._recorded: "dict[str, _Recorded]" = {}

    def before(self, module: str, x: Any, residual: Any = None, gate: Any = None) -> "Optional[dict[str, Any]]":
        """Copies rows of the inputs, before the kernel may work in place; for ``after``. None where the module has been
        recorded often enough."""
        seen = self._recorded.get(module)
        total = 1
        for size in x.shape[:-1]:
            total *= int(size)
        if seen is not None:
            seen.calls += 1
            seen.rows += total
            if seen.recorded_calls >= self._calls:
                return None
        rows = sampled_rows(total, self._rows)
        inputs = {name: value for name, value in zip(INPUTS, (x, residual, gate)) if value is not None}
        taken: "dict[str, Any]" = {name: _take(name, value, rows) for name, value in inputs.items()}
        return taken | {"rows": rows, "total": total, "digest": _digests(inputs)}

    def after(self, module: str, operation: WatchedOperation, taken: "dict[str, Any]", *, epsilon: "float | tuple[float, ...]",
              weight: Any = None, bias: Any = None, **outputs: Any) -> None:
        """What the call made of them: `out` and, where the operation has them, `residual_out` and `scales`. `epsilon`: several where
        the outputs are to tell which it is."""
        epsilons = tuple(map(float, epsilon)) if isinstance(epsilon, tuple) else (float(epsilon),)
        parameters = {name: value for name, value in (("weight", weight), ("bias", bias)) if value is not None}
        seen = self._recorded.get(module)
        if seen is None:
            if operation not in WATCHED_JUDGED:
                require_operation(operation)
            seen = _Recorded(operation, epsilons, {name: _take(name, value, None) for name, value in parameters.items()}, calls=1,
                             rows=taken["total"])
            self._recorded[module] = seen
        if seen.operation != operation:
            self.not_judged[module] = f"is called as {seen.operation} and as {operation}"
            return
        if seen.places and not seen.has_parameters(parameters, epsilons):
            return  # trained meanwhile: one call has one weight
        for name in INPUTS:
            if name in taken:
                seen.tensors[name].append(taken[name])
        for name, value in outputs.items():
            seen.tensors[name].append(_take(name, value, taken["rows"]))
        seen.digests.append((taken["digest"], _digests(outputs)))
        seen.places += [(seen.recorded_calls, row) for row in taken["rows"]]
        seen.recorded_calls += 1

    def record(self, module: str, operation: WatchedOperation, *, x: Any, out: Any, epsilon: float, weight: Any = None, bias: Any = None,
               residual: Any = None, gate: Any = None, residual_out: Any = None, scales: Any = None, mean: Any = None, rstd: Any = None) -> None:
        """One call of a norm, of an engine that has no modules to watch: the tensors as they were before the call, and what it gave.
        LayerNorms may have a `bias`, and the statistics that they store; gated norms have a `gate`, z."""
        for name, value in (("bias", bias), ("gate", gate), ("mean", mean), ("rstd", rstd)):
            if value is not None and not (operation in WATCHED_JUDGED and has_tensor(operation, name)):
                raise TypeError(f"{name}: {operation} has none, got {type(value).__name__}")
        taken = self.before(module, x, residual, gate)
        if taken is not None:
            outputs = {"out": out, "residual_out": residual_out, "scales": scales, "mean": mean, "rstd": rstd}
            self.after(module, operation, taken, epsilon=epsilon, weight=weight, bias=bias,
                       **{name: value for name, value in outputs.items() if value is not None})

    def judge(self) -> "Watched":
        """Names each norm's policy. Done at the end of ``watch``."""
        norms = []
        for module, recorded in self._recorded.items():
            if module in self.not_judged:
                continue
            if not recorded.places:
                self.not_judged[module] = "no rows"
                continue
            try:
                calls = [recorded.call(epsilon) for epsilon in recorded.epsilons]
            except (TypeError, ValueError) as error:
                self.not_judged[module] = str(error)
                continue
            tried = [(call, recorded.identified(call)) for call in calls]
            call, found = next((each for each in tried if each[1].identified), tried[0])
            try:
                result = recorded.judged(call, self._demanded or (found.policy if found.identified else "native"))
            except ValueError as error:
                self.not_judged[module] = str(error)
                continue
            norms.append(WatchedNorm(module, recorded.operation, len(recorded.places), recorded.rows, recorded.calls, found, result, call,
                                     tuple(recorded.places), tuple(recorded.digests)))
        self.norms = tuple(norms)
        return self

    def __getitem__(self, module: str) -> WatchedNorm:
        for norm in self.norms:
            if norm.module == module:
                return norm
        raise KeyError(module)

    def __bool__(self) -> bool:
        if self._demanded is not None:
            return bool(self.norms) and all(norm.result.conforms for norm in self.norms)
        return bool(self.norms) and all(norm.identification.identified for norm in self.norms)

    def _model(self) -> "_core.Model":
        model = _core.Model()
        for norm in self.norms:
            policy = norm.result.policy if self._demanded is not None else norm.policy
            model.add(norm.module, norm._call, list(norm._places), policy, list(norm._digests))
        return model

    def write(self, file: "str | os.PathLike[str]", **metadata: str) -> None:
        """A dump of the model's norms, for ``normproof compare``, ``check`` and ``identify``. `metadata`: anything else to keep
        beside it, as ``engine="vllm 0.19"``."""
        self._model().write(os.fspath(file), metadata)

    def __str__(self) -> str:
        lines = [f"norms: {len(self.norms)}, rows judged {sum(norm.rows for norm in self.norms)} of {sum(norm.of_rows for norm in self.norms)}"]
        groups: "dict[str, list[WatchedNorm]]" = {}
        for norm in self.norms:
            kind = norm.result.subject.partition(", epsilon")[0].rpartition(", ")[0]
            if self._demanded is not None and not norm.result.conforms:
                what = f"{kind}: violates policy {self._demanded}"
            elif norm.policy is None:
                what = f"{kind}: no known policy"
            else:
                names = [name.partition(" (")[0] for name in norm.identification.names if not name.startswith(f"{norm.policy} ")]
                known = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
                what = f"{kind}: policy {norm.policy}" + (f" ({known})" if names else "")
            groups.setdefault(what, []).append(norm)
        for what, norms in groups.items():
            shown = ", ".join(norm.module for norm in norms[:SHOWN]) + (", ..." if len(norms) > SHOWN else "")
            lines.append(f"  {what}: {len(norms)}: {shown}")
            if norms[0].policy is None:
                lines += ["      " + line for line in norms[0].identification.text.splitlines()]
        reasons = collections.Counter(self.not_judged.values())
        for reason, count in reasons.most_common():
            modules = [module for module, why in self.not_judged.items() if why == reason]
            lines.append(f"  not judged: {count}: {', '.join(modules[:SHOWN])}{', ...' if count > SHOWN else ''}: {reason}")
        return "\n".join(lines)


@dataclass(frozen=True)
class ComparedNorm:
    """What two dumps say of one norm."""
    module: str
    subject: str
    difference: str
    """"same bits"; "passes on": outputs differ where inputs do, and one policy explains both; "policy", "order", "bug", "weight",
    "epsilon", "call": what differs in the norm itself; "unknown": other bits, and neither follows a known policy; "unseen": other
    bits from the same inputs, in rows that were not recorded; "not told": no row has the same inputs, and neither follows a known
    policy."""
    is_arithmetic: bool
    """Whether it is a difference in what the norm computes."""
    rows: int
    same_inputs: int
    """Rows whose inputs are the same bits."""
    different: int
    """Of these, rows whose outputs are not."""
    policies: "tuple[Optional[str], Optional[str]]"
    """Where that was asked: what each follows."""
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class ModelComparison:
    """What two dumps of a model say of each other. True in a condition exactly if no norm's arithmetic differs."""
    norms: "tuple[ComparedNorm, ...]"
    """In the order in which they ran."""
    first: Optional[ComparedNorm]
    """The first norm whose arithmetic differs although its inputs agree; where there is none, the first whose arithmetic differs."""
    first_other_inputs: Optional[ComparedNorm]
    """The first norm whose inputs differ."""
    not_compared: "tuple[str, ...]"
    text: str

    @property
    def same_arithmetic(self) -> bool:
        return self.first is None

    def __bool__(self) -> bool:
        return self.same_arithmetic

    def __str__(self) -> str:
        return self.text


def _model_of(name: str, dump: Any) -> "tuple[_core.Model, str]":
    if isinstance(dump, Watched):
        return dump._model(), name.upper()
    if isinstance(dump, (str, os.PathLike)):
        return _core.Model.read(os.fspath(dump)), str(os.fspath(dump))
    raise TypeError(f"{name}: expected a file or what watch gave, got {type(dump).__name__} {dump!r}")


Dump = Union[str, "os.PathLike[str]", Watched]


def compare(a: Dump, b: Dump, *, threads: int = 0) -> ModelComparison:
    """Which norm computes otherwise in `b` than in `a`, although its inputs agree, and why; as ``normproof compare A B``.

    a, b: dumps of a model's norms, files or what ``normproof.torch.watch`` gave: of two engines, two versions, eager and compiled.
    threads: 0 for one per core.

    Raises ValueError where a file is no such dump, or the two have no row of any norm in common.
    """
    (one, one_name), (other, other_name) = _model_of("a", a), _model_of("b", b)
    found = one.compare(other, [one_name, other_name], threads)
    if not found["norms"]:
        raise ValueError(f"b: expected rows of the norms that a has, got none in common: {'; '.join(found['not_compared'][:3])}")

    def norm_of(entry: "dict[str, Any]") -> ComparedNorm:
        sides = entry.pop("sides")
        return ComparedNorm(policies=(sides[0] and sides[0]["policy"], sides[1] and sides[1]["policy"]), **entry)
    norms = tuple(map(norm_of, found["norms"]))

    def numbered(number: Optional[int]) -> Optional[ComparedNorm]:
        return None if number is None else norms[number]
    return ModelComparison(norms, numbered(found["first"]), numbered(found["first_other_inputs"]), tuple(found["not_compared"]), found["text"])
