"""Seeded rows of every kind and size that the kernels of the wild are judged on."""
from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Iterator

import ml_dtypes
import numpy

DTYPES = {"fp32": numpy.float32, "fp16": numpy.float16, "bf16": ml_dtypes.bfloat16}
HIDDEN = (1, 2, 3, 5, 15, 16, 64, 100, 257, 768, 1024, 2047, 4096, 5120, 16384)
KINDS = ("normal", "heavy", "tiny", "large", "zeros and ones")
EPSILON = float(numpy.float32(1e-5))
# Powers of two by which the rows of a kind are multiplied, from ... to.
_SCALES = {"fp32": {"tiny": (-75, -8), "large": (8, 62)}, "bf16": {"tiny": (-75, -8), "large": (8, 62)},
           "fp16": {"tiny": (-14, -4), "large": (2, 12)}}
# Where subnormal numbers are excluded, numbers below this become zero: their squares would be subnormal.
_LEAST = 2.0 ** -62


@dataclass(frozen=True)
class Inputs:
    hidden: int
    kind: str
    x: numpy.ndarray
    residual: numpy.ndarray
    weight: numpy.ndarray
    """About 1, in the dtype of x."""


def _rows(random: numpy.random.Generator, kind: str, dtype: str, shape: tuple[int, int]) -> numpy.ndarray:
    rows = random.normal(size=shape)
    if kind == "heavy":
        rows = random.standard_t(1.5, size=shape)
    elif kind == "zeros and ones":
        rows = random.integers(-1, 2, size=shape)
    low, high = _SCALES[dtype].get(kind, (-2, 2))
    return rows * numpy.exp2(random.uniform(low, high, (shape[0], 1)) if kind != "zeros and ones" else 0)


def inputs(dtype: str, seed: int, rows: int, subnormals: bool = True, hidden: tuple[int, ...] = HIDDEN) -> Iterator[Inputs]:
    """`rows` rows of each kind and size, the same for the same seed; all of them finite."""
    largest = float(ml_dtypes.finfo(DTYPES[dtype]).max)
    for size in hidden:
        for kind in KINDS:
            random = numpy.random.default_rng([seed, size, zlib.crc32(f"{dtype} {kind}".encode())])
            x, residual = (numpy.clip(_rows(random, kind, dtype, (rows, size)), -largest / 4, largest / 4) for _ in range(2))
            weight = (1 + 0.2 * random.normal(size=size)).astype(DTYPES[dtype])
            if not subnormals:
                x, residual = (numpy.where(numpy.abs(part) < _LEAST, 0, part) for part in (x, residual))
            yield Inputs(size, kind, x.astype(DTYPES[dtype]), residual.astype(DTYPES[dtype]), weight)
