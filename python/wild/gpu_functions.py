"""RMSNorm of PyTorch and Liger on a GPU: fn(x, weight, epsilon), for serve.py of the bridge (properties/plugin/bridge).

A library is imported when its function is first called."""
from __future__ import annotations

import functools

import torch
from torch.nn import functional

# Without it a compiled function goes over to eager code after a few shapes, and says so only in a log.
torch._dynamo.config.recompile_limit = 1 << 20
torch._dynamo.config.accumulated_recompile_limit = 1 << 20
torch._dynamo.config.fail_on_recompile_limit_hit = True


def rms_norm(x, weight, epsilon):
    return functional.rms_norm(x, (x.shape[-1],), weight, epsilon)


def llama(x, weight, epsilon):
    """As transformers' LlamaRMSNorm."""
    wide = x.to(torch.float32)
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
    normalized = wide.to(x.dtype)
    return normalized if weight is None else weight * normalized


@functools.cache
def _compiled(function, mode):
    return torch.compile(function, dynamic=False, mode=mode)


def rms_norm_compiled(x, weight, epsilon):
    return _compiled(rms_norm, None)(x, weight, epsilon)


def llama_compiled(x, weight, epsilon):
    return _compiled(llama, None)(x, weight, epsilon)


def llama_max_autotune(x, weight, epsilon):
    return _compiled(llama, "max-autotune-no-cudagraphs")(x, weight, epsilon)


def liger(x, weight, epsilon):
    from liger_kernel.ops.rms_norm import LigerRMSNormFunction

    if weight is None:
        raise NotImplementedError("it has a weight")
    return LigerRMSNormFunction.apply(x, weight, epsilon, 0.0, "llama", False)
