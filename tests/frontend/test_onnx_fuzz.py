"""Damaged ONNX files: one of our errors says what is wrong, soon and in little memory."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import fuzz

INPUTS = 300


def test_damaged_files():
    found = fuzz.try_inputs("onnx", 0, range(INPUTS))
    assert found.findings == []
    assert found.tried == INPUTS
    assert found.refused > INPUTS // 2
    assert found.accepted > INPUTS // 50
