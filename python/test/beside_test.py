"""normproof.beside: which codes of a fused kernel may legally differ. Norms are computed here, with an inverse RMS r of choice."""
import json

import kernels
import ml_dtypes
import numpy
import pytest

import normproof

BF16, FP8, FP32 = ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, numpy.float32
ROWS, HIDDEN, BLOCK, EPSILON, SCALE = 3, 8192, 128, 1e-6, 0.0117
X = numpy.random.RandomState(9).standard_normal((ROWS, HIDDEN)).astype(BF16)
OPERATIONS = {"rms_norm_static_fp8_quant": HIDDEN, "rms_norm_dynamic_quant": HIDDEN, "rms_norm_block_quant": BLOCK}


def norm(ulp, x=X):
    """y, with an r that lies so many numbers off, as another order of summation has it."""
    root = kernels.inverse_root(x.astype(FP32), EPSILON)
    return (x.astype(FP32) * (root.view("i4") + numpy.int32(ulp)).view(FP32)).astype(BF16)


def quantized(y, operation):
    """What the operation makes of y: the keywords out, and scale or scales."""
    blocks = y.astype(FP32).reshape(ROWS, -1, OPERATIONS[operation])
    scales = (abs(blocks).max(-1) / FP32(448)).astype(FP32)
    if operation == "rms_norm_static_fp8_quant":
        scales = numpy.full_like(scales, SCALE)
    codes = numpy.clip(blocks * (FP32(1) / scales)[..., None], -448, 448).astype(FP8).reshape(y.shape)
    return {"out": codes, "scale": SCALE} if operation == "rms_norm_static_fp8_quant" else {"out": codes, "scales": scales}


def call(operation, y, **more):
    return {"operation": operation, "x": X, "epsilon": EPSILON, **quantized(y, operation), **more}


NEAR, LOW, HIGH = norm(0), norm(-1200), norm(1200)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_codes_of_another_order_are_legal(operation):
    fused, own = call(operation, HIGH), quantized(NEAR, operation)
    differing = int((fused["out"].view("u1") != own["out"].view("u1")).sum())
    found = normproof.beside(**fused, unfused=NEAR)
    assert found and found.legal and not found.diagnosis and found.illegal_codes == found.illegal_scales == 0
    assert differing and (found.codes, found.codes_that_differ, found.codes_that_differ_legally) == (ROWS * HIDDEN, differing, differing)
    assert differing <= found.codes_that_may_differ < ROWS * HIDDEN / 4
    assert found.fused.conforms and found.unfused.conforming_rows == ROWS and "not looked at: how many codes" in str(found)
    first = found.first_legal_codes[0]
    assert first.fused != first.unfused and first.fused in first.reachable and f"row {first.row}, column {first.column}" in str(first)
    assert repr(found).endswith(f"legal; {differing} of {ROWS * HIDDEN} codes differ, {found.codes_that_may_differ} may>")
    # The codes of that norm instead of its numbers say the same.
    again = normproof.beside(**fused, unfused=own["out"], unfused_scales=own.get("scales"))
    assert (again.codes_that_differ, again.codes_that_may_differ) == (differing, found.codes_that_may_differ) and again


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_illegal_flip_is_named(operation):
    fused = call(operation, NEAR)
    fused["out"].view("u1")[1, 77] ^= 2
    found = normproof.beside(**fused, unfused=NEAR)
    assert not found and found.diagnosis == "1 codes are not legal" and found.illegal_codes == found.codes_that_differ == 1
    named, = found.first_illegal_codes
    assert (named.row, named.column, named.fused) == (1, 77, int(fused["out"].view("u1")[1, 77])) and named.fused not in named.reachable
    assert found.fused.conforming_rows == ROWS - 1 and found.unfused.conforms
    with pytest.raises(normproof.ViolationError, match="illegal: row 1, column 77: fused ") as caught:
        normproof.beside(**fused, unfused=NEAR, raises=True)
    assert caught.value.result == found


def test_an_illegal_scale_is_named():
    fused = call("rms_norm_block_quant", NEAR)
    fused["scales"][2, -1] = numpy.nextafter(fused["scales"][2, -1], FP32(9))
    found = normproof.beside(**fused, unfused=NEAR)
    assert not found and found.illegal_scales == found.scales_that_differ == 1 and found.codes_not_compared == BLOCK
    named, = found.first_illegal_scales
    assert (named.row, named.first_column, named.last_column) == (2, HIDDEN - BLOCK, HIDDEN - 1) and named.fused != named.unfused


def test_each_side_has_a_policy_and_a_judge():
    mixed = call("rms_norm_static_fp8_quant", LOW)
    mixed["out"][:, ::2] = quantized(HIGH, "rms_norm_static_fp8_quant")["out"][:, ::2]
    assert normproof.beside(**mixed, unfused=NEAR).diagnosis.startswith("each code is legal alone")
    fused, wrong = call("rms_norm_dynamic_quant", NEAR), NEAR.copy()
    wrong.view("u2")[0, 5] ^= 4
    assert normproof.beside(**fused, unfused=wrong).diagnosis == "the unfused outputs violate their policy"
    found = normproof.beside(**fused, unfused=NEAR, unfused_policy="weight=fp32")
    assert found and (found.fused.policy, found.unfused.policy) == ("native", "weight=fp32")
    with pytest.raises(ValueError, match="policy: "):
        normproof.beside(**fused, unfused=NEAR, unfused_policy="weight=fp33")


def test_a_residual_is_that_of_both_sides():
    residual = numpy.random.RandomState(1).standard_normal(X.shape).astype(BF16)
    total = (X.astype(FP32) + residual.astype(FP32)).astype(BF16)
    fused = call("rms_norm_static_fp8_quant", norm(1200, total), residual=residual, residual_out=total)
    fused["operation"] = "fused_add_rms_norm_static_fp8_quant"
    assert normproof.beside(**fused, unfused=norm(0, total))
    other = total.copy()
    other.view("u2")[0, 0] ^= 1
    found = normproof.beside(**fused, unfused=norm(0, total), unfused_residual_out=other)
    assert found.fused.conforms and found.diagnosis == "the unfused outputs violate their policy"


def test_what_does_not_belong_there_is_refused():
    fused = call("rms_norm_dynamic_quant", NEAR)
    for operation in ("rms_norm", "layer_norm_static_fp8_quant"):
        with pytest.raises(ValueError, match=f"operation: expected one that quantizes.*, got '{operation}'"):
            normproof.beside(**{**fused, "operation": operation}, unfused=NEAR)
    with pytest.raises(ValueError, match="operation: expected one of"):
        normproof.beside(**{**fused, "operation": "rms_nrom"}, unfused=NEAR)
    with pytest.raises(ValueError, match="unfused: its out is fp32"):
        normproof.beside(**fused, unfused=NEAR.astype(FP32))
    with pytest.raises(TypeError, match="unfused: out: expected dtype"):
        normproof.beside(**fused, unfused=NEAR.astype(numpy.float16))
    with pytest.raises(TypeError, match="unfused: scales: rms_norm has none"):
        normproof.beside(**fused, unfused=NEAR, unfused_scales=fused["scales"])
    with pytest.raises(TypeError, match="unfused: scales: rms_norm_dynamic_quant needs it"):
        normproof.beside(**fused, unfused=fused["out"])
    with pytest.raises(ValueError, match=r"unfused: out: expected shape \(3, 8192\)"):
        normproof.beside(**fused, unfused=NEAR[:2])
    with pytest.raises(ValueError, match="unfused: its codes have another dtype"):
        normproof.beside(**fused, unfused=fused["out"].astype(ml_dtypes.float8_e5m2), unfused_scales=fused["scales"])


def test_the_program_says_the_same(tmp_path, program):
    fused, files = call("rms_norm_dynamic_quant", HIGH), [tmp_path / "fused.safetensors", tmp_path / "unfused.safetensors"]
    normproof.write_dump(files[0], **fused)
    normproof.write_dump(files[1], "rms_norm", x=X, out=NEAR, epsilon=EPSILON)
    status, said = program("check", files[0], "--beside", files[1], "--json", tmp_path / "found.json")
    found = normproof.beside(**fused, unfused=NEAR)
    counts = json.loads((tmp_path / "found.json").read_text())["files"][0]["codes"]
    assert status == 0 and (counts["differ"], counts["may_differ"]) == (found.codes_that_differ, found.codes_that_may_differ)
    assert set(str(found).splitlines()[4:]) <= set(said.splitlines())
