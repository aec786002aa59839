#!/usr/bin/env python3
"""PyTorch's RMSNorms beside these kernels, in one process: time and bits.

F.rms_norm, torch.compile of the native spec (default and max-autotune) and the kernels through their C interface, bf16,
CUDA-graph replay, medians. `agrees` is the share of elements that equal the native spec, computed step by step by eager
PyTorch with the row's inverse RMS in fp64 rounded to fp32.

Usage: compare_torch.py LIBKERNELS_CUDA [--json FILE]
"""
import argparse
import collections
import ctypes
import json
import statistics
import sys

import torch
import torch.nn.functional as F

SHAPES = [(1, 4096), (1, 8192), (128, 4096), (8192, 1024), (8192, 2048), (8192, 4096), (8192, 5120), (8192, 7168),
          (8192, 8192), (8192, 16384)]
EPSILON = 1e-6
COLD_BYTES = 256 << 20  # of buffers that a graph goes through, several times the L2 cache


class Tensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("dtype", ctypes.c_int32), ("rank", ctypes.c_int32),
                ("sizes", ctypes.c_int64 * 4), ("strides", ctypes.c_int64 * 4)]


class Message(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("capacity", ctypes.c_size_t)]


def describe(tensor):
    rank = tensor.dim()
    return Tensor(tensor.data_ptr(), 2, rank, (ctypes.c_int64 * 4)(*tensor.shape), (ctypes.c_int64 * 4)(*tensor.stride()))


class Kernels:
    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        pointer = ctypes.c_void_p
        self.library.normproof_rms_norm.argtypes = [pointer, pointer, pointer, ctypes.c_float, pointer, pointer, pointer,
                                                    Message]

    def rms_norm(self, x, weight, out):
        text = ctypes.create_string_buffer(512)
        status = self.library.normproof_rms_norm(
            ctypes.byref(describe(out)), ctypes.byref(describe(x)), ctypes.byref(describe(weight)), EPSILON, None,
            torch.cuda.current_stream().cuda_stream, None, Message(ctypes.cast(text, ctypes.c_char_p), 512))
        if status != 0:
            raise RuntimeError(text.value.decode())


def native(x, weight):
    """The native-dtype spec as an engine would write it."""
    wide = x.float()
    variance = wide.pow(2).mean(dim=-1, keepdim=True)
    return (wide * torch.rsqrt(variance + EPSILON)).to(weight.dtype) * weight


def exact_native(x, weight):
    inverse_rms = torch.rsqrt(x.double().pow(2).mean(dim=-1, keepdim=True) + EPSILON).float()
    return (x.float() * inverse_rms).to(weight.dtype) * weight


def graph_time(call, sets):
    """Microseconds per call, the median of graph replays. Results that a call allocates are kept as long as the buffers of
    a set: given back at once, the next call would write into the same memory, which the L2 cache still holds."""
    results = collections.deque(maxlen=sets)
    for index in range(sets):
        results.append(call(index))
    torch.cuda.synchronize()
    launches = max(sets, 20 // sets * sets)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for launch in range(launches):
            results.append(call(launch % sets))
    times = []
    for _ in range(11):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e3 / launches)
    return statistics.median(times[2:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library")
    parser.add_argument("--json")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("compare_torch: PyTorch sees no GPU", file=sys.stderr)
        return 3
    kernels = Kernels(options.library)
    torch.manual_seed(1)
    rows = []
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, bf16, microseconds per call (share of elements "
          "that agree with the native spec)")
    for tokens, hidden in SHAPES:
        bytes_per_set = tokens * hidden * 2 * 2
        sets = 1 if tokens < 1024 else max(2, COLD_BYTES // bytes_per_set + 1)
        inputs = [torch.randn(tokens, hidden, device="cuda", dtype=torch.bfloat16) for _ in range(sets)]
        outputs = [torch.empty_like(inputs[0]) for _ in range(sets)]
        weight = (1 + 0.1 * torch.randn(hidden, device="cuda")).to(torch.bfloat16)
        wanted = exact_native(inputs[0], weight)
        torch._dynamo.reset()
        compiled = torch.compile(native, dynamic=False)
        tuned = torch.compile(native, dynamic=False, mode="max-autotune-no-cudagraphs")
        ways = {
            "copy": lambda i: outputs[i].copy_(inputs[i]),
            "normproof": lambda i: kernels.rms_norm(inputs[i], weight, outputs[i]),
            "F.rms_norm": lambda i: F.rms_norm(inputs[i], (hidden,), weight, EPSILON),
            "compile": lambda i: compiled(inputs[i], weight),
            "max-autotune": lambda i: tuned(inputs[i], weight),
        }
        row = {"tokens": tokens, "hidden": hidden, "cold": sets > 1}
        for name, call in ways.items():
            result = call(0)
            if name == "normproof":
                result = outputs[0].clone()
            if name != "copy":
                row[name + " agrees"] = (result == wanted).float().mean().item()
            row[name + " us"] = graph_time(call, sets)
        rows.append(row)
        print(f"{tokens:>6} x {hidden:<6} {'cold' if sets > 1 else 'hot ':<5} copy {row['copy us']:8.2f}  " + "  ".join(
            f"{name} {row[name + ' us']:8.2f} ({row[name + ' agrees']:.4%})" for name in ways if name != "copy"),
              flush=True)
    slower = [row for row in rows if row["normproof us"] > 1.01 * row["max-autotune us"]]
    for row in slower:
        print(f"EXCEPTION {row['tokens']} x {row['hidden']}: slower than max-autotune, {row['normproof us']:.2f} and "
              f"{row['max-autotune us']:.2f} us")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"device": torch.cuda.get_device_name(), "torch": torch.__version__, "rows": rows}, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
