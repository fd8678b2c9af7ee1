"""Registers that go into multiplier blocks: which ones, and that the netlist stays what it was."""

import json
from pathlib import Path

import pytest

from bitwright import targets
from bitwright.fpga import flow, netlist

pytestmark = pytest.mark.slow
_RTL = """
module cells(input clk, input [255:0] stimulus, output [179:0] results);
    reg signed [17:0] a, b, c, shared;
    reg signed [35:0] product, sum, early, late, held, follows;
    reg enabled;
    // Registers on all sides, one of them read elsewhere, too.
    always @(posedge clk) begin
        a <= stimulus[17:0]; shared <= stimulus[53:36]; product <= a * shared;
    end
    // Its product goes to a sum first: only its operands' registers go.
    always @(posedge clk) begin b <= stimulus[71:54]; sum <= b * shared + {18'b0, shared}; end
    // One block behind another: the register between them goes into one of them.
    always @(posedge clk) begin c <= stimulus[89:72]; early <= c * a; late <= early[17:0] * c; end
    // A register with an enable stays.
    always @(posedge clk) begin
        enabled <= stimulus[90]; if (enabled) held <= b * c;
        follows <= held[17:0] * b;
    end
    assign results = {follows, held, late, sum, product};
endmodule
"""


def test_registers_go_into_blocks(tmp_path: Path, bench) -> None:
    target = targets.get_fpga("ulx3s-85f")
    source = tmp_path / "cells.v"
    source.write_text(_RTL)
    report = flow.synthesise([source], "cells", target, tmp_path / "synthesis")
    module = json.loads(report.netlist_json.read_text())["modules"]["cells"]
    blocks = [
        cell["parameters"] for cell in module["cells"].values() if cell["type"] == "MULT18X18D"
    ]
    assert len(blocks) == report.cells["MULT18X18D"] == 6
    # Not of `follows`, that has an operand with an enable; of `early` and `late` one has both.
    assert sum(block.get("REG_INPUTA_CLK") == "CLK0" for block in blocks) in (4, 5)
    assert sum(block.get("REG_OUTPUT_CLK") == "CLK0" for block in blocks) == 2
    left = {
        name
        for name, net in module["netnames"].items()
        for cell in module["cells"].values()
        if cell["type"] == "TRELLIS_FF" and cell["connections"]["Q"][0] in net["bits"]
    }
    assert {"b", "shared", "sum", "enabled", "held", "follows"} <= left
    assert not {"a", "early", "product"} & left
    sources = netlist.simulation_sources(report, target)
    assert bench(_RTL, sources, "cells", 5, cycles=100_000) == set()
