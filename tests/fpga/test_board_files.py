"""What is written about a board: its top level and its constraints."""

import pytest

from bitwright import targets
from bitwright.fpga.board import board_verilog
from bitwright.fpga.constraints import constraints
from bitwright.fpga.pll import plan_clock
from bitwright.fpga.sdram_pins import LEAD_NS, phase_settings


def test_lpf() -> None:
    lines = constraints(targets.get_fpga("ulx3s-12f")).splitlines()
    assert lines[:3] == [
        "# Radiona ULX3S, Lattice ECP5 LFE5U-12F, 12k LUT",
        "BLOCK RESETPATHS;",
        "BLOCK ASYNCPATHS;",
    ]
    assert 'LOCATE COMP "clock" SITE "G2";' in lines
    assert 'IOBUF PORT "reset_button" IO_TYPE=LVCMOS33 PULLMODE=DOWN;' in lines
    assert 'IOBUF PORT "leds[7]" IO_TYPE=LVCMOS33 DRIVE=4;' in lines
    assert lines[-1] == 'FREQUENCY PORT "clock" 25 MHZ;'


def test_lpf_with_memory() -> None:
    target = targets.get_fpga("ulx3s-12f")
    lines = constraints(target, memory=True).splitlines()
    assert 'LOCATE COMP "sdram_clk" SITE "F19";' in lines
    assert 'LOCATE COMP "sdram_a[12]" SITE "G19";' in lines
    assert 'IOBUF PORT "sdram_d[15]" IO_TYPE=LVCMOS33 DRIVE=4;' in lines
    assert sum("sdram_" in line for line in lines) == 2 * (1 + 5 + 13 + 2 + 2 + 16)
    assert len({line.split()[-1] for line in lines if line.startswith("LOCATE")}) == 12 + 39
    assert not any("sdram" in line for line in constraints(target).splitlines())


def test_pcf() -> None:
    assert constraints(targets.get_fpga("icebreaker")) == (
        "# 1BitSquared iCEBreaker, Lattice iCE40UP5K, 5k LUT\n"
        "set_io clock 35\n"
        "set_io -pullup yes reset_button 10\n"
        "set_io -pullup yes uart_rx 6\n"
        "set_io uart_tx 9\n"
        "set_io leds[0] 37\n"
        "set_io leds[1] 11\n"
        "set_frequency clock 12\n"
    )


def test_board_with_inverted_pins_and_no_pll() -> None:
    target = targets.get_fpga("icebreaker")
    text = board_verilog(target, plan_clock(target, 12.0))
    assert "    assign clk = clock;\n" in text
    assert "    wire reset_request = ~reset_button | ~locked;\n" in text
    assert "    assign leds = {~uart_rx, heartbeat[HEARTBEAT_BITS - 1]} ^ 2'b11;\n" in text


def test_board_with_pll() -> None:
    target = targets.get_fpga("ulx3s-85f")
    text = board_verilog(target, plan_clock(target), machine_top="bitwright_other")
    assert "    EHXPLLL #(\n        .CLKI_DIV(1),\n" in text
    assert "    bitwright_other machine (\n" in text
    assert "    wire reset_request = reset_button | ~locked;\n" in text


@pytest.mark.parametrize("mhz", [20, 25, 62.5, 80, 100, 133])
def test_the_clock_of_the_memory_leads(mhz: float) -> None:
    target = targets.get_fpga("ulx3s-12f")
    plan = plan_clock(target, mhz, memory=True)
    settings = dict(phase_settings(plan))
    base = (dict(plan.dividers)["CLKOS_DIV"] - 1) // 2
    periods = int(settings["CLKOS2_CPHASE"]) + int(settings["CLKOS2_FPHASE"]) / 8 - base
    lead = 1000 / plan.output_mhz - 1000 * periods / plan.vco_mhz
    assert abs(lead - LEAD_NS) <= 1000 / plan.vco_mhz / 16
    assert settings["CLKOS2_DIV"] == str(dict(plan.dividers)["CLKOS_DIV"])
    assert int(settings["CLKOS2_CPHASE"]) < 128


def test_board_with_memory() -> None:
    target = targets.get_fpga("ulx3s-12f")
    text = board_verilog(target, plan_clock(target, 80, memory=True), memory=True)
    assert ".CLKOS(clk), .CLKOS2(sdram_clock), .LOCK(locked)" in text
    assert "    inout  wire [15:0] sdram_d,\n" in text
    assert text.index("wire [12:0] sdram_a_now;") < text.index(".sdram_a(sdram_a_now)")
    assert "sdram" not in board_verilog(target, plan_clock(target, 80)).lower()
