"""Copies of registers and constants: the same logic, few readers each, neighbours together."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitwright import targets
from bitwright.fpga import flow, near, netlist
from bitwright.fpga.near import MOST_READERS

CLOCK, ENABLE, INPUT, MIDDLE, LAST = range(2, 7)
READERS = 300


def _cell(kind: str, inputs: dict[str, object], **outputs: int) -> dict[str, Any]:
    return {
        "type": kind, "attributes": {}, "parameters": {},
        "port_directions": dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output"),
        "connections": {port: [bit] for port, bit in (inputs | outputs).items()},
    }  # fmt: skip


def _module() -> dict[str, Any]:
    """An enable, a chain of two registers that it enables, and tables that read the last."""
    registers = {
        "enable": _cell("TRELLIS_FF", {"CLK": CLOCK, "DI": INPUT}, Q=ENABLE),
        "middle": _cell("TRELLIS_FF", {"CLK": CLOCK, "CE": ENABLE, "DI": INPUT}, Q=MIDDLE),
        "last": _cell("TRELLIS_FF", {"CLK": CLOCK, "CE": ENABLE, "DI": MIDDLE}, Q=LAST),
    }
    tables = {f"t{n}": _cell("LUT4", {"A": LAST, "B": "1"}, Z=100 + n) for n in range(READERS)}
    enabled = {
        f"e{n}": _cell("TRELLIS_FF", {"CLK": CLOCK, "CE": ENABLE, "DI": 100 + n}, Q=1000 + n)
        for n in range(MOST_READERS - 2)
    }
    ports = {"clock": {"bits": [CLOCK]}, "in": {"bits": [INPUT]}}
    return {"cells": registers | tables | enabled, "ports": ports, "netnames": {}}


def _places(module: dict[str, Any]) -> np.ndarray:
    """Cell n at column n."""
    return np.array([(n, 5.0) for n in range(len(module["cells"]))])


def _drivers(module: dict[str, Any]) -> dict[object, str]:
    found: dict[object, str] = {}
    for name, cell in module["cells"].items():
        for port, direction in cell["port_directions"].items():
            if direction == "output":
                (bit,) = cell["connections"][port]
                assert bit not in found
                found[bit] = name
    return found


def _original(name: str) -> str:
    return name.partition("$near")[0]


def test_every_reader_reads_a_copy_of_what_it_read() -> None:
    module, before = _module(), _module()
    added = near.spread(module, _places(module))
    assert added == len(module["cells"]) - len(before["cells"]) >= READERS // MOST_READERS
    was, now = _drivers(before), _drivers(module)
    counts: Counter[str] = Counter()
    for name, cell in module["cells"].items():
        old = before["cells"][_original(name)]
        assert {k: v for k, v in cell.items() if k != "connections"} == {
            k: v for k, v in old.items() if k != "connections"
        }
        for port, (bit,) in cell["connections"].items():
            if cell["port_directions"][port] == "output":
                continue
            (old_bit,) = old["connections"][port]
            assert _original(now.get(bit, str(bit))) == was.get(old_bit, str(old_bit))
            if bit in now:
                counts[now[bit]] += 1
    assert max(counts.values()) <= MOST_READERS
    # the copies of the last register read the enable as well, which has more than enough then
    assert {_original(name) for name in now.values() if "$near" in name} == {"last", "enable"}


def test_neighbours_read_the_same_copy() -> None:
    module = _module()
    near.spread(module, _places(module))
    drivers = _drivers(module)
    order = [drivers[module["cells"][f"t{n}"]["connections"]["A"][0]] for n in range(READERS)]
    assert sum(a != b for a, b in pairwise(order)) == len(set(order)) - 1


@pytest.mark.parametrize("blocks", [1, 12])
def test_constants_of_blocks(blocks: int) -> None:
    pins = {"CE0": "1", "RST0": "0", "SIGNEDA": "1", "SOURCEB": "0", "A0": "0", "CE1": "x"}
    cells = {f"block{n}": _cell("MULT18X18D", dict(pins)) for n in range(blocks)}
    module: dict[str, Any] = {"cells": cells, "ports": {}, "netnames": {}}
    added = near.spread(module, _places(module))
    assert added == 2
    made = {c["connections"]["Z"][0]: c for c in module["cells"].values() if c["type"] == "LUT4"}
    assert {c["parameters"]["INIT"] for c in made.values()} == {"0" * 16, "1" * 16}
    for n in range(blocks):
        ports = module["cells"][f"block{n}"]["connections"]
        assert (ports["A0"], ports["CE1"]) == (["0"], ["x"])
        for port in ("CE0", "RST0", "SIGNEDA", "SOURCEB"):
            assert made[ports[port][0]]["parameters"]["INIT"] == pins[port] * 16


def test_few_readers_stay() -> None:
    module = _module()
    for n in range(MOST_READERS, READERS):
        del module["cells"][f"t{n}"]
    before = str(module)
    assert near.spread(module, _places(module)) == 0
    assert str(module) == before


_RTL = """
module cells(input clk, input [255:0] stimulus, output [179:0] results);
    reg [2:0] chosen;
    reg signed [17:0] a, b, c;
    reg signed [35:0] first, second;
    reg [179:0] mixed;
    always @(posedge clk) begin
        chosen <= stimulus[2:0];
        if (chosen[2]) begin a <= stimulus[20:3]; b <= stimulus[38:21]; c <= stimulus[56:39]; end
        first <= a * b; second <= b * c;
        mixed <= {180{chosen[0]}} ^ (chosen[1] ? {5{first}} : {stimulus[143:0], second});
    end
    assign results = mixed;
endmodule
"""


@pytest.mark.slow
def test_a_netlist_computes_the_same(tmp_path: Path, bench) -> None:
    target = targets.get_fpga("ulx3s-85f")
    source = tmp_path / "cells.v"
    source.write_text(_RTL)
    report = flow.synthesise([source], "cells", target, tmp_path / "synthesis")
    cells = json.loads(report.netlist_json.read_text())["modules"]["cells"]["cells"]
    kinds = Counter(cell["type"] for name, cell in cells.items() if "$near" in name)
    assert kinds["TRELLIS_FF"] >= 4
    assert kinds["LUT4"] == 2
    sources = netlist.simulation_sources(report, target)
    assert bench(_RTL, sources, "cells", 5, cycles=100_000) == set()
