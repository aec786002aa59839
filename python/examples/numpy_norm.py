#!/usr/bin/env python3
"""A numpy RMSNorm that multiplies the weight in fp32, as many kernels do: is that the native policy?"""
import numpy

import normproof
from normproof.testing import ConformanceError, assert_conforms


def rms_norm(x, weight, epsilon):
    wide = x.astype(numpy.float32)
    root = numpy.sqrt(numpy.mean(wide * wide, axis=-1, keepdims=True) + numpy.float32(epsilon))
    return (wide * (1 / root) * weight.astype(numpy.float32)).astype(x.dtype)


with numpy.errstate(all="ignore"):  # infinities and NaN are among the inputs
    try:
        assert_conforms(rms_norm, "rms_norm", dtype="bf16")
    except ConformanceError as error:
        print(error)
    print(assert_conforms(rms_norm, "rms_norm", dtype="bf16", policy="weight=fp32"))

    case = next(normproof.cases("rms_norm", "bf16", seed=1))
    print(case.check(rms_norm(*case.arguments()), policy="weight=fp32"))
