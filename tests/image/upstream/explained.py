"""A plugin of pytest's for Koji's own tests: which of their failures are no fault of the image.

They are recognised by what they say, and expected. With any other failure pytest fails.
"""

import re
from collections import Counter
from collections.abc import Generator
from typing import Any

import mock  # noqa: UP026 - the package, which Koji's tests use
import pytest

EXPLAINED = {
    "the test misspells an assertion, which mock refuses from 5.1 on": (
        r"AttributeError: '\w+' is not a valid assertion"
    ),
    "the test uses what Python 3.12 or 3.13 has removed": (
        r"module 'locale' has no attribute 'resetlocale'|(attribute|name) 'SafeConfigParser'"
    ),
    "the image has side tags request their repository": r"check = request_repo\(sidetag_id\)",
}


def explanation(report: pytest.TestReport | pytest.CollectReport) -> str | None:
    """Why a test failed, or could not be imported; None if it did not, or for an unknown reason."""
    if not report.failed:
        return None
    text = report.longreprtext
    return next((why for why, pattern in EXPLAINED.items() if re.search(pattern, text)), None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if why := explanation(report):
        report.outcome = "skipped"
        report.wasxfail = why
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if why := explanation(report):
        report.outcome = "skipped"
        report.longrepr = (report.nodeid, None, why)
    return report


def pytest_runtest_teardown() -> None:
    # A class whose setUp fails does not stop its patches, and unittest calls no tearDown then.
    mock.patch.stopall()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    expected = terminalreporter.stats.get("xfailed", [])
    for why, count in Counter(report.wasxfail for report in expected).items():
        terminalreporter.line(f"{count} failed: {why}")
    for report in terminalreporter.stats.get("skipped", []):
        terminalreporter.line(f"{report.nodeid} not run: {report.longrepr[2]}")
