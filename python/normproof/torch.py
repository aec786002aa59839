"""The kernels as PyTorch ops, ``torch.ops.normproof.*``: bit for bit what the contract says, on CPU and GPU.

    rms_norm(x, weight, epsilon) -> out
    fused_add_rms_norm(x, residual, weight, epsilon)             in place: x becomes out, residual the sum
    rms_norm_static_fp8_quant(x, weight, scale, epsilon, dtype) -> out
    fused_add_rms_norm_static_fp8_quant(x, residual, weight, scale, epsilon, dtype) -> out    residual becomes the sum
    rms_norm_dynamic_quant(x, weight, epsilon, dtype, scale_ub) -> (out, scales)
    fused_add_rms_norm_dynamic_quant(x, residual, weight, epsilon, dtype, scale_ub) -> (out, scales)    residual becomes the sum

x and residual are ``[..., H]`` in bf16, fp16 or fp32, weight is ``[H]`` in that dtype or fp32, or None; scale is one fp32
number on x's device; scales are ``[..., 1]`` in fp32; dtype is an fp8 dtype (torch.float8_e4m3fn), or torch.int8 where each row gets a
scale; scale_ub, the upper bound of what those are made of, is as scale, or None. The ops work under torch.compile and in CUDA graphs: they
launch on the current stream and wait for nothing. They have no gradients.

``watch`` records and judges a model's norms, with any torch; the ops need 2.4 or newer.

On a GPU they need libkernels_cuda.so of a build with CUDA (`cmake --preset release-cuda`, target kernels_cuda), named by the
environment variable NORMPROOF_KERNELS_CUDA.
"""
from __future__ import annotations

import functools
import os
from typing import Any, ContextManager, Iterable, Optional, Union

import torch  # type: ignore[import-not-found, unused-ignore]

from normproof import _core, _watch
from normproof._model import Watched
from normproof._types import Policy

# As in kernels/normproof_kernels.h.
_DTYPES = {getattr(torch, name): number for number, name in enumerate(
    ("float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "int8")) if hasattr(torch, name)}


def watch(model: Any, *, dump: "Union[str, os.PathLike[str], None]" = None, classes: "Union[str, Iterable[str]]" = _watch.CLASSES,
          names: "Union[str, Iterable[str]]" = _watch.NAMES, rows: int = 32, calls: int = 4,
          policy: Optional[Policy] = None) -> "ContextManager[Watched]":
    """Records and judges what a model's norms compute while the block runs:

        with normproof.torch.watch(model, dump="eager.safetensors") as watched:
            model(tokens)
        print(watched)

    model: a module; its norms are those whose class matches one of the patterns `classes`, or whose name's last part matches one of
        `names`. They may be called with x, or with x and a residual, as vLLM's are, or with x and a gate, as Qwen3-Next's and
        Mamba2's. LayerNorms are judged as such, with their bias.
    dump: a file for ``normproof compare``, ``check`` and ``identify``, with one call for each norm.
    rows, calls: so many rows of each of a norm's first calls are kept, evenly spaced, which bounds the memory.
    policy: what every norm is to follow; None: each norm's is named, and the result is true where all have one.

    Nothing is changed in the model; a compiled one breaks its graph at each norm. What is not judged, such as norms of groups, is listed with
    the reason in ``not_judged``.
    """
    compiler = getattr(torch, "compiler", None)
    wrap = getattr(compiler, "disable", lambda hook: hook)
    return _watch.watch(model, dump=dump, classes=classes, names=names, rows=rows, calls=calls, policy=policy, wrap=wrap)


@functools.cache
def _host_library() -> "_core.KernelsLibrary":
    return _core.KernelsLibrary("", _DTYPES)


@functools.cache
def _device_library() -> "_core.KernelsLibrary":
    path = os.environ.get("NORMPROOF_KERNELS_CUDA")
    if not path:
        raise RuntimeError("normproof.torch needs libkernels_cuda.so on a GPU; NORMPROOF_KERNELS_CUDA names it")
    return _core.KernelsLibrary(os.path.abspath(path), _DTYPES)


def _call(x: torch.Tensor, name: str, *arguments: object) -> None:
    """Launches on the current stream of x's device."""
    if not x.is_cuda:
        getattr(_host_library(), name)(*arguments, 0)
        return
    index = x.get_device()
    if index == torch._C._cuda_getDevice():
        getattr(_device_library(), name)(*arguments, torch._C._cuda_getCurrentRawStream(index))
        return
    with torch.cuda.device(index):
        getattr(_device_library(), name)(*arguments, torch._C._cuda_getCurrentRawStream(index))


def _rows(tensor: torch.Tensor) -> torch.Tensor:
    """As rows x H, over the same memory; raises where the leading strides do not allow it."""
    return tensor if tensor.dim() == 2 else tensor.view(-1, tensor.shape[-1])


def _rms_norm(x: torch.Tensor, weight: Optional[torch.Tensor], epsilon: float) -> torch.Tensor:
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    if 2 <= x.dim() <= 4:
        _call(x, "rms_norm", out, x, weight, epsilon)
    else:
        _call(x, "rms_norm", _rows(out), x.reshape(-1, x.shape[-1]), weight, epsilon)
    return out


def _fused_add_rms_norm(x: torch.Tensor, residual: torch.Tensor, weight: Optional[torch.Tensor], epsilon: float) -> None:
    _call(x, "fused_add_rms_norm", _rows(x), _rows(residual), weight, epsilon)


def _rms_norm_static_fp8_quant(x: torch.Tensor, weight: Optional[torch.Tensor], scale: torch.Tensor, epsilon: float,
                               dtype: Optional[torch.dtype] = None) -> torch.Tensor:
    out = torch.empty(x.shape, dtype=dtype or torch.float8_e4m3fn, device=x.device)
    _call(x, "rms_norm_static_fp8_quant", _rows(out), _rows(x), weight, scale, epsilon)
    return out


def _fused_add_rms_norm_static_fp8_quant(x: torch.Tensor, residual: torch.Tensor, weight: Optional[torch.Tensor],
                                         scale: torch.Tensor, epsilon: float,
                                         dtype: Optional[torch.dtype] = None) -> torch.Tensor:
    out = torch.empty(x.shape, dtype=dtype or torch.float8_e4m3fn, device=x.device)
    _call(x, "fused_add_rms_norm_static_fp8_quant", _rows(out), _rows(x), _rows(residual), weight, scale, epsilon)
    return out


def _row_scaled(x: torch.Tensor, dtype: Optional[torch.dtype]) -> "tuple[torch.Tensor, torch.Tensor]":
    return (torch.empty(x.shape, dtype=dtype or torch.float8_e4m3fn, device=x.device),
            torch.empty((*x.shape[:-1], 1), dtype=torch.float32, device=x.device))


def _rms_norm_dynamic_quant(x: torch.Tensor, weight: Optional[torch.Tensor], epsilon: float, dtype: Optional[torch.dtype] = None,
                            scale_ub: Optional[torch.Tensor] = None) -> "tuple[torch.Tensor, torch.Tensor]":
    out, scales = _row_scaled(x, dtype)
    tensors = {"out": _rows(out), "scales": _rows(scales), "x": _rows(x), "weight": weight, "scale_ub": scale_ub}
    _call(x, "call", "rms_norm_dynamic_quant", tensors, epsilon)
    return out, scales


def _fused_add_rms_norm_dynamic_quant(x: torch.Tensor, residual: torch.Tensor, weight: Optional[torch.Tensor],
                                      epsilon: float, dtype: Optional[torch.dtype] = None,
                                      scale_ub: Optional[torch.Tensor] = None) -> "tuple[torch.Tensor, torch.Tensor]":
    out, scales = _row_scaled(x, dtype)
    tensors = {"out": _rows(out), "scales": _rows(scales), "x": _rows(x), "residual": _rows(residual), "weight": weight,
               "scale_ub": scale_ub}
    _call(x, "call", "fused_add_rms_norm_dynamic_quant", tensors, epsilon)
    return out, scales


# What torch.compile needs to know: shapes, strides and dtypes, without a launch.
def _like_x(x: torch.Tensor, weight: Optional[torch.Tensor], epsilon: float) -> torch.Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _nothing(x: torch.Tensor, residual: torch.Tensor, weight: Optional[torch.Tensor], epsilon: float) -> None:
    return None


def _quantized(x: torch.Tensor, weight: Optional[torch.Tensor], scale: torch.Tensor, epsilon: float,
               dtype: Optional[torch.dtype] = None) -> torch.Tensor:
    return x.new_empty(x.shape, dtype=dtype or torch.float8_e4m3fn)


def _fused_quantized(x: torch.Tensor, residual: torch.Tensor, weight: Optional[torch.Tensor], scale: torch.Tensor,
                     epsilon: float, dtype: Optional[torch.dtype] = None) -> torch.Tensor:
    return x.new_empty(x.shape, dtype=dtype or torch.float8_e4m3fn)


def _dynamically_quantized(x: torch.Tensor, weight: Optional[torch.Tensor], epsilon: float,
                           dtype: Optional[torch.dtype] = None, scale_ub: Optional[torch.Tensor] = None
                           ) -> "tuple[torch.Tensor, torch.Tensor]":
    return x.new_empty(x.shape, dtype=dtype or torch.float8_e4m3fn), x.new_empty((*x.shape[:-1], 1), dtype=torch.float32)


def _fused_dynamically_quantized(x: torch.Tensor, residual: torch.Tensor, weight: Optional[torch.Tensor], epsilon: float,
                                 dtype: Optional[torch.dtype] = None, scale_ub: Optional[torch.Tensor] = None
                                 ) -> "tuple[torch.Tensor, torch.Tensor]":
    return _dynamically_quantized(x, weight, epsilon, dtype)


_OPERATIONS = (
    ("rms_norm(Tensor x, Tensor? weight, float epsilon) -> Tensor", _rms_norm, _like_x),
    ("fused_add_rms_norm(Tensor(a!) x, Tensor(b!) residual, Tensor? weight, float epsilon) -> ()",
     _fused_add_rms_norm, _nothing),
    ("rms_norm_static_fp8_quant(Tensor x, Tensor? weight, Tensor scale, float epsilon, ScalarType? dtype=None) -> Tensor",
     _rms_norm_static_fp8_quant, _quantized),
    ("fused_add_rms_norm_static_fp8_quant(Tensor x, Tensor(a!) residual, Tensor? weight, Tensor scale, float epsilon, "
     "ScalarType? dtype=None) -> Tensor", _fused_add_rms_norm_static_fp8_quant, _fused_quantized),
    ("rms_norm_dynamic_quant(Tensor x, Tensor? weight, float epsilon, ScalarType? dtype=None, Tensor? scale_ub=None) -> (Tensor, Tensor)",
     _rms_norm_dynamic_quant, _dynamically_quantized),
    ("fused_add_rms_norm_dynamic_quant(Tensor x, Tensor(a!) residual, Tensor? weight, float epsilon, "
     "ScalarType? dtype=None, Tensor? scale_ub=None) -> (Tensor, Tensor)", _fused_add_rms_norm_dynamic_quant, _fused_dynamically_quantized))

if hasattr(torch.library, "register_fake") and hasattr(torch, "float8_e4m3fn"):
    _library = torch.library.Library("normproof", "DEF")
    for _schema, _function, _meta in _OPERATIONS:
        _library.define(_schema)
        _name = _schema.partition("(")[0]
        _library.impl(_name, _function, "CPU")
        _library.impl(_name, _function, "CUDA")
        torch.library.register_fake(f"normproof::{_name}", _meta, lib=_library)
    rms_norm = torch.ops.normproof.rms_norm.default
    fused_add_rms_norm = torch.ops.normproof.fused_add_rms_norm.default
    rms_norm_static_fp8_quant = torch.ops.normproof.rms_norm_static_fp8_quant.default
    fused_add_rms_norm_static_fp8_quant = torch.ops.normproof.fused_add_rms_norm_static_fp8_quant.default
    rms_norm_dynamic_quant = torch.ops.normproof.rms_norm_dynamic_quant.default
    fused_add_rms_norm_dynamic_quant = torch.ops.normproof.fused_add_rms_norm_dynamic_quant.default
else:
    def __getattr__(name: str) -> Any:
        raise AttributeError(f"normproof.torch.{name}: torch 2.4 or newer is needed for the ops, this is {torch.__version__}")
