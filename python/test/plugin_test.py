"""The pytest plugin, in a pytest of its own."""
import pathlib
import re
import shlex
import xml.etree.ElementTree

import pytest

HERE = pathlib.Path(__file__).parent

TESTS = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
import kernels
import numpy
import pytest
import normproof.testing

pytestmark = pytest.mark.filterwarnings("ignore")

def test_right(assert_conforms):
    conformance = assert_conforms(kernels.rms_norm, "rms_norm")
    assert (conformance.cases, conformance.seed) == (12, 5)

def test_wrong():
    normproof.testing.assert_conforms(kernels.fp32_weight_multiply, "rms_norm")
"""

CHECKS = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
import kernels
import normproof

case = next(normproof.cases("rms_norm", seed=1))
call = dict(x=case.x, weight=case.weight, epsilon=case.epsilon)
wrong = dict(call, out=kernels.fp32_weight_multiply(*case.arguments()))

def test_asserted():
    assert normproof.check("rms_norm", **call, out=case.run().out)
    assert normproof.check("rms_norm", **wrong)

def test_raised():
    normproof.check("rms_norm", **wrong, raises=True)

def test_compared():
    fused = next(normproof.cases("rms_norm_static_fp8_quant", seed=1, finite=True))
    codes = fused.run().out
    codes.view("u1")[0, 0] ^= 2
    assert normproof.beside("rms_norm_static_fp8_quant", x=fused.x, weight=fused.weight, epsilon=fused.epsilon, scale=fused.scale, out=codes,
                            unfused=normproof.run("rms_norm", x=fused.x, weight=fused.weight, epsilon=fused.epsilon).out)

def test_other():
    assert not normproof.check("rms_norm", **wrong)
    assert 1 == 2
"""


# A summary of pytest's is longer where CI is set: both must say each thing once.
@pytest.fixture(params=["a terminal", "CI"])
def surroundings(request, monkeypatch):
    for name in ("CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)
    if request.param == "CI":
        monkeypatch.setenv("CI", "true")


@pytest.fixture
def run(pytester):
    pytester.makepyfile(TESTS)
    # The entry point is there after `pip install`; a build folder names the plugin.
    return lambda *arguments: pytester.runpytest_subprocess("-p", "normproof.pytest_plugin", "-p", "no:cacheprovider", *arguments)


@pytest.mark.usefixtures("surroundings")
def test_reports_show_certificate_and_repro(run, pytester):
    result = run("--normproof-seed=5", "--normproof-cases=12", "--normproof-findings=found", "--junitxml=junit.xml")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["normproof: seed 5, 12 cases", "*ConformanceError: fp32_weight_multiply does not conform*",
                                 "*rounding violation in row 0*", "*repro:  found/*.json"])
    text = result.stdout.str()
    assert text.count("rounding violation in row 0") == 1  # no message twice
    assert "testing.py" not in text  # frames of normproof
    files = list((pytester.path / "found").glob("*.json"))
    assert len(files) == 1
    properties = {(case.get("name"), entry.get("name")): entry.get("value")
                  for case in xml.etree.ElementTree.parse(pytester.path / "junit.xml").iter("testcase")
                  for entry in case.iter("property")}
    assert properties["test_right", "normproof_cases"] == "12" and properties["test_right", "normproof_seed"] == "5"
    assert properties["test_wrong", "normproof_repro"] == f"found/{files[0].name}"
    assert properties["test_wrong", "normproof_seed"] == "5"
    assert "rounding violation" in properties["test_wrong", "normproof_certificate"]


def test_nothing_warns(run):
    # pytest's default schema of JUnit has no properties of tests: record_property would warn.
    run("-W", "error", "--normproof-seed=5", "--normproof-cases=12", "--junitxml=junit.xml", "-o", "junit_family=xunit2", "-k", "right").assert_outcomes(passed=1)


@pytest.mark.usefixtures("surroundings")
def test_the_printed_command_shows_the_violation_alone(run, pytester):
    result = run("--normproof-seed=5", "--normproof-cases=12", "--normproof-findings=it's here")
    command = shlex.split(re.search(r"pytest: (pytest .*)", result.stdout.str())[1])
    again = run(*command[1:])
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["normproof: case it's here/*.json", "*the violation after 1 case;*"])


@pytest.mark.usefixtures("surroundings")
def test_asserted_verdicts_show_their_certificate(pytester):
    pytester.makepyfile(CHECKS)
    result = pytester.runpytest_subprocess("-p", "normproof.pytest_plugin", "-p", "no:cacheprovider", "-W", "error")
    result.assert_outcomes(failed=4)
    asserted, raised, compared, other = re.split(r"_+ test_\w+ _+", result.stdout.str())[1:]
    assert "- normproof -" in asserted and asserted.count("admissible r: ") == 1
    assert "ViolationError" in raised and raised.count("admissible r: ") == 1 and "_functions.py" not in raised
    assert "- normproof -" in compared and compared.count("diagnosis: 1 codes are not legal") == 1
    assert "assert 1 == 2" in other and "admissible r: " not in other


@pytest.mark.parametrize("option", ["--normproof-cases=0", "--normproof-seed=-1", "--normproof-cases=many"])
def test_bad_options_are_usage_errors(run, option):
    result = run(option)
    assert result.ret == 4
    assert option.split("=")[0] in result.stderr.str() and option.split("=")[1] in result.stderr.str()
