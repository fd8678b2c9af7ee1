"""Random pipelines in Verilator: results as the golden model's, cycles as the schedule's."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bitwright.hwgen.dataflow import core
from bitwright.hwgen.dataflow.core import DataflowCore
from bitwright.hwgen.dataflow.schedule import least_interval
from bitwright.hwgen.dataflow.source import Source
from bitwright.hwgen.tops import WishboneTop
from bitwright.hwgen.verilog import emit, lint_arguments
from bitwright.ir.dataflow import Pipeline
from bitwright.rtl_sim import toolchain

SEED = int(os.environ.get("BITWRIGHT_SEED", "2"))
COUNT = 200 if os.environ.get("BITWRIGHT_ACCEPTANCE") else 3


@pytest.mark.parametrize("number", range(COUNT))
def test_random_pipeline(
    number: int,
    tmp_path: Path,
    random_pipeline: Callable[[int, int], Pipeline],
    check_pipeline: Callable[..., None],
) -> None:
    seed = SEED * 1000 + number
    check_pipeline(random_pipeline(seed, 2 + number % 4), tmp_path, seed, cells=number % 2 == 1)


@pytest.mark.parametrize("off", [-1, 1])
def test_a_cycle_between_images_is_noticed(
    off: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    random_pipeline: Callable[[int, int], Pipeline],
    check_pipeline: Callable[..., None],
) -> None:
    def source(*, interval: int, **sizes: int) -> Source:
        return Source(interval=interval + off, **sizes)

    monkeypatch.setattr(core, "Source", source)
    pipeline = random_pipeline(4, 2)
    assert pipeline.interval > least_interval(pipeline)  # so that it can be shorter
    with pytest.raises(AssertionError, match="every 109 cycles"):
        check_pipeline(pipeline, tmp_path, 4)


@pytest.mark.parametrize("seed", range(2))
def test_lint(seed: int, tmp_path: Path, random_pipeline: Callable[[int, int], Pipeline]) -> None:
    """No warnings but those with a documented reason."""
    top = WishboneTop(core=DataflowCore(pipeline=random_pipeline(seed, 6)))
    files = emit(top, tmp_path, name=top.module_name)
    done = subprocess.run(
        [
            *toolchain.verilator(), "--lint-only", *lint_arguments(pipeline=True),
            "--top-module", top.module_name, *map(str, files),
        ],
        env=toolchain.verilator_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
