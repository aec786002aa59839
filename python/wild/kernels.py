"""RMSNorm as libraries compute it, each with the policy that its documentation or source says.

A kernel takes numpy arrays, fn(x, weight) or fn(x, residual, weight), and returns out or (out, residual_out). A library
is imported when its first kernel is made."""
from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Callable

import numpy

from inputs import EPSILON

ALL = ("fp32", "fp16", "bf16")


@dataclass(frozen=True)
class Kernel:
    library: str
    function: str
    policy: str
    source: str
    """Why this policy: the formula in the library's source."""
    make: Callable[[], Callable[..., Any]]
    dtypes: tuple[str, ...] = ALL
    operation: str = "rms_norm"
    subnormals: bool = True
    """Whether rows may hold numbers whose squares are subnormal."""
    hidden: tuple[int, int] = (1, 1 << 30)
    """The sizes, first and last, at which it computes so."""
    zero_centred: bool = False
    """The weight is what is added to one."""


# --- numpy: no norm of its own; the forms in which it is written down ---

def _numpy(divide: bool, accumulator: type, order: str) -> Callable[..., Any]:
    def norm(x, weight):
        wide = x.astype(numpy.float32)
        square = numpy.mean(numpy.square(wide.astype(accumulator)), axis=-1, keepdims=True) + accumulator(EPSILON)
        root = numpy.sqrt(square)
        if divide:
            return (wide / root.astype(numpy.float32) * weight.astype(numpy.float32)).astype(x.dtype)
        inverse = (1 / root).astype(numpy.float32)
        if order == "activation":
            return weight * (wide * inverse).astype(x.dtype)
        if order == "factor_first":
            return (wide * (inverse * weight.astype(numpy.float32))).astype(x.dtype)
        return (wide * inverse * weight.astype(numpy.float32)).astype(x.dtype)
    return norm


def _numpy_fused(x, residual, weight):
    total = (x.astype(numpy.float32) + residual.astype(numpy.float32)).astype(x.dtype)
    return _numpy(False, numpy.float32, "activation")(total, weight), total


# --- jax, flax ---

def _jax(jit: bool) -> Callable[..., Any]:
    import jax
    from jax import numpy as jnp

    def norm(x, weight):
        wide = x.astype(jnp.float32)
        inverse = jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + EPSILON)
        return (wide * inverse * weight.astype(jnp.float32)).astype(x.dtype)
    return jax.jit(norm) if jit else norm


def _flax() -> Callable[..., Any]:
    from flax import linen
    import jax

    def norm(x, weight):
        module = linen.RMSNorm(epsilon=EPSILON, dtype=x.dtype, param_dtype=x.dtype)
        return module.apply({"params": {"scale": jax.numpy.asarray(weight)}}, jax.numpy.asarray(x))
    return norm


# --- onnxruntime ---

@functools.cache
def _session(operator: str, dtype: str) -> Any:
    import onnxruntime
    from onnx import TensorProto, helper

    kind = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}[dtype]
    skip = operator.startswith("Skip")
    inputs, outputs = (["x", "residual", "weight"], ["y", "", "", "s"]) if skip else (["x", "weight"], ["y"])
    node = helper.make_node(operator, inputs, outputs, domain="com.microsoft" if skip else "", epsilon=EPSILON,
                            **({} if skip else {"axis": -1}))
    value = lambda name: helper.make_tensor_value_info(name, kind, ["H"] if name == "weight" else ["N", "H"])
    graph = helper.make_graph([node], "norm", list(map(value, inputs)), [value(name) for name in outputs if name])
    versions = [helper.make_opsetid("", 23 if operator == "RMSNormalization" else 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=versions, ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def _onnxruntime(operator: str) -> Callable[..., Any]:
    def norm(*arrays):
        names = ("x", "residual", "weight") if len(arrays) == 3 else ("x", "weight")
        found = _session(operator, arrays[0].dtype.name).run(None, dict(zip(names, arrays)))
        return found[0] if len(found) == 1 else tuple(found)
    return norm


# --- tinygrad ---

def _tinygrad() -> Callable[..., Any]:
    from tinygrad import Tensor, dtypes, nn

    def tensor(array):
        name = array.dtype.name
        return Tensor(array.view("u2").copy()).bitcast(dtypes.bfloat16) if name == "bfloat16" else Tensor(array)

    def norm(x, weight):
        module = nn.RMSNorm(x.shape[-1], eps=EPSILON)
        module.weight = tensor(weight)
        out = module(tensor(x))
        return out.bitcast(dtypes.uint16).numpy().view(x.dtype) if x.dtype.name == "bfloat16" else out.numpy()
    return norm


# --- torch, transformers ---

def _torch_tensor(array: numpy.ndarray) -> Any:
    import torch
    integers = {4: "i4", 2: "i2"}[array.dtype.itemsize]
    return torch.from_numpy(array.view(integers).copy()).view(getattr(torch, array.dtype.name))


def _torch() -> Callable[..., Any]:
    import torch

    def norm(x, weight):
        with torch.no_grad():
            return torch.nn.functional.rms_norm(_torch_tensor(x), x.shape[-1:], _torch_tensor(weight), EPSILON)
    return norm


def _transformers(model: str, name: str, fused: bool = False) -> Callable[..., Any]:
    import importlib

    import torch
    module_class = getattr(importlib.import_module(f"transformers.models.{model}.modeling_{model}"), name)

    def norm(x, weight):
        module = module_class(weight.shape[0], eps=EPSILON)
        module.weight = torch.nn.Parameter(_torch_tensor(weight), requires_grad=False)
        with torch.no_grad():
            return module(x if fused else _torch_tensor(x))

    def add_and_norm(x, residual, weight):
        total = _torch_tensor(residual) + _torch_tensor(x)
        return norm(total, weight), total
    return add_and_norm if fused else norm


def kernels() -> list[Kernel]:
    f32, f64 = numpy.float32, numpy.float64
    llama = "weight * (x * rsqrt(mean(x^2) + eps)).to(input_dtype)"
    gemma = "(x * rsqrt(mean(x^2) + eps) * (1.0 + weight.float())).type_as(x)"
    fused = "fused_add_rms_norm"
    found = [
        Kernel("numpy", "x / sqrt(mean(x*x) + eps) * w", "root=divide,weight=fp32", "the formula",
               lambda: _numpy(True, f32, "fp32")),
        Kernel("numpy", "x * (1 / sqrt(mean(x*x) + eps)) * w", "weight=fp32", "the formula",
               lambda: _numpy(False, f32, "fp32")),
        Kernel("numpy", "w * rnd_T(x * (1 / sqrt(mean(x*x) + eps)))", "weight=activation", "the formula",
               lambda: _numpy(False, f32, "activation")),
        Kernel("numpy", "x * (1 / sqrt(mean(x*x) + eps) * w)", "weight=factor_first", "the formula",
               lambda: _numpy(False, f32, "factor_first")),
        Kernel("numpy", "x * (1 / sqrt(mean in float64 + eps)) * w", "variance=fp64,weight=fp32", "the formula",
               lambda: _numpy(False, f64, "fp32")),
        Kernel("numpy", "s = x + residual; w * rnd_T(s * r)", "weight=activation", "the formula", lambda: _numpy_fused,
               operation=fused),
        Kernel("jax", "x * lax.rsqrt(mean(x*x) + eps) * w", "weight=fp32", "the formula", lambda: _jax(False),
               subnormals=False),
        Kernel("jax", "the same under jax.jit", "weight=fp32", "the formula", lambda: _jax(True), subnormals=False),
        Kernel("flax", "linen.RMSNorm", "weight=factor_first", "mul = rsqrt(var + eps); mul *= scale; y *= mul, in fp32",
               _flax, subnormals=False),
        Kernel("tinygrad", "nn.RMSNorm", "root=divide,weight=activation",
               "(x * (mean(x^2) + eps).rsqrt()).cast(x.dtype) * weight; rsqrt is reciprocal(sqrt), and x * (1/y) becomes x/y",
               _tinygrad),
        Kernel("torch", "nn.functional.rms_norm", "weight=fp32", "x * rsqrt(mean(x^2) + eps) * weight in fp32, then type_as",
               _torch),
    ]
    divided = "x / sqrt(mean(x^2) + eps) * scale in fp32, fp16 converted before and after"
    multiplied = "fl(1 / sqrt(...)) is multiplied from H = 16 on: found by judging 1.32.0, older sources divide at every H"
    for operator in ("SimplifiedLayerNormalization", "RMSNormalization"):
        for policy, source, hidden in (("root=divide,weight=fp32", divided, (1, 15)), ("weight=fp32", multiplied, (16, 1 << 30))):
            found.append(Kernel("onnxruntime", operator + (", H < 16" if hidden[0] == 1 else ", H >= 16"), policy, source,
                                functools.partial(_onnxruntime, operator), dtypes=("fp32", "fp16"), hidden=hidden))
    found.append(Kernel("onnxruntime", "SkipSimplifiedLayerNormalization", "root=divide,weight=fp32,sum=fp32", divided,
                        functools.partial(_onnxruntime, "SkipSimplifiedLayerNormalization"), dtypes=("fp32", "fp16"),
                        operation=fused))
    for model, name, policy, source in (
            ("llama", "LlamaRMSNorm", "weight=activation", llama), ("mistral", "MistralRMSNorm", "weight=activation", llama),
            ("qwen3", "Qwen3RMSNorm", "weight=activation", llama),
            ("deepseek_v3", "DeepseekV3RMSNorm", "weight=activation", llama),
            ("t5", "T5LayerNorm", "native", "weight * (x * rsqrt(...)).to(weight.dtype)"),
            ("olmo2", "Olmo2RMSNorm", "weight=fp32", "(weight * x * rsqrt(...) in fp32).to(input_dtype)"),
            ("gpt_oss", "GptOssRMSNorm", "weight=fp32", "(weight * x * rsqrt(...) in fp32).to(input_dtype)"),
            ("gemma", "GemmaRMSNorm", "weight=fp32_plus_one", gemma),
            ("gemma3", "Gemma3RMSNorm", "weight=fp32_plus_one", gemma),
            ("qwen3_next", "Qwen3NextRMSNorm", "weight=fp32_plus_one", gemma)):
        found.append(Kernel("transformers", name, policy, source, functools.partial(_transformers, model, name),
                            zero_centred=policy.endswith("plus_one")))
    found.append(Kernel("transformers", "residual + x, then LlamaRMSNorm", "weight=activation", llama,
                        functools.partial(_transformers, "llama", "LlamaRMSNorm", True), operation=fused))
    return found
