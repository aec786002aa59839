"""Small models in numpy for the tests: modules with the hooks that torch's have, and norms with one fault each."""
import judged_kernels
import kernels
import ml_dtypes
import numpy

FP32 = numpy.float32
BF16 = ml_dtypes.bfloat16


class Handle:
    def __init__(self, hooks, hook):
        self.hooks, self.hook = hooks, hook

    def remove(self):
        self.hooks.remove(self.hook)


class Module:
    """What of torch.nn.Module is used: named_modules, and hooks around a call."""

    def __init__(self):
        self._before, self._after = [], []

    def named_modules(self, prefix=""):
        yield prefix, self
        for name, value in list(vars(self).items()):
            children = enumerate(value) if isinstance(value, list) else [(None, value)]
            for number, child in children:
                if isinstance(child, Module):
                    own = name if number is None else f"{name}.{number}"
                    yield from child.named_modules(f"{prefix}.{own}" if prefix else own)

    def register_forward_pre_hook(self, hook, with_kwargs=False):
        self._before.append((hook, with_kwargs))
        return Handle(self._before, (hook, with_kwargs))

    def register_forward_hook(self, hook):
        self._after.append(hook)
        return Handle(self._after, hook)

    def __call__(self, *arguments, **keywords):
        for hook, with_keywords in self._before:
            assert (hook(self, arguments, keywords) if with_keywords else hook(self, arguments)) is None
        returned = self.forward(*arguments, **keywords)
        for hook in self._after:
            assert hook(self, arguments, returned) is None
        return returned


class TinyRMSNorm(Module):
    def __init__(self, weight, epsilon, kernel):
        super().__init__()
        self.weight, self.variance_epsilon, self.kernel = weight, epsilon, kernel

    def forward(self, hidden_states):
        return self.kernel(hidden_states, self.weight, self.variance_epsilon)


class TinyLayerNorm(TinyRMSNorm):
    """torch's: with a bias."""

    def __init__(self, weight, epsilon, kernel):
        super().__init__(weight, epsilon, kernel)
        self.bias = numpy.roll(weight, 1) - weight.dtype.type(1)

    def forward(self, hidden_states):
        return self.kernel(hidden_states, self.weight, self.bias, self.variance_epsilon)


class FusedRMSNorm(TinyRMSNorm):
    """vLLM's: with a residual, in place."""

    def forward(self, x, residual=None):
        if residual is None:
            return self.kernel(x, self.weight, self.variance_epsilon)
        total = (x.astype(FP32) + residual.astype(FP32)).astype(x.dtype)
        x[...], residual[...] = self.kernel(total, self.weight, self.variance_epsilon), total
        return x, residual


class UnroundedSumRMSNorm(FusedRMSNorm):
    """Normalizes the sum before it is rounded."""

    def forward(self, x, residual=None):
        if residual is None:
            return super().forward(x)
        total = x.astype(FP32) + residual.astype(FP32)
        out = kernels.weighted(total * kernels.inverse_root(total, self.variance_epsilon), self.weight, x.dtype)
        x[...], residual[...] = out, total.astype(x.dtype)
        return x, residual


class GatedRMSNorm(TinyRMSNorm):
    """Qwen3-Next's and Mamba's."""

    def forward(self, hidden_states, gate=None):
        return self.kernel(hidden_states, gate, self.weight, self.variance_epsilon)


class Attention(Module):
    def __init__(self, random, hidden, head, dtype, norm):
        super().__init__()
        self.matrix = (random.standard_normal((hidden, hidden)) / hidden**.5).astype(dtype)
        self.q_norm, self.head, self.noise = norm(head), head, 0

    def forward(self, x):
        q = (x.astype(FP32) @ self.matrix.astype(FP32)).astype(x.dtype)
        q = self.q_norm(q.reshape(*q.shape[:-1], -1, self.head)).reshape(q.shape)
        # What came before reaches every later token.
        mixed = q.astype(FP32).cumsum(0) / (1 + numpy.arange(len(q), dtype=FP32))[:, None] + FP32(self.noise)
        return mixed.astype(x.dtype)


class Layer(Module):
    def __init__(self, random, hidden, head, dtype, norm, fused):
        super().__init__()
        self.input_layernorm = norm(hidden)
        self.self_attn = Attention(random, hidden, head, dtype, norm)
        self.post_attention_layernorm = norm(hidden)
        self.matrix = (random.standard_normal((hidden, hidden)) / hidden**.5).astype(dtype)
        self.fused = fused

    def mlp(self, x):
        return numpy.tanh(x.astype(FP32) @ self.matrix.astype(FP32)).astype(x.dtype)

    def add_and_norm(self, norm, x, residual):
        if self.fused and residual is not None:
            return norm(x.copy(), residual.copy())
        total = x if residual is None else (x.astype(FP32) + residual.astype(FP32)).astype(x.dtype)
        return norm(total), total

    def forward(self, x, residual):
        x, residual = self.add_and_norm(self.input_layernorm, x, residual)
        x, residual = self.add_and_norm(self.post_attention_layernorm, self.self_attn(x), residual)
        return self.mlp(x), residual


class Model(Module):
    """Tokens go in as numbers; the same seed gives the same weights."""

    def __init__(self, layers=4, hidden=64, head=32, dtype=BF16, norm_class=TinyRMSNorm, kernel=kernels.rms_norm, epsilon=1e-6, seed=1):
        super().__init__()
        random = numpy.random.RandomState(seed)

        def norm(size):
            return norm_class((1 + .2 * random.standard_normal(size)).astype(dtype), epsilon, kernel)
        self.table = random.standard_normal((50, hidden)).astype(dtype)
        fused = issubclass(norm_class, FusedRMSNorm)
        self.norm = norm(hidden)
        self.layers = [Layer(random, hidden, head, dtype, norm, fused) for _ in range(layers)]

    def forward(self, tokens):
        x, residual = self.table[tokens], None
        for layer in self.layers:
            x, residual = layer(x, residual)
        return self.layers[0].add_and_norm(self.norm, x, residual)[0]

    def part(self, name):
        return dict(self.named_modules())[name]


TOKENS = numpy.random.RandomState(0).randint(0, 50, 24)


# --- Norms with another arithmetic, or a fault. ---

def with_sum(add):
    """The contract's norm with another sum of the squares."""
    def kernel(x, weight, epsilon):
        wide = x.astype(FP32)
        mean = add(wide * wide).reshape(*x.shape[:-1], 1).astype(FP32) / FP32(x.shape[-1])
        return kernels.weighted(wide * (FP32(1) / numpy.sqrt(mean + FP32(epsilon))), weight, x.dtype)
    return kernel


in_sequence = with_sum(lambda squares: numpy.cumsum(squares, -1, dtype=FP32)[..., -1])
from_the_end = with_sum(lambda squares: numpy.cumsum(squares[..., ::-1], -1, dtype=FP32)[..., -1])
without_the_last = with_sum(lambda squares: squares[..., :-1].sum(-1, dtype=FP32))
by_one_less = with_sum(lambda squares: squares.sum(-1, dtype=FP32) * FP32(squares.shape[-1] / (squares.shape[-1] - 1)))


def with_epsilon(real):
    return lambda x, weight, epsilon: kernels.rms_norm(x, weight, real)


def in_fp64(x, weight, epsilon):
    wide = x.astype(FP32)
    root = 1 / numpy.sqrt((wide.astype("f8")**2).mean(-1, keepdims=True) + FP32(epsilon))
    return kernels.weighted(wide * root.astype(FP32), weight, x.dtype)


def plus_one(x, weight, epsilon):
    wide = x.astype(FP32)
    return (wide * kernels.inverse_root(wide, epsilon) * (FP32(1) + weight.astype(FP32))).astype(x.dtype)


def truncated(x, weight, epsilon):
    def cut(values):
        return (values.astype(FP32).view("u4") & 0xFFFF0000).view(FP32)
    wide = x.astype(FP32)
    return cut(cut(wide * kernels.inverse_root(wide, epsilon)) * weight.astype(FP32)).astype(x.dtype)


def without_weight(x, weight, epsilon):
    return kernels.rms_norm(x, None, epsilon)


def with_rounded_root(x, weight, epsilon):
    """An approximation of 12 bits."""
    wide = x.astype(FP32)
    root = (kernels.inverse_root(wide, epsilon).view("u4") & 0xFFFFF000).view(FP32)
    return kernels.weighted(wide * root, weight, x.dtype)


def root_of_the_neighbour(x, weight, epsilon):
    """Every row by the inverse RMS of the row before."""
    wide = x.astype(FP32)
    return kernels.weighted(wide * numpy.roll(kernels.inverse_root(wide, epsilon), 1, axis=0), weight, x.dtype)


def first_row_wrong(x, weight, epsilon):
    out = kernels.rms_norm(x, weight, epsilon)
    out[(0,) * (x.ndim - 1)] = kernels.fp32_weight_multiply(x, weight, epsilon * 1000 + .01)[(0,) * (x.ndim - 1)]
    return out


def one_element_wrong(x, weight, epsilon):
    out = kernels.rms_norm(x, weight, epsilon)
    out[..., 7] = (out[..., 7].astype(FP32) * FP32(1.1)).astype(x.dtype)
    return out


# --- Gated norms, after transformers' Qwen3-Next and Mamba2, and with one fault each. ---

def silu(z):
    wide = z.astype("f8")
    return (wide / (1 + numpy.exp(-wide))).astype(FP32)


def gated(x, gate, weight, epsilon, root=kernels.inverse_root, activation=silu):
    """The norm, by the weight in T, and the gate."""
    wide = x.astype(FP32)
    n = kernels.weighted(wide * root(wide, epsilon), weight, x.dtype)
    return (n.astype(FP32) * activation(gate)).astype(x.dtype)


def gate_first(x, gate, weight, epsilon):
    wide = x.astype(FP32) * silu(gate)
    return kernels.weighted(wide * kernels.inverse_root(wide, epsilon), weight, x.dtype)


def gated_in_fp32(x, gate, weight, epsilon):
    wide = x.astype(FP32)
    return (wide * kernels.inverse_root(wide, epsilon) * weight.astype(FP32) * silu(gate)).astype(x.dtype)


def gated_by(activation):
    return lambda x, gate, weight, epsilon: gated(x, gate, weight, epsilon, activation=activation)


def gated_with(root):
    return lambda x, gate, weight, epsilon: gated(x, gate, weight, epsilon, root)


def sigmoid(z):
    return (1 / (1 + numpy.exp(-z.astype("f8")))).astype(FP32)


def root_in_sequence(wide, epsilon):
    total = numpy.cumsum(wide * wide, -1, dtype=FP32)[..., -1:]
    return FP32(1) / numpy.sqrt(total / FP32(wide.shape[-1]) + FP32(epsilon))


def root_without_the_last(wide, epsilon):
    return FP32(1) / numpy.sqrt((wide[..., :-1]**2).sum(-1, keepdims=True, dtype=FP32) / FP32(wide.shape[-1]) + FP32(epsilon))


def gated_with_one_wrong(x, gate, weight, epsilon):
    out = gated(x, gate, weight, epsilon)
    out[..., 7] = (out[..., 7].astype(FP32) * FP32(1.1)).astype(x.dtype)
    return out


class GatedModel(Module):
    """Layers of linear attention: heads by a norm with a gate, as Qwen3-Next has them."""

    def __init__(self, layers=3, hidden=64, head=32, dtype=BF16, kernel=gated, seed=3):
        super().__init__()
        random = numpy.random.RandomState(seed)
        self.table, self.noise = random.standard_normal((50, hidden)).astype(dtype), 0
        self.matrices = [(random.standard_normal((hidden, hidden)) / 3).astype(dtype) for _ in range(layers)]
        self.layers = [GatedRMSNorm((1 + .2 * random.standard_normal(head)).astype(dtype), 1e-6, kernel) for _ in range(layers)]
        self.head = head

    def forward(self, tokens):
        x = self.table[tokens]
        for number, (matrix, norm) in enumerate(zip(self.matrices, self.layers)):
            gate = (x.astype(FP32) @ matrix.astype(FP32) + FP32(self.noise if number else 0)).astype(x.dtype).reshape(-1, self.head)
            out = norm(x.reshape(-1, self.head), gate).reshape(x.shape)
            x = (x.astype(FP32) + out.astype(FP32)).astype(x.dtype)
        return x

    def part(self, name):
        return dict(self.named_modules())[name]


# --- LayerNorms. ---

def layer_norm(x, weight, bias, epsilon):
    return judged_kernels.layer_norm(x, weight, bias, epsilon)[0]


def mean_in_sequence(f, epsilon):
    mean = (numpy.cumsum(f, -1, dtype=FP32)[..., -1:] / FP32(f.shape[-1])).astype(FP32)
    squares = numpy.cumsum((f - mean)**2, -1, dtype=FP32)[..., -1:]
    return mean, judged_kernels.root_of(squares / FP32(f.shape[-1]), epsilon)


def layer_norm_with(statistics):
    return judged_kernels.with_statistics(statistics)


def layer_norm_without_bias(x, weight, bias, epsilon):
    return layer_norm(x, weight, None, epsilon)


def layer_norm_by_epsilon(real):
    return lambda x, weight, bias, epsilon: layer_norm(x, weight, bias, real)


def layer_norm_of_the_neighbour(x, weight, bias, epsilon):
    mean, root = judged_kernels.statistics(x.astype(FP32), epsilon)
    n = (x.astype(FP32) - numpy.roll(mean, 1, axis=0)) * numpy.roll(root, 1, axis=0)
    return judged_kernels.affine(n, weight, bias).astype(x.dtype)


def layer_norm_with_one_wrong(x, weight, bias, epsilon):
    out = layer_norm(x, weight, bias, epsilon)
    out[..., 7] = (out[..., 7].astype(FP32) * FP32(1.1) + FP32(.1)).astype(x.dtype)
    return out
