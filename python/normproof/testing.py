"""Property tests: a function is given inputs that break norm kernels, and every bit of what it returns is judged."""
from __future__ import annotations

import hashlib
import os
import pathlib
import re
import time
from dataclasses import dataclass
from typing import Any, Callable, Iterable, Optional, Union

from normproof import _core, _replay
from normproof._bound import bound
from normproof._cases import Case, JudgedCase, cases as generate_cases, read_case, require_dtypes
from normproof._functions import check_call, identify_call, make_policy
from normproof._interpreter import interpreter_notes
from normproof._judged import (check_judged, identify_judged, is_judged, judged_policy, require_usual, returned_outputs,
                               with_outputs)
from normproof._results import CheckResult, Identification, demanded
from normproof._takes import NotTaken, NotTakenError, Takes, require_takes, taken_dtypes
from normproof._tensors import FRAMEWORK_NAMES, code_dtypes, has_input, output_names, read, require_operation
from normproof._types import ActivationDType, CodeDType, JudgedOperation, Operation, Policy, Tensors, WeightDType

SHRINKING_SECONDS = 10.0
REPETITIONS = 16
_NUMBER = re.compile(r"\b(0x[0-9a-fA-F]+|\d+(\.\d+)?([eE][-+]?\d+)?)\b")


@dataclass
class Defaults:
    """What assert_conforms uses where it is not told; the pytest plugin sets it from the command line."""
    cases: int = 100
    seed: int = 0
    findings: str = "findings"
    case: Optional[str] = None
    """A case file that stands for the cases of every test of its operation."""


defaults = Defaults()


def tolerance(op: Operation, *, dtype: ActivationDType = "bf16", hidden: int = 4096, **kernels: Any) -> dict[str, float]:
    """rtol and atol for ``assert_close(a, b, **tolerance(...))``: the smallest that never reject one of two conforming
    kernels. Arguments as for ``normproof.bound``, which also says for which inputs they hold. They see no rounding policy, and
    little else: ``normproof.intervals`` and ``assert_conforms`` do.
    """
    return bound(op, dtype=dtype, hidden=hidden, search=False, **kernels).tolerance


@dataclass(frozen=True)
class Conformance:
    """What was judged without a violation."""
    cases: int
    rows: int
    elements: int
    seed: Optional[int]
    """None where the cases were given."""
    ranks: "tuple[int, ...]" = ()
    """How many dimensions x had."""
    not_taken: int = 0
    """Cases that the function did not take, by NotImplementedError or since `takes` has them not: nothing of them was judged."""
    not_taken_because: "tuple[str, ...]" = ()
    """Each reason with the number of its cases."""
    notes: "tuple[str, ...]" = ()
    """What else is to be known of the verdict: that Triton's interpreter, where kernels ran in it, computes otherwise than a GPU; rows whose
    search was given up."""


class ConformanceError(AssertionError):
    """A function does not conform. The message holds the certificate and how to replay it."""

    def __init__(self, message: str, *, case: Case, result: Optional[CheckResult],
                 identification: Optional[Identification], repro: Optional[pathlib.Path], reproduced: bool) -> None:
        super().__init__(message)
        self.case = case
        """The smallest inputs found that violate."""
        self.result = result
        """The verdict on them; None where the function gave nothing to judge."""
        self.identification = identification
        """Which policy the outputs of the first violating case follow, if any."""
        self.repro = repro
        """The case file, with the outputs that were seen."""
        self.reproduced = reproduced
        """Whether the same call, made again, violated in the same way. Where it did not, only the stored outputs show the
        violation."""
        self.seed = case.seed


def _to_framework(tensors: Tensors) -> Callable[[Any], Any]:
    """The conversion of numpy arrays into what the function takes."""
    if callable(tensors):
        return tensors
    framework, _, device = tensors.partition(":")
    if framework == "numpy" and not device:
        return lambda array: array
    if framework == "torch":
        import torch  # type: ignore[import-not-found, unused-ignore]
        names = {name: getattr(torch, name) for name in FRAMEWORK_NAMES.values() if hasattr(torch, name)}
        integers = {4: "i4", 2: "i2", 1: "u1"}
        return lambda array: torch.from_numpy(array.view(integers[array.dtype.itemsize])).view(
            names[array.dtype.name]).to(device or "cpu")
    if framework == "jax" and not device:
        import jax.numpy  # type: ignore[import-not-found, unused-ignore]
        make: Callable[[Any], Any] = jax.numpy.asarray
        return make
    raise ValueError(f"tensors: expected 'numpy', 'torch', 'torch:DEVICE', 'jax' or a function, got {tensors!r}")


@dataclass
class _Attempt:
    """What came of one call of the function under test."""
    call: Any = None  # of _core, with its outputs
    result: Optional[CheckResult] = None
    error: Optional[Exception] = None  # raised by the function
    misfit: str = ""  # what is wrong with the outputs' dtype or shape
    in_place: bool = False  # nothing was returned: the outputs are what became of the inputs
    not_taken: str = ""  # why the function does not take the case

    @property
    def violates(self) -> bool:
        return not self.not_taken and (self.result is None or not self.result.conforms)

    @property
    def kind(self) -> str:
        """Shrinking keeps to the violation it began with: the same exception with the same text, the same misfit, the
        same kind of certificate. Numbers in texts, which change with the case, do not count."""
        if self.error:
            return f"{type(self.error).__module__}.{type(self.error).__qualname__}: {_NUMBER.sub('#', str(self.error))}"
        if self.misfit or self.result is None:
            return "misfit: " + _NUMBER.sub("#", self.misfit)
        if self.result.certificates:
            return self.result.certificates[0].kind
        return "mismatch in " + self.result.first_mismatches[0].tensor


def outputs_of(operation: str, returned: Any, arguments: "list[Any]") -> tuple[Any, ...]:
    """What a function that was called with `arguments` returned, in the order of ``output_names``. One that works in place
    and returns nothing has left them in x and the residual."""
    __tracebackhide__ = True
    names = output_names(operation)
    wanted = len(names)
    if returned is None and not code_dtypes(operation):
        return tuple(arguments[:wanted])
    if wanted == 1:
        return (returned,)
    if not (isinstance(returned, (tuple, list)) and len(returned) == wanted):
        in_place = "" if code_dtypes(operation) else ", or None where it works in place"
        raise TypeError(f"{operation}: the function must return ({', '.join(names)}){in_place}, got {type(returned).__name__}")
    return tuple(returned)


class _Subject:
    """The function under test and how it is called and judged."""

    def __init__(self, fn: Callable[..., Any], operation: str, policy: Any, canonical: bool, tensors: Tensors,
                 takes: Optional[Takes] = None) -> None:
        self.fn, self.operation, self.policy, self.canonical, self.tensors = fn, operation, policy, canonical, tensors
        self.takes = require_takes(takes, operation)
        self.convert = _to_framework(tensors)

    def outputs(self, returned: Any, arguments: "list[Any]") -> dict[str, Any]:
        __tracebackhide__ = True
        return dict(zip(output_names(self.operation), outputs_of(self.operation, returned, arguments)))

    def judge(self, case: Any, outputs: dict[str, Any]) -> tuple[Any, CheckResult]:
        call = case._with_outputs(**outputs)
        return call, check_call(call, self.policy, self.canonical)

    def identify(self, call: Any) -> Identification:
        return identify_call(call, self.policy)

    def smaller(self, case: Any, still_fails: Callable[[Case], bool], seconds: float) -> Case:
        smallest = _core.minimized(case._call, lambda call: still_fails(Case(call)), seconds)
        return Case(smallest, case.seed, case.index)

    def attempt(self, case: Case) -> _Attempt:
        __tracebackhide__ = True
        outside = case._outside(self.takes)
        if outside:
            return _Attempt(not_taken=outside + ", which `takes` has not")
        import numpy
        arguments = [self.convert(value) if hasattr(value, "dtype") else value for value in case.arguments(self.takes)]
        try:
            with numpy.errstate(all="ignore"):  # of infinities and NaN, which are among the cases, it would warn
                returned = self.fn(*arguments)
        except NotImplementedError as error:
            return _Attempt(not_taken="NotImplementedError" + (f": {_NUMBER.sub('#', str(error))}" if str(error) else ""))
        except Exception as error:  # whatever it is, it is a finding
            return _Attempt(error=error)
        outputs = self.outputs(returned, arguments)
        for value in outputs.values():
            read("the function's result", value)  # a TypeError where it is no tensor at all
        try:
            call, result = self.judge(case, outputs)
        except (TypeError, ValueError) as error:
            return _Attempt(misfit=str(error))
        return _Attempt(call, result, in_place=returned is None)

    def repeat(self, case: Case, kind: str) -> int:
        """In how many of REPETITIONS more calls `case` fails in the same way."""
        attempts = (self.attempt(case) for _ in range(REPETITIONS))
        return sum(attempt.violates and attempt.kind == kind for attempt in attempts)

    def shrink(self, case: Case, kind: str, fixed: tuple[str, ...], seconds: float) -> tuple[Case, bool]:
        """The smallest case found that fails in the same way and has the same properties `fixed`, and whether the time was
        up. A case with rows keeps one: a call without rows fails in ways of its own."""
        def still_fails(candidate: Case) -> bool:
            same = all(getattr(candidate, name) == getattr(case, name) for name in fixed)
            attempt = self.attempt(candidate) if same and bool(candidate.rows) == bool(case.rows) else None
            return attempt is not None and attempt.violates and attempt.kind == kind
        begin = time.monotonic()
        smallest = self.smaller(case, still_fails, seconds)
        return smallest, time.monotonic() - begin > seconds


class _GivenSubject(_Subject):
    """The same of an operation that is judged where outputs are given."""

    def outputs(self, returned: Any, arguments: "list[Any]") -> dict[str, Any]:
        __tracebackhide__ = True
        return returned_outputs(self.operation, returned)

    def judge(self, case: Any, outputs: dict[str, Any]) -> tuple[Any, CheckResult]:
        call = with_outputs(case._judged, outputs)
        return call, check_judged(call, self.policy)

    def identify(self, call: Any) -> Identification:
        return identify_judged(call, judged_policy(self.operation, "native", None, None), 64)

    def smaller(self, case: Any, still_fails: Callable[[Case], bool], seconds: float) -> Case:
        smallest = _core.minimized_judged(case._judged, self.policy, lambda call: still_fails(JudgedCase(call)), seconds)
        return JudgedCase(smallest, case.seed, case.index)


def _write_repro(subject: _Subject, case: Case, attempt: _Attempt, name: str, findings: str) -> Optional[pathlib.Path]:
    """The case file, with what is demanded; None where the folder cannot be written to."""
    description = f"Violates the contract: {name}, {case.name}" + (
        f" of seed {case.seed}." if case.seed is not None else ".")
    call: Any = attempt.call or (case._judged if isinstance(case, JudgedCase) else case._call)
    named = call.with_description(f"{case.operation}-{case.dtype}", description)
    policy = demanded(str(subject.policy))
    text = named.to_json(policy) if isinstance(case, JudgedCase) else named.to_json(policy, subject.canonical)
    file = pathlib.Path(findings) / f"{case.operation}-{case.dtype}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    except OSError:
        return None
    return file


def _repro_lines(subject: _Subject, attempt: _Attempt, repro: str, reproduced: bool) -> "list[str]":
    """Where the repro is, and every way to see the violation again."""
    lines = [f"repro:  {repro}"]
    if attempt.call:
        lines.append(f"check:  {_replay.check_command(repro, str(subject.policy), subject.canonical)}"
                     + ("" if reproduced else "    (judges the outputs that were seen)"))
    again = _replay.call("assert_conforms", (subject.fn,), subject.operation, {
        "policy": (str(subject.policy), "native"), "canonical": (subject.canonical, False), "tensors": (subject.tensors, "numpy"),
        "takes": (subject.takes, Takes()), "cases": (_replay.Expression(f"[normproof.read_case({repro!r})]"), None)})
    lines += [f"{'replay' if reproduced else 'again'}: {again[0]}", *("        " + line for line in again[1:])]
    for label, command in (("pytest", _replay.pytest_command(repro)), ("script", _replay.script_command(repro))):
        lines += [f"{label}: {command}"] if command else []
    return lines


def _dtypes_of(case: Any) -> "set[str]":
    return {dtype for dtype in (case.dtype, case.weight_dtype, case.quantized_dtype) if dtype}


def _message(subject: _Subject, name: str, first: Case, smallest: Case, attempt: _Attempt, count: int,
             identification: Optional[Identification], repro: Optional[pathlib.Path], stopped_after: Optional[float],
             seen_again: Optional[int], not_taken: NotTaken, notes: "tuple[str, ...]") -> str:
    where = first.name if first.seed is None else f"case {first.index} of seed {first.seed}"
    lines = [f"{name} does not conform to {subject.operation} under policy {subject.policy}", f"  {where}, the "
             f"violation after {count} case{'s' if count != 1 else ''}; smallest found: {smallest._properties['subject']}"]
    if stopped_after is not None:
        lines.append(f"  shrinking stopped early after {stopped_after:g} s: a smaller case may exist "
                     "(shrink_seconds gives it more time)")
    if seen_again is not None:
        lines.append(f"  not reproduced: of the same call made {REPETITIONS} times more "
                     f"{f'only {seen_again} violate' if seen_again else 'none violates'} in this way")
    lines += [f"  not taken: {text}" for text in not_taken.texts()]
    lines += [f"  note: {text}" for text in notes]
    if attempt.error:
        lines.append(f"  it raised {type(attempt.error).__name__}: {attempt.error}")
        if isinstance(attempt.error, TypeError):
            lines.append(f"  it was called as {name}({', '.join(smallest._argument_names(subject.takes))})")
    elif attempt.misfit:
        lines.append(f"  {attempt.misfit}")
    elif attempt.result is not None:
        lines += ["  " + line for line in attempt.result.certificate.splitlines()]
    if attempt.in_place:
        lines.append(f"  it returned None: x{' is its output' if len(output_names(subject.operation)) == 1 else ' and the residual are its outputs'}")
    if identification:
        names = f" ({identification.names[0]})" if identification.names else ""
        lines.append(f"  its outputs follow policy {identification.policy}{names}; if that is meant, policy={identification.policy!r} demands it")
    if repro:
        lines += ["  " + line for line in _repro_lines(subject, attempt, str(repro), seen_again is None)]
    return "\n".join(lines)


def assert_conforms(fn: Callable[..., Any], op: Union[Operation, JudgedOperation], *, dtype: Optional[ActivationDType] = None, weight: WeightDType = "same",
                    quantized_dtype: CodeDType = "fp8_e4m3fn", policy: Policy = "native", canonical: bool = False,
                    cases: Union[int, Iterable[Case], None] = None, seed: Optional[int] = None,
                    epsilon: Optional[float] = None, max_rows: int = 8, max_hidden: int = 4096, finite: bool = False,
                    inverse_root_ulp: Optional[int] = None, sum_depth: Optional[int] = None,
                    flush_to_zero: bool = False, tensors: Tensors = "numpy", shrink: bool = True,
                    shrink_seconds: float = SHRINKING_SECONDS, findings: "Union[str, os.PathLike[str], None]" = None,
                    takes: Optional[Takes] = None, bias: WeightDType = "same", rotation: WeightDType = "same") -> Conformance:
    """Asserts that `fn` computes `op` under `policy`, bit for bit, on inputs that break norm kernels.

    `fn` is called with positional arguments and returns a tensor, or ``(out, residual_out)`` where the operation adds a
    residual. It may work in place on what it is given, and return None where x (and the residual) become its outputs.

        rms_norm                             fn(x, weight, epsilon)
        fused_add_rms_norm                   fn(x, residual, weight, epsilon)
        rms_norm_static_fp8_quant            fn(x, weight, scale, epsilon)
        fused_add_rms_norm_static_fp8_quant  fn(x, residual, weight, scale, epsilon)
        rms_norm_dynamic_quant               fn(x, weight, epsilon), or fn(x, weight, scale_ub, epsilon) with takes=Takes(scale_ub=True)
        layer_norm                           fn(x, weight, bias, epsilon)
        fused_add_layer_norm                 fn(x, residual, weight, bias, epsilon)
        rms_norm_backward                    fn(dy, x, weight, rstd)
        layer_norm_backward                  fn(dy, x, weight, mean, rstd)
        qk_norm_rope                         fn(x, weight, cos, sin, epsilon)
        rms_norm_block_quant                 fn(x, weight, epsilon)
        rms_norm_mx_quant                    fn(x, weight, epsilon)
        rms_norm_nvfp4_quant                 fn(x, weight, global_scale, epsilon)
        layer_norm_static_fp8_quant          fn(x, weight, bias, scale, epsilon)
        layer_norm_dynamic_quant             fn(x, weight, bias, epsilon)
        gated_rms_norm                       fn(x, gate, weight, epsilon)
        grouped_rms_norm                     fn(x, weight, epsilon)

    Those from layer_norm on, which are judged where outputs are given, return a tensor or a tuple: ``(out, mean, rstd)``,
    ``(out, residual_out, mean, rstd)``, ``(dx, dweight, dbias)``, ``(out, scales)``; None, or what is missing at the end, is not
    judged. mean and rstd are ``[..., 1]`` in fp32, global_scale is ``[1]``. With
    ``takes=normproof.Takes(no_statistics=True)`` gradients are called without them, ``fn(dy, x, weight, epsilon)``.
    Generated cases have neither dresidual nor scale_ub.
    Quantizing with a fused add: ``fn(x, residual, weight, ...)`` returns ``(out, scales, residual_out)``.

    x and residual are ``[..., H]`` in `dtype`, weight is ``[H]`` or None, of grouped_rms_norm mostly ``[..., H]`` as well, scale and epsilon are numbers.

    cases: how many (100, or --normproof-cases), or the cases themselves, from ``cases`` or ``read_case``.
    seed: of the cases (0, or --normproof-seed).
    tensors: what `fn` takes: "numpy" (with ml_dtypes), "torch", "torch:cuda", "jax", or a function that makes it of a
        numpy array.
    shrink: look for the smallest inputs that violate in the same way, for at most `shrink_seconds`. What the caller fixed
        stays: the operation, dtypes, whether there is a weight and its dtype, and an `epsilon` that was given.
    findings: the folder for the repros of violations ("findings").
    takes: which calls `fn` is made for, as ``normproof.Takes(hidden_multiple=8, least_rows=1)``: cases are drawn inside, and
        shrinking stays there. A case for which `fn` raises NotImplementedError is not taken either; such cases are counted.
    The others as for ``normproof.cases`` and ``normproof.check``.

    Raises NotTakenError, an AssertionError, where no case at all was taken, and ConformanceError, an AssertionError, with the certificate, the seed, and the repro's path. Returns what was
    judged, and how many cases were not taken.
    """
    __tracebackhide__ = True  # pytest shows the caller's line
    if not is_judged(op):
        require_operation(op)
    if not callable(fn):
        raise TypeError(f"fn: expected a function, got {type(fn).__name__}")
    if is_judged(op):
        require_usual(op, canonical=(canonical, False), flush_to_zero=(flush_to_zero, False))
        subject: _Subject = _GivenSubject(fn, op, judged_policy(op, policy, inverse_root_ulp, sum_depth), False, tensors, takes)
    else:
        subject = _Subject(fn, op, make_policy(policy, inverse_root_ulp, sum_depth, flush_to_zero), canonical, tensors, takes)
    name = getattr(fn, "__name__", type(fn).__name__)
    for each in taken_dtypes(subject.takes, dtype):
        require_dtypes(each, weight, quantized_dtype, operation=op)
    case_file = defaults.case or _replay.only_case()
    if case_file and (given := read_case(case_file)).operation == op:
        cases = [given]
    if cases is None or isinstance(cases, int):
        seed = defaults.seed if seed is None else seed
        count = defaults.cases if cases is None else cases
        if count < 1:
            raise ValueError(f"cases: expected at least 1, got {count}")
        cases = generate_cases(op, dtype, count=count, seed=seed, weight=weight, quantized_dtype=quantized_dtype,
                               epsilon=epsilon, max_rows=max_rows, max_hidden=max_hidden, finite=finite, takes=takes, bias=bias,
                               rotation=rotation)
    fixed = ("operation", "dtype", "quantized_dtype", "weight_dtype") + (("epsilon",) if epsilon is not None else ())
    judged = rows = elements = undecided = 0
    ranks, not_taken = set(), NotTaken()
    dtypes: "set[str]" = set()
    for case in cases:
        if case.operation != op:
            raise ValueError(f"cases: expected cases of {op}, got {case!r}")
        attempt = subject.attempt(case)
        if attempt.not_taken:
            not_taken.add(attempt.not_taken)
            continue
        judged += 1
        ranks.add(len(case.shape))
        dtypes |= _dtypes_of(case)
        if attempt.result is not None and attempt.result.conforms:
            rows += attempt.result.rows
            elements += attempt.result.elements
            undecided += attempt.result.undecided
            continue
        smallest, stopped = subject.shrink(case, attempt.kind, fixed, shrink_seconds) if shrink else (case, False)
        last = subject.attempt(smallest)
        seen_again = None
        if not last.violates or last.kind != attempt.kind:  # a function that does not always give the same
            smallest, last = case, attempt
            seen_again = subject.repeat(case, attempt.kind)
            seen_again = None if seen_again == REPETITIONS else seen_again
        identification = subject.identify(attempt.call) if attempt.call and case.shape[0] else None
        repro = _write_repro(subject, smallest, last, name, os.fspath(findings or defaults.findings))
        raise ConformanceError(
            _message(subject, name, case, smallest, last, judged, identification, repro,
                     shrink_seconds if stopped else None, seen_again, not_taken, interpreter_notes(_dtypes_of(case))), case=smallest, result=last.result,
            identification=identification, repro=repro, reproduced=seen_again != 0) from last.error
    if not_taken.count and not judged:
        raise NotTakenError(name, f"{not_taken.count} cases of {op}", not_taken.texts())
    if judged == 0:
        raise ValueError("cases: expected at least 1, got none")
    given_up = (f"of {undecided} of {rows} rows the search was given up: only each element alone was judged",) if undecided else ()
    return Conformance(judged, rows, elements, seed, tuple(sorted(ranks)), not_taken.count, not_taken.texts(),
                       interpreter_notes(dtypes) + given_up)
