"""Promises about several calls: functions that keep them pass, each that breaks one fails with a pair of calls."""
import kernels
import numpy
import pytest

from normproof import Takes
from normproof.promises import (LAYOUTS, PromiseError, assert_batch_invariant, assert_deterministic,
                                assert_layout_invariant, assert_same_bits)


def rms_norm(x, weight, epsilon, backwards=False):
    """fp32, one element after the other."""
    values = x.astype("f4")
    total = numpy.zeros(len(values), "f4")
    for column in range(values.shape[1])[::-1 if backwards else 1]:
        total = total + values[:, column] * values[:, column]
    root = (1 / numpy.sqrt(total / numpy.float32(values.shape[1]) + numpy.float32(epsilon))).astype("f4")
    normalized = (values * root[:, None]).astype(x.dtype)
    return normalized if weight is None else (normalized.astype("f4") * weight.astype("f4")).astype(x.dtype)


def other_order_from(rows):
    return lambda x, weight, epsilon: rms_norm(x, weight, epsilon, backwards=len(x) >= rows)


class EverySecondCall:
    def __init__(self):
        self.calls = 0

    def __call__(self, x, weight, epsilon):
        self.calls += 1
        return rms_norm(x, weight, epsilon, backwards=self.calls % 2 == 0)


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32"])
def test_what_keeps_the_promises_passes(dtype):
    sizes = {"dtype": dtype, "hidden": (64, 512)}
    assert assert_batch_invariant(rms_norm, **sizes, batches=(1, 64, 65)).pairs > 6
    assert assert_deterministic(rms_norm, **sizes).elements > 1000
    assert assert_same_bits(rms_norm, lambda *arguments: rms_norm(*arguments), **sizes).rows > 100


def test_residuals_and_fp8():
    for function, operation in ((kernels.fused_add_rms_norm, "fused_add_rms_norm"),
                                (kernels.fused_add_rms_norm_fp8, "fused_add_rms_norm_static_fp8_quant")):
        assert assert_deterministic(function, operation, hidden=64, rows=4)
        assert assert_same_bits(function, function, operation, hidden=64)


@pytest.mark.parametrize("rows", [2, 64])
def test_an_order_that_changes_with_the_batch_is_named_with_the_smallest_pair(rows):
    with pytest.raises(PromiseError) as raised:
        assert_batch_invariant(other_order_from(rows), hidden=512, seed=5)
    first, second = raised.value.first[0], raised.value.second[0]
    assert len(first) < rows <= len(second)
    assert rows == 2 or len(second) == rows
    assert (first.view("u2") == second[:len(first)].view("u2")).all()
    for part in ("not batch invariant", "seed 5", "again: assert_batch_invariant(", "column"):
        assert part in str(raised.value)
    assert_deterministic(other_order_from(rows), hidden=512)


def test_upper_bounds_of_scales_are_among_the_calls():
    seen = []

    def other_scales(x, weight, scale_ub, epsilon, wrong=True):
        codes, scales = kernels.row_int8(x, weight, scale_ub, epsilon)
        seen.append(scale_ub)
        return codes, scales * numpy.float32(1 + 2**-20) if wrong and scale_ub is not None and len(x) > 4 else scales

    arguments = {"quantized_dtype": "int8", "seed": 3, "takes": Takes(scale_ub=True), "batches": (1, 8)}
    op = "rms_norm_dynamic_quant"
    assert_batch_invariant(lambda *each: other_scales(*each, wrong=False), op, hidden=(256, 512), **arguments)
    assert set(seen) == {16.0, None}
    assert_batch_invariant(other_scales, op, hidden=512, **arguments)
    with pytest.raises(PromiseError, match=r"x of shape \(1, 256\) and \(8, 256\), scale_ub 16.0, seed 3\n  scales\[row 0"):
        assert_batch_invariant(other_scales, op, hidden=(512, 256), **arguments)
    # Some rows reach it and others do not.
    taken = []

    def kept(x, weight, scale_ub, epsilon):
        taken.append(kernels.row_int8(x, weight, scale_ub, epsilon)[1])
        return kernels.row_int8(x, weight, scale_ub, epsilon)
    assert_batch_invariant(kept, op, hidden=256, **arguments)
    above = taken[1] == numpy.float32(16) / numpy.float32(127)
    assert above.any() and not above.all()


def test_an_order_that_changes_from_call_to_call_is_not_deterministic():
    with pytest.raises(PromiseError, match="call 2 differs from call 1"):
        assert_deterministic(EverySecondCall(), hidden=512)


def test_two_orders_do_not_give_the_same_bits():
    with pytest.raises(PromiseError, match="give other bits"):
        assert_same_bits(rms_norm, lambda x, weight, epsilon: rms_norm(x, weight, epsilon, True), hidden=512)


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32"])
def test_what_ignores_the_layout_passes(dtype):
    compared = assert_layout_invariant(lambda x, weight, epsilon: rms_norm(x.reshape(-1, x.shape[-1]), weight, epsilon).reshape(
        x.shape), dtype=dtype, hidden=(7, 256))
    assert compared.pairs == 2 * 3 * len(LAYOUTS)
    assert assert_layout_invariant(kernels.fused_add_rms_norm, "fused_add_rms_norm", hidden=64, layouts=LAYOUTS[:4])


def has_layout(layout, x, weight):
    """Whether x and weight lie as `layout` says."""
    row, start = x.strides[-2] // x.itemsize if x.shape[-2] > 1 else 0, [array.ctypes.data % 16 for array in (x, weight)]
    return {"rows-apart": row == x.shape[-1] + 8, "rows-apart-oddly": row == x.shape[-1] + 3, "shifted": start[0] == x.itemsize,
            "shifted-weight": start == [0, weight.itemsize], "three-dimensions": x.ndim == 3}[layout]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_order_that_changes_with_the_layout_is_named(layout):
    def norm(x, weight, epsilon):
        rows = x.reshape(-1, x.shape[-1])
        return rms_norm(rows, weight, epsilon, backwards=has_layout(layout, x, weight)).reshape(x.shape)
    with pytest.raises(PromiseError, match=f"contiguous and {layout} have other bits") as raised:
        assert_layout_invariant(norm, hidden=512, batches=(64, 4), seed=3)
    first, second = raised.value.first[0], raised.value.second[0]
    assert first.shape == (4, 512) and (first == second.reshape(first.shape)).all()
    assert f"batches=4, layouts=('{layout}',), seed=3" in str(raised.value)
    assert_layout_invariant(norm, hidden=512, layouts=[other for other in LAYOUTS if other not in (
        layout, "shifted" if layout == "shifted-weight" else layout)])


def test_a_conversion_that_loses_the_layout_compares_nothing():
    with pytest.raises(ValueError, match="does not keep strides"):
        assert_layout_invariant(rms_norm, hidden=64, layouts=LAYOUTS[:1], tensors=lambda array: array.copy())


def test_arguments_that_make_no_sense_are_named():
    for wrong, message in (({"hidden": 0}, "hidden: .* got 0"), ({"batches": (1,)}, "batches"), ({"hidden": ()}, "hidden"),
                           ({"op": "layer_norm"}, "layer_norm"), ({"dtype": "fp64"}, "fp64")):
        with pytest.raises(ValueError, match=message):
            assert_batch_invariant(rms_norm, **wrong)
    with pytest.raises(ValueError, match="layouts: .*'upside-down'"):
        assert_layout_invariant(rms_norm, layouts=("upside-down",))
    with pytest.raises(TypeError, match="shape"):
        assert_deterministic(lambda x, weight, epsilon: x[:1], hidden=64)
    with pytest.raises(ValueError, match="batches: .*got none"):
        assert_deterministic(rms_norm, hidden=64, calls=1)
