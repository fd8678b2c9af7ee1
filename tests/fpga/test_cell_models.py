"""Our models of DP16KD and MULT18X18D: what yosys makes of memories and products, and the RTL."""

import random
import re
from pathlib import Path

import pytest

from bitwright import targets
from bitwright.fpga import flow, netlist
from bitwright.fpga.errors import ModelMissing

pytestmark = pytest.mark.slow

_UNITS = """\
module one_write_one_read #(parameter WIDTH = 1, DEPTH = 2, FILE = "") (
    input clk, input we, re, clear, input [13:0] wa, ra, input [35:0] wd, output [35:0] q
);
    (* ram_style = "block" *) reg [WIDTH-1:0] memory [0:DEPTH-1];
    reg [WIDTH-1:0] out = 0;
    localparam BITS = $clog2(DEPTH);
    // A word beyond the end is undefined.
    wire [BITS-1:0] w = wa[BITS-1:0] < DEPTH ? wa[BITS-1:0] : 0;
    wire [BITS-1:0] r = ra[BITS-1:0] < DEPTH ? ra[BITS-1:0] : 0;
    generate if (FILE != "") initial $readmemh(FILE, memory); endgenerate
    always @(posedge clk) begin
        if (we) memory[w] <= wd[WIDTH-1:0];
        if (clear) out <= 0;
        else if (re) out <= memory[r];
    end
    assign q = out;
endmodule

module byte_writes #(parameter BYTES = 4, DEPTH = 512) (
    input clk, input [3:0] we, input [13:0] wa, ra, input [35:0] wd, output [35:0] q
);
    (* ram_style = "block" *) reg [9*BYTES-1:0] memory [0:DEPTH-1];
    reg [9*BYTES-1:0] out = 0;
    integer i;
    always @(posedge clk) begin
        for (i = 0; i < BYTES; i = i + 1)
            if (we[i]) memory[wa[$clog2(DEPTH)-1:0]][9*i +: 9] <= wd[9*i +: 9];
        out <= memory[ra[$clog2(DEPTH)-1:0]];
    end
    assign q = out;
endmodule

// MODE 0: a port that writes keeps its output; 1: it shows what it writes; 2: it shows the old word
module two_ports #(parameter WIDTH = 1, DEPTH = 2, MODE = 0) (
    input clk, input wea, web, input [13:0] aa, ab, input [35:0] da, db, output [35:0] q
);
    localparam BITS = $clog2(DEPTH);
    (* ram_style = "block" *) reg [WIDTH-1:0] memory [0:DEPTH-1];
    reg [WIDTH-1:0] qa = 0, qb = 0;
    wire [BITS-1:0] a = aa[BITS-1:0], b = ab[BITS-1:0];
    // Two ports that write one word, or one that writes what the other reads, are undefined.
    wire write_a = wea & a != b, write_b = web & a != b;
    always @(posedge clk) begin
        if (write_a) memory[a] <= da[WIDTH-1:0];
        if (MODE == 2 | ~write_a) qa <= memory[a];
        else if (MODE == 1) qa <= da[WIDTH-1:0];
    end
    always @(posedge clk) begin
        if (write_b) memory[b] <= db[WIDTH-1:0];
        if (MODE == 2 | ~write_b) qb <= memory[b];
        else if (MODE == 1) qb <= db[WIDTH-1:0];
    end
    assign q = {qa ^ {WIDTH{1'b0}}, qb};
endmodule

module rom #(parameter WIDTH = 1, DEPTH = 2, FILE = "") (
    input clk, input [13:0] a, output reg [35:0] q
);
    (* rom_style = "block" *) reg [WIDTH-1:0] memory [0:DEPTH-1];
    initial $readmemh(FILE, memory);
    always @(posedge clk) q <= memory[a[$clog2(DEPTH)-1:0]];
endmodule

module product #(parameter A = 18, B = 18, SIGNED_A = 1, SIGNED_B = 1) (
    input clk, input [17:0] a, b, output reg [35:0] q
);
    wire signed [A:0] x = {SIGNED_A ? a[A-1] : 1'b0, a[A-1:0]};
    wire signed [B:0] y = {SIGNED_B ? b[B-1] : 1'b0, b[B-1:0]};
    wire signed [A+B-1:0] z = x * y;
    always @(posedge clk) q <= z;
endmodule
"""

_SHAPES = [(512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1)]
_RANDOM = "s[20], s[21], s[22] & s[23] & s[24], s[37:24], s[51:38], s[95:60]"


def _memory_file(folder: Path, name: str, depth: int, width: int) -> str:
    numbers = random.Random(name)
    digits = (width + 3) // 4
    words = [f"{numbers.getrandbits(width):0{digits}x}" for _ in range(depth)]
    (folder / name).write_text("\n".join(words) + "\n")
    return name


def _design(folder: Path) -> tuple[str, int]:
    units: list[str] = []
    for depth, width in [*_SHAPES, (768, 36)]:
        file = _memory_file(folder, f"init{depth}.hex", depth, width) if width != 2 else ""
        units.append(f'one_write_one_read #({width}, {depth}, "{file}") u(clk, {_RANDOM}, q);')
    for size, depth in [(4, 512), (2, 1024)]:
        units.append(
            f"byte_writes #({size}, {depth}) u(clk, s[103:100], s[37:24], s[51:38], s[95:60], q);"
        )
    for depth, width, mode in [
        (1024, 18, 0), (1024, 18, 1), (1024, 18, 2), (2048, 9, 1), (2048, 9, 2), (4096, 4, 0),
        (4096, 4, 2), (8192, 2, 2), (16384, 1, 2),
    ]:  # fmt: skip
        units.append(
            f"two_ports #({width}, {depth}, {mode}) "
            "u(clk, s[20], s[21], s[37:24], s[51:38], s[95:60], s[135:100], q);"
        )
    for depth, width in [(512, 36), (2048, 9)]:
        file = _memory_file(folder, f"rom{depth}.hex", depth, width)
        units.append(f'rom #({width}, {depth}, "{file}") u(clk, s[37:24], q);')
    for a, b, signed_a, signed_b in [
        (18, 18, 1, 1), (18, 18, 0, 0), (18, 18, 1, 0), (18, 18, 0, 1), (8, 8, 1, 1),
        (24, 17, 1, 0),
    ]:  # fmt: skip
        operands = "{s[69:64], s[17:0]}" if a > 18 else "s[17:0]"
        name = "wide_product" if a > 18 else "product"
        units.append(f"{name} #({a}, {b}, {signed_a}, {signed_b}) u(clk, {operands}, s[57:40], q);")
    wide = _UNITS[_UNITS.index("module product") :]
    wide = wide.replace("module product", "module wide_product").replace(
        "[17:0] a, b", "[23:0] a, b"
    )
    body = "\n".join(
        f"    generate if (1) begin : g{i} wire [35:0] q; {unit} "
        f"assign results[{36 * i} +: 36] = q; end endgenerate"
        for i, unit in enumerate(units)
    )
    text = (
        "module cells(input clk, input [255:0] stimulus, "
        f"output [{36 * len(units) - 1}:0] results);\n"
        f"    wire [255:0] s = stimulus;\n{body}\nendmodule\n\n{_UNITS}\n{wide}"
    )
    return text, len(units)


def test_ecp5_cells_do_what_the_rtl_does(tmp_path: Path, bench) -> None:
    target = targets.get_fpga("ulx3s-85f")
    text, count = _design(tmp_path)
    source = tmp_path / "cells.v"
    source.write_text(text)
    folder = tmp_path / "synthesis"
    report = flow.synthesise([source], "cells", target, folder)
    assert report.cells["DP16KD"] >= 18
    assert report.cells["MULT18X18D"] >= 5
    netlist_text = report.netlist_verilog.read_text()
    for setting in (
        ".DATA_WIDTH_A(32'd36)", ".DATA_WIDTH_B(32'd1)", ".DATA_WIDTH_B(32'd4)",
        '.WRITEMODE_A("NORMAL")', '.WRITEMODE_A("WRITETHROUGH")', '.WRITEMODE_A("READBEFOREWRITE")',
    ):  # fmt: skip
        assert setting in netlist_text, f"yosys no longer makes a cell with {setting}"

    sources = netlist.simulation_sources(report, target)
    assert bench(text, sources, "cells", count) == set()


def test_a_read_of_what_is_being_written_is_poisoned_on_demand(tmp_path: Path, bench) -> None:
    target = targets.get_fpga("ulx3s-85f")
    text = (
        "module cells(input clk, input [255:0] stimulus, output [71:0] results);\n"
        "    wire [255:0] s = stimulus;\n"
        "    one_write_one_read #(36, 512) often(clk, s[0], 1'b1, 1'b0, s[13:4], s[17:14], "
        "s[95:60], results[35:0]);\n"
        "    one_write_one_read #(36, 512) never(clk, s[0], 1'b1, 1'b0, {s[13:5], 1'b0}, "
        "{s[17:14], 1'b1}, s[95:60], results[71:36]);\n"
        f"endmodule\n\n{_UNITS}"
    )
    source = tmp_path / "cells.v"
    source.write_text(text)
    report = flow.synthesise([source], "cells", target, tmp_path / "synthesis")
    sources = netlist.simulation_sources(report, target)
    assert bench(text, sources, "cells", 2, defines=("BITWRIGHT_POISON_COLLISIONS",)) == {0}


def test_our_tables_and_carries_are_those_of_yosys(tmp_path: Path, bench) -> None:
    """Random contents, against yosys's models of the same cells under other names."""
    numbers = random.Random(7)
    units: list[str] = []
    for inject in ("YES", "NO"):
        for _ in range(8):
            low, high = numbers.getrandbits(16), numbers.getrandbits(16)
            parameters = (
                f'.INIT0(16\'d{low}), .INIT1(16\'d{high}), .INJECT1_0("{inject}"), .INJECT1_1("NO")'
            )
            units.append(
                f"CCU2C #({parameters}) u(.CIN(s[8]), .A0(s[0]), .B0(s[1]), .C0(s[2]), .D0(s[3]), "
                ".A1(s[4]), .B1(s[5]), .C1(s[6]), .D1(s[7]), .S0(q[0]), .S1(q[1]), .COUT(q[2]));"
            )
    for _ in range(6):
        init = f"16'd{numbers.getrandbits(16)}"
        units.append(f"LUT4 #({init}) u(s[0], s[1], s[2], s[3], q[0]);")
        units.append(f"SB_LUT4 #({init}) u(.O(q[0]), .I0(s[0]), .I1(s[1]), .I2(s[2]), .I3(s[3]));")
    body = "\n".join(
        f"    generate if (1) begin : g{i} wire [35:0] q; assign q[35:3] = 0; {unit} "
        f"assign results[{36 * i} +: 36] = q & {'7' if 'CCU' in unit else '1'}; end endgenerate"
        for i, unit in enumerate(units)
    )
    top = (
        "module cells(input clk, input [255:0] stimulus, "
        f"output [{36 * len(units) - 1}:0] results);\n"
        f"    wire [255:0] s = stimulus;\n{body}\nendmodule\n"
    )
    (macros, ecp5), (ice_macros, ice40) = (netlist.yosys_models(f) for f in ("ecp5", "ice40"))
    yosys = "\n".join([ecp5["LUT2"], ecp5["LUT4"], ecp5["CCU2C"], ice40["SB_LUT4"]])
    expected = f"{macros}\n{ice_macros}\n" + re.sub(
        r"\b(LUT2|LUT4|CCU2C|SB_LUT4)\b", r"\1_yosys", top + yosys
    )
    ours = tmp_path / "ours.v"
    models = Path(netlist.__file__).parent / "models"
    cells = [(models / name).read_text() for name in ("lut4.v", "ccu2c.v", "sb_lut4.v")]
    ours.write_text("\n".join([top, *cells]))
    assert bench(expected, [ours], "cells", len(units)) == set()


def test_a_cell_without_a_model() -> None:
    with pytest.raises(ModelMissing) as error:
        netlist.cell_models(["LUT4", "DCUA"], "ecp5")
    assert str(error.value) == (
        "Cell 'DCUA' of family 'ecp5' has no simulation model, neither in yosys's data folder nor "
        "here; check the yosys installation, or add a model to bitwright/fpga/models"
    )
