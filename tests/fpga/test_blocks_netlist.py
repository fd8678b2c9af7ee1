"""Registers that go into multipliers and RAMs, and around the choice of a RAM: which ones, and that
the netlist stays equal.
"""

import json
from pathlib import Path

import pytest

from bitwright import targets
from bitwright.fpga import cells, flow, netlist

pytestmark = pytest.mark.slow
_RTL = """
module cells(input clk, input [255:0] stimulus, output [215:0] results);
    reg signed [17:0] a, b, c, shared, turn;
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
    // A register behind its block and before it goes before it.
    wire signed [35:0] around = turn * b;
    always @(posedge clk) turn <= {around[8:0], stimulus[99:91]};
    assign results = {18'b0, turn, follows, held, late, sum, product};
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
    assert len(blocks) == report.cells["MULT18X18D"] == 7
    # Not of `follows`, that has an operand with an enable; of `early` and `late` one has both.
    assert sum(block.get("REG_INPUTA_CLK") == "CLK0" for block in blocks) in (5, 6)
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
    assert bench(_RTL, sources, "cells", 6, cycles=100_000) == set()


_MEMORIES = """
module cells(input clk, input [255:0] stimulus, output [209:0] results);
    // Never of a word that is being written.
    reg [10:0] read, write;
    reg [71:0] data;
    reg writes, enabled, writes_split;
    always @(posedge clk) begin
        read <= stimulus[10:0]; write <= {~stimulus[10], stimulus[20:11]};
        data <= stimulus[107:36]; {writes_split, writes, enabled} <= stimulus[110:108];
    end
    integer i;
    (* ram_style = "block", no_rw_check *) reg [7:0] narrow [0:2047];
    (* ram_style = "block", no_rw_check *) reg [29:0] wide [0:511];
    (* ram_style = "block", no_rw_check *) reg [8:0] deep [0:4095];
    (* ram_style = "block", no_rw_check *) reg [17:0] masked [0:2047];
    (* ram_style = "block", no_rw_check *) reg [8:0] partly [0:4095];
    (* ram_style = "block", no_rw_check *) reg [8:0] split [0:4095];
    (* ram_style = "block", no_rw_check *) reg [8:0] kept [0:2047];
    (* ram_style = "block", no_rw_check *) reg [8:0] shared [0:2047];
    (* ram_style = "block", no_rw_check *) reg [8:0] falling [0:2047];
    (* ram_style = "block" *) reg [29:0] constants [0:511];
    initial begin
        for (i = 0; i < 512; i = i + 1) constants[i] = 987654321 * i;
        for (i = 0; i < 2048; i = i + 1) begin narrow[i] = i; kept[i] = 3 * i; shared[i] = ~i; end
        for (i = 0; i < 512; i = i + 1) wide[i] = 7777 * i;
        for (i = 0; i < 2048; i = i + 1) begin masked[i] = 99 * i; falling[i] = 5 * i; end
        for (i = 0; i < 4096; i = i + 1) begin deep[i] = 55 * i; partly[i] = 33 * i; end
        for (i = 0; i < 4096; i = i + 1) split[i] = 77 * i;
    end
    wire [8:0] row_read = {read[10], read[7:0]}, row_write = {write[10], write[7:0]};
    wire [11:0] deep_read = {read, data[36]}, deep_write = {write, data[37]};
    reg half;
    always @(posedge clk) half <= read[10];
    always @(posedge clk) if (writes) begin
        narrow[write] <= data[7:0]; kept[write] <= data[16:8]; shared[write] <= data[25:17];
        wide[row_write] <= data[55:26]; deep[deep_write] <= data[64:56];
        masked[write] <= data[35:18]; partly[deep_write] <= data[71:63];
    end
    // Only the choice of the RAM reads this enable: its register goes away.
    always @(posedge clk) if (writes_split) split[deep_write] <= data[8:0];
    reg [8:0] split_word, split_later;
    reg [7:0] narrow_word, narrow_later;
    reg [29:0] wide_word, wide_later, constant_word, constant_later;
    reg [8:0] deep_word, deep_later, partly_word, partly_later;
    reg [17:0] masked_word, masked_later;
    reg [8:0] kept_word, kept_later, shared_word, shared_later, falling_word, falling_later;
    always @(posedge clk) begin
        narrow_word <= narrow[read]; narrow_later <= narrow_word;
        wide_word <= wide[row_read]; wide_later <= wide_word;
        // Nobody writes: the port that writes has no clock.
        constant_word <= constants[row_read]; constant_later <= constant_word;
        // Two RAMs and a choice between them, before which its register goes; not if a bit of
        // either is read elsewhere, too.
        deep_word <= deep[deep_read]; deep_later <= deep_word;
        split_word <= split[deep_read]; split_later <= split_word;
        partly_word <= partly[deep_read]; partly_later <= partly_word;
        // Two RAMs side by side, of which as much comes from elsewhere.
        masked_word <= masked[read]; masked_later <= masked_word & {half, data[16:0]};
        // A register with an enable stays, and one of a word that is read elsewhere, too.
        kept_word <= kept[read]; if (enabled) kept_later <= kept_word;
        shared_word <= shared[read]; shared_later <= shared_word;
        falling_later <= falling_word;
    end
    // The RAM's register would have its clock.
    always @(negedge clk) falling_word <= falling[read];
    assign results = {constant_later, split_later, falling_later, masked_later,
                      ~partly_word[3], partly_later, shared_word, shared_later, kept_later,
                      deep_later, wide_later, narrow_later};
endmodule
"""


def test_registers_go_into_memories(tmp_path: Path, bench) -> None:
    target = targets.get_fpga("ulx3s-85f")
    source = tmp_path / "cells.v"
    source.write_text(_MEMORIES)
    report = flow.synthesise([source], "cells", target, tmp_path / "synthesis")
    module = json.loads(report.netlist_json.read_text())["modules"]["cells"]
    modes = {
        name: (memory["parameters"]["REGMODE_A"], memory["parameters"]["REGMODE_B"])
        for name, memory in module["cells"].items()
        if memory["type"] == "DP16KD"
    }
    without, one, both = ("NOREG", "NOREG"), ("NOREG", "OUTREG"), ("OUTREG", "OUTREG")
    assert modes == {
        "narrow.0.0": one, "wide.0.0": both, "constants.0.0": both,
        "deep.0.0": one, "deep.0.1": one, "split.0.0": one, "split.0.1": one,
        "kept.0.0": without, "shared.0.0": without, "partly.0.0": without, "partly.0.1": without,
        "masked.0.0": without, "masked.0.1": without, "falling.0.0": without,
    }  # fmt: skip
    # What says which RAM a word is written to comes straight from a register.
    tables = {c["connections"]["Z"][0] for c in module["cells"].values() if c["type"] == "LUT4"}
    pins = [
        bits[0]
        for memory in module["cells"].values() if memory["type"] == "DP16KD"
        for bits in memory["connections"].values()
    ]  # fmt: skip
    assert not tables.intersection(pins)
    count = cells.ends(module)
    registers = [c for c in module["cells"].values() if c["type"] == "TRELLIS_FF"]
    assert all(count[register["connections"]["Q"][0]] > 1 for register in registers)
    sources = netlist.simulation_sources(report, target)
    assert bench(_MEMORIES, sources, "cells", 5, cycles=100_000) == set()
