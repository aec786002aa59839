#!/usr/bin/env python3
"""A numba CUDA RMSNorm, checked in numba's simulator, without a GPU. Needs numba."""
import os

os.environ.setdefault("NUMBA_ENABLE_CUDASIM", "1")

import numpy
from numba import cuda, float32

import normproof
from normproof.testing import assert_conforms

THREADS = 32


@cuda.jit
def rms_norm_kernel(x, weight, out, epsilon):
    partial = cuda.shared.array(THREADS, float32)
    row, lane, hidden = cuda.blockIdx.x, cuda.threadIdx.x, x.shape[1]
    mine = float32(0)
    for column in range(lane, hidden, THREADS):
        value = float32(x[row, column])
        mine += value * value
    partial[lane] = mine
    cuda.syncthreads()
    step = THREADS // 2
    while step > 0:
        if lane < step:
            partial[lane] += partial[lane + step]
        cuda.syncthreads()
        step //= 2
    # Not math.sqrt, which is fp64 in the simulator and raises where it would give NaN.
    root = float32(1) / numpy.sqrt(partial[0] / float32(hidden) + float32(epsilon))
    for column in range(lane, hidden, THREADS):
        out[row, column] = x.dtype.type(float32(x[row, column]) * root) * weight[column]


def rms_norm(x, weight, epsilon):
    out = numpy.empty_like(x)
    rms_norm_kernel[x.shape[0], THREADS](x, weight, out, epsilon)
    return out


TAKES = normproof.Takes(least_rank=2, greatest_rank=2, least_rows=1, greatest_hidden=256, dtypes=("fp16", "fp32"))

if __name__ == "__main__":
    with numpy.errstate(all="ignore"):
        print(assert_conforms(rms_norm, "rms_norm", takes=TAKES, cases=20, max_rows=2))
