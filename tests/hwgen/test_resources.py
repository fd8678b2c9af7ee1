"""The resource estimate against the table of syntheses, and how its errors are measured."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from bitwright.hwgen.requantize import blocks
from bitwright.hwgen.resources import BRIDGES, FamilyError, block_rams, estimate, price
from bitwright.hwgen.structure import Structure
from bitwright.ir.machine import Machine

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TABLE = [
    json.loads(line)
    for line in (BENCHMARKS / "resource_table.jsonl").read_text(encoding="utf-8").splitlines()
]
FAMILIES = ("ecp5", "ice40")


def _pairs(family: str):
    for line in TABLE:
        if line["family"] == family:
            yield estimate(Machine(**line["machine"]), family, line["bus"]), line["whole"]


@pytest.mark.parametrize("family", FAMILIES)
def test_block_rams_and_multipliers_are_exact(family):
    for found, cells in _pairs(family):
        assert (found.bram, found.dsp) == (cells["bram"], cells["dsp"])


@pytest.mark.parametrize("cell", ["lut", "ff"])
@pytest.mark.parametrize("family", FAMILIES)
def test_logic_is_near_synthesis(family, cell):
    errors = [abs(getattr(found, cell) / cells[cell] - 1) for found, cells in _pairs(family)]
    assert np.median(errors) <= 0.03
    assert np.percentile(errors, 95) <= 0.05


def test_the_fit_finds_what_parts_cost(monkeypatch):
    """Units that state a third too little and a quarter too much; whole machines are 10 % less."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    resource_costs = importlib.import_module("resource_costs")
    rows = [(2, 3), (4, 1), (5, 9), (8, 2), (9, 7)]
    stated = {
        a: {"x": Structure(lut={"one": 20, "a": 20 * a}), "y": Structure(lut={"b": 10 * b})}
        for a, b in rows
    }
    lines = [
        {"key": a, "bus": "", "whole": {"lut": 0.9 * (20 + 30 * a + 8 * b)},
         "units": {"x": [20 + 30 * a, 0], "y": [8 * b, 0]}}
        for a, b in rows
    ]  # fmt: skip
    monkeypatch.setattr(resource_costs, "units", lambda line: stated[line["key"]])
    costs = resource_costs.fit(lines, "lut")
    for line in lines:
        found = resource_costs.total(stated[line["key"]], costs, "lut")
        assert found == pytest.approx(line["whole"]["lut"], rel=0.02)
    errors = resource_costs.held_out_errors(
        [line | {"family": "ecp5", "machine": {"engine": "", "lanes": line["key"]}}
         for line in lines],
        "lut", "lanes",
    )  # fmt: skip
    assert len(errors) == len(lines)
    assert all(abs(error) < 0.05 for error, _ in errors)


@pytest.mark.parametrize(
    ("family", "width", "depth", "blocks"),
    [
        ("ecp5", 36, 512, 1), ("ecp5", 37, 1024, 3), ("ecp5", 128, 2048, 15),
        ("ecp5", 12, 20000, 15), ("ecp5", 512, 1024, 29), ("ice40", 36, 512, 5),
        ("ice40", 10, 1500, 4), ("ice40", 17, 4096, 17), ("ice40", 14, 2048, 7),
    ],
)  # fmt: skip
def test_block_rams(family, width, depth, blocks):
    """As synthesis maps memories of these sizes."""
    assert block_rams(family, width, depth) == blocks


def test_a_bus_costs_something(small_machine):
    plain = estimate(small_machine(), "ecp5")
    for bus in ("wishbone", "axi4lite", "uart"):
        assert estimate(small_machine(), "ecp5", bus).lut > plain.lut


def test_memories_and_multipliers_are_counted():
    unit = Structure(memories=((36, 512), (18, 1025)), dsp=3)
    found = price({"unknown": unit}, "ecp5")
    assert (found.bram, found.dsp) == (1 + 2, 3)


def test_blocks_of_a_family():
    unit = Structure(dsp=2, dsp_of={"ice40": 4})
    assert [price({"unknown": unit}, family).dsp for family in FAMILIES] == [2, 4]


@pytest.mark.parametrize(
    ("acc_bits", "multiplier_bits", "family", "count"),
    [(16, 16, "ecp5", 2), (32, 16, "ice40", 2), (16, 31, "ecp5", 2), (22, 31, "ecp5", 2),
     (24, 31, "ecp5", 2), (25, 31, "ecp5", 4), (16, 31, "ice40", 4)],
)  # fmt: skip
def test_blocks_of_a_requantizer(acc_bits, multiplier_bits, family, count):
    assert blocks(acc_bits, multiplier_bits, family) == count


def test_an_unknown_family(small_machine):
    with pytest.raises(FamilyError) as caught:
        estimate(small_machine(), "gowin")
    assert str(caught.value) == (
        "FPGA family gowin has no resource costs; expected one of ecp5, ice40"
    )


def test_the_controller_of_an_sdram_counts_on_a_board():
    machine = Machine(
        lanes=8, rows=16, requant_lanes=1, acc_bits=24, act_words=300, in_words=80, out_words=50,
        weight_words=256, param_words=128, program_words=256, memory="sdram", memory_mhz=80,
    )  # fmt: skip
    board, alone = (estimate(machine, "ecp5", bus) for bus in ("uart", ""))
    bridge = price({"uart": BRIDGES["uart"]()}, "ecp5")
    # Synthesis alone, yosys 0.70: controller 251 and 174, master 534 and 310, window 82 and 35.
    assert abs(board.lut - alone.lut - bridge.lut - (251 + 534 + 82)) <= 20
    assert abs(board.ff - alone.ff - bridge.ff - (174 + 310 + 35)) <= 5
