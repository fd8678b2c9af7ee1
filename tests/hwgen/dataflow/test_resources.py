"""The estimate of pipelines' stages against the table of syntheses."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from bitwright.hwgen.dataflow.resources import resources
from bitwright.hwgen.dataflow.schedule import schedule

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
TABLE = [
    json.loads(line)
    for line in (BENCHMARKS / "stage_table.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.fixture
def pairs(monkeypatch):
    """What is predicted and what was synthesised of each stage of the table."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    random_stage = importlib.import_module("stage_table").random_stage
    found = []
    for line in TABLE:
        pipeline = random_stage(line["kind"], line["number"])
        times = schedule(pipeline).stages[-1]
        estimate = resources(pipeline, pipeline.stages[-1], line["family"], times)
        found.append((estimate, line["whole"]))
    return found


def test_block_rams_and_multipliers(pairs):
    wrong = [
        (found.bram, found.dsp, cells)
        for found, cells in pairs
        if (found.bram, found.dsp) != (cells.get("bram", 0), cells.get("dsp", 0))
    ]
    assert not wrong


@pytest.mark.parametrize(("cell", "median", "most"), [("lut", 0.03, 0.08), ("ff", 0.03, 0.06)])
def test_logic_is_near_synthesis(pairs, cell, median, most):
    errors = [abs(getattr(found, cell) / cells[cell] - 1) for found, cells in pairs]
    assert np.median(errors) <= median
    assert np.percentile(errors, 95) <= most
