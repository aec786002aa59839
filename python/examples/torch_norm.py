#!/usr/bin/env python3
"""torch.nn.functional.rms_norm: whose arithmetic is it? On the CPU, or on the device that is named.

Usage: torch_norm.py [DEVICE]
"""
import sys

import torch.nn.functional

import normproof
from normproof.testing import assert_conforms

device = sys.argv[1] if len(sys.argv) > 1 else "cpu"


def rms_norm(x, weight, epsilon):
    return torch.nn.functional.rms_norm(x, x.shape[-1:], weight, epsilon)


x, weight = torch.randn(64, 2048, dtype=torch.bfloat16, device=device), torch.rand(2048, device=device).bfloat16()
print(normproof.identify("rms_norm", x=x, weight=weight, out=rms_norm(x, weight, 1e-6), epsilon=1e-6))
print(assert_conforms(rms_norm, "rms_norm", policy="weight=fp32", tensors=f"torch:{device}", finite=True))
