"""What the ULX3S boards have in common: one board, populated with ECP5 parts of different size."""

from bitwright.targets.target import (
    BlockRam,
    BoardPins,
    ExternalMemory,
    Pin,
    PllLimits,
    SdramPins,
)

BOARD_CLOCK_MHZ = 25.0
UART_BAUD = 1_000_000
PROGRAMMER = "openFPGALoader -b ulx3s {bitstream}"

_IO = "LVCMOS33"

PINS = BoardPins(
    clock=Pin(site="G2", io_type=_IO),
    reset=Pin(site="R1", io_type=_IO, pull="down"),  # button FIRE1, high when pressed
    uart_rx=Pin(site="M1", io_type=_IO, pull="up"),  # TXD of the FT231X
    uart_tx=Pin(site="L4", io_type=_IO),  # RXD of the FT231X
    leds=tuple(
        Pin(site=site, io_type=_IO, drive_ma=4)
        for site in ("B2", "C2", "C1", "D2", "D1", "E2", "E1", "H3")
    ),
)

BLOCK_RAM = BlockRam(
    shapes=((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1)),
)


def _sdram(sites: str) -> tuple[Pin, ...]:
    return tuple(Pin(site=site, io_type=_IO, drive_ma=4) for site in sites.split())


_CLK, _CKE, _CSN, _RASN, _CASN, _WEN = _sdram("F19 F20 P20 R20 T19 T20")
# 4 banks of 8192 rows of 512 columns of 16 bits; doc/constraints/ulx3s_v20.lpf of the board
MEMORY = ExternalMemory(
    part="MT48LC16M16A2", kind="sdram", size=32 << 20, clock_mhz=(20, 133),
    pins=SdramPins(
        clk=_CLK, cke=_CKE, csn=_CSN, rasn=_RASN, casn=_CASN, wen=_WEN,
        a=_sdram("M20 M19 L20 L19 K20 K19 K18 J20 J19 H20 N19 G20 G19"),
        ba=_sdram("P19 N20"),
        dqm=_sdram("U19 E20"),
        d=_sdram("J16 L18 M18 N18 P18 T18 T17 U20 E19 D20 D19 C20 E18 F18 J18 J17"),
    ),
)  # fmt: skip

# ECP5 and ECP5-5G Family Data Sheet (FPGA-DS-02012), sysCLOCK PLL Timing
PLL = PllLimits(
    input_mhz=(8.0, 400.0),
    phase_detector_mhz=(10.0, 400.0),
    vco_mhz=(400.0, 800.0),
    output_mhz=(3.125, 400.0),
)
