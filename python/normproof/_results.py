"""What the judges say, as objects."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Mapping, NamedTuple, Optional

if TYPE_CHECKING:
    import numpy

    from normproof import _core
    from normproof._beside import Beside


def demanded(policy: str) -> Optional[str]:
    """A policy as case files store it: None for what is demanded anyway."""
    return None if policy == "native" else policy


class Outputs(NamedTuple):
    """Outputs of an operation, as numpy arrays in the shape of x, but for the scales."""
    out: "numpy.ndarray[Any, Any]"
    residual_out: "Optional[numpy.ndarray[Any, Any]]" = None
    """In the dtype of x; None where the operation adds no residual."""
    scales: "Optional[numpy.ndarray[Any, Any]]" = None
    """``[..., 1]`` in fp32; None where rows get no scales of their own."""


class NamedPolicy(NamedTuple):
    """A rounding policy of published kernels."""
    name: str
    text: str
    """Its axes, for ``policy=``."""
    source: str


@dataclass(frozen=True)
class CertificateElement:
    """One element of a certificate; every number is bits."""
    tensor: str
    """"out", or "scales": the row's own scale."""
    column: int
    operand: int
    """fp32 bits of x, or of the sum with the residual, as the output reads it."""
    weight: int
    """Bits of the weight's dtype; 0 without a weight."""
    got: int
    """Bits of the output's dtype."""
    needs: Optional[tuple[int, int]]
    """fp32 bits of the smallest and the largest inverse RMS that give `got`; None where none does."""
    factor: Optional[int] = None
    """fp32 bits of the factor that its code is made with, where the scale leaves more than one: each factor has elements
    of its own. Else None."""
    values: "Mapping[str, int]" = field(default_factory=dict)
    """Of operations that are judged from given outputs alone: the bits of the element in every tensor that it reads, each in its
    tensor's dtype, "got", and "canonical", what the canonical order of summation gives. There `operand` is x's, in its dtype."""


@dataclass(frozen=True)
class Certificate:
    """The proof that no inverse RMS explains a row: at most two elements, or one and the admissible interval."""
    kind: str
    """"rounding": two elements (or one) that no single inverse RMS explains. "scale": one explains all elements, but no
    honest evaluation arrives at it. Of operations that are judged from given outputs alone, "rounding": a few elements that no
    statistics explain together; "scale": the same, but statistics that no honest evaluation arrives at would explain the row; "statistics": the stored mean or rstd is none that an honest evaluation arrives at; "interval":
    a sum over rows is none of the honest ones; "mismatch": the kept sum is another."""
    row: int
    elements: tuple[CertificateElement, ...]
    admissible: Optional[tuple[int, int]]
    """fp32 bits of the smallest and the largest inverse RMS that an honest evaluation may arrive at."""
    correctly_rounded_root: int
    """fp32 bits."""
    text: str
    window: "tuple[Mapping[str, tuple[int, int]], ...]" = ()
    """Of operations that are judged from given outputs alone, in place of the two above: for each unknown the fp32 bits of the
    smallest and the largest number that an honest evaluation may arrive at; several where there are special cases."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Mismatch:
    """An element that is determined bit for bit and differs."""
    tensor: str
    """"out" or "residual_out"."""
    row: int
    column: int
    got: int
    """Bits of the tensor's dtype."""
    wanted: int
    ulp_distance: Optional[int]
    """Representable numbers between the two; None where one is NaN."""
    text: str

    def __str__(self) -> str:
        return self.text


# Where the pytest plugin collects the texts of results that a test has found false.
note_false: "Optional[Callable[[str], None]]" = None


@dataclass(frozen=True, repr=False)
class CheckResult:
    """The verdict on a call's outputs. True in a condition exactly if they conform."""
    subject: str
    """Operation, dtypes, rows x columns, epsilon."""
    policy: str
    judge: str
    """"witness": any order of summation; "canonical": the contract's order, which determines every bit; "search": the operations
    that are judged from given outputs alone, in any order of summation."""
    rows: int
    """By the search judge: rows, heads and columns of sums over rows, whatever is judged together."""
    elements: int
    """That were compared, residual_out included."""
    special_rows: int
    """With a NaN, an infinity, -0 or a subnormal number, or an extreme mean square."""
    conforming_rows: int
    rounding_violations: int
    """Rows, by the witness judge."""
    scale_violations: int
    mismatches: int
    """Elements: of residual_out by the witness judge, of all outputs by the canonical judge."""
    worst_ulp_distance: int
    """Of the conforming rows' inverse RMS from the correctly rounded one."""
    certificates: tuple[Certificate, ...]
    """Of the first violating rows, at most 8, confirmed by exact arithmetic."""
    first_mismatches: tuple[Mismatch, ...]
    random_outputs_accepted: Optional[float] = None
    """Of outputs that conform by the witness judge: the share of outputs with a random inverse RMS that would conform as
    well, of the first 16 rows. Where it is large, the verdict says little."""
    doubt: str = ""
    """Says so in words; else empty."""
    parts: str = ""
    """By the search judge: how much of which output conforms."""
    not_looked_at: tuple[str, ...] = ()
    """By the search judge: what the verdict says nothing about."""
    undecided: int = 0
    """By the search judge: rows that conform because their search was given up; each element alone can be explained."""
    _repro: "Optional[_core.Call]" = field(default=None, compare=False)
    _judged_repro: "Optional[_core.JudgedCall]" = field(default=None, compare=False)
    _policy: "Optional[_core.Policy]" = field(default=None, compare=False)

    @property
    def conforms(self) -> bool:
        return not (self.rounding_violations or self.scale_violations or self.mismatches)

    @property
    def _first(self) -> Any:
        return self.certificates[0] if self.certificates else (self.first_mismatches or (None,))[0]

    @property
    def certificate(self) -> str:
        """Text: why the first violation is one. Empty where the outputs conform."""
        return self._first.text if self._first else ""

    @property
    def row(self) -> Optional[int]:
        """Of the first violation, leading dimensions flattened."""
        return self._first.row if self._first else None

    @property
    def column(self) -> Optional[int]:
        """Of the first violation's first element."""
        if isinstance(self._first, Certificate):
            return self._first.elements[0].column if self._first.elements else None
        return self._first.column if self._first else None

    @property
    def bits(self) -> Optional[int]:
        """What that element is, in the bits of its dtype."""
        if isinstance(self._first, Certificate):
            return self._first.elements[0].got if self._first.elements else None
        return self._first.got if self._first else None

    def to_json(self) -> str:
        """A case file with outputs, for a bug report, `normproof check` and `read_case`: of the first violation the
        columns of its row that show the same; the first row where nothing violates."""
        if self._judged_repro is not None:
            return self._judged_repro.to_json(self.policy)
        if self._repro is None:
            raise ValueError("x: expected at least one row, got none: a call without rows has no repro")
        smallest = None if self.conforms or self._policy is None else self._repro.smallest_violation(self._policy)
        return (smallest or self._repro).to_json(demanded(self.policy), self.judge == "canonical")

    def __bool__(self) -> bool:
        if not self.conforms and note_false:
            note_false(self.text(violations=1))
        return self.conforms

    def __repr__(self) -> str:
        if self.conforms:
            verdict = f"conforms to policy {self.policy}" + (", which says little" if self.doubt else "")
        else:
            verdict = f"violates policy {self.policy}, first in row {self.row}, column {self.column}"
        return f"<CheckResult: {self.subject}: {verdict}>"

    def __str__(self) -> str:
        return self.text()

    def text(self, violations: Optional[int] = None) -> str:
        """The verdict, with so many of the violations that are known, all without."""
        lines = [self.subject, f"  policy {self.policy}; {self.judge} judge"]
        if self.judge == "witness":
            lines.append(f"  rows: {self.rows}, conforming {self.conforming_rows}, rounding violations "
                         f"{self.rounding_violations}, scale violations {self.scale_violations}")
        if self.parts:
            lines.append("  " + self.parts)
        if self.doubt:
            lines.append("  " + self.doubt)
        if self.mismatches:
            lines.append(f"  differing elements: {self.mismatches} of {self.elements}")
        for found in (self.certificates + self.first_mismatches)[:violations]:
            lines += ["  " + line for line in found.text.splitlines()]
        if self.not_looked_at:
            lines += ["  not looked at:", *("    " + line for line in self.not_looked_at)]
        return "\n".join(lines)


class ViolationError(AssertionError):
    """Outputs do not conform; ``result`` is the verdict, the message says it with the first certificate."""

    def __init__(self, result: "CheckResult | Beside") -> None:
        super().__init__(result.text(violations=1) if isinstance(result, CheckResult) else result.text)
        self.result = result


class LoosePolicy(NamedTuple):
    """A policy whose bounds admit the inverse RMS of every row, and which is not named all the same."""
    policy: str
    random_outputs_admitted: Optional[float]
    """The share of random outputs that it admits as well; None where it was not measured."""
    reason: str
    """Why it is not named."""


class RowGroup(NamedTuple):
    """Rows that follow one policy, of outputs that do not follow one as a whole."""
    policy: Optional[str]
    """None: none of the known ones."""
    rows: tuple[int, ...]


@dataclass(frozen=True, repr=False)
class Identification:
    """Which rounding policy outputs follow. True in a condition exactly if a known one explains every row."""
    subject: str
    rows: int
    """That were looked at."""
    identified: bool
    unique: bool
    """Whether exactly one arithmetic explains the outputs."""
    policy: str
    """The policy; where none explains every row, the one to which most rows conform."""
    policy_rows: int
    """Rows that conform to it."""
    survivors: tuple[str, ...]
    """All policies that explain every row, the best first."""
    names: tuple[str, ...]
    """Who computes it."""
    axes: dict[str, dict[str, tuple[bool, str]]]
    """Axis -> value -> whether it explains every row, and why not, or why beside the identified one."""
    certificate: str
    """Where no policy explains every row: the first violation of the closest."""
    random_outputs_explained: Optional[float]
    """Where a policy is identified: the share of random outputs that it explains as well."""
    loose: tuple[LoosePolicy, ...]
    """Policies that would explain almost anything, and so say nothing."""
    split: tuple[RowGroup, ...]
    """Where no policy explains every row but few share the rows: who explains which."""
    hints: tuple[str, ...]
    """Where no policy explains every row: what the inverse RMS of the rows looks like, the simplest first, for instance
    "native with r off by a factor 2.5 in every row"."""
    text: str

    def __bool__(self) -> bool:
        return self.identified

    def __repr__(self) -> str:
        if not self.identified:
            return f"<Identification: no known policy; closest {self.policy}, {self.policy_rows} of {self.rows} rows>"
        return f"<Identification: {self.policy}{'' if self.unique else ', not the only one'}>"

    def __str__(self) -> str:
        return f"{self.subject}\n{self.text}"


@dataclass(frozen=True, repr=False)
class Explanation:
    """Every rounding step behind one output element."""
    row: int
    column: int
    wanted: int
    """Bits of out that the policy says."""
    got: Optional[int]
    reproduced_by: tuple[str, ...]
    """Changes of policy or rounding that give exactly `got`."""
    text: str

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        got = "" if self.got is None else f", got {self.got:#x}"
        return f"<Explanation: row {self.row}, column {self.column}: {self.wanted:#x}{got}>"
