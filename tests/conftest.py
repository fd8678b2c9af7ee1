"""Shared fixtures, and the rule that CI has no skipped tests."""

import os
from pathlib import Path

import pytest

DATA_UNSET = "BITWRIGHT_DATA is not set"
_skips: list[tuple[str, str]] = []


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of models and inputs too large for the repository (docs/architecture.md)."""
    folder = os.environ.get("BITWRIGHT_DATA")
    if not folder:
        pytest.skip(DATA_UNSET)
    return Path(folder)


def _note_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _skips.append((report.nodeid, reason.removeprefix("Skipped: ")))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _note_skip(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    _note_skip(report)


def _forbidden_skips() -> list[tuple[str, str]]:
    if not os.environ.get("CI"):
        return []
    return [skip for skip in _skips if DATA_UNSET not in skip[1]]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _forbidden_skips():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    forbidden = _forbidden_skips()
    if forbidden:
        terminalreporter.section("skipped in CI, where nothing may be skipped", red=True)
        for nodeid, reason in forbidden:
            terminalreporter.line(f"{nodeid}: {reason}")
