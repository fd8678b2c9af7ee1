"""ULX3S with an ECP5 LFE5U-12F."""

from bitwright.targets import ulx3s
from bitwright.targets.target import FpgaTarget, Resources

TARGET = FpgaTarget(
    name="ulx3s-12f",
    title="Radiona ULX3S, Lattice ECP5 LFE5U-12F, 12k LUT",
    family="ecp5",
    device="LFE5U-12F",
    device_option="--12k",
    package="CABGA381",
    speed_grade="6",
    resources=Resources(lut=12144, ff=12144, bram=32, dsp=28),
    block_ram=ulx3s.BLOCK_RAM,
    board_clock_mhz=ulx3s.BOARD_CLOCK_MHZ,
    pll=ulx3s.PLL,
    default_clock_mhz=100.0,
    uart_baud=ulx3s.UART_BAUD,
    pins=ulx3s.PINS,
    programmer=ulx3s.PROGRAMMER,
    memory=ulx3s.MEMORY,
)
