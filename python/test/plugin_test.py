"""The pytest plugin, in a pytest of its own."""
import pathlib
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


@pytest.fixture
def run(pytester):
    pytester.makepyfile(TESTS)
    # The entry point is there after `pip install`; a build folder names the plugin.
    return lambda *arguments: pytester.runpytest_subprocess("-p", "normproof.pytest_plugin", "-p", "no:cacheprovider", *arguments)


def test_reports_show_certificate_and_repro(run, pytester):
    result = run("--normproof-seed=5", "--normproof-cases=12", "--normproof-findings=found", "--junitxml=junit.xml")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["normproof: seed 5, 12 cases", "*ConformanceError: fp32_weight_multiply does not conform*",
                                 "*- normproof -*", "*rounding violation in row 0*", "*repro:  found/*.json"])
    files = list((pytester.path / "found").glob("*.json"))
    assert len(files) == 1
    properties = {(case.get("name"), entry.get("name")): entry.get("value")
                  for case in xml.etree.ElementTree.parse(pytester.path / "junit.xml").iter("testcase")
                  for entry in case.iter("property")}
    assert properties["test_right", "normproof_cases"] == "12" and properties["test_right", "normproof_seed"] == "5"
    assert properties["test_wrong", "normproof_repro"] == f"found/{files[0].name}"
    assert properties["test_wrong", "normproof_seed"] == "5"
    assert "rounding violation" in properties["test_wrong", "normproof_certificate"]


@pytest.mark.parametrize("option", ["--normproof-cases=0", "--normproof-seed=-1", "--normproof-cases=many"])
def test_bad_options_are_usage_errors(run, option):
    result = run(option)
    assert result.ret == 4
    assert option.split("=")[0] in result.stderr.str() and option.split("=")[1] in result.stderr.str()
