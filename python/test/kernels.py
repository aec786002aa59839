"""Norm kernels in numpy for the tests: one that follows the contract, and others with one bug each."""
import ml_dtypes
import numpy

FP32 = numpy.float32


def inverse_root(wide, epsilon):
    return FP32(1) / numpy.sqrt(numpy.mean(wide * wide, axis=-1, keepdims=True, dtype=FP32) + FP32(epsilon))


def weighted(normalized, weight, dtype):
    """The native policy: rounded to the weight's dtype, multiplied there, rounded to the activation's."""
    if weight is None:
        return normalized.astype(dtype)
    wide = FP32 if FP32 in (weight.dtype, dtype) else None
    normalized = normalized.astype(weight.dtype)
    product = normalized.astype(FP32) * weight.astype(FP32)
    return (product if wide else product.astype(weight.dtype)).astype(dtype)


def rms_norm(x, weight, epsilon):
    wide = x.astype(FP32)
    return weighted(wide * inverse_root(wide, epsilon), weight, x.dtype)


def fused_add_rms_norm(x, residual, weight, epsilon):
    total = (x.astype(FP32) + residual.astype(FP32)).astype(x.dtype)
    return rms_norm(total, weight, epsilon), total


def quantized(y, scale, dtype=ml_dtypes.float8_e4m3fn):
    limit = float(ml_dtypes.finfo(dtype).max)
    return numpy.clip(y.astype(FP32) * (FP32(1) / FP32(scale)), -limit, limit).astype(dtype)


def rms_norm_fp8(x, weight, scale, epsilon):
    return quantized(rms_norm(x, weight, epsilon), scale)


def fused_add_rms_norm_fp8(x, residual, weight, scale, epsilon):
    out, total = fused_add_rms_norm(x, residual, weight, epsilon)
    return quantized(out, scale), total


def row_int8(x, weight, scale_ub, epsilon, low=-128):
    """int8 by a scale for each row, whose maximum is at most scale_ub, where that is a number."""
    y = rms_norm(x, weight, epsilon).astype(FP32)
    largest = numpy.max(numpy.abs(y), axis=-1, keepdims=True)
    if scale_ub is not None:
        largest = numpy.where(largest > FP32(scale_ub), FP32(scale_ub), largest)
    scales = largest / FP32(127)
    scales = numpy.where(scales < FP32(2**-23), FP32(2**-23), scales)
    codes = numpy.rint(numpy.clip(y * (FP32(1) / scales), low, 127))
    return numpy.where(numpy.isnan(codes), 0, codes).astype(numpy.int8), scales


# --- Wrong ones. ---

def fp32_weight_multiply(x, weight, epsilon):
    wide = x.astype(FP32)
    return (wide * inverse_root(wide, epsilon) * weight.astype(FP32)).astype(x.dtype)


def dropped_tail(x, weight, epsilon):
    """Sums whole chunks of 8 elements only."""
    wide = x.astype(FP32)
    whole = x.shape[-1] // 8 * 8
    total = numpy.sum(wide[..., :whole] ** 2, axis=-1, keepdims=True, dtype=FP32)
    r = FP32(1) / numpy.sqrt(total / FP32(x.shape[-1]) + FP32(epsilon))
    return weighted(wide * r, weight, x.dtype)


def missing_clamp(x, weight, scale, epsilon):
    return (rms_norm(x, weight, epsilon).astype(FP32) * (FP32(1) / FP32(scale))).astype(ml_dtypes.float8_e4m3fn)


def residual_not_rounded(x, residual, weight, epsilon):
    total = x.astype(FP32) + residual.astype(FP32)
    return weighted(total * inverse_root(total, epsilon), weight, x.dtype), total.astype(x.dtype)
