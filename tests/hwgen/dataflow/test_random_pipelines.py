"""Random pipelines in Verilator: results as the golden model's, cycles as the schedule's."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bitwright.ir.dataflow import Pipeline

SEED = int(os.environ.get("BITWRIGHT_SEED", "1"))
COUNT = 100 if os.environ.get("BITWRIGHT_ACCEPTANCE") else 4


@pytest.mark.parametrize("number", range(COUNT))
def test_random_pipeline(
    number: int,
    tmp_path: Path,
    random_pipeline: Callable[[int, int], Pipeline],
    check_pipeline: Callable[..., None],
) -> None:
    seed = SEED * 1000 + number
    check_pipeline(random_pipeline(seed, 1 + number % 4), tmp_path, seed)
