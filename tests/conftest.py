"""Shared fixtures, and the rule that CI has no skipped tests."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

DATA_UNSET = "BITWRIGHT_DATA is not set"


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of models and inputs too large for the repository (docs/architecture.md)."""
    folder = os.environ.get("BITWRIGHT_DATA")
    if not folder:
        pytest.skip(DATA_UNSET)
    return Path(folder)


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """With CI set, what was skipped has failed; but for the data set, which not everybody has."""
    if not os.environ.get("CI") or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if DATA_UNSET not in reason:
        report.outcome = "failed"
        reason = reason.removeprefix("Skipped: ")
        report.longrepr = f"skipped in CI, where nothing may be skipped: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _forbid_skip(report)
    return report
