#!/usr/bin/env python3
"""normproof.torch on a GPU: bits against the kernels on the CPU, CUDA graphs, torch.compile, the call's overhead.

Needs torch with CUDA, the package (`pip install .`), and NORMPROOF_KERNELS_CUDA=.../libkernels_cuda.so.

Usage: torch_device_test.py [--cases 200] [--seed 1]
Ends with 0 when all is good, 1 when something differs, 3 without a GPU. The overhead is measured, not judged.
"""
import argparse
import sys
import time

import torch
import torch.nn.functional

import normproof
import normproof.torch as ops
from normproof._tensors import FRAMEWORK_NAMES

FAILURES = []


def expect(condition, what):
    if not condition:
        FAILURES.append(what)
        print(f"FAILED: {what}")


def on_device(array):
    """A numpy array as a tensor on the GPU, bit for bit."""
    if array is None:
        return None
    integers = {4: "i4", 2: "i2", 1: "u1"}[array.dtype.itemsize]
    return torch.from_numpy(array.view(integers)).view(getattr(torch, array.dtype.name)).cuda()


def called(operation, x, residual, weight, scale, epsilon, quantized):
    """out and residual_out of the op, on copies of what it works in place on."""
    if operation == "rms_norm":
        return ops.rms_norm(x, weight, epsilon), None
    if operation == "fused_add_rms_norm":
        x, residual = x.clone(), residual.clone()
        ops.fused_add_rms_norm(x, residual, weight, epsilon)
        return x, residual
    if operation == "rms_norm_static_fp8_quant":
        return ops.rms_norm_static_fp8_quant(x, weight, scale, epsilon, quantized), None
    residual = residual.clone()
    return ops.fused_add_rms_norm_static_fp8_quant(x, residual, weight, scale, epsilon, quantized), residual


def check_bits(count, seed):
    """Every op, dtype and kind of weight against the canonical judge: it accepts one output alone, up to NaN payloads."""
    cases = elements = 0
    for operation in normproof.OPERATIONS:
        for dtype in ("bf16", "fp16", "fp32"):
            for weight in ("same", "fp32", None):
                for case in normproof.cases(operation, dtype, weight=weight, count=count, seed=seed):
                    quantized = getattr(torch, FRAMEWORK_NAMES[case.quantized_dtype]) if case.quantized_dtype else None
                    scale = None if case.scale is None else torch.tensor([case.scale], device="cuda")
                    out, residual_out = called(operation, on_device(case.x), on_device(case.residual),
                                               on_device(case.weight), scale, case.epsilon, quantized)
                    result = case.check(out, residual_out, canonical=True)
                    expect(result.conforms, f"{case!r}, case {case.index} of seed {seed}: {result.certificate}")
                    cases += 1
                    elements += result.elements
    print(f"bits: {cases} cases, {elements} elements equal to the contract's, as the kernels on the CPU are")


def check_layouts():
    """Strided rows, other ranks, no rows."""
    weight = (1 + 0.1 * torch.randn(512, device="cuda")).bfloat16()
    wide = torch.randn(6, 4, 1024, device="cuda").bfloat16()
    views = [wide[..., :512], wide[..., 1:513], wide[::2, :, :512], wide[0, 0, :512], wide[:0, :, :512], wide[None, None, ..., :512]]
    for view in views:
        out = ops.rms_norm(view, weight, 1e-6)
        expect(out.shape == view.shape, f"shape {tuple(view.shape)}, got {tuple(out.shape)}")
        rows = view.reshape(-1, 512)
        wanted = normproof.run("rms_norm", x=rows, weight=weight, epsilon=1e-6).out.view("i2")
        expect(torch.equal(out.reshape(-1, 512).view(torch.int16).cpu(), torch.from_numpy(wanted)), f"bits of {tuple(view.shape)}, strides {view.stride()}")
    print(f"layouts: {len(views)} views")


def check_graph():
    """A replay computes from the new contents of its tensors."""
    x, residual = (torch.randn(128, 4096, device="cuda").bfloat16() for _ in range(2))
    weight = (1 + 0.1 * torch.randn(4096, device="cuda")).bfloat16()
    scale = torch.tensor([0.02], device="cuda")
    inputs = [x.clone(), residual.clone()]

    def all_ops():
        a, b = x.clone(), residual.clone()
        ops.fused_add_rms_norm(a, b, weight, 1e-6)
        c = residual.clone()
        return (ops.rms_norm(x, weight, 1e-6), a, b, ops.rms_norm_static_fp8_quant(x, weight, scale, 1e-6),
                ops.fused_add_rms_norm_static_fp8_quant(x, c, weight, scale, 1e-6), c)

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        all_ops()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = all_ops()
    for round_number in range(3):
        x.copy_(inputs[0] * (round_number + 1))
        residual.copy_(inputs[1] + round_number)
        graph.replay()
        replayed = [tensor.view(torch.uint8).clone() for tensor in captured]
        for index, (got, wanted) in enumerate(zip(replayed, all_ops())):
            expect(torch.equal(got, wanted.view(torch.uint8)), f"graph, replay {round_number}, output {index}")
    print("graph: 4 ops captured, 3 replays equal to eager calls")


def check_compile():
    x = torch.randn(64, 1024, device="cuda").bfloat16()
    weight = (1 + 0.1 * torch.randn(1024, device="cuda")).bfloat16()

    def function(x, weight):
        residual = x * 2
        y = x + 1
        torch.ops.normproof.fused_add_rms_norm(y, residual, weight, 1e-6)
        return torch.ops.normproof.rms_norm(residual, weight, 1e-6) + y

    compiled = torch.compile(function, fullgraph=True)
    expect(torch.equal(compiled(x, weight).view(torch.int16), function(x, weight).view(torch.int16)), "torch.compile, fullgraph")
    for op, arguments in ((ops.rms_norm, (x, weight, 1e-6)), (ops.fused_add_rms_norm, (x.clone(), x.clone(), weight, 1e-6))):
        torch.library.opcheck(op, arguments, test_utils=("test_schema", "test_faketensor"))
    # What torch.compile is told of the quantizing ones.
    scale = torch.tensor([0.02], device="cuda")
    for dtype in (None, torch.float8_e5m2):
        real = ops.rms_norm_static_fp8_quant(x, weight, scale, 1e-6, dtype)
        promised = ops.rms_norm_static_fp8_quant(x.to("meta"), weight.to("meta"), scale.to("meta"), 1e-6, dtype)
        expect((real.shape, real.dtype, real.stride()) == (promised.shape, promised.dtype, promised.stride()),
               f"the meta function of rms_norm_static_fp8_quant, {dtype}")
    print("compile: fullgraph equal to eager, meta functions agree")


def microseconds_of(call, calls=2000):
    """Host time of a call, the smallest of some rounds; the GPU's queue is empty at the start of each."""
    for _ in range(200):
        call()
    best = float("inf")
    for _ in range(10):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(calls // 10):
            call()
        best = min(best, (time.perf_counter() - begin) / (calls // 10) * 1e6)
    return best


def check_overhead():
    x = torch.randn(1, 4096, device="cuda").bfloat16()
    weight = torch.ones(4096, device="cuda").bfloat16()
    with torch.inference_mode():
        theirs = microseconds_of(lambda: torch.nn.functional.rms_norm(x, (4096,), weight, 1e-6))
        ours = microseconds_of(lambda: ops.rms_norm(x, weight, 1e-6))
    print(f"overhead: normproof {ours:.1f} us, F.rms_norm {theirs:.1f} us per call")


def check_refusals():
    x = torch.randn(2, 64, device="cuda").bfloat16()
    for arguments in ((x, torch.ones(63, device="cuda").bfloat16(), 1e-6), (x.double(), None, 1e-6), (x, torch.ones(64).bfloat16(), 1e-6)):
        try:
            ops.rms_norm(*arguments)
            expect(False, f"accepted {[getattr(value, 'dtype', value) for value in arguments]}")
        except (ValueError, TypeError, RuntimeError) as error:
            print(f"refused: {error}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=200, help="per operation, dtype and kind of weight")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("torch_device_test: PyTorch sees no GPU", file=sys.stderr)
        return 3
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}")
    check_bits(options.cases, options.seed)
    check_layouts()
    check_graph()
    check_compile()
    check_overhead()
    check_refusals()
    print(f"{len(FAILURES)} failures")
    return 1 if FAILURES else 0


if __name__ == "__main__":
    sys.exit(main())
