#!/usr/bin/env python3
"""The bugs that judged_plugin.cpp and quantizing_plugin.cpp have on demand, and after how many calls `verify` finds each with
its defaults.

Usage: planted_bugs.py NORMPROOF PLUGIN [--seeds N] [--table]    prints a line for each; with --table the rows of the page
PLUGIN is libjudged_plugin.so or libquantizing_plugin.so: the bugs are those of the one that is named.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

# Name, operation, what is planted, where it is from: the kinds of the bug catalogue (B...), or a report.
BUGS = [
    ("variance-over-h-minus-1", "layer_norm", "variance divided by H - 1", "torch.var's default"),
    ("eps-outside-root", "layer_norm", "1 / (sqrt(variance) + eps)", "B8"),
    ("eps-twice", "layer_norm", "eps added twice", ""),
    ("eps-hardcoded", "layer_norm", "eps is 1e-5, whatever the call says", "B8"),
    ("eps-of-the-first-call", "layer_norm", "eps of the first call is kept", "B9"),
    ("mean-in-16-bits", "layer_norm", "mean rounded to bf16", "B6"),
    ("variance-in-16-bits", "layer_norm", "squared deviations added up in T", "B6"),
    ("rstd-in-16-bits", "layer_norm", "rstd rounded to bf16", "B7"),
    ("mean-of-previous-row", "layer_norm", "the mean of the row before", "B17"),
    ("tail-not-summed", "layer_norm", "elements beyond a multiple of 8 are not in the mean", "B15"),
    ("beyond-512-not-summed", "layer_norm", "elements beyond a multiple of 512 are not in the mean", "B41"),
    ("bias-dropped-in-last-vector", "layer_norm", "no bias in the last vector of 8", "B15"),
    ("weight-shifted", "layer_norm", "the weight of the next column", ""),
    ("one-pass-absolute", "layer_norm", "the absolute value of E[x^2] - E[x]^2", "burn#5607"),
    ("one-pass-clamped-to-eps", "layer_norm", "one-pass variance, at least eps, and eps added", "onnxruntime#31973"),
    ("truncated", "layer_norm", "bf16 outputs truncated", "B5"),
    ("nan-swallowed", "layer_norm", "NaN becomes 0", "B21"),
    ("rstd-stored-as-variance", "layer_norm", "the variance stored as rstd", ""),
    ("mean-not-stored", "layer_norm", "mean is not written", "B25"),
    ("last-row-skipped", "layer_norm", "the last row is not written", ""),
    ("rows-rounded-up", "layer_norm", "rows rounded up to a multiple of 4", "B40"),
    ("rows-in-16-bits", "layer_norm", "row count in 16 bits", "B37"),
    ("store-beyond-row", "layer_norm", "one element stored beyond each row", "B15"),
    ("gaps-ignored", "layer_norm", "row * H in place of row * stride for x", "B12"),
    ("scratch-in-out", "layer_norm", "out holds a first pass while x is still read: wrong in place", "B24"),
    ("crash-at-513", "layer_norm", "a segmentation fault at H = 513", "B16"),
    ("sum-not-rounded", "fused_add_layer_norm", "the unrounded sum is normalized", "B3"),
    ("residual-added-after-norm", "fused_add_layer_norm", "the residual is added to the normalized row", ""),
    ("residual-out-not-written", "fused_add_layer_norm", "residual_out is not written", "B25"),
    ("normalized-rounded", "fused_add_layer_norm", "the normalized value rounded to T", ""),
    ("c1-dropped", "rms_norm_backward", "dx without its correction term", ""),
    ("c1-not-a-mean", "rms_norm_backward", "the correction's sum is not divided by H", ""),
    ("dresidual-dropped", "rms_norm_backward", "dresidual is not added", ""),
    ("dweight-in-16-bits", "rms_norm_backward", "dweight added up in T from row to row", "[PyTorch on CPUs](howto/layer-norm-and-backward.md#what-real-implementations-do)"),
    ("dweight-of-x", "rms_norm_backward", "dweight of x in place of the normalized x", ""),
    ("row-dropped-in-dweight", "rms_norm_backward", "the last row is not in dweight", ""),
    ("c2-dropped", "layer_norm_backward", "dx without the mean of the gradient", ""),
    ("dbias-is-dweight", "layer_norm_backward", "dweight written as dbias", "torch-xpu-ops#4790"),
    ("own-statistics-without-eps", "rms_norm_backward", "eps is not added to statistics that the kernel computes itself", "B8"),
    ("own-root-in-16-bits", "rms_norm_backward", "rstd that the kernel computes itself, rounded to bf16", "B7"),
    ("own-mean-in-16-bits", "layer_norm_backward", "a mean that the kernel computes itself, rounded to bf16", "B6"),
    ("interleaved", "qk_norm_rope", "pairs (2i, 2i + 1) in place of (i, i + R/2)", ""),
    ("cos-sin-swapped", "qk_norm_rope", "cos and sin exchanged", ""),
    ("sine-negated", "qk_norm_rope", "rotated backwards", ""),
    ("tail-rotated", "qk_norm_rope", "elements beyond the rotated ones are rotated as well", "vllm#43676, #53115"),
    ("norm-over-all-heads", "qk_norm_rope", "one norm over all heads of a token", ""),
    ("norm-rounded", "qk_norm_rope", "the norm rounded to T before it is rotated", ""),
    ("scale-of-the-row", "rms_norm_block_quant", "one scale for all blocks of a row", ""),
    ("last-of-block-not-looked-at", "rms_norm_block_quant", "the last element of a block is not in its maximum", "B15"),
    ("no-least-scale", "rms_norm_block_quant", "no least scale: 0 / 0 in a block of zeros", "B22, B30"),
    ("codes-truncated", "rms_norm_block_quant", "codes truncated in place of rounded", "B5"),
    ("fp8-not-clamped", "layer_norm_static_fp8_quant", "what is beyond the largest number becomes NaN", "B18"),
    ("multiplied-by-scale", "layer_norm_static_fp8_quant", "y * scale", "B19"),
    ("fp8-range-240", "layer_norm_static_fp8_quant", "clamped to 240, the largest number of e4m3fnuz", "B20"),
    ("fp8-by-way-of-bf16", "layer_norm_static_fp8_quant", "rounded to bf16 on the way to fp8", "B32"),
    ("fp8-truncated", "layer_norm_static_fp8_quant", "fp8 codes truncated in place of rounded", "B5"),
    ("codes-of-unrounded", "layer_norm_static_fp8_quant", "codes of the unrounded y", "B4"),
    ("nan-code-is-zero", "layer_norm_static_fp8_quant", "the code of NaN is 0", "B21"),
    ("scale-of-the-first-row", "layer_norm_dynamic_quant", "the scale of the first row for all rows", ""),
    ("largest-without-sign", "layer_norm_dynamic_quant", "max(y) in place of max \\|y\\|", ""),
    ("int8-range-128", "layer_norm_dynamic_quant", "int8 scales of 128 in place of 127", "B20"),
    ("inverse-scale-stored", "layer_norm_dynamic_quant", "1 / scale is stored", ""),
    ("bias-after-the-scale", "layer_norm_dynamic_quant", "the bias is added after the maximum is taken", ""),
    ("gate-dropped", "gated_rms_norm", "the gate is not multiplied", ""),
    ("sigmoid-for-silu", "gated_rms_norm", "a sigmoid gate in place of silu", ""),
    ("exp-in-16-bits", "gated_rms_norm", "exp of the gate rounded to T", ""),
    ("gated-before-the-norm", "gated_rms_norm", "gated before the norm in place of after it", ""),
    ("rounded-before-the-gate", "gated_rms_norm", "the norm rounded to T before the gate", ""),
    ("gate-of-the-first-row", "gated_rms_norm", "the gate of the first row for all rows", ""),
    ("order-of-the-sign", "layer_norm", "another order of summation where the first element is negative", "seen by a relation alone"),
    ("position-of-first-token", "qk_norm_rope", "each token has the position of the first", ""),
]

BLOCKS, MX, NVFP4 = "rms_norm_block_quant", "rms_norm_mx_quant", "rms_norm_nvfp4_quant"
# Of quantizing_plugin.cpp.
QUANTIZING_BUGS = [
    ("scales-by-columns", BLOCKS, "scales stored by columns in a tensor by rows", "aiter#4506"),
    ("view-strides-ignored", BLOCKS, "a view of scales by columns written by rows, as its shape says", "aiter#4506"),
    ("scales-of-next-block", BLOCKS, "each scale stored one block ahead", ""),
    ("blocks-range-of-fn", BLOCKS, "448 in place of 240 for e4m3fnuz", "B20, vllm#50467, aiter#4102"),
    ("blocks-range-of-fnuz", BLOCKS, "240 in place of 448 for e4m3fn", "B20, sglang#30900"),
    ("maximum-of-unrounded", BLOCKS, "the maximum of the unrounded y, codes of the rounded one", "B4, TensorRT-LLM#14464"),
    ("codes-of-unrounded", BLOCKS, "codes of the unrounded y, the maximum of the rounded one", "B4, vllm#52104"),
    ("last-block-is-full", BLOCKS, "the short last block's maximum reaches into the block before", "B15"),
    ("nan-dropped", BLOCKS, "NaN is not in the maximum", "B21"),
    ("blocks-floor-1e-4", BLOCKS, "a floor of 1e-4 on the maximum, none on the scale", "B30, aiter#4288"),
    ("blocks-multiplied-by-inverse-range", BLOCKS, "a * (1 / 448) in place of a / 448", "B30"),
    ("multiplied-by-scale", BLOCKS, "y * scale", "B19, vllm#36297"),
    ("blocks-by-way-of-bf16", BLOCKS, "rounded to bf16 on the way to fp8", "B32, flashinfer#4167"),
    ("blocks-ties-away", BLOCKS, "ties away from zero", "B45"),
    ("blocks-minus-zero-of-fnuz", BLOCKS, "-0 of e4m3fnuz, which is its NaN", "B20"),
    ("mx-scales-as-floats", MX, "scales written as floats of four bytes", "vllm#51477"),
    ("mx-bias-128", MX, "a bias of 128 in place of 127", ""),
    ("mx-exponent-rounded-down", MX, "the exponent rounded down in place of up", ""),
    ("mx-range-4", MX, "4 in place of 6, the largest number of e2m1", "B20"),
    ("nibbles-high-first", MX, "the first of two codes in the high half of the byte", ""),
    ("e2m1-no-minus-zero", MX, "-0 of e2m1 is lost", ""),
    ("e2m1-ties-away", MX, "ties away from zero", "B45"),
    ("maximum-without-sign", BLOCKS, "max(y) in place of max \\|y\\|", ""),
    ("nvfp4-no-global-scale", NVFP4, "scales without the global scale", ""),
    ("nvfp4-not-divided-by-6", NVFP4, "scales not divided by 6", ""),
    ("nvfp4-scale-not-rounded", NVFP4, "codes by the scale before it is rounded to e4m3", ""),
    ("nvfp4-zero-by-zero", NVFP4, "1 / 0 in a block whose scale is 0", "B22"),
]


def bugs_of(plugin):
    return QUANTIZING_BUGS if "quantizing" in os.path.basename(plugin) else BUGS


def verify(program, plugin, fault, folder, *arguments):
    """Exit code, result and text of a run."""
    result = os.path.join(folder, "verify.json")
    done = subprocess.run([program, "verify", "--target", plugin, "--findings", os.path.join(folder, "findings"), "--json",
                           result, *arguments], capture_output=True, text=True, timeout=600, cwd=folder,
                          env={**os.environ, "NORMPROOF_FAULT": fault})
    with open(result) as file:
        return done.returncode, json.load(file), done.stdout + done.stderr


def kind_of(result):
    """'rounding violation in out', of the first finding."""
    found_by = result["findings"][0]["found_by"].split(": call ")[0]
    return found_by.split(" of ")[0] if found_by.startswith("relation ") else found_by.split(", ", 1)[1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=os.path.abspath)
    parser.add_argument("plugin", type=os.path.abspath)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    missed = 0
    for fault, operation, planted, source in bugs_of(options.plugin):
        calls, kinds = [], []
        for seed in range(1, options.seeds + 1):
            with tempfile.TemporaryDirectory() as folder:
                code, result, _ = verify(options.program, options.plugin, fault, folder, "--seed", str(seed), "--no-shrink")
            if code != 1:
                missed += 1
                continue
            calls.append(result["first_violation"]["cases"])
            kinds.append(kind_of(result))
        found = f"{min(calls)} to {max(calls)}, median {statistics.median_low(calls)}" if calls else "not found"
        kind = max(set(kinds), key=kinds.count) if kinds else ""
        if options.table:
            print(f"| {planted} | `{operation}` | {source} | {found} | {kind} |", flush=True)
        else:
            print(f"{fault}: {found} ({kind})", flush=True)
    print(f"{len(bugs_of(options.plugin))} bugs, {options.seeds} seeds, {missed} runs without a finding", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
