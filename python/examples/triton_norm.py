#!/usr/bin/env python3
"""A Triton RMSNorm, checked. `TRITON_INTERPRET=1 triton_norm.py` runs it on the CPU and needs Triton alone; else a GPU and torch."""
import math
import os

import triton
import triton.language as tl

import normproof
from normproof.testing import assert_conforms


@triton.jit
def rms_norm_kernel(x, weight, out, hidden, inverse_hidden, epsilon, BLOCK: tl.constexpr):
    row, columns = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    mask = columns < hidden
    wide = tl.load(x + row * hidden + columns, mask=mask, other=0.0).to(tl.float32)
    root = tl.rsqrt(tl.sum(wide * wide, axis=0) * inverse_hidden + epsilon)
    w = tl.load(weight + columns, mask=mask, other=0.0)
    # The native policy: round to the weight's dtype, multiply there. Without the inner cast it is weight=fp32.
    normalized = (wide * root).to(w.dtype).to(tl.float32) * w.to(tl.float32)
    tl.store(out + row * hidden + columns, normalized.to(out.dtype.element_ty), mask=mask)


def rms_norm_into(x, weight, out, epsilon):
    hidden = x.shape[-1]
    if rows := math.prod(x.shape[:-1]):
        rms_norm_kernel[(rows,)](x, weight, out, hidden, 1 / hidden, epsilon, BLOCK=triton.next_power_of_2(hidden))
    return out


def on_a_gpu():
    import torch

    def rms_norm(x, weight, epsilon):
        return rms_norm_into(x.contiguous(), weight, torch.empty_like(x, memory_format=torch.contiguous_format), epsilon)
    # Triton's rsqrt flushes subnormal numbers to zero.
    return assert_conforms(rms_norm, "rms_norm", dtype="bf16", tensors="torch:cuda", flush_to_zero=True)


def in_the_interpreter(cases=100):
    import numpy

    import normproof.triton

    def rms_norm(x, weight, epsilon):
        return rms_norm_into(x, weight, normproof.triton.tensor(numpy.empty_like(x.array)), epsilon)
    # Triton's interpreter truncates to bf16. Without `exact` the first case shows it.
    with normproof.triton.exact(), numpy.errstate(all="ignore"):
        return assert_conforms(rms_norm, "rms_norm", dtype="bf16", tensors=normproof.triton.tensor, cases=cases)


if __name__ == "__main__":
    print(in_the_interpreter() if os.environ.get("TRITON_INTERPRET") else on_a_gpu())
