"""What is written about a board: its top level and its constraints."""

from bitwright import targets
from bitwright.fpga.board import board_verilog
from bitwright.fpga.constraints import constraints
from bitwright.fpga.pll import plan_clock


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
