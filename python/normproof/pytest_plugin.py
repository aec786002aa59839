"""The pytest plugin: options for the cases, a fixture, and the certificate and repro of a violation in the reports.

With several processes (xdist) each test has the same cases as in one: they depend on the seed alone.
"""
from __future__ import annotations

import functools
from typing import Any, Callable, Iterator

import pytest

from normproof import _results, _takes, testing


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("normproof")
    group.addoption("--normproof-seed", type=int, default=testing.Defaults.seed, metavar="N",
                    help="seed of normproof's cases (default: %(default)s)")
    group.addoption("--normproof-cases", type=int, default=testing.Defaults.cases, metavar="N",
                    help="cases per assert_conforms (default: %(default)s)")
    group.addoption("--normproof-findings", default=testing.Defaults.findings, metavar="FOLDER",
                    help="where the repros of violations go (default: %(default)s)")
    group.addoption("--normproof-case", default=None, metavar="FILE",
                    help="a case file, as a failure prints it: the only case of every assert_conforms of its operation")


def pytest_configure(config: pytest.Config) -> None:
    seed, cases = config.getoption("--normproof-seed"), config.getoption("--normproof-cases")
    if seed < 0:
        raise pytest.UsageError(f"--normproof-seed: expected 0 or more, got {seed}")
    if cases < 1:
        raise pytest.UsageError(f"--normproof-cases: expected 1 or more, got {cases}")
    testing.defaults = testing.Defaults(cases, seed, config.getoption("--normproof-findings"), config.getoption("--normproof-case"))


def pytest_unconfigure() -> None:
    testing.defaults = testing.Defaults()


def pytest_report_header() -> str:
    if testing.defaults.case is not None:
        return f"normproof: case {testing.defaults.case}"
    return f"normproof: seed {testing.defaults.seed}, {testing.defaults.cases} cases"


@pytest.fixture(name="assert_conforms")
def assert_conforms_fixture(request: pytest.FixtureRequest) -> Callable[..., testing.Conformance]:
    """``normproof.testing.assert_conforms``; what was judged goes into the JUnit report."""

    @functools.wraps(testing.assert_conforms)
    def assert_conforms(*arguments: Any, **keywords: Any) -> testing.Conformance:
        __tracebackhide__ = True
        conformance = testing.assert_conforms(*arguments, **keywords)
        # Not by record_property, which warns where JUnit's schema has no properties of tests.
        request.node.user_properties += [("normproof_cases", conformance.cases), ("normproof_elements", conformance.elements),
                                         ("normproof_seed", conformance.seed)]
        if conformance.not_taken:
            request.node.user_properties.append(("normproof_not_taken", f"{conformance.not_taken} of "
                                                 f"{conformance.not_taken + conformance.cases} cases: " + "; ".join(conformance.not_taken_because)))
        request.node.user_properties += [("normproof_note", note) for note in conformance.notes]
        return conformance

    return assert_conforms


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What passing tests did not judge. From the reports, so that xdist's processes are heard, too."""
    before = {"normproof_not_taken": "not taken, ", "normproof_note": "note: "}
    lines = [f"{report.nodeid}: {before[name]}{value}" for report in terminalreporter.getreports("passed") if report.when == "call"
             for name, value in report.user_properties if name in before]
    if lines:
        terminalreporter.section("normproof")
        for line in lines:
            terminalreporter.line(line)


# The texts of the verdicts that the test in progress has found false, the last one last.
_false_results: "list[str]" = []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    _false_results.clear()
    _results.note_false = _false_results.append
    try:
        yield
    finally:
        _results.note_false = None


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> Iterator[None]:
    outcome: Any = yield
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, (testing.ConformanceError, _results.ViolationError, _takes.NotTakenError)):
        # Where CI is set, pytest's summary would repeat the whole message.
        crash = getattr(outcome.get_result().longrepr, "reprcrash", None)
        if crash is not None:
            crash.message = crash.message.split("\n", 1)[0]
    if isinstance(error, testing.ConformanceError):
        # The report of the teardown, which JUnit's properties are taken from, is made from these.
        item.user_properties.append(("normproof_seed", error.seed))
        if error.repro:
            item.user_properties.append(("normproof_repro", str(error.repro)))
        if error.result is not None:
            item.user_properties.append(("normproof_certificate", error.result.certificate))
    elif isinstance(error, AssertionError) and _false_results and any(kind in str(error) for kind in ("<CheckResult: ", "<Beside: ")):
        # pytest shows no more than a line of what was asserted.
        outcome.get_result().sections.append(("normproof", _false_results[-1]))
