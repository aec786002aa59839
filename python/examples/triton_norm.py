#!/usr/bin/env python3
"""A Triton RMSNorm, checked in ten lines. Needs a GPU, torch and Triton."""
import torch
import triton
import triton.language as tl

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


def rms_norm(x, weight, epsilon):
    x, out = x.contiguous(), torch.empty_like(x, memory_format=torch.contiguous_format)
    hidden = x.shape[-1]
    rows = x.numel() // hidden
    if rows:
        rms_norm_kernel[(rows,)](x, weight, out, hidden, 1 / hidden, epsilon, BLOCK=triton.next_power_of_2(hidden))
    return out


# Triton's rsqrt flushes subnormal numbers to zero.
print(assert_conforms(rms_norm, "rms_norm", dtype="bf16", tensors="torch:cuda", flush_to_zero=True))
