"""The ONNX standard's own node tests; see `onnx_standard.py` and docs/operators.md."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import onnx_standard as standard

pytestmark = pytest.mark.slow
# The share of the node tests that issue 3 asks for.
LEAST = 0.80


def test_nothing_is_silently_wrong():
    assert [text for outcome in standard.outcomes() for text in outcome.wrong] == []


def test_enough_tests_pass():
    counted = [
        outcome
        for case, outcome in zip(standard.cases(), standard.outcomes(), strict=True)
        if standard.category(case.model) == "inference"
    ]
    assert sum(bool(outcome.how) for outcome in counted) >= LEAST * len(counted)


def test_the_table_is_up_to_date():
    assert standard.DOCUMENT.read_text(encoding="utf-8") == standard.document(), (
        "renew it with: python tests/frontend/onnx_standard.py --write"
    )
