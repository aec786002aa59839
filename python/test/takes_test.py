"""takes= and NotImplementedError: cases are drawn inside, what is not taken is counted, and nothing passes that was not judged."""
import os

import kernels
import ml_dtypes
import numpy
import pytest

import normproof
from normproof import NotTakenError, Takes
from normproof.promises import assert_batch_invariant, assert_deterministic, assert_layout_invariant, assert_same_bits
from normproof.testing import ConformanceError, assert_conforms

NARROW = Takes(hidden_multiple=8, greatest_hidden=1024, greatest_rank=2, least_rows=2, greatest_rows=6, dtypes=("bf16", "fp16"),
               subnormals=False)


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def is_narrow(x, weight):
    def ordinary(tensor):
        magnitudes = numpy.abs(tensor[numpy.isfinite(tensor)].astype("f4"))
        return not ((magnitudes > 0) & (magnitudes < float(ml_dtypes.finfo(tensor.dtype).smallest_normal))).any()
    return (x.ndim == 2 and x.shape[-1] % 8 == 0 and x.shape[-1] <= 1024 and 2 <= len(x) <= 6 and x.dtype.itemsize == 2
            and ordinary(x) and ordinary(weight))


def narrow(x, weight, epsilon):
    assert is_narrow(x, weight), (x.shape, x.dtype)
    return kernels.rms_norm(x, weight, epsilon)


def test_cases_are_drawn_inside():
    conformance = assert_conforms(narrow, "rms_norm", takes=NARROW, cases=80)
    assert (conformance.cases, conformance.not_taken, conformance.ranks) == (80, 0, (2,))
    cases = list(normproof.cases("rms_norm", count=100, takes=NARROW))
    assert {case.dtype for case in cases} == {"bf16", "fp16"} and len({case.shape for case in cases}) > 30
    assert any(is_narrow(case.x, case.weight) is False for case in normproof.cases("rms_norm", count=20))  # the check itself
    for case in normproof.cases("rms_norm", count=50, takes=Takes(least_rank=3)):
        assert 3 <= len(case.shape) <= 4
    # Without limits nothing changes.
    for one, other in zip(normproof.cases("rms_norm", count=20, takes=Takes()), normproof.cases("rms_norm", count=20)):
        assert one.to_json() == other.to_json()


@pytest.mark.parametrize("operation", normproof.OPERATIONS)
def test_cases_of_all_operations_are_drawn_inside(operation):
    for case in normproof.cases(operation, count=24, takes=NARROW):
        assert is_narrow(case.x, case.weight) and case._outside(NARROW) == ""


def test_shrinking_stays_inside():
    with pytest.raises(ConformanceError) as raised:
        assert_conforms(kernels.fp32_weight_multiply, "rms_norm", takes=NARROW, seed=1)
    assert raised.value.case.shape == (2, 8)
    assert is_narrow(raised.value.case.x, raised.value.case.weight)
    assert "takes=normproof.Takes(hidden_multiple=8, greatest_hidden=1024, greatest_rank=2, least_rows=2, " in str(raised.value)


def only_even(x, weight, epsilon):
    if x.shape[-1] % 2:
        raise NotImplementedError(f"hidden size {x.shape[-1]} is odd")
    return kernels.rms_norm(x, weight, epsilon)


def test_what_is_not_implemented_is_counted():
    conformance = assert_conforms(only_even, "rms_norm", cases=40)
    assert conformance.cases + conformance.not_taken == 40 and conformance.not_taken > 5
    assert conformance.not_taken_because == (f"NotImplementedError: hidden size # is odd ({conformance.not_taken})",)

    def wrong(x, weight, epsilon):
        only_even(x, weight, epsilon)
        return kernels.fp32_weight_multiply(x, weight, epsilon)
    with pytest.raises(ConformanceError, match="hidden size # is odd") as raised:
        assert_conforms(wrong, "rms_norm", seed=3)
    assert raised.value.case.shape[-1] == 2  # a smaller one is not taken, and so violates nothing


def test_nothing_passes_that_was_not_judged():
    def nothing(*arguments):
        raise NotImplementedError
    with pytest.raises(NotTakenError) as raised:
        assert_conforms(nothing, "rms_norm", cases=7)
    assert str(raised.value) == "nothing took none of 7 cases of rms_norm: nothing was judged\n  NotImplementedError (7)"
    outside = list(normproof.cases("rms_norm", count=5, takes=Takes(greatest_hidden=7)))
    with pytest.raises(NotTakenError, match="no multiple of 8, which `takes` has not"):
        assert_conforms(kernels.rms_norm, "rms_norm", cases=outside, takes=NARROW, dtype="bf16")
    for promise in (assert_deterministic, assert_batch_invariant, assert_layout_invariant):
        with pytest.raises(NotTakenError, match="NotImplementedError"):
            promise(nothing, hidden=64)
    with pytest.raises(NotTakenError, match="nothing and rms_norm took none"):
        assert_same_bits(nothing, kernels.rms_norm, hidden=64)


def test_promises_leave_out_what_is_not_taken():
    def eight(x, weight, epsilon):
        assert x.ndim == 2 and len(x) >= 2
        if x.shape[-1] > 512:
            raise NotImplementedError("long rows")
        return kernels.rms_norm(x, weight, epsilon)
    takes = Takes(least_rows=2, greatest_rank=2)
    found = assert_batch_invariant(eight, batches=(1, 2, 3), takes=takes, hidden=(64, 1024))
    assert found.pairs == 1 and found.not_taken == 10
    assert any(reason.startswith("fewer than 2 rows") for reason in found.not_taken_because)
    found = assert_layout_invariant(eight, batches=4, takes=takes, hidden=64)
    assert found.pairs == 4 and found.not_taken_because == ("more than 2 dimensions, which `takes` has not (1)",)
    assert assert_deterministic(eight, hidden=64, takes=takes).not_taken == 0


def test_bad_limits_are_named():
    for keywords, message in ((dict(hidden_multiple=-1), "takes.hidden_multiple: expected 0"), (dict(dtypes=("bf15",)), "takes.dtypes: .*'bf15'"),
                              (dict(least_rows=3, greatest_rows=2), "takes.least_rows: expected at most greatest_rows, 2, got 3"),
                              (dict(greatest_rank=1), "takes.greatest_rank: ")):
        with pytest.raises(ValueError, match=message):
            Takes(**keywords)
    with pytest.raises(ValueError, match="dtype: expected one that `takes` names, bf16, fp16, got 'fp32'"):
        assert_conforms(kernels.rms_norm, "rms_norm", dtype="fp32", takes=NARROW)
    with pytest.raises(ValueError, match="takes.least_rank: expected at most 2, the greatest of fused_add_rms_norm, got 3"):
        normproof.cases("fused_add_rms_norm", takes=Takes(least_rank=3))
    with pytest.raises(TypeError, match="takes: expected normproof.Takes"):
        assert_conforms(kernels.rms_norm, "rms_norm", takes={"hidden_multiple": 8})
    assert eval(repr(NARROW)) == NARROW


def test_the_terminal_says_what_was_not_taken(pytester, monkeypatch):
    pytester.makepyfile("""
        import kernels
        def test_some(assert_conforms):
            def only_even(x, weight, epsilon):
                if x.shape[-1] % 2:
                    raise NotImplementedError("odd")
                return kernels.rms_norm(x, weight, epsilon)
            assert_conforms(only_even, "rms_norm", cases=20)
    """)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.path.dirname(__file__), os.environ.get("PYTHONPATH", "")]))
    result = pytester.runpytest_subprocess("-p", "normproof.pytest_plugin", "-p", "no:cacheprovider", "-q")
    result.assert_outcomes(passed=1)
    result.stdout.re_match_lines([r".*test_some: not taken, \d+ of 20 cases: NotImplementedError: odd \(\d+\)"])


def test_int8_codes_and_an_upper_bound_of_scales_come_where_they_are_taken():
    seen = []

    def codes(x, weight, scale_ub, epsilon):
        seen.append(scale_ub)
        return kernels.row_int8(x, weight, scale_ub, epsilon)
    bounded = Takes(scale_ub=True)
    asked = dict(quantized_dtype="int8", takes=bounded)
    for dtype in "bf16", "fp32":
        assert assert_conforms(codes, "rms_norm_dynamic_quant", dtype=dtype, cases=40, **asked).not_taken == 0
    assert None in seen and len({bound for bound in seen if bound is not None}) > 10
    # Without it no case has one, and the function has an argument less.
    assert_conforms(lambda x, weight, epsilon: kernels.row_int8(x, weight, None, epsilon), "rms_norm_dynamic_quant", quantized_dtype="int8", cases=40)
    for case in normproof.cases("rms_norm_dynamic_quant", count=40, **asked):
        ours, expected = case.run(), case.expected()
        assert (ours.out == expected.out).all() and numpy.array_equal(ours.scales, expected.scales, equal_nan=True)
        assert len(case.arguments(bounded)) == 4 and len(case.arguments()) == (3 if case.scale_ub is None else 4)
    with pytest.raises(ValueError, match="quantized_dtype: expected one of fp8_e4m3fn, .*e5m2fnuz, got 'int8'"):
        assert_conforms(codes, "rms_norm_static_fp8_quant", quantized_dtype="int8")


@pytest.mark.parametrize("wrong", ["ignored", "-127"])
def test_wrong_int8_codes_and_bounds_are_found_and_replayed(wrong):
    def codes(x, weight, scale_ub, epsilon):
        if wrong == "ignored":
            return kernels.row_int8(x, weight, None, epsilon)
        return kernels.row_int8(x, weight, scale_ub, epsilon, low=-127)
    with pytest.raises(ConformanceError, match="takes=normproof.Takes") as raised:
        assert_conforms(codes, "rms_norm_dynamic_quant", quantized_dtype="int8", takes=Takes(scale_ub=True))
    case = raised.value.case
    assert case.scale_ub is not None and case.rows == 1 and "scale_ub" in str(raised.value)
    assert normproof.read_case(raised.value.repro).scale_ub == case.scale_ub
    again = [normproof.read_case(raised.value.repro)]
    with pytest.raises(ConformanceError):
        assert_conforms(codes, "rms_norm_dynamic_quant", cases=again, takes=Takes(scale_ub=True))
    with pytest.raises(NotTakenError, match="an upper bound of scales"):
        assert_conforms(codes, "rms_norm_dynamic_quant", cases=again)
