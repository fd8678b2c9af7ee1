"""The estimate of pipelines' stages against the table of syntheses."""

import importlib
import json
from dataclasses import replace
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
def stage_table(monkeypatch):
    """The script."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("stage_table")


@pytest.fixture
def pairs(stage_table):
    """What is predicted and what was synthesised of each stage of the table."""
    random_stage = stage_table.random_stage
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


@pytest.mark.parametrize(
    ("kind", "number", "multiplier", "blocks"),
    [
        ("add", 6, 0xABCD, 2), ("add", 6, 6, 2), ("add", 6, 1, 1), ("add", 6, 1 << 14, 1),
        ("add", 6, 1 << 15, 0), ("add", 11, 1234567891, 8), ("add", 11, 5 << 28, 4),
        ("add", 11, 5 << 28 | 16, 4), ("add", 11, 1 << 30, 0),
    ],
)  # fmt: skip
def test_a_shift_takes_no_multiplier_block(stage_table, kind, number, multiplier, blocks):
    """As yosys 0.66 makes them."""
    pipeline = stage_table.random_stage(kind, number)
    stage = pipeline.stages[-1]
    output = replace(stage.output, multiplier=np.full_like(stage.output.multiplier, multiplier))
    stage = replace(stage, output=output)
    pipeline = replace(pipeline, stages=(*pipeline.stages[:-1], stage))
    assert resources(pipeline, stage, "ecp5", schedule(pipeline).stages[-1]).dsp == blocks


@pytest.mark.parametrize(("cell", "median", "most"), [("lut", 0.03, 0.08), ("ff", 0.03, 0.06)])
def test_logic_is_near_synthesis(pairs, cell, median, most):
    errors = [abs(getattr(found, cell) / cells[cell] - 1) for found, cells in pairs]
    assert np.median(errors) <= median
    assert np.percentile(errors, 95) <= most
