"""Norms that quantize by blocks: numpy functions with the conversions of ml_dtypes, which share nothing with the judge, conform; wrong
ones do not; files, layouts, arguments, and the page's own example."""
import json
import pathlib
import re

import ml_dtypes
import numpy
import pytest

import normproof
from normproof import Takes
from normproof.testing import ConformanceError, assert_conforms

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
F = numpy.float32
PAGE = pathlib.Path(__file__).parents[2] / "docs" / "howto" / "block-quantization.md"


def normalized(x, weight, epsilon, rounded=True):
    f = x.astype(F)
    y = f * (F(1) / numpy.sqrt((f * f).mean(-1, keepdims=True, dtype=F) + F(epsilon)))
    y = y if weight is None else y * weight.astype(F)
    return y.astype(x.dtype).astype(F) if rounded else y


def in_blocks(y, size):
    """Rows cut into blocks, the last one filled with zeros, which change no maximum."""
    missing = -y.shape[-1] % size
    return numpy.pad(y, [(0, 0)] * (y.ndim - 1) + [(0, missing)]).reshape(*y.shape[:-1], -1, size)


def joined(blocks, hidden):
    return blocks.reshape(*blocks.shape[:-2], -1)[..., :hidden]


def clamped(values, dtype):
    most = F(ml_dtypes.finfo(dtype).max)
    return numpy.clip(values, -most, most).astype(dtype)


def packed(values):
    """Numbers of four bits, two to a byte; what ml_dtypes makes of NaN is not what conversions of GPUs make."""
    codes = clamped(values, ml_dtypes.float4_e2m1fn).view("u1")
    codes = numpy.where(numpy.isnan(values), 7, codes).astype("u1")
    return codes[..., ::2] | codes[..., 1::2] << 4


def fp8_blocks(x, weight, epsilon, size=128):
    y = in_blocks(normalized(x, weight, epsilon), size)
    scales = numpy.maximum(abs(y).max(-1), F(1e-4)) / F(448)
    return clamped(joined(y * (F(1) / scales[..., None]), x.shape[-1]), ml_dtypes.float8_e4m3fn), scales


def ue8m0_blocks(x, weight, epsilon):
    y = in_blocks(normalized(x, weight, epsilon), 128)
    quotient = numpy.maximum(abs(y).max(-1), F(1e-4)) / F(448)
    mantissa, exponent = numpy.frexp(quotient)
    exponent = numpy.where(mantissa == 0.5, exponent - 1, exponent)
    scales = numpy.where(numpy.isnan(quotient), F(numpy.nan), numpy.ldexp(F(1), exponent))
    stored = scales.astype(ml_dtypes.float8_e8m0fnu)
    return clamped(joined(y / stored.astype(F)[..., None], x.shape[-1]), ml_dtypes.float8_e4m3fn), stored


def int8_blocks(x, weight, epsilon):
    y = in_blocks(normalized(x, weight, epsilon), 64)
    scales = numpy.maximum(abs(y).max(-1) / F(127), F(2.0 ** -23))
    codes = numpy.rint(numpy.clip(joined(y * (F(1) / scales[..., None]), x.shape[-1]), -128, 127))
    return numpy.where(numpy.isnan(codes), 0, codes).astype("i1"), scales


def mxfp4(x, weight, epsilon):
    y = in_blocks(normalized(x, weight, epsilon), 32)
    a = abs(y).max(-1)
    scales = numpy.clip((a.view("u4") >> 23).astype("i4") - 2, 0, 254)
    scales = numpy.where(numpy.isnan(a), 255, scales).astype("u1")
    factor = numpy.where(scales == 255, F(numpy.nan), numpy.ldexp(F(1), 127 - scales.astype("i4")))
    return packed(joined(y * factor[..., None], x.shape[-1])), scales


def nvfp4(x, weight, global_scale, epsilon):
    y = in_blocks(normalized(x, weight, epsilon), 16)
    g = F(global_scale[0])
    scales = numpy.minimum(g * (abs(y).max(-1) / F(6)), F(448)).astype(ml_dtypes.float8_e4m3fn)
    s = scales.astype(F)
    factor = numpy.where(s == 0, F(0), F(1) / (s * (F(1) / g)))
    return packed(joined(y * factor[..., None], x.shape[-1])), scales


HONEST = [
    ("rms_norm_block_quant", fp8_blocks, "deepgemm.rms_norm_block_quant"),
    ("rms_norm_block_quant", ue8m0_blocks, "weight=fp32,scale_type=ue8m0_ceil,scale_floor=maximum_1e-4"),
    ("rms_norm_block_quant", int8_blocks, "weight=fp32,group_size=64"),
    ("rms_norm_mx_quant", mxfp4, "ocp.rms_norm_mx_quant"),
    ("rms_norm_nvfp4_quant", nvfp4, "vllm_reference.rms_norm_nvfp4_quant"),
]


@pytest.mark.parametrize("operation,kernel,policy", HONEST, ids=lambda value: getattr(value, "__name__", value))
@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32"])
def test_honest_kernels_conform(operation, kernel, policy, dtype):
    found = assert_conforms(kernel, operation, dtype=dtype, policy=policy, cases=20, max_hidden=1024)
    assert found.cases == 20 and found.elements > 1000


def transposed(x, weight, epsilon):
    out, scales = fp8_blocks(x, weight, epsilon)
    return out, numpy.ascontiguousarray(scales.T).reshape(scales.shape)


def of_the_row(x, weight, epsilon):
    out, scales = fp8_blocks(x, weight, epsilon)
    return out, numpy.broadcast_to(scales[..., :1], scales.shape)


def high_nibble_first(x, weight, epsilon):
    out, scales = mxfp4(x, weight, epsilon)
    return out << 4 | out >> 4, scales


def without_global_scale(x, weight, global_scale, epsilon):
    return nvfp4(x, weight, numpy.ones(1, F), epsilon)


@pytest.mark.parametrize("operation,kernel,policy", [
    ("rms_norm_block_quant", transposed, "deepgemm.rms_norm_block_quant"),
    ("rms_norm_block_quant", of_the_row, "deepgemm.rms_norm_block_quant"),
    ("rms_norm_block_quant", fp8_blocks, "vllm.rms_norm_block_quant"),
    ("rms_norm_block_quant", int8_blocks, "weight=fp32,group_size=64,before_quantization=unrounded"),
    ("rms_norm_mx_quant", high_nibble_first, "ocp.rms_norm_mx_quant"),
    ("rms_norm_mx_quant", mxfp4, "weight=fp32"),
    ("rms_norm_nvfp4_quant", without_global_scale, "vllm_reference.rms_norm_nvfp4_quant"),
], ids=lambda value: getattr(value, "__name__", value))
def test_wrong_kernels_do_not_conform(operation, kernel, policy, tmp_path):
    with pytest.raises(ConformanceError) as caught:
        assert_conforms(kernel, operation, policy=policy, finite=True, max_hidden=2048, shrink_seconds=0.5, findings=tmp_path)
    error = caught.value
    assert "violation in" in error.result.certificate and error.reproduced
    assert not normproof.read_case(error.repro).check(policy=policy)


def example(operation="rms_norm_block_quant", hidden=512, rows=6, dtype=ml_dtypes.bfloat16):
    random = numpy.random.default_rng(1)
    x = random.standard_normal((rows, hidden)).astype(dtype)
    return x, random.standard_normal(hidden).astype(dtype)


def test_identify_names_the_layout_of_scales(program, tmp_path):
    x, weight = example()
    out, scales = fp8_blocks(x, weight, 1e-6)
    given = dict(x=x, weight=weight, epsilon=1e-6, out=out)
    found = normproof.identify("rms_norm_block_quant", **given, scales=scales)
    assert any(name.startswith("deepgemm.rms_norm_block_quant ") for name in found.names), found.text
    for other in (scales.T.copy(), numpy.pad(scales.T, [(0, 0), (0, 2)])):  # by columns, and padded for TMA
        assert normproof.check("rms_norm_block_quant", **given, scales=other, policy="deepgemm.rms_norm_block_quant")
    wrong = scales.T.copy().reshape(scales.shape)
    result = normproof.check("rms_norm_block_quant", **given, scales=wrong, policy="deepgemm.rms_norm_block_quant")
    assert not result and "scale of block" in result.certificate and result.not_looked_at
    found = normproof.identify("rms_norm_block_quant", **given, scales=wrong)
    assert found and all("scale_layout=column_major" in policy for policy in found.survivors), found.text
    dump, verdict = tmp_path / "dump.safetensors", tmp_path / "verdict.json"
    normproof.write_dump(dump, "rms_norm_block_quant", **given, scales=scales, policy="deepgemm.rms_norm_block_quant")
    assert program("check", dump)[0] == 0
    normproof.write_dump(dump, "rms_norm_block_quant", **given, scales=wrong, policy="deepgemm.rms_norm_block_quant")
    status, text = program("check", dump, "--json", verdict)
    assert status == 1 and "scale of block" in text
    assert json.loads(verdict.read_text())["files"][0]["operation"] == "rms_norm_block_quant"
    assert program("check", dump, "--policy", "group_size=100")[0] == 2


def test_more_outputs_and_numbers():
    x, weight = example()
    y = normalized(x, weight, 1e-6).astype(x.dtype)
    out, scales = fp8_blocks(x, weight, 1e-6)
    given = dict(x=x, weight=weight, epsilon=1e-6, out=out, scales=scales, policy="deepgemm.rms_norm_block_quant")
    assert normproof.check("rms_norm_block_quant", **given, normalized=y)
    y.view("u2")[2, 7] ^= 1
    result = normproof.check("rms_norm_block_quant", **given, normalized=y)
    assert not result and "column 7 of normalized" in result.certificate and result.row == 2
    assert normproof.check("rms_norm_block_quant", **given, scale_ub=1e6)
    assert not normproof.check("rms_norm_block_quant", **given, scale_ub=0.5)


def test_arguments_are_refused_by_name():
    x, weight = example()
    out, scales = fp8_blocks(x, weight, 1e-6)
    given = dict(x=x, weight=weight, epsilon=1e-6, out=out, scales=scales)
    for operation, error, message, other in (
            ("rms_norm_block_quant", ValueError, r"scales: expected one for each row and block .*\[rows, blocks\].*got shape \(3, 4\)", dict(scales=scales[:3])),
            ("rms_norm_block_quant", ValueError, "scales: 3 blocks of 512 elements leave", dict(scales=scales[:, :3])),
            ("rms_norm_block_quant", TypeError, "out: expected dtype fp8_e4m3fn or .* got bf16", dict(out=x)),
            ("rms_norm_block_quant", ValueError, "scale_ub: expected a finite number above 0, got -1", dict(scale_ub=-1.0)),
            ("rms_norm_block_quant", TypeError, "global_scale: rms_norm_block_quant has none", dict(global_scale=1.0)),
            ("rms_norm_block_quant", ValueError, "scales: a scale in a byte", dict(scales=numpy.zeros((6, 4), "u1"))),
            ("rms_norm_nvfp4_quant", TypeError, "global_scale: rms_norm_nvfp4_quant needs it", dict(out=numpy.zeros((6, 256), "u1"))),
            ("rms_norm_mx_quant", ValueError, r"out: expected shape \(6, 256\), two elements of x in a byte", dict(out=numpy.zeros((6, 512), "u1")))):
        with pytest.raises(error, match=message):
            normproof.check(operation, **(given | other))


def test_the_example_of_the_page():
    source = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names = {}
    exec(source.group(1), names)
    assert names["found"].cases == 100
    wrong = source.group(1).replace("numpy.float32(448)", "numpy.float32(240)")
    with pytest.raises(ConformanceError):
        exec(wrong.replace("found = assert_conforms(", "assert_conforms(").replace("policy=", "shrink=False, policy="), {})
    assert Takes(hidden_multiple=128)


def test_tensors_of_torch():
    torch = pytest.importorskip("torch")

    def blocks(x, weight, epsilon):
        f = x.float()
        y = (f * torch.rsqrt(f.square().mean(-1, keepdim=True) + epsilon) * weight.float()).to(x.dtype).float()
        y = y.reshape(*x.shape[:-1], -1, 128)
        scales = y.abs().amax(-1).clamp(1e-4) / 448
        return (y * (1 / scales[..., None])).to(torch.float8_e4m3fn).reshape(x.shape), scales

    assert_conforms(blocks, "rms_norm_block_quant", tensors="torch", policy="deepgemm.rms_norm_block_quant", cases=10, finite=True,
                    takes=Takes(hidden_multiple=128))
    x, weight = example()
    out, scales = ue8m0_blocks(x, weight, 1e-6)
    policy = "weight=fp32,scale_type=ue8m0_ceil,scale_floor=maximum_1e-4"
    stored = torch.from_numpy(scales.view("u1"))
    for given in (stored, stored.view(torch.float8_e8m0fnu) if hasattr(torch, "float8_e8m0fnu") else stored, scales):
        assert normproof.check("rms_norm_block_quant", x=x, weight=weight, epsilon=1e-6, out=out, scales=given, policy=policy)
    codes, stored = mxfp4(x, weight, 1e-6)
    codes = torch.from_numpy(codes)
    for given in (codes, codes.view(torch.float4_e2m1fn_x2) if hasattr(torch, "float4_e2m1fn_x2") else codes):
        assert normproof.check("rms_norm_mx_quant", x=x, weight=weight, epsilon=1e-6, out=given, scales=stored, policy="ocp.rms_norm_mx_quant")


def test_identify_looks_at_the_first_rows():
    x, weight = example(rows=40)
    out, scales = fp8_blocks(x, weight, 1e-6)
    out[30:] = 0
    for given in (scales, scales.T.copy()):
        found = normproof.identify("rms_norm_block_quant", x=x, weight=weight, epsilon=1e-6, out=out, scales=given, rows=20)
        assert found and found.rows == 20, found.text
        assert not normproof.identify("rms_norm_block_quant", x=x, weight=weight, epsilon=1e-6, out=out, scales=given)


def swizzled(scales):
    """As cuBLAS and CUTLASS want them, by the reshapes of vLLM's reference."""
    rows, blocks = scales.shape
    padded = numpy.zeros((rows + -rows % 128, blocks + -blocks % 4), scales.dtype)
    padded[:rows, :blocks] = scales
    tiles = padded.reshape(padded.shape[0] // 128, 4, 32, padded.shape[1] // 4, 4)
    return numpy.ascontiguousarray(tiles.transpose(0, 3, 2, 1, 4)).reshape(padded.shape)


@pytest.mark.parametrize("rows,hidden", [(6, 512), (128, 128), (150, 224)])
def test_swizzled_scales(rows, hidden):
    x, weight = example(hidden=hidden, rows=rows)
    out, scales = mxfp4(x, weight, 1e-6)
    g = numpy.array([512], F)
    codes, of_codes = nvfp4(x, weight, g, 1e-6)
    for operation, given, stored, policy in (
            ("rms_norm_mx_quant", dict(out=out), scales, "ocp.rms_norm_mx_quant"),
            ("rms_norm_nvfp4_quant", dict(out=codes, global_scale=g), of_codes, "vllm_reference.rms_norm_nvfp4_quant")):
        given |= dict(x=x, weight=weight, epsilon=1e-6)
        assert normproof.check(operation, **given, scales=stored, policy=policy)
        for shape in (swizzled(stored).shape, (-1,)):
            stored_so = swizzled(stored).reshape(shape)
            assert normproof.check(operation, **given, scales=stored_so, policy=policy + ",scale_layout=swizzled_128x4")
            if stored_so.shape != stored.shape:  # the shape says it
                assert normproof.check(operation, **given, scales=stored_so, policy=policy)
        padded = numpy.zeros_like(swizzled(stored))
        padded[:rows, :stored.shape[1]] = stored  # where the swizzle is left out
        assert not normproof.check(operation, **given, scales=padded, policy=policy + ",scale_layout=swizzled_128x4")
