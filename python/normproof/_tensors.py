"""Tensors of any framework as bits: their dtype by its name in the contract, their shape, and an array of integers."""
from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from normproof import _core
from normproof._types import ActivationName, AnyDType, JudgedOperation, QuantizedName

if TYPE_CHECKING:
    import numpy

ACTIVATION_DTYPES: tuple[str, ...] = get_args(ActivationName)
QUANTIZED_DTYPES: tuple[str, ...] = get_args(QuantizedName)
CODE_DTYPES: tuple[str, ...] = (*QUANTIZED_DTYPES, "int8")
DTYPES = ACTIVATION_DTYPES + CODE_DTYPES + ("uint8",)

# What numpy, ml_dtypes, torch and jax call the dtypes.
FRAMEWORK_NAMES = {
    "fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "fp8_e4m3fn": "float8_e4m3fn", "fp8_e5m2": "float8_e5m2",
    "fp8_e4m3fnuz": "float8_e4m3fnuz", "fp8_e5m2fnuz": "float8_e5m2fnuz",
    "int8": "int8", "uint8": "uint8",
}
_NAMES = {framework_name: name for name, framework_name in FRAMEWORK_NAMES.items()}
# What is handed over as bytes: powers of two, and pairs of numbers of four bits.
_BYTES = {"float8_e8m0fnu": "uint8", "float4_e2m1fn_x2": "uint8"}
ITEM_SIZES = {"fp32": 4, "fp16": 2, "bf16": 2} | dict.fromkeys((*CODE_DTYPES, "uint8"), 1)


def dtype_name(name: str, value: Any, allowed: "tuple[str, ...]", also: str = "") -> str:
    """The dtype's name in the contract. `value` is that, or what a framework calls it: "bfloat16", torch.bfloat16,
    numpy.dtype("float16"), jax.numpy.float32. `also`: what else the argument `name` may be, for the message."""
    if isinstance(value, str):
        found = _NAMES.get(value.rpartition(".")[2], value)
    elif type(value).__module__ == "torch":
        found = _NAMES.get(str(value).rpartition(".")[2], "")
    elif hasattr(value, "itemsize") and hasattr(value, "name"):  # numpy.dtype
        found = _NAMES.get(value.name, "")
    elif isinstance(value, type) or hasattr(value, "dtype"):  # numpy.float16, ml_dtypes.bfloat16, jax.numpy.bfloat16
        found = _NAMES.get(getattr(value, "__name__", ""), "")
    else:
        raise TypeError(f"{name}: expected a dtype, as \"bf16\" or torch.bfloat16, got {type(value).__name__} {value!r}")
    if found not in allowed:
        raise ValueError(f"{name}: expected one of {', '.join(allowed)}{also}, got {value!r}")
    return found


# The program's own table: each operation's tensors in the order of the call, and what it takes besides.
_TABLE = {entry["name"]: entry for entry in _core.operation_table()}
OPERATIONS: tuple[str, ...] = tuple(_TABLE)


def has_input(operation: str, name: str) -> bool:
    return name in _TABLE[operation]["inputs"]


def greatest_rank(operation: str) -> int:
    """Dimensions of x, at most."""
    return int(_TABLE[operation]["greatest_rank"])


def code_dtypes(operation: str) -> "tuple[str, ...]":
    """What `out` may be where it is made of codes; nothing where it is not."""
    return tuple(_TABLE[operation]["code_dtypes"]) if operation in _TABLE else ()


def output_names(operation: str) -> "tuple[str, ...]":
    """What it writes, in the order in which a function returns it."""
    return tuple(_TABLE[operation]["outputs"])


def require_operation(operation: Any) -> str:
    if not isinstance(operation, str):
        raise TypeError(f"operation: expected its name, got {type(operation).__name__} {operation!r}")
    if operation in get_args(JudgedOperation):
        raise ValueError(f"operation: expected one that runs, {', '.join(OPERATIONS)}, got {operation!r}, whose outputs check, identify "
                         "and assert_conforms judge where they are given")
    if operation not in OPERATIONS:
        raise ValueError(f"operation: expected one of {', '.join(OPERATIONS)}, or, judged from given outputs, "
                         f"{', '.join(get_args(JudgedOperation))}, got {operation!r}")
    return operation


@dataclass(frozen=True)
class Bits:
    """An array of unsigned integers that are the bits of `dtype`."""
    array: Any
    dtype: str


def from_bits(array: Any, dtype: AnyDType) -> Bits:
    """A tensor given by its bits, for use without ml_dtypes.

    `array`: integers as wide as `dtype` (32, 16 or 8 bits), any shape. `dtype`: one of ``DTYPES``.
    """
    return Bits(array, dtype_name("dtype", dtype, DTYPES))


@dataclass(frozen=True)
class Tensor:
    dtype: str
    shape: tuple[int, ...]
    array: Any  # what _core reads: elements as wide as dtype

    @property
    def elements(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count


class _CopiedToHost:
    """The DLPack side of a tensor on a device, copied to the CPU by the tensor's own framework."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __dlpack__(self, **keywords: Any) -> Any:
        return self._value.__dlpack__(dl_device=(1, 0), copy=True, **keywords)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


def _framework_of(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def _dtype(name: str, framework_name: str) -> str:
    dtype = (_NAMES | _BYTES).get(framework_name.rpartition(".")[2])
    if dtype is None:
        raise TypeError(f"{name}: expected a tensor of {', '.join(_NAMES)}, got dtype {framework_name}")
    return dtype


def _read_torch(name: str, value: Any) -> Tensor:
    import torch  # type: ignore[import-not-found, unused-ignore]
    dtype = _dtype(name, str(value.dtype))
    integers = {4: torch.int32, 2: torch.int16, 1: torch.uint8}[ITEM_SIZES[dtype]]
    return Tensor(dtype, tuple(value.shape), value.detach().cpu().view(integers))


def _read_numpy(name: str, value: Any) -> Tensor:
    dtype = _dtype(name, value.dtype.name)
    if not value.dtype.isnative:
        value = value.astype(value.dtype.newbyteorder("="))
    return Tensor(dtype, value.shape, value.view(f"u{value.dtype.itemsize}"))


def _read_bits(name: str, value: Bits) -> Tensor:
    found = _core.describe(value.array)
    if found is None:
        raise TypeError(f"{name}: expected an array of integers, got {type(value.array).__name__}")
    kind, bits, shape = found
    if kind != "int" or bits != 8 * ITEM_SIZES[value.dtype]:
        raise TypeError(f"{name}: the bits of {value.dtype} are {8 * ITEM_SIZES[value.dtype]}-bit integers, got {kind}{bits}")
    return Tensor(value.dtype, tuple(shape), value.array)


def _read_generic(name: str, value: Any) -> Tensor:
    """Whatever speaks DLPack, wherever it lies, or the buffer protocol."""
    if hasattr(value, "__dlpack_device__") and int(value.__dlpack_device__()[0]) not in (1, 3, 11):
        value = _CopiedToHost(value)
    found = _core.describe(value)
    if found is None:
        raise TypeError(f"{name}: expected a tensor (numpy, torch, jax, DLPack or buffer protocol), got "
                        f"{type(value).__name__}")
    kind, bits, shape = found
    dtype = {("float", 32): "fp32", ("float", 16): "fp16"}.get((kind, bits), kind if kind in DTYPES else None)
    if dtype is None:
        raise TypeError(f"{name}: expected a tensor of {', '.join(DTYPES)}, got elements of {kind}{bits}; bits that are "
                        "integers need normproof.from_bits")
    return Tensor(dtype, tuple(shape), value)


def read(name: str, value: Any) -> Tensor:
    """The tensor `value`; `name` is what messages call it."""
    framework = _framework_of(value)
    if isinstance(value, Bits):
        return _read_bits(name, value)
    if framework == "torch" and hasattr(value, "detach"):
        return _read_torch(name, value)
    if framework == "cupy" and hasattr(value, "get"):
        value = value.get()
        framework = "numpy"
    elif framework in ("jax", "jaxlib"):
        import numpy
        value = numpy.asarray(value)
        framework = "numpy"
    if hasattr(value, "dtype") and hasattr(value.dtype, "itemsize") and hasattr(value, "view") and (
            framework == "numpy" or hasattr(value, "__array_interface__")):
        return _read_numpy(name, value)
    return _read_generic(name, value)


def real(name: str, value: Any) -> float:
    """A number, or a tensor of one fp32 element."""
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return float(value)
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        if getattr(value, "size", None) == 1 or (callable(getattr(value, "numel", None)) and value.numel() == 1):
            return float(value.item())
        raise ValueError(f"{name}: expected one number, got a tensor of shape {tuple(value.shape)}")
    raise TypeError(f"{name}: expected a number, got {type(value).__name__} {value!r}")


def require_whole(name: str, value: Any, low: int, high: int) -> None:
    """Refuses what is no integer from `low` to `high`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name}: expected an integer, got {type(value).__name__} {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name}: expected {low} to {high}, got {value}")


def numpy_dtype(dtype: str) -> "numpy.dtype[Any]":
    import numpy
    if dtype in ("fp32", "fp16", "int8", "uint8"):
        return numpy.dtype(FRAMEWORK_NAMES[dtype])
    try:
        import ml_dtypes
    except ImportError as error:
        raise ImportError(f"arrays of {dtype} need the package ml_dtypes") from error
    made: numpy.dtype[Any] = numpy.dtype(getattr(ml_dtypes, FRAMEWORK_NAMES[dtype]))
    return made


def as_numpy(data: "numpy.ndarray[Any, Any]", dtype: str, shape: tuple[int, ...]) -> "numpy.ndarray[Any, Any]":
    """Bytes, as _core gives them, as an array of `dtype`."""
    return data.view(numpy_dtype(dtype)).reshape(shape)
