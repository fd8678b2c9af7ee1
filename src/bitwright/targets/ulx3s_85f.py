"""ULX3S with an ECP5 LFE5U-85F."""

from bitwright.targets import ulx3s
from bitwright.targets.target import FpgaTarget, MachinePreset, Resources


def _dsp(*, rows: int, requant_lanes: int, banks: int, multiplier_blocks: int) -> MachinePreset:
    """Four pixels of 8 lanes; with wide requantizers all 156 multiplier blocks, or nearly."""
    return MachinePreset(
        lanes=8, rows=rows, requant_lanes=requant_lanes, engine="dsp", pixels=4, banks=banks,
        multiplier_blocks=multiplier_blocks,
    )  # fmt: skip


TARGET = FpgaTarget(
    name="ulx3s-85f",
    title="Radiona ULX3S, Lattice ECP5 LFE5U-85F, 84k LUT",
    family="ecp5",
    device="LFE5U-85F",
    device_option="--85k",
    package="CABGA381",
    speed_grade="6",
    resources=Resources(lut=83640, ff=83640, bram=208, dsp=156),
    block_ram=ulx3s.BLOCK_RAM,
    board_clock_mhz=ulx3s.BOARD_CLOCK_MHZ,
    pll=ulx3s.PLL,
    default_clock_mhz=80.0,
    uart_baud=ulx3s.UART_BAUD,
    pins=ulx3s.PINS,
    presets=(
        _dsp(rows=16, requant_lanes=8, banks=8, multiplier_blocks=124),
        _dsp(rows=16, requant_lanes=8, banks=4, multiplier_blocks=124),
        _dsp(rows=8, requant_lanes=4, banks=8, multiplier_blocks=128),
        _dsp(rows=8, requant_lanes=4, banks=4, multiplier_blocks=128),
        MachinePreset(lanes=16, rows=32, requant_lanes=2),
        MachinePreset(lanes=16, rows=16, requant_lanes=2),
        MachinePreset(lanes=8, rows=16, requant_lanes=1),
        MachinePreset(lanes=8, rows=8, requant_lanes=1),
    ),
    programmer=ulx3s.PROGRAMMER,
)
