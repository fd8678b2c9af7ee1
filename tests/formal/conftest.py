"""The fixture that proves, and the table of what was proved."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from proof import Proof, Result, run

_results: list[Result] = []


@pytest.fixture
def prove(tmp_path: Path) -> Callable[..., None]:
    """Tries proofs of a unit; fails with the traces of those that do not hold."""

    def check(unit: str, *proofs: Proof) -> None:
        results = run(tmp_path, unit, proofs)
        _results.extend(results)
        failed = [f"{unit}: {item.proof.claim}\n{item.error}" for item in results if item.error]
        assert not failed, "\n\n".join(failed)

    return check


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _results:
        terminalreporter.section("formal proofs")
    for item in _results:
        proof = item.proof
        terminalreporter.line(
            f"{item.unit:16} {proof.method:9} {proof.depth:3} {item.seconds:6.1f} s  {proof.claim}"
            + (" (FAILED)" if item.error else "")
        )
