"""What an interpreter of kernels rounds otherwise than a GPU, found by asking it. Knows no interpreter: triton.py asks Triton's."""
from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Iterable

if TYPE_CHECKING:
    import numpy

# (fp32 numbers, the framework's name of what they become) -> their bits there
Convert = Callable[["numpy.ndarray[Any, Any]", str], "numpy.ndarray[Any, Any]"]
# two arrays of bf16 -> the bits of their products
Multiply = Callable[["numpy.ndarray[Any, Any]", "numpy.ndarray[Any, Any]"], "numpy.ndarray[Any, Any]"]

# Ordinary numbers: between two of the format, near one, on ties to the lower and to the upper neighbour, in both signs.
_ORDINARY = {
    "float16": (1 + 1.75 * 2**-11, 1 + 2**-11, 1 + 3 * 2**-11, -1 - 1.75 * 2**-11, 1.5, 1000.25),
    "bfloat16": (1 + 1.75 * 2**-8, 1 + 2**-8, 1 + 3 * 2**-8, -1 - 1.75 * 2**-8, 1.5, 1000.25),
    "float8_e4m3fn": (1 + 1.75 * 2**-4, 1 + 2**-4, 1 + 3 * 2**-4, -1 - 1.75 * 2**-4, 1.5, 200.5),
    "float8_e5m2": (1 + 1.75 * 2**-3, 1 + 2**-3, 1 + 3 * 2**-3, -1 - 1.75 * 2**-3, 1.5, 200.5),
}
_SUBNORMAL = {"float16": 2**-23, "bfloat16": 1e-40, "float8_e4m3fn": 2**-8, "float8_e5m2": 2**-15}
_GREATEST = {"float8_e4m3fn": 448.0, "float8_e5m2": 57344.0}
NAMES = {"float16": "fp16", "bfloat16": "bf16", "float8_e4m3fn": "fp8_e4m3fn", "float8_e5m2": "fp8_e5m2"}


@dataclass(frozen=True)
class Fault:
    """What an interpreter computes otherwise than a GPU."""
    dtype: str
    """The dtype whose numbers are wrong, as "bf16"."""
    text: str


def _bits(array: "numpy.ndarray[Any, Any]") -> "numpy.ndarray[Any, Any]":
    return array.view(f"u{array.dtype.itemsize}")


def nearest(values: "numpy.ndarray[Any, Any]", name: str) -> "numpy.ndarray[Any, Any]":
    """fp32 numbers in a smaller format: to the nearest even, and in fp8 no further than its greatest, as a GPU converts them."""
    import ml_dtypes
    import numpy
    dtype = numpy.dtype(numpy.float16 if name == "float16" else getattr(ml_dtypes, name))
    most = _GREATEST.get(name)
    with numpy.errstate(all="ignore"):
        return (values if most is None else numpy.clip(values, -most, most)).astype(dtype)


def _magnitude_rounded(values: "numpy.ndarray[Any, Any]", name: str, half: bool) -> "numpy.ndarray[Any, Any]":
    """Bits of ordinary numbers rounded toward zero, or, with `half`, to the nearest and ties away from zero."""
    import numpy
    kept = {"float16": 10, "bfloat16": 7, "float8_e4m3fn": 3, "float8_e5m2": 2}[name]
    wide = values.view(numpy.uint32)
    cut = numpy.uint32(1) << numpy.uint32(23 - kept)
    return _bits(nearest(((wide + (cut >> 1 if half else 0)) & ~(cut - numpy.uint32(1))).view(numpy.float32), name))


def _text(bits: Any, name: str) -> str:
    return repr(float(bits.view(nearest(bits.astype("f4"), name).dtype)))


def _rounding_faults(convert: Convert, name: str) -> "list[str]":
    """In words, what `convert` makes of fp32 numbers that a GPU does not."""
    import numpy
    ordinary = numpy.array(_ORDINARY[name], dtype=numpy.float32)
    got, right, found = convert(ordinary, name), _bits(nearest(ordinary, name)), []
    short = NAMES[name]
    if (wrong := numpy.flatnonzero(got != right)).size:
        at = wrong[0]
        way = ("is truncated" if (got == _magnitude_rounded(ordinary, name, False)).all() else
               "is rounded with ties away from zero" if (got == _magnitude_rounded(ordinary, name, True)).all() else "is rounded wrongly")
        found.append(f"fp32 {way} to {short} ({float(ordinary[at])!r} becomes {_text(got[at], name)}, on a GPU {_text(right[at], name)})")
    few = numpy.array([numpy.nan, _SUBNORMAL[name], _GREATEST.get(name, 1.0) * 8], dtype=numpy.float32)
    few[:1].view(numpy.uint32)[0] = 0x7F800001
    got, right = convert(few, name), _bits(nearest(few, name))
    is_number = ~numpy.isnan(got.view(nearest(few, name).dtype).astype(numpy.float32))
    if is_number[0]:
        found.append(f"a NaN becomes {_text(got[0], name)} in {short}")
    if got[1] != right[1]:
        found.append(f"subnormal numbers of {short} are wrong ({_text(right[1], name)} becomes {_text(got[1], name)})")
    if got[2] != right[2]:
        found.append(f"{few[2]:g} becomes {_text(got[2], name)} in {short}, on a GPU {_text(right[2], name)}")
    return found


def faults_of(convert: Convert, multiply: Multiply) -> "tuple[Fault, ...]":
    """What the two functions, which an interpreter gives, do otherwise than a GPU."""
    import ml_dtypes
    import numpy
    found = [Fault(NAMES[name], text) for name in _ORDINARY for text in _rounding_faults(convert, name)]
    a = numpy.array([1.5, 2.0, 1.0078125], dtype=ml_dtypes.bfloat16)
    got = multiply(a, a)
    if (wrong := numpy.flatnonzero(got != _bits(a * a))).size:
        at = wrong[0]
        found.append(Fault("bf16", f"bf16 times bf16 is wrong ({float(a[at])!r} * {float(a[at])!r} becomes {_text(got[at], 'bfloat16')})"))
    return tuple(found)


def is_interpreting() -> bool:
    """Whether this process has Triton and runs its kernels on the CPU."""
    triton = sys.modules.get("triton")
    if triton is None:
        return False
    runtime = getattr(getattr(triton, "knobs", None), "runtime", None)
    return bool(getattr(runtime, "interpret", os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "yes", "on", "y")))


def interpreter_notes(dtypes: Iterable[str]) -> "tuple[str, ...]":
    """One line for each dtype of a call that Triton's interpreter, where kernels run in it, computes otherwise than a GPU."""
    if not is_interpreting():
        return ()
    from normproof import triton
    try:
        faults = triton.faults()
    except Exception as error:  # another version of Triton: whatever it is, the verdict stands without it
        return (f"TRITON_INTERPRET is set, and what Triton's interpreter rounds could not be asked: {type(error).__name__}: {error}",)
    notes = []
    for dtype in sorted(set(dtypes)):
        if texts := [fault.text for fault in faults if fault.dtype == dtype]:
            notes.append(f"TRITON_INTERPRET is set, and {triton.name()} is no GPU in {dtype}: {'; '.join(texts)}. "
                         "Inside `with normproof.triton.exact():` it is")
    return tuple(notes)
