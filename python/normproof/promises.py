"""Promises about several calls of a function: the same bits again, in any batch, in any layout, and as another function
gives.

The judge looks at one call and leaves the order of summation open; whether two calls agree only a comparison tells. Rows
have one large element among small ones, whose squares get lost or not as the order of the sum has it.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Iterable, Optional, Union

from normproof import _replay
from normproof._cases import require_dtypes
from normproof._tensors import code_dtypes, has_input, numpy_dtype, output_names, read, require_operation
from normproof._takes import NotTaken, NotTakenError, Takes, require_takes, taken_dtypes
from normproof._types import ActivationDType, CodeDType, Operation, Tensors, WeightDType
from normproof.testing import _to_framework, defaults, outputs_of

if TYPE_CHECKING:
    import numpy

BATCHES = (1, 2, 3, 8, 16, 17, 32, 63, 64, 65, 128, 256)
"""Batch sizes at which, beside which and between which kernels are known to choose another way."""
HIDDEN = (256, 512, 2048, 4096)
ROWS_ALONE = 8
LAYOUTS = ("rows-apart", "rows-apart-oddly", "shifted", "shifted-weight", "three-dimensions")
"""Rows 8 elements apart; 3 elements, so that no 16-byte access fits; tensors, or the weight alone, that begin one element
behind an aligned address; x of three dimensions."""


@dataclass(frozen=True)
class Comparison:
    """What was compared without a difference."""
    pairs: int
    rows: int
    elements: int
    seed: int
    not_taken: int = 0
    """Calls that the function did not take, by NotImplementedError or since `takes` has them not: nothing of them was compared."""
    not_taken_because: "tuple[str, ...]" = ()
    """Each reason with the number of its calls."""


class PromiseError(AssertionError):
    """Two calls differ. The message says which, where, and how to see it again."""

    def __init__(self, message: str, first: tuple[Any, ...], second: tuple[Any, ...], seed: int) -> None:
        super().__init__(message)
        self.first, self.second = first, second
        """The arguments of the two calls, as numpy arrays and numbers; their first common rows are the same."""
        self.seed = seed


def _aligned(elements: int, dtype: Any) -> "numpy.ndarray[Any, Any]":
    """So many elements from a multiple of 64 bytes on."""
    import numpy
    memory = numpy.zeros(elements * dtype.itemsize + 64, "u1")
    first = -memory.ctypes.data % 64
    return memory[first:first + elements * dtype.itemsize].view(dtype)


def _copy(array: "numpy.ndarray[Any, Any]") -> "numpy.ndarray[Any, Any]":
    """The same elements, strides and alignment in other memory."""
    return _place(array, array.strides[0] // array.itemsize if array.ndim > 1 else 0, array.ctypes.data % 64 // array.itemsize)


def _place(array: "numpy.ndarray[Any, Any]", row: int = 0, offset: int = 0) -> "numpy.ndarray[Any, Any]":
    """The same elements, rows `row` elements apart (0: side by side), the first `offset` elements behind an aligned address."""
    import numpy
    if array.ndim != 2:
        placed = _aligned(offset + array.size, array.dtype)[offset:].reshape(array.shape)
    else:
        rows, hidden = array.shape
        step = max(row, hidden)
        memory = _aligned(offset + rows * step, array.dtype)[offset:]
        placed = numpy.lib.stride_tricks.as_strided(memory, array.shape, (step * array.itemsize, array.itemsize))
    placed[...] = array
    return placed


def _keeping_strides(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The conversion; raises ValueError where it changes the layout, so that nothing would be compared."""
    def kept(array: "numpy.ndarray[Any, Any]") -> Any:
        tensor = convert(array)
        strides = [size // array.itemsize for size in array.strides]
        found = list(tensor.stride()) if callable(getattr(tensor, "stride", None)) else [
            size // array.itemsize for size in getattr(tensor, "strides", ())]
        if any(size > 1 and wanted != got for size, wanted, got in zip(array.shape, strides, found)) or len(found) != array.ndim:
            raise ValueError(f"tensors: the conversion does not keep strides {tuple(strides)}, but makes {tuple(found)} of them: "
                             "no layouts can be compared")
        return tensor
    return kept


def _laid_out(arguments: tuple[Any, ...], layout: str) -> tuple[Any, ...]:
    """The same values in one of LAYOUTS."""
    def of(value: Any) -> Any:
        dimensions = getattr(value, "ndim", 0)
        if dimensions == 1:
            return _place(value, 0, int(layout in ("shifted", "shifted-weight")))
        if dimensions == 2 and layout == "three-dimensions":
            return value.reshape(-1, 2 if len(value) % 2 == 0 else 1, value.shape[-1])
        if dimensions == 2:
            apart = {"rows-apart": 8, "rows-apart-oddly": 3}.get(layout, 0)
            return _place(value, value.shape[-1] + apart if apart else 0, int(layout == "shifted"))
        return value
    return tuple(map(of, arguments))


class _Calls:
    """Makes inputs, calls functions, compares what comes out."""

    def __init__(self, operation: str, dtype: Any, weight: Any, quantized_dtype: Any, epsilon: float, seed: Optional[int],
                 tensors: Tensors, takes: Optional[Takes]) -> None:
        self.operation = require_operation(operation)
        self.takes, self.not_taken = require_takes(takes, operation), NotTaken()
        self.has_bound = self.takes.scale_ub and has_input(operation, "scale_ub")
        self._limits = self.takes._limits()
        taken_dtypes(self.takes, dtype)
        wanted = require_dtypes(dtype, weight, quantized_dtype, operation=operation)
        self.dtype, self.weight, self.quantized_dtype = wanted
        self.weight_dtype = wanted.weight_dtype
        self.epsilon, self.tensors = epsilon, tensors
        self.seed = defaults.seed if seed is None else seed
        self.convert = _to_framework(tensors)
        self.pairs = self.rows = self.elements = 0

    def arguments(self, rows: int, hidden: int) -> tuple[Any, ...]:
        """As the function takes them, in numpy."""
        import numpy
        random = numpy.random.RandomState((self.seed * 1000003 + hidden) % (1 << 32))

        def spiked() -> "numpy.ndarray[Any, Any]":
            # Squares just below half an ulp of 64^2: each is lost after the large element, and none before it.
            values = random.uniform(0.625, 0.9375, (rows, hidden)) / 64 * random.choice([-1, 1], (rows, hidden))
            places = random.randint(0, hidden, rows)
            places[0::3], places[1::3] = 0, hidden - 1
            # Another one in every row, so that r differs and products come near other midpoints.
            values[numpy.arange(rows), places] = 64 * random.uniform(1, 1.4, rows)
            rounded: numpy.ndarray[Any, Any] = values.astype(numpy_dtype(self.dtype))
            return rounded
        weight = (1 + 0.1 * random.standard_normal(hidden)).astype(numpy_dtype(self.weight_dtype)) if self.weight_dtype else None
        residual = (numpy.zeros((rows, hidden), numpy_dtype(self.dtype)),) if has_input(self.operation, "residual") else ()
        scale = (1 / 256,) if has_input(self.operation, "scale") else ()
        # The largest |y| of a row is about the root of the hidden size: some are above it. Half of the sizes have no bound.
        scale_ub = math.sqrt(hidden) if hidden.bit_length() % 2 else None
        bound = (scale_ub,) if self.has_bound else ()
        return (spiked(), *residual, weight, *scale, *bound, self.epsilon)

    def of_rows(self, arguments: tuple[Any, ...], rows: "list[int]") -> tuple[Any, ...]:
        return tuple(value[rows] if getattr(value, "ndim", 0) == 2 else value for value in arguments)

    def outputs(self, fn: Callable[..., Any], arguments: tuple[Any, ...]) -> "Optional[list[tuple[str, numpy.ndarray[Any, Any]]]]":
        """What `fn` makes of a copy of the arguments, as rows; None where it does not take them."""
        import numpy
        __tracebackhide__ = True
        outside = self._limits.outside(self.operation, list(arguments[0].shape))
        if outside:
            self.not_taken.add(outside + ", which `takes` has not")
            return None
        passed = [self.convert(_copy(value)) if hasattr(value, "dtype") else value for value in arguments]
        try:
            returned = outputs_of(self.operation, fn(*passed), passed)
        except NotImplementedError as error:
            self.not_taken.add("NotImplementedError" + (f": {error}" if str(error) else ""))
            return None
        found = []
        shape = arguments[0].shape
        dtypes = {"out": self.quantized_dtype if code_dtypes(self.operation) else self.dtype, "residual_out": self.dtype,
                  "scales": "fp32"}
        for name, value in zip(output_names(self.operation), returned):
            dtype, tensor = dtypes[name], read(name, value)
            shapes = ((*shape[:-1], 1), shape[:-1]) if name == "scales" else (shape,)
            if tensor.dtype != dtype or tensor.shape not in shapes:
                raise TypeError(f"{name}: expected {dtype} of shape {shapes[0]}, got {tensor.dtype} of {tensor.shape}")
            rows = numpy.array(tensor.array, copy=True, order="C").reshape(-1, 1 if name == "scales" else shape[-1])
            found.append((name, rows.view(numpy_dtype(dtype))))
        return found

    def difference(self, wanted: "Optional[list[tuple[str, numpy.ndarray[Any, Any]]]]",
                   got: "Optional[list[tuple[str, numpy.ndarray[Any, Any]]]]") -> str:
        """Of the first rows that both have; empty where every bit is the same, any NaN being any other, or a call was not taken."""
        import numpy
        if wanted is None or got is None:
            return ""
        self.pairs += 1
        for (name, one), (_, other) in zip(wanted, got):
            rows = min(len(one), len(other))
            one, other = one[:rows], other[:rows]
            self.rows += rows if name == "out" else 0
            self.elements += one.size
            bits = f"u{one.dtype.itemsize}"
            first, second = one.view(bits), other.view(bits)
            differ = (first != second) & ~(numpy.isnan(one.astype("f4")) & numpy.isnan(other.astype("f4")))
            if differ.any():
                row, column = numpy.argwhere(differ)[0]
                digits = 2 * one.dtype.itemsize
                return (f"{name}[row {row}, column {column}]: 0x{first[row, column]:0{digits}x} and "
                        f"0x{second[row, column]:0{digits}x}; {differ.sum()} of {one.size} elements differ")
        return ""

    def comparison(self, name: str) -> Comparison:
        __tracebackhide__ = True
        if self.pairs == 0 and self.not_taken.count:
            raise NotTakenError(name, f"the pairs of calls of {self.operation}", self.not_taken.texts())
        if self.pairs == 0:
            raise ValueError("batches: expected a pair of calls to compare, got none")
        return Comparison(self.pairs, self.rows, self.elements, self.seed, self.not_taken.count, self.not_taken.texts())


def _name(fn: Callable[..., Any]) -> str:
    if not callable(fn):
        raise TypeError(f"fn: expected a function, got {type(fn).__name__}")
    return str(getattr(fn, "__name__", type(fn).__name__))


def _sizes(name: str, values: Union[int, Iterable[int]]) -> tuple[int, ...]:
    sizes = (values,) if isinstance(values, int) else tuple(values)
    for size in sizes:
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= 1 << 20:
            raise ValueError(f"{name}: expected sizes from 1 to {1 << 20}, got {size!r}")
    if not sizes:
        raise ValueError(f"{name}: expected at least one size, got none")
    return sizes


def _raise(calls: _Calls, what: str, said: str, assertion: str, functions: "tuple[Callable[..., Any], ...]", again: "dict[str, Any]",
           first: tuple[Any, ...], second: tuple[Any, ...]) -> None:
    """`again`: what the smallest call of `assertion` has beside what every one has."""
    __tracebackhide__ = True
    lines = _replay.call(assertion, functions, calls.operation, {
        "dtype": (calls.dtype, None), "weight": (calls.weight, "same"), "quantized_dtype": (calls.quantized_dtype, "fp8_e4m3fn"),
        "epsilon": (calls.epsilon, 1e-6), "tensors": (calls.tensors, "numpy"), "takes": (calls.takes, Takes()),
        **{name: (value, None) for name, value in again.items()}, "seed": (calls.seed, None)})
    shapes = " and ".join(str(tuple(arguments[0].shape)) for arguments in (first, second))
    bound = f", scale_ub {first[-2]}" if calls.has_bound else ""
    raise PromiseError(f"{what}\n  {calls.operation} {calls.dtype}, x of shape {shapes}{bound}, seed {calls.seed}\n  {said}\n"
                       f"  again: " + "\n         ".join(lines), first, second, calls.seed)


def assert_deterministic(fn: Callable[..., Any], op: Operation = "rms_norm", *, dtype: ActivationDType = "bf16", weight: WeightDType = "same",
                         quantized_dtype: CodeDType = "fp8_e4m3fn", epsilon: float = 1e-6, hidden: Union[int, Iterable[int]] = HIDDEN,
                         rows: int = 64, calls: int = 8, seed: Optional[int] = None,
                         tensors: Tensors = "numpy", takes: Optional[Takes] = None) -> Comparison:
    """Asserts that `fn`, called `calls` times with the same arguments, gives the same bits. See ``assert_batch_invariant``."""
    __tracebackhide__ = True
    name = _name(fn)
    made = _Calls(op, dtype, weight, quantized_dtype, epsilon, seed, tensors, takes)
    for size in _sizes("hidden", hidden):
        arguments = made.arguments(_sizes("rows", rows)[0], size)
        wanted = made.outputs(fn, arguments)
        for call in range(2, calls + 1):
            said = made.difference(wanted, made.outputs(fn, arguments))
            if said:
                _raise(made, f"{name} is not deterministic: call {call} differs from call 1", said,
                       "assert_deterministic", (fn,), {"hidden": size, "rows": rows, "calls": calls}, arguments, arguments)
    return made.comparison(name)


def assert_batch_invariant(fn: Callable[..., Any], op: Operation = "rms_norm", *, dtype: ActivationDType = "bf16", weight: WeightDType = "same",
                           quantized_dtype: CodeDType = "fp8_e4m3fn", epsilon: float = 1e-6,
                           hidden: Union[int, Iterable[int]] = HIDDEN, batches: Union[int, Iterable[int]] = BATCHES,
                           seed: Optional[int] = None, tensors: Tensors = "numpy", takes: Optional[Takes] = None) -> Comparison:
    """Asserts that the bits of a row do not depend on how many rows there are: the first rows of the largest batch are
    computed in each smaller batch, and the first eight of them alone.

    `fn` is called as by ``assert_conforms``; hidden, batches: one size or several; tensors, takes: as there; what is not taken is
    left out and counted. Raises NotTakenError where that is everything, and PromiseError
    with the smallest pair of batches found. Sums that lose the same bits in two orders are not told apart.
    """
    __tracebackhide__ = True
    name = _name(fn)
    made = _Calls(op, dtype, weight, quantized_dtype, epsilon, seed, tensors, takes)
    sizes = sorted(set(_sizes("batches", batches)) | {1})
    if len(sizes) < 2:
        raise ValueError(f"batches: expected one of more than 1 row, got {batches!r}")
    for size in _sizes("hidden", hidden):
        arguments = made.arguments(sizes[-1], size)
        by_batch = {}
        for rows in sizes:  # from the smallest: the first that differs is the smallest
            by_batch[rows] = made.outputs(fn, made.of_rows(arguments, list(range(rows))))
            for fewer in (batch for batch in sizes if batch < rows):
                said = made.difference(by_batch[fewer], by_batch[rows])
                if said:
                    _raise(made, f"{name} is not batch invariant: the first {fewer} of {rows} rows have other bits", said,
                           "assert_batch_invariant", (fn,), {"hidden": size, "batches": (fewer, rows)},
                           made.of_rows(arguments, list(range(fewer))), made.of_rows(arguments, list(range(rows))))
        for row in range(1, min(ROWS_ALONE, sizes[-1])):
            alone = made.of_rows(arguments, [row])
            together = made.of_rows(arguments, [row] + [other for other in range(sizes[-1]) if other != row])
            said = made.difference(made.outputs(fn, alone), made.outputs(fn, together))
            if said:
                _raise(made, f"{name} is not batch invariant: a row alone and among {sizes[-1]} has other bits", said,
                       "assert_batch_invariant", (fn,), {"hidden": size, "batches": tuple(sizes)}, alone, together)
    return made.comparison(name)


def assert_same_bits(f: Callable[..., Any], g: Callable[..., Any], op: Operation = "rms_norm", *, dtype: ActivationDType = "bf16",
                     weight: WeightDType = "same", quantized_dtype: CodeDType = "fp8_e4m3fn", epsilon: float = 1e-6,
                     hidden: Union[int, Iterable[int]] = HIDDEN, batches: Union[int, Iterable[int]] = (1, 3, 64, 65),
                     seed: Optional[int] = None, tensors: Tensors = "numpy", takes: Optional[Takes] = None) -> Comparison:
    """Asserts that `f` and `g`, say eager and compiled, or called and replayed from a CUDA graph, give the same bits. See
    ``assert_batch_invariant``."""
    __tracebackhide__ = True
    names = _name(f), _name(g)
    made = _Calls(op, dtype, weight, quantized_dtype, epsilon, seed, tensors, takes)
    for size in _sizes("hidden", hidden):
        for rows in _sizes("batches", batches):
            arguments = made.arguments(rows, size)
            said = made.difference(made.outputs(f, arguments), made.outputs(g, arguments))
            if said:
                _raise(made, f"{names[0]} and {names[1]} give other bits", said,
                       "assert_same_bits", (f, g), {"hidden": size, "batches": rows}, arguments, arguments)
    return made.comparison(" and ".join(names))


def assert_layout_invariant(fn: Callable[..., Any], op: Operation = "rms_norm", *, dtype: ActivationDType = "bf16",
                            weight: WeightDType = "same", quantized_dtype: CodeDType = "fp8_e4m3fn", epsilon: float = 1e-6,
                            hidden: Union[int, Iterable[int]] = HIDDEN, batches: Union[int, Iterable[int]] = (1, 4, 64),
                            layouts: Iterable[str] = LAYOUTS, seed: Optional[int] = None,
                            tensors: Tensors = "numpy", takes: Optional[Takes] = None) -> Comparison:
    """Asserts that the bits do not depend on where the tensors lie: contiguous and aligned, or in each of `layouts`. What
    `fn` raises goes through: leave out the layouts that it does not take. ValueError where `tensors` makes tensors of a layout
    of their own, as jax does. See ``assert_batch_invariant``."""
    __tracebackhide__ = True
    name = _name(fn)
    layouts = tuple(layouts)
    for layout in layouts:
        if layout not in LAYOUTS:
            raise ValueError(f"layouts: expected some of {', '.join(LAYOUTS)}, got {layout!r}")
    made = _Calls(op, dtype, weight, quantized_dtype, epsilon, seed, tensors, takes)
    made.convert = _keeping_strides(made.convert)
    for size in _sizes("hidden", hidden):
        for rows in sorted(_sizes("batches", batches)):  # from the smallest: the first that differs is the smallest
            arguments = tuple(_place(value) if hasattr(value, "dtype") else value for value in made.arguments(rows, size))
            wanted = made.outputs(fn, arguments)
            for layout in layouts:
                other = _laid_out(arguments, layout)
                said = made.difference(wanted, made.outputs(fn, other))
                if said:
                    _raise(made, f"{name} is not layout invariant: contiguous and {layout} have other bits", said,
                           "assert_layout_invariant", (fn,), {"hidden": size, "batches": rows, "layouts": (layout,)}, arguments, other)
    return made.comparison(name)
