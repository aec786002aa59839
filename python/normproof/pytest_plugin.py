"""The pytest plugin: options for the cases, a fixture, and the certificate and repro of a violation in the reports."""
from __future__ import annotations

import functools
from typing import Any, Callable, Iterator

import pytest

from normproof import testing


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("normproof")
    group.addoption("--normproof-seed", type=int, default=testing.Defaults.seed, metavar="N",
                    help="seed of normproof's cases (default: %(default)s)")
    group.addoption("--normproof-cases", type=int, default=testing.Defaults.cases, metavar="N",
                    help="cases per assert_conforms (default: %(default)s)")
    group.addoption("--normproof-findings", default=testing.Defaults.findings, metavar="FOLDER",
                    help="where the repros of violations go (default: %(default)s)")


def pytest_configure(config: pytest.Config) -> None:
    seed, cases = config.getoption("--normproof-seed"), config.getoption("--normproof-cases")
    if seed < 0:
        raise pytest.UsageError(f"--normproof-seed: expected 0 or more, got {seed}")
    if cases < 1:
        raise pytest.UsageError(f"--normproof-cases: expected 1 or more, got {cases}")
    testing.defaults = testing.Defaults(cases, seed, config.getoption("--normproof-findings"))


def pytest_unconfigure() -> None:
    testing.defaults = testing.Defaults()


def pytest_report_header() -> str:
    return f"normproof: seed {testing.defaults.seed}, {testing.defaults.cases} cases"


@pytest.fixture(name="assert_conforms")
def assert_conforms_fixture(record_property: Callable[[str, Any], None]) -> Callable[..., testing.Conformance]:
    """``normproof.testing.assert_conforms``; what was judged goes into the JUnit report."""

    @functools.wraps(testing.assert_conforms)
    def assert_conforms(*arguments: Any, **keywords: Any) -> testing.Conformance:
        conformance = testing.assert_conforms(*arguments, **keywords)
        record_property("normproof_cases", conformance.cases)
        record_property("normproof_elements", conformance.elements)
        record_property("normproof_seed", conformance.seed)
        return conformance

    return assert_conforms


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> Iterator[None]:
    outcome = yield
    error = call.excinfo.value if call.excinfo else None
    if not isinstance(error, testing.ConformanceError):
        return
    outcome.get_result().sections.append(("normproof", str(error)))
    # The report of the teardown, which JUnit's properties are taken from, is made from these.
    item.user_properties.append(("normproof_seed", error.seed))
    if error.repro:
        item.user_properties.append(("normproof_repro", str(error.repro)))
    if error.result is not None:
        item.user_properties.append(("normproof_certificate", error.result.certificate))
