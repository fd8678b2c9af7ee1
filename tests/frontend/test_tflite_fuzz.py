"""Damaged TFLite files: one of our errors says what is wrong, soon and in little memory."""

import sys
from pathlib import Path

import pytest

from bitwright.frontend.tflite import ModelError, load

sys.path.insert(0, str(Path(__file__).parent))

import fuzz
from tflite_cases import CASES

INPUTS = 300


def test_damaged_files() -> None:
    found = fuzz.try_inputs("tflite", 0, range(INPUTS))
    assert found.findings == []
    assert found.tried == INPUTS
    assert found.refused > INPUTS // 2
    assert found.accepted > INPUTS // 50


def test_truncated_files() -> None:
    data = CASES["network"]()
    for end in (*range(8, 200, 7), *range(200, len(data), 97)):
        with pytest.raises(ModelError):
            load(data[:end])
