"""Triton kernels without a GPU. ``TRITON_INTERPRET=1`` runs them on the CPU, with rounding of its own: ``faults`` says what is wrong there
in the installed version, ``exact`` puts it right, and ``tensor`` makes tensors where there is no torch.

    with normproof.triton.exact():
        assert_conforms(norm, "rms_norm", tensors="torch")
"""
from __future__ import annotations

import contextlib
import functools
from typing import Any, Iterator

import numpy

import triton  # type: ignore[import-not-found, import-untyped, unused-ignore]
import triton.language as tl  # type: ignore[import-not-found, import-untyped, unused-ignore]
from normproof._interpreter import Fault, faults_of, is_interpreting, nearest

_NAMES = {"fp16": "float16", "bf16": "bfloat16", "fp8e4nv": "float8_e4m3fn", "fp8e5": "float8_e5m2"}  # Triton's, those of frameworks
_SMALL = {name: framework_name for name, framework_name in _NAMES.items() if name != "fp16"}  # which the interpreter keeps as integers


class Tensor:
    """A numpy array that Triton's interpreter takes for a tensor: `array`, whose attributes it has, and torch's few."""

    def __init__(self, array: "numpy.ndarray[Any, Any]") -> None:
        self.array = array

    def __getattr__(self, name: str) -> Any:
        if name == "array":
            raise AttributeError(name)
        return getattr(self.array, name)

    def data_ptr(self) -> int:
        return int(self.array.ctypes.data)

    def size(self) -> "tuple[int, ...]":
        return tuple(self.array.shape)

    def stride(self) -> "tuple[int, ...]":
        return tuple(step // self.array.itemsize for step in self.array.strides)

    # The interpreter copies a tensor to the CPU and back: it is there.
    def untyped_storage(self) -> "Tensor":
        return self

    def cpu(self) -> "Tensor":
        return self

    def copy_(self, other: Any) -> None:
        pass

    def new_empty(self, *_: Any, **__: Any) -> "Tensor":
        return Tensor(self.array)

    def set_(self, *_: Any) -> None:
        pass

    def storage_offset(self) -> int:
        return 0


def tensor(array: "numpy.ndarray[Any, Any]") -> Tensor:
    """For ``assert_conforms(..., tensors=normproof.triton.tensor)``, without torch; contiguous. ``tensor(numpy.empty_like(x.array))`` is
    an output."""
    return Tensor(numpy.ascontiguousarray(array))


def name() -> str:
    return f"the interpreter of Triton {triton.__version__}"


def _require_interpreter() -> None:
    if not is_interpreting():
        raise RuntimeError("TRITON_INTERPRET is not set to 1: kernels would be compiled for a GPU")


def _convert(values: "numpy.ndarray[Any, Any]", to: str) -> "numpy.ndarray[Any, Any]":
    from triton.runtime import interpreter  # type: ignore[import-not-found, import-untyped, unused-ignore]
    builder, dtype = interpreter.interpreter_builder, _language_type(to)
    handle = interpreter.TensorHandle(values, tl.float32)
    # As tl.tensor.to() asks for it.
    rounded = builder.create_fp_to_fp(handle, dtype, interpreter._ir.ROUNDING_MODE.RTNE) if to.startswith("float8") else (
        builder.create_fp_trunc(handle, dtype))
    bits: "numpy.ndarray[Any, Any]" = rounded.data.view(f"u{rounded.data.dtype.itemsize}")
    return bits


def _multiply(a: "numpy.ndarray[Any, Any]", b: "numpy.ndarray[Any, Any]") -> "numpy.ndarray[Any, Any]":
    from triton.runtime import interpreter
    handles = [interpreter.TensorHandle(operand.view(numpy.uint16), tl.bfloat16) for operand in (a, b)]
    product: "numpy.ndarray[Any, Any]" = interpreter.interpreter_builder.create_fmul(*handles).data
    return product.view(numpy.uint16)


def _language_type(framework_name: str) -> Any:
    return {"float16": tl.float16, "bfloat16": tl.bfloat16, "float8_e4m3fn": tl.float8e4nv, "float8_e5m2": tl.float8e5}[framework_name]


def faults() -> "tuple[Fault, ...]":
    """What Triton's interpreter computes otherwise than a GPU, found by asking it. Empty where it computes the same, as inside
    ``exact``. Raises RuntimeError where kernels do not run in it."""
    _require_interpreter()
    with numpy.errstate(all="ignore"):
        return faults_of(_convert, _multiply)


def _numbers(handle: Any) -> "numpy.ndarray[Any, Any]":
    """A handle's numbers, which the interpreter keeps as integers where numpy has no such type."""
    import ml_dtypes
    data: "numpy.ndarray[Any, Any]" = handle.data
    small = _SMALL.get(handle.dtype.scalar.name)
    return data.view(getattr(ml_dtypes, small)).astype(numpy.float32) if small and data.dtype.kind == "u" else data


def _is_small(dtype: Any) -> bool:
    return dtype.scalar.name in _SMALL


def _handle(values: "numpy.ndarray[Any, Any]", dtype: Any) -> Any:
    from triton.runtime import interpreter
    if values.dtype.kind == "b":
        return interpreter.TensorHandle(values, dtype.scalar)
    rounded = nearest(numpy.asarray(values, dtype=numpy.float32), _SMALL[dtype.scalar.name])
    return interpreter.TensorHandle(rounded.view(f"u{rounded.dtype.itemsize}"), dtype.scalar)


def _mended_cast(original: Any) -> Any:
    @functools.wraps(original)
    def cast(builder: Any, source: Any, to: Any, *rounding: Any) -> Any:
        from triton.runtime import interpreter
        if not _is_small(source.dtype) and not _is_small(to) or rounding == (interpreter._ir.ROUNDING_MODE.RTZ,):
            return original(builder, source, to, *rounding)
        values = _numbers(source)
        if _is_small(to):
            return _handle(values, to)
        return interpreter.TensorHandle(values.astype(interpreter._get_np_dtype(to)), to.scalar)
    return cast


def _mended_arithmetic(original: Any) -> Any:
    @functools.wraps(original)
    def operate(builder: Any, *arguments: Any) -> Any:
        *operands, operation = arguments
        # np.where takes a condition first, which is none of them.
        dtype = operands[-1].dtype
        if not _is_small(dtype):
            return original(builder, *arguments)
        return _handle(operation(*map(_numbers, operands)), dtype)
    return operate


@contextlib.contextmanager
def exact() -> Iterator[None]:
    """While the block runs, Triton's interpreter converts to bf16 and fp8 to the nearest even, as a GPU does, and computes in bf16 with one
    rounding an operation. Its own conversions and arithmetic of these formats are set aside; ``faults`` says what they would do.

    Sums are still numpy's, in its order; nothing is said about the order on a GPU.
    """
    _require_interpreter()
    from triton.runtime import interpreter
    builder = type(interpreter.interpreter_builder)
    mended = {"cast_impl": _mended_cast, "create_fp_to_fp": _mended_cast, "binary_op": _mended_arithmetic,
              "unary_op": _mended_arithmetic, "ternary_op": _mended_arithmetic}
    originals = {name: getattr(builder, name) for name in mended}
    for each, mend in mended.items():
        setattr(builder, each, mend(originals[each]))
    try:
        if left := faults():
            raise RuntimeError(f"{name()} is of a form that is not known here; still wrong: {'; '.join(fault.text for fault in left)}")
        yield
    finally:
        for each, original in originals.items():
            setattr(builder, each, original)
