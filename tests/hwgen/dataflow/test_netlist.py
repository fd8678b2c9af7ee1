"""What synthesis makes of a pipeline: results as the golden model's, cycles as the schedule's."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bitwright.ir.dataflow import Pipeline


@pytest.mark.slow
def test_a_random_pipeline(
    tmp_path: Path,
    random_pipeline: Callable[[int, int], Pipeline],
    check_pipeline: Callable[..., None],
) -> None:
    check_pipeline(random_pipeline(5, 1), tmp_path, 1, netlist=True)
