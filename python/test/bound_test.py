"""Bounds, tolerances and intervals."""
import json
import os
import subprocess

import ml_dtypes
import numpy
import pytest

import normproof
from normproof.testing import tolerance

BF16 = ml_dtypes.bfloat16


def test_the_bound_of_bf16():
    found = normproof.bound("rms_norm", dtype="bf16", hidden=4096)
    assert (found.ulp, found.tolerance["rtol"]) == (2, 0.0139)
    assert found.rtol == pytest.approx(1 / 72, abs=1e-9)
    pair, = found.pairs
    assert pair.attained and pair.best_rtol == pytest.approx(1 / 72, abs=1e-9)
    first, second = (json.loads(case) for case in pair.cases)
    assert first["input"] == second["input"] and first["outputs"] != second["outputs"]
    assert "assert_close(a, b, rtol=0.0139" in str(found)


def test_policies_and_what_is_known_of_the_sum():
    found = normproof.bound("rms_norm", dtype="fp32", weight=None, sum_depth=25, search=False)
    assert found.ulp < 50 and found.pairs[0].best_found is None and found.pairs[0].cases is None
    found = normproof.bound("fused_add_rms_norm", policies=["weight=fp32", "weight=fp32,sum=fp32"], search=False)
    assert [pair.ulp for pair in found.pairs] == [1, 3, 1]
    assert normproof.bound("rms_norm_static_fp8_quant", search=False).ulp == 1
    pair, = normproof.bound("rms_norm_dynamic_quant", hidden=4096).pairs
    assert pair.ulp == 1 and pair.attained and 0.013 < pair.scale_rtol < 0.015 and pair.scale_ulp > 1 << 17
    assert normproof.bound("rms_norm", hidden=64, policies="variance=activation", search=False).rtol > 0.1


def test_where_there_is_none():
    with pytest.raises(normproof.NoBoundError, match="1 \\+ w"):
        normproof.bound("rms_norm", policies=["weight=fp32", "weight=fp32_plus_one"])
    with pytest.raises(ValueError, match="1 \\+ w"):
        tolerance("rms_norm", policies=["weight=fp32", "weight=fp32_plus_one"])


def serial(x, weight, epsilon, order):
    wide = x.astype(numpy.float32)
    total = numpy.add.accumulate((wide ** 2)[:, order], axis=-1)[:, -1]
    root = (numpy.float32(1) / numpy.sqrt(total / numpy.float32(x.shape[-1]) + numpy.float32(epsilon)))[:, None]
    return ((wide * root).astype(x.dtype).astype(numpy.float32) * weight.astype(numpy.float32)).astype(x.dtype)


@pytest.mark.parametrize("dtype", [numpy.float16, BF16])
def test_two_orders_are_within_the_tolerance_and_the_intervals(dtype):
    generator = numpy.random.default_rng(5)
    x = generator.standard_normal((64, 1000)).astype(dtype)
    x[:32] = 255 / 256
    x[:32, 0] = 4096
    weight = (1 + 0.1 * generator.standard_normal(1000)).astype(dtype)
    first, second = (serial(x, weight, 1e-5, order) for order in (slice(None), slice(None, None, -1)))
    close = tolerance("rms_norm", dtype="fp16" if dtype == numpy.float16 else "bf16", hidden=1000)
    numpy.testing.assert_allclose(first.astype("f8"), second.astype("f8"), **close)
    low, high = normproof.intervals("rms_norm", x=x, weight=weight, epsilon=1e-5)
    assert low.shape == x.shape and low.dtype == dtype
    for out in (first, second):
        assert ((low <= out) & (out <= high)).all()
    wrong = numpy.nextafter(first, numpy.array(numpy.inf, dtype))
    assert not ((low <= wrong) & (wrong <= high)).all()


def test_nothing_is_said_of_rows_without_a_root():
    x = numpy.zeros((1, 4), numpy.float32)
    low, high = normproof.intervals("rms_norm", x=x, epsilon=0.0)
    assert numpy.isnan(low).all() and numpy.isnan(high).all()


def test_integers_are_two_apart_and_no_ratio():
    close = tolerance("rms_norm_dynamic_quant", quantized_dtype="int8")
    assert close == {"rtol": 0.0, "atol": 2.0}


def test_an_upper_bound_of_scales():
    arguments = {"quantized_dtype": "int8", "hidden": 64, "search": False}
    bounded, = normproof.bound("rms_norm_dynamic_quant", scale_ub=1.5, **arguments).pairs
    free, = normproof.bound("rms_norm_dynamic_quant", **arguments).pairs
    assert (bounded.ulp, bounded.scale_ulp) == (free.ulp, free.scale_ulp) and free.scale_ulp > 0
    below_the_floor, = normproof.bound("rms_norm_dynamic_quant", scale_ub=1e-5, **arguments).pairs
    assert (below_the_floor.scale_ulp, below_the_floor.scale_rtol) == (0, 0.0)
    assert tolerance("rms_norm_dynamic_quant", quantized_dtype="int8", scale_ub=1.5) == {"rtol": 0.0, "atol": 2.0}
    with pytest.raises(TypeError, match="scale_ub: rms_norm has none"):
        normproof.bound("rms_norm", scale_ub=1.0)
    with pytest.raises(ValueError, match="scale_ub: expected a number above 0, got -1"):
        normproof.bound("rms_norm_dynamic_quant", scale_ub=-1)
    with pytest.raises(normproof.NoBoundError, match="scale_floor"):
        normproof.bound("rms_norm_dynamic_quant", scale_ub=1e-5, policies=["native", "scale_floor=none"], **arguments)


def test_wrong_arguments_are_named():
    for arguments, message in (({"dtype": "fp8"}, "dtype"), ({"hidden": 0}, "hidden"), ({"weight": "fp8"}, "weight"),
                               ({"policies": []}, "policies"), ({"policies": "nobody"}, "policy"), ({"max_weight": -1}, "max_weight"),
                               ({"quantized_dtype": "int8"}, "quantized_dtype")):
        with pytest.raises(ValueError, match=message):
            normproof.bound("rms_norm", search=False, **arguments)
    with pytest.raises(TypeError, match="hidden"):
        normproof.bound("rms_norm", hidden=1.5)


@pytest.mark.skipif(not os.environ.get("NORMPROOF_PROGRAM"), reason="NORMPROOF_PROGRAM names no program")
def test_the_program_lets_both_examples_pass(tmp_path):
    for index, case in enumerate(normproof.bound("rms_norm", dtype="fp16", hidden=256).pairs[0].cases):
        file = tmp_path / f"{index}.json"
        file.write_text(case)
        run = subprocess.run([os.environ["NORMPROOF_PROGRAM"], "check", str(file)], capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
