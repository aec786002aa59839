"""assert_conforms: right kernels pass, wrong ones fail with the right certificate and a repro that replays."""
import functools
import json
import os
import re
import shlex
import subprocess
import sys
import time

import kernels
import ml_dtypes
import numpy
import pytest

import normproof
from normproof.promises import PromiseError, assert_same_bits
from normproof.testing import ConformanceError, assert_conforms


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32"])
@pytest.mark.parametrize("weight", ["same", "fp32", None])
def test_a_right_rms_norm_conforms(dtype, weight):
    conformance = assert_conforms(kernels.rms_norm, "rms_norm", dtype=dtype, weight=weight, cases=60)
    assert conformance.cases == 60 and conformance.elements > 1000


@pytest.mark.parametrize("function, operation", [
    (kernels.fused_add_rms_norm, "fused_add_rms_norm"), (kernels.rms_norm_fp8, "rms_norm_static_fp8_quant"),
    (kernels.fused_add_rms_norm_fp8, "fused_add_rms_norm_static_fp8_quant")])
def test_the_other_operations_conform(function, operation):
    assert_conforms(function, operation, cases=60)


def failure(function, operation, **keywords):
    with pytest.raises(ConformanceError) as raised:
        assert_conforms(function, operation, **keywords)
    return raised.value


def test_fp32_weight_multiply_fails_with_its_policy():
    error = failure(kernels.fp32_weight_multiply, "rms_norm", seed=3)
    assert error.result.certificates[0].kind == "rounding"
    assert error.identification.policy == "weight=fp32"
    assert numpy.prod(error.case.shape) <= 2
    text = str(error)
    for part in ("rounding violation", "of seed 3", "weight=fp32", str(error.repro), "normproof.read_case("):
        assert part in text
    assert assert_conforms(kernels.fp32_weight_multiply, "rms_norm", policy="weight=fp32")


def test_dropped_tail_fails_with_a_scale_violation():
    error = failure(kernels.dropped_tail, "rms_norm", dtype="fp16")
    assert error.result.certificates[0].kind == "scale" and error.case.shape[-1] % 8 != 0


def test_missing_clamp_fails_with_nan():
    error = failure(kernels.missing_clamp, "rms_norm_static_fp8_quant")
    assert error.result.bits & 0x7F == 0x7F and error.case.scale is not None


def test_unrounded_residual_fails():
    error = failure(kernels.residual_not_rounded, "fused_add_rms_norm")
    assert error.identification is None or "sum=" in error.identification.policy


def test_the_message_says_what_would_be_right():
    def of_two(x, weight):
        return x
    assert "it was called as of_two(x, weight, epsilon)" in str(failure(of_two, "rms_norm"))
    assert "it was called as of_two(x, weight, bias, epsilon)" in str(failure(of_two, "layer_norm"))
    said = str(failure(kernels.fp32_weight_multiply, "rms_norm"))
    policy = re.search(r"if that is meant, policy='(.*)' demands it", said)[1]
    assert_conforms(kernels.fp32_weight_multiply, "rms_norm", policy=policy)


def test_infinities_are_no_warning_of_numpy():
    with numpy.errstate(all="raise"):
        assert_conforms(kernels.rms_norm, "rms_norm", cases=40)


def test_the_repro_replays(program):
    error = failure(kernels.fp32_weight_multiply, "rms_norm")
    assert program("check", error.repro)[0] == 1
    assert json.loads(error.repro.read_text())["outputs"]
    case = normproof.read_case(error.repro)
    assert failure(kernels.fp32_weight_multiply, "rms_norm", cases=[case]).case.shape == case.shape
    assert_conforms(kernels.rms_norm, "rms_norm", cases=[case])


def test_a_kernel_that_works_in_place_is_judged_by_its_inputs():
    def in_place(x, residual, weight, epsilon):
        x[...], residual[...] = kernels.fused_add_rms_norm(x, residual, weight, epsilon)
        return x, residual
    assert_conforms(in_place, "fused_add_rms_norm", cases=20)


def test_a_kernel_that_works_in_place_and_returns_nothing_is_read_from_its_arguments():
    def fused(x, residual, weight, epsilon):
        x[...], residual[...] = kernels.fused_add_rms_norm(x, residual, weight, epsilon)

    def plain(x, weight, epsilon):
        x[...] = kernels.rms_norm(x, weight, epsilon)
    assert assert_conforms(fused, "fused_add_rms_norm", cases=20).elements > 100
    assert assert_conforms(plain, "rms_norm", cases=20).elements > 100
    assert assert_same_bits(plain, kernels.rms_norm, "rms_norm", hidden=64)

    def wrong(x, weight, epsilon):
        x[...] = kernels.fp32_weight_multiply(x, weight, epsilon)
    assert "it returned None: x is its output" in str(failure(wrong, "rms_norm"))
    assert "it returned None: x and the residual are its outputs" in str(failure(lambda *arguments: None, "fused_add_rms_norm"))


def printed(error, label):
    return re.search(rf"^  {label}: +(.*?)(?:    \(|$)", str(error), re.MULTILINE)[1]


def test_printed_lines_are_complete_and_quoted(tmp_path, program):
    findings = tmp_path / "it's a folder"
    error = failure(kernels.rms_norm, "rms_norm", policy="gemma.rms_norm", flush_to_zero=True, sum_depth=9, findings=findings)
    again = printed(error, "replay")
    assert again.startswith("assert_conforms(rms_norm, 'rms_norm', policy='weight=fp32_plus_one,")
    assert "from kernels import rms_norm" in str(error)
    with pytest.raises(ConformanceError):
        exec(f"from kernels import rms_norm\n{again}", {"normproof": normproof, "assert_conforms": assert_conforms})
    words = shlex.split(printed(error, "check"))
    assert words[:3] == ["normproof", "check", str(error.repro)] and words[4] == str(error.result.policy)
    assert "flush_to_zero=on" in words[4] and "sum_depth=9" in words[4]
    assert program(*words[1:])[0] == 1
    assert shlex.split(printed(error, "pytest"))[-1] == f"--normproof-case={error.repro}"
    error = failure(kernels.dropped_tail, "rms_norm", canonical=True, tensors=numpy.asarray)
    assert "--canonical" in printed(error, "check") and "canonical=True, tensors=asarray" in printed(error, "replay")
    assert "from numpy import asarray" in str(error)


def test_functions_without_a_name_get_a_line_that_says_where_they_are():
    line = "assert_conforms(fn, 'rms_norm', cases=[normproof.read_case("
    unchanged = 1
    for function, place in ((lambda x, weight, epsilon: x * unchanged, "fn: <lambda> of "), (functools.partial(WrongInCall.__call__, None), "fn: functools.partial("),
                            (WrongInCall(lambda call: True), "fn: WrongInCall of ")):
        error = failure(function, "rms_norm", shrink=False)
        assert printed(error, "replay").startswith(line) and place in str(error)
    assert "testing_test.py:" in str(error)
    with pytest.raises(PromiseError) as raised:
        assert_same_bits(lambda x, weight, epsilon: kernels.rms_norm(x, weight, epsilon), kernels.fp32_weight_multiply, "rms_norm", hidden=64,
                         epsilon=1e-3)
    assert ("assert_same_bits(lambda x, weight, epsilon: kernels.rms_norm(x, weight, epsilon), fp32_weight_multiply, 'rms_norm', dtype='bf16', "
            "epsilon=0.001, hidden=64, batches=") in str(raised.value)
    assert "from testing_test import kernels\n" in str(raised.value) and "from kernels import fp32_weight_multiply" in str(raised.value)


def scaled(x, weight, epsilon, factor):
    return (kernels.rms_norm(x, weight, epsilon).astype("f4") * factor).astype(x.dtype)


def test_lambdas_and_partials_get_a_line_that_runs():
    for function in (lambda x, weight, epsilon: kernels.fp32_weight_multiply(x,
                                                                             weight, epsilon),
                     functools.partial(scaled, factor=2.0), functools.partial(functools.partial(scaled), factor=2.0)):
        error = failure(function, "rms_norm", epsilon=1e-3)
        lines = [line.strip() for line in str(error).splitlines()]
        first = next(number for number, line in enumerate(lines) if line.startswith("replay: "))
        imports = [line for line in lines[first + 1:] if line.startswith(("from ", "import "))]
        assert imports
        with pytest.raises(ConformanceError):
            exec("\n".join([*imports, lines[first].removeprefix("replay: ")]), {})


def test_a_script_is_run_again_with_the_case_alone(tmp_path):
    script = tmp_path / "a script.py"
    script.write_text("import sys\nsys.path.insert(0, sys.argv[1])\nimport kernels\nfrom normproof.testing import assert_conforms\n"
                      "def make(wrong):\n    return lambda x, weight, epsilon: wrong(x, weight, epsilon)\n"
                      "assert_conforms(make(kernels.fp32_weight_multiply), 'rms_norm')\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    command, cases = [sys.executable, str(script), os.path.dirname(kernels.__file__)], []
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120)
        assert "fn: <lambda> of a script.py:6" in done.stderr, done.stderr
        variable, _, *command = shlex.split(re.search("script: (.*)", done.stderr)[1])
        command.insert(0, sys.executable)
        environment |= dict([variable.split("=", 1)])
        cases.append(re.search("the violation after (\\d+) case", done.stderr)[1])
    assert variable.startswith("NORMPROOF_ONLY_CASE=findings/") and cases[1] == "1"


def test_dtypes_of_frameworks():
    class Torch:
        """What torch.bfloat16 is, as far as can be told from its type and text."""
        itemsize = 2

        def __str__(self):
            return "torch.bfloat16"
    Torch.__module__ = "torch"
    wanted = [case.to_json() for case in normproof.cases("rms_norm", "bf16", weight="fp32", count=3)]
    for dtype in ("bfloat16", "torch.bfloat16", ml_dtypes.bfloat16, numpy.dtype(ml_dtypes.bfloat16), Torch()):
        for weight in ("fp32", "float32", numpy.float32, numpy.dtype("f4")):
            assert [case.to_json() for case in normproof.cases("rms_norm", dtype, weight=weight, count=3)] == wanted
    assert assert_conforms(kernels.rms_norm, "rms_norm", dtype=numpy.float16, weight=None, cases=5)
    for quantized in ("float8_e5m2", ml_dtypes.float8_e5m2):
        case = next(normproof.cases("rms_norm_static_fp8_quant", quantized_dtype=quantized))
        assert case.quantized_dtype == "fp8_e5m2"
    for dtype, error, message in (("bf15", ValueError, "dtype: expected one of bf16, fp16, fp32, got 'bf15'"),
                                  (numpy.int8, ValueError, "dtype: expected one of .*int8"), (16, TypeError, "dtype: expected a dtype, .*int 16"),
                                  ("fp8_e5m2", ValueError, "dtype: expected one of .*'fp8_e5m2'")):
        with pytest.raises(error, match=message):
            assert_conforms(kernels.rms_norm, "rms_norm", dtype=dtype)


def test_the_case_file_holds_what_was_demanded(program):
    error = failure(kernels.rms_norm, "rms_norm", policy="gemma.rms_norm", canonical=True)
    demand = json.loads(error.repro.read_text())["demand"]
    assert demand["judge"] == "canonical" and demand["policy"] == str(error.result.policy)
    status, output = program("check", error.repro)
    assert status == 1 and "as the file demands" in output and "weight=fp32_plus_one" in output
    assert "demand" not in json.loads(failure(kernels.fp32_weight_multiply, "rms_norm").repro.read_text())


def test_exceptions_and_misfits_are_findings():
    def raises(x, weight, epsilon):
        if x.shape[-1] % 2:
            raise RuntimeError("odd sizes are not supported")
        return kernels.rms_norm(x, weight, epsilon)
    error = failure(raises, "rms_norm")
    assert "RuntimeError: odd sizes are not supported" in str(error) and error.case.shape[-1] == 1
    assert isinstance(error.__cause__, RuntimeError) and error.repro.exists()
    assert "expected dtype bf16, got fp32" in str(failure(lambda x, w, e: x.astype("f4"), "rms_norm"))
    assert "expected shape" in str(failure(lambda x, w, e: x[..., :-1], "rms_norm"))


def test_shrinking_keeps_the_exception_the_rows_and_what_was_fixed():
    def raises(x, weight, epsilon):
        if weight is None:
            raise RuntimeError("no weight")
        if x.shape[0] == 0:
            raise RuntimeError("empty batch")
        if x.shape[-1] % 2:
            raise RuntimeError(f"hidden size {x.shape[-1]} is odd")
        return kernels.rms_norm(x, weight, epsilon)
    error = failure(raises, "rms_norm", epsilon=1e-3, seed=2, cases=[case for case in normproof.cases(
        "rms_norm", seed=2, count=40, epsilon=1e-3) if case.rows > 0 and case.shape[-1] % 2])
    assert "RuntimeError: hidden size 1 is odd" in str(error)
    assert error.case.shape == (1, 1) and error.case.weight_dtype == "bf16"
    assert abs(error.case.epsilon - 1e-3) < 1e-9
    void = [case for case in normproof.cases("rms_norm", count=200) if case.rows == 0]
    error = failure(lambda x, weight, epsilon: 1 // x.shape[0], "rms_norm", cases=void)
    assert "ZeroDivisionError" in str(error) and error.case.rows == 0


def test_shrinking_that_runs_out_of_time_says_so():
    def slow(x, weight, epsilon):
        time.sleep(0.02)
        return kernels.fp32_weight_multiply(x, weight, epsilon)
    assert "shrinking stopped early after 0.1 s" in str(failure(slow, "rms_norm", seed=3, shrink_seconds=0.1))
    assert "stopped early" not in str(failure(kernels.fp32_weight_multiply, "rms_norm", seed=3))


class WrongInCall:
    """Multiplies the weight in fp32 in the calls of these numbers, and is right in all others."""

    def __init__(self, wrong):
        self.wrong, self.calls = wrong, 0

    def __call__(self, x, weight, epsilon):
        self.calls += 1
        return (kernels.fp32_weight_multiply if self.wrong(self.calls) else kernels.rms_norm)(x, weight, epsilon)


def test_a_violation_that_is_not_seen_again_says_so(program):
    case = next(case for case in normproof.cases("rms_norm", seed=3, count=50)
                if not case.check(kernels.fp32_weight_multiply(*case.arguments())))
    error = failure(WrongInCall(lambda call: call == 1), "rms_norm", cases=[case])
    assert "not reproduced: of the same call made 16 times more none violates" in str(error)
    assert not error.reproduced and error.case.shape == case.shape and "replay:" not in str(error)
    assert program("check", error.repro)[0] == 1  # the outputs that were seen
    error = failure(WrongInCall(lambda call: call == 1 or call % 8 == 0), "rms_norm", cases=[case], shrink=False)
    assert "of the same call made 16 times more only 2 violate" in str(error) and error.reproduced
    error = failure(kernels.fp32_weight_multiply, "rms_norm", cases=[case])
    assert error.reproduced and "not reproduced" not in str(error) and "replay:" in str(error)


def test_a_repro_that_cannot_be_written_is_left_out(tmp_path):
    (tmp_path / "file").write_text("")
    error = failure(kernels.fp32_weight_multiply, "rms_norm", findings=tmp_path / "file" / "below")
    assert error.repro is None and "rounding violation" in str(error)


def test_bad_arguments_are_named():
    for keywords, message in ((dict(cases=0), "cases: .*0"), (dict(cases=[]), "cases: expected at least 1, got none"),
                              (dict(tensors="lists"), "tensors: .*'lists'"), (dict(policy="nativ"), "policy: .*nativ"),
                              (dict(cases=normproof.cases("fused_add_rms_norm", count=1)), "cases: .*fused_add")):
        with pytest.raises(ValueError, match=message):
            assert_conforms(kernels.rms_norm, "rms_norm", **keywords)
    with pytest.raises(TypeError, match="fn: .*int"):
        assert_conforms(3, "rms_norm")
    with pytest.raises(TypeError, match="result: .*NoneType"):
        assert_conforms(lambda x, weight, scale, epsilon: None, "rms_norm_static_fp8_quant")
    with pytest.raises(TypeError, match="must return .out, residual_out., or None where it works in place, got ndarray"):
        assert_conforms(lambda x, residual, weight, epsilon: x, "fused_add_rms_norm")
