"""RMSNorm as libraries compute it, without a weight, with the epsilon as an argument: fn(x, epsilon) of numpy arrays.

A library is imported when its first function is made."""
from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Callable

import numpy

ALL = ("fp32", "fp16", "bf16")
F32 = numpy.float32


@dataclass(frozen=True)
class Function:
    library: str
    name: str
    make: Callable[[], Callable[..., Any]]
    dtypes: tuple[str, ...] = ALL


def _finished(x: Any, total: Any, epsilon: float) -> Any:
    root = F32(1) / numpy.sqrt(total / F32(x.shape[-1]) + F32(epsilon))
    return (x.astype(F32) * root[:, None]).astype(x.dtype)


def _numpy(total: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda x, epsilon: _finished(x, total(x.astype(F32)), epsilon)


def _jax(jit: bool) -> Callable[..., Any]:
    import jax
    from jax import numpy as jnp

    def norm(x, epsilon):
        wide = x.astype(jnp.float32)
        return (wide * jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + epsilon)).astype(x.dtype)
    compiled = jax.jit(norm) if jit else norm
    return lambda x, epsilon: compiled(x, F32(epsilon))


@functools.lru_cache(maxsize=16)
def _session(operator: str, dtype: str, epsilon: float) -> Any:
    import onnxruntime
    from onnx import TensorProto, helper

    kind = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}[dtype]
    node = helper.make_node(operator, ["x", "weight"], ["y"], epsilon=epsilon, axis=-1)
    value = lambda name: helper.make_tensor_value_info(name, kind, ["H"] if name == "weight" else ["N", "H"])
    graph = helper.make_graph([node], "norm", [value("x"), value("weight")], [value("y")])
    versions = [helper.make_opsetid("", 23 if operator == "RMSNormalization" else 17)]
    model = helper.make_model(graph, opset_imports=versions, ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def _onnxruntime(operator: str) -> Callable[..., Any]:
    def norm(x, epsilon):
        session = _session(operator, x.dtype.name, float(epsilon))
        return session.run(None, {"x": x, "weight": numpy.ones(x.shape[-1], x.dtype)})[0]
    return norm


def _tinygrad() -> Callable[..., Any]:
    from tinygrad import Tensor

    def norm(x, epsilon):
        wide = Tensor(x.astype(F32))
        out = wide * (wide.square().mean(axis=-1, keepdim=True) + float(epsilon)).rsqrt()
        return out.numpy().astype(x.dtype)
    return norm


def _torch(function: str) -> Callable[..., Any]:
    import torch

    def tensor(array):
        return torch.from_numpy(array.view({4: "i4", 2: "i2"}[array.dtype.itemsize]).copy()).view(getattr(torch, array.dtype.name))

    def norm(x, epsilon):
        with torch.no_grad():
            given = tensor(x)
            if function == "rms_norm":
                return torch.nn.functional.rms_norm(given, x.shape[-1:], None, epsilon)
            wide = given.float()
            return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)).to(given.dtype)
    return norm


def functions() -> list[Function]:
    return [
        Function("numpy", "sum(x * x)", lambda: _numpy(lambda wide: numpy.sum(wide * wide, axis=-1))),
        Function("numpy", "einsum('ij,ij->i', x, x)", lambda: _numpy(lambda wide: numpy.einsum("ij,ij->i", wide, wide))),
        Function("jax", "mean(x * x)", lambda: _jax(False)),
        Function("jax", "the same under jax.jit", lambda: _jax(True)),
        Function("onnxruntime", "SimplifiedLayerNormalization", lambda: _onnxruntime("SimplifiedLayerNormalization"), ("fp32", "fp16")),
        Function("onnxruntime", "RMSNormalization", lambda: _onnxruntime("RMSNormalization"), ("fp32", "fp16")),
        Function("tinygrad", "x.square().mean()", _tinygrad),
        Function("torch", "nn.functional.rms_norm", lambda: _torch("rms_norm")),
        Function("torch", "x.pow(2).mean(-1)", lambda: _torch("mean")),
    ]
