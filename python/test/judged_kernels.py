"""LayerNorm, gradients and q/k norm with rotary embedding in numpy: honest ones under the policy that they follow, and wrong ones."""
import numpy

F = numpy.float32


def wide(value):
    return None if value is None else value.astype(F)


def mean_of(values):
    return values.mean(-1, keepdims=True, dtype=F)


def root_of(variance, epsilon):
    return F(1) / numpy.sqrt(variance + F(epsilon))


def statistics(f, epsilon):
    mean = mean_of(f)
    return mean, root_of(mean_of((f - mean) ** 2), epsilon)


def affine(n, weight, bias):
    n = n if weight is None else n * wide(weight)
    return n if bias is None else n + wide(bias)


# --- rms_norm with a weight of several rows. ---

def grouped(x, weight, epsilon):
    f = wide(x)
    return (f * root_of(mean_of(f * f), epsilon) * wide(weight)).astype(x.dtype)  # numpy broadcasts the weight


def first_row_of_the_weight(x, weight, epsilon):
    return grouped(x, weight.reshape(-1, x.shape[-1])[0], epsilon)


# --- layer_norm. ---

def layer_norm(x, weight, bias, epsilon):
    f = wide(x)
    mean, rstd = statistics(f, epsilon)
    return affine((f - mean) * rstd, weight, bias).astype(x.dtype), mean, rstd


def fused_multiply_add(x, weight, bias, epsilon):
    f = wide(x)
    mean, rstd = statistics(f, epsilon)
    n = ((f - mean) * rstd).astype("f8")  # a product of two fp32 numbers is exact in fp64
    n = n if weight is None else n * weight.astype("f8")
    return (n if bias is None else n + bias.astype("f8")).astype(F).astype(x.dtype)


def shifted(x, weight, bias, epsilon):
    f = wide(x)
    mean, rstd = statistics(f, epsilon)
    return affine(f * rstd + (-mean * rstd), weight, bias).astype(x.dtype), mean, rstd


def as_on_a_cpu(x, weight, bias, epsilon):
    """PyTorch's in bf16 and fp16."""
    f = wide(x)
    mean, rstd = statistics(f, epsilon)
    n = fma(f, rstd, -mean * rstd)
    one, zero = numpy.ones(1, F), -numpy.zeros(1, F)
    return fma(n, one if weight is None else weight, zero if bias is None else bias).astype(x.dtype)


def one_pass(x, weight, bias, epsilon):
    f = wide(x)
    mean = mean_of(f)
    variance = mean_of(f * f) - mean * mean
    return affine((f - mean) * root_of(variance, epsilon), weight, bias).astype(x.dtype)


def welford(x, weight, bias, epsilon):
    f = wide(x)
    mean, squares = numpy.zeros_like(f[..., :1]), numpy.zeros_like(f[..., :1])
    for j in range(f.shape[-1]):
        difference = f[..., j:j + 1] - mean
        mean = mean + difference / F(j + 1)
        squares = squares + difference * (f[..., j:j + 1] - mean)
    return affine((f - mean) * root_of(squares / F(f.shape[-1]), epsilon), weight, bias).astype(x.dtype)


def in_activation(x, weight, bias, epsilon):
    """As Apex: the normalized value, its product and the sum in T."""
    f = wide(x)
    mean, rstd = statistics(f, epsilon)
    n = ((f - mean) * rstd).astype(x.dtype)
    n = n if weight is None else wide(n * weight).astype(x.dtype)
    return n if bias is None else (wide(n) + wide(bias)).astype(x.dtype)


def statistics_in_activation(x, weight, bias, epsilon):
    out, mean, rstd = layer_norm(x, weight, bias, epsilon)
    return out, mean.astype(x.dtype), rstd.astype(x.dtype)


def stores_the_next_rstd(x, weight, bias, epsilon):
    out, mean, rstd = statistics_in_activation(x, weight, bias, epsilon)
    return out, mean, (rstd.view("u2") + 1).astype("u2").view(rstd.dtype)


def plus_one(x, weight, bias, epsilon):
    return layer_norm(x, None if weight is None else F(1) + wide(weight), bias, epsilon)[0]


def with_statistics(mean_and_rstd):
    """A layer_norm whose statistics are wrong."""
    def wrong(x, weight, bias, epsilon):
        f = wide(x)
        mean, rstd = mean_and_rstd(f, epsilon)
        return affine((f - mean) * rstd, weight, bias).astype(x.dtype)
    return wrong


def epsilon_outside(f, epsilon):
    mean = mean_of(f)
    return mean, F(1) / (numpy.sqrt(mean_of((f - mean) ** 2)) + F(epsilon))


def sample_variance(f, epsilon):
    mean = mean_of(f)
    return mean, root_of(((f - mean) ** 2).sum(-1, keepdims=True, dtype=F) / F(max(f.shape[-1] - 1, 1)), epsilon)


def of_rms(f, epsilon):
    return mean_of(f), root_of(mean_of(f * f), epsilon)


def dropped_tail(f, epsilon):
    return statistics(f[..., :max(f.shape[-1] - 1, 1)], epsilon)


def mean_in_bf16(f, epsilon):
    import ml_dtypes
    mean, rstd = statistics(f, epsilon)
    return mean.astype(ml_dtypes.bfloat16).astype(F), rstd


def no_mean(f, epsilon):
    mean, rstd = statistics(f, epsilon)
    return F(0) * mean, rstd


def bias_before_weight(x, weight, bias, epsilon):
    f = wide(x)
    mean, rstd = statistics(f, epsilon)
    return (((f - mean) * rstd + wide(bias)) * wide(weight)).astype(x.dtype)


def no_bias(x, weight, bias, epsilon):
    return layer_norm(x, weight, None, epsilon)[0]


def shifted_weight(x, weight, bias, epsilon):
    return layer_norm(x, numpy.roll(weight, 1), bias, epsilon)[0]


def stores_deviation(x, weight, bias, epsilon):
    out, mean, rstd = layer_norm(x, weight, bias, epsilon)
    return out, mean, F(1) / rstd


# --- fused_add_layer_norm. ---

def fused_add(x, residual, weight, bias, epsilon):
    total = (wide(x) + wide(residual)).astype(x.dtype)
    out, mean, rstd = layer_norm(total, weight, bias, epsilon)
    return out, total, mean, rstd


def fused_add_in_fp32(x, residual, weight, bias, epsilon):
    total = wide(x) + wide(residual)
    mean, rstd = statistics(total, epsilon)
    return affine((total - mean) * rstd, weight, bias).astype(x.dtype), total.astype(x.dtype), mean, rstd


def keeps_the_residual(x, residual, weight, bias, epsilon):
    return fused_add(x, residual, weight, bias, epsilon)[0], residual


# --- Gradients. ---

def normalized(x, mean, rstd):
    return (wide(x) if mean is None else wide(x) - mean) * rstd


def weighted(dy, weight):
    return wide(dy) if weight is None else wide(dy) * wide(weight)


def sums(dy, xh):
    """dweight and dbias."""
    return (wide(dy) * xh).sum(0, dtype=F), wide(dy).sum(0, dtype=F)


def in_dtype(values, weight, x):
    return values.astype(x.dtype if weight is None else weight.dtype)


def rms_backward(dy, x, weight, rstd):
    xh, wdy = normalized(x, None, rstd), weighted(dy, weight)
    dx = (wdy - xh * mean_of(xh * wdy)) * rstd
    return dx.astype(x.dtype), in_dtype(sums(dy, xh)[0], weight, x)


def layer_backward(dy, x, weight, mean, rstd):
    xh, wdy = normalized(x, mean, rstd), weighted(dy, weight)
    dx = ((wdy - xh * mean_of(xh * wdy)) - mean_of(wdy)) * rstd
    dweight, dbias = sums(dy, xh)
    return dx.astype(x.dtype), in_dtype(dweight, weight, x), in_dtype(dbias, weight, x)


def fma(a, b, c):
    """Products of fp32 numbers are exact in fp64; that their sums are rounded there first does not show in these cases."""
    return (a.astype("f8") * b.astype("f8") + c.astype("f8")).astype(F)


def rms_backward_with_fused_correction(dy, x, weight, rstd):
    xh, wdy = normalized(x, None, rstd), weighted(dy, weight)
    return (fma(-xh, mean_of(xh * wdy), wdy) * rstd).astype(x.dtype)


def rms_backward_of_sums(dy, x, weight, rstd):
    """As PyTorch on a GPU: H in the weight, 1 / H in rstd, the product with dy fused."""
    hidden = F(x.shape[-1])
    xh, factor = normalized(x, None, rstd), hidden * (numpy.ones_like(x[0], F) if weight is None else wide(weight))
    total = (xh * weighted(dy, weight)).sum(-1, keepdims=True, dtype=F)
    return (fma(factor, wide(dy), -(xh * total)) * (F(1) / hidden * rstd)).astype(x.dtype)


def layer_backward_mean_first(dy, x, weight, mean, rstd):
    xh, wdy = normalized(x, mean, rstd), weighted(dy, weight)
    return (((wdy - mean_of(wdy)) - xh * mean_of(xh * wdy)) * rstd).astype(x.dtype)


def layer_backward_together(dy, x, weight, mean, rstd):
    xh, wdy = normalized(x, mean, rstd), weighted(dy, weight)
    return ((wdy - (xh * mean_of(xh * wdy) + mean_of(wdy))) * rstd).astype(x.dtype)


def rms_backward_with_own_rstd(dy, x, weight, epsilon):
    f = wide(x)
    return rms_backward(dy, x, weight, root_of(mean_of(f * f), epsilon))[0]


def layer_backward_with_own_statistics(dy, x, weight, epsilon):
    return layer_backward(dy, x, weight, *statistics(wide(x), epsilon))[0]


def own_rstd_without_epsilon(dy, x, weight, epsilon):
    return rms_backward_with_own_rstd(dy, x, weight, 0)


def no_mean_term(dy, x, weight, rstd):
    return (weighted(dy, weight) * rstd).astype(x.dtype)


def no_weight(dy, x, weight, rstd):
    return rms_backward(dy, x, None, rstd)[0]


def rstd_of_another_row(dy, x, weight, rstd):
    return rms_backward(dy, x, weight, numpy.roll(rstd, 1, axis=0))[0]


def dweight_with_rstd_of_another_row(dy, x, weight, rstd):
    return rms_backward(dy, x, weight, rstd)[0], rms_backward(dy, x, weight, numpy.roll(rstd, 1, axis=0))[1]


def dweight_summed_in_the_activation(dy, x, weight, rstd):
    terms = (wide(dy) * normalized(x, None, rstd)).astype(x.dtype)
    total = terms[0]
    for term in terms[1:]:
        total = (wide(total) + wide(term)).astype(x.dtype)
    return None, in_dtype(total, weight, x)


def dweight_without_the_last_row(dy, x, weight, rstd):
    return None, rms_backward(dy[:-1], x[:-1], weight, rstd[:-1])[1]


def no_c2(dy, x, weight, mean, rstd):
    xh, wdy = normalized(x, mean, rstd), weighted(dy, weight)
    return ((wdy - xh * mean_of(xh * wdy)) * rstd).astype(x.dtype)


def dweight_of_plain_x(dy, x, weight, mean, rstd):
    return None, in_dtype(sums(dy, wide(x) * rstd)[0], weight, x)


def dbias_with_weight(dy, x, weight, mean, rstd):
    return None, None, in_dtype(weighted(dy, weight).sum(0, dtype=F), weight, x)


# --- q/k norm with rotary embedding. ---

def head_norm(x, weight, epsilon):
    f = wide(x)
    n = f * root_of(mean_of(f * f), epsilon)
    return n if weight is None else n * wide(weight)


def rotated(n, cos, sin, interleaved=False, step=lambda value: value):
    """`step` rounds the products and their sums."""
    half, c, s = cos.shape[-1], wide(cos)[:, None], wide(sin)[:, None]
    first, second = (slice(0, 2 * half, 2), slice(1, 2 * half, 2)) if interleaved else (slice(0, half), slice(half, 2 * half))
    out = n.copy()
    a, b = n[..., first], n[..., second]
    out[..., first] = step(step(a * c) - step(b * s))
    out[..., second] = step(step(b * c) + step(a * s))
    return out


def rope(x, weight, cos, sin, epsilon):
    return rotated(head_norm(x, weight, epsilon), cos, sin).astype(x.dtype)


def rope_interleaved(x, weight, cos, sin, epsilon):
    return rotated(head_norm(x, weight, epsilon), cos, sin, interleaved=True).astype(x.dtype)


def rope_of_rounded_norm(x, weight, cos, sin, epsilon):
    return rotated(wide(head_norm(x, weight, epsilon).astype(x.dtype)), cos, sin).astype(x.dtype)


def rope_in_activation(x, weight, cos, sin, epsilon):
    """As Hugging Face: every step in T."""
    n = head_norm(x, None, epsilon).astype(x.dtype)
    n = wide(n) if weight is None else wide((wide(n) * wide(weight)).astype(x.dtype))
    return rotated(n, cos, sin, step=lambda value: value.astype(x.dtype).astype(F)).astype(x.dtype)


def rope_of(norm):
    def kernel(x, weight, cos, sin, epsilon):
        f = wide(x)
        w = None if weight is None else wide(weight)
        return rotated(norm(f, root_of(mean_of(f * f), epsilon), w), cos, sin).astype(x.dtype)
    return kernel


product_first = rope_of(lambda f, root, w: f * root if w is None else (f * w) * root)
factor_first = rope_of(lambda f, root, w: f * root if w is None else f * (root * w))
norm_plus_one = rope_of(lambda f, root, w: f * root if w is None else (f * root) * (F(1) + w))


def rope_as_nvcc_fuses(x, weight, cos, sin, epsilon):
    """The first product of each sum of the source: a cos - b sin, a sin + b cos."""
    n, half, c, s = head_norm(x, weight, epsilon), cos.shape[-1], wide(cos)[:, None], wide(sin)[:, None]
    out, a, b = n.copy(), n[..., :half], n[..., half:2 * half]
    out[..., :half] = fma(a, c, -(b * s))
    out[..., half:2 * half] = fma(a, s, b * c)
    return out.astype(x.dtype)


def rotated_backwards(x, weight, cos, sin, epsilon):
    return rope(x, weight, cos, -sin, epsilon)


def swapped_cos_and_sin(x, weight, cos, sin, epsilon):
    return rope(x, weight, sin, cos, epsilon)


def of_the_next_token(x, weight, cos, sin, epsilon):
    return rope(x, weight, numpy.roll(cos, 1, axis=0), numpy.roll(sin, 1, axis=0), epsilon)


def not_normalized(x, weight, cos, sin, epsilon):
    return rotated(wide(x), cos, sin).astype(x.dtype)


def norm_over_all_heads(x, weight, cos, sin, epsilon):
    f = wide(x)
    n = f * root_of((f * f).mean((-2, -1), keepdims=True, dtype=F), epsilon)
    return rotated(n if weight is None else n * wide(weight), cos, sin).astype(x.dtype)
