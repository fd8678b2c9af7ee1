"""iCEBreaker with an iCE40 UltraPlus 5K."""

from bitwright.targets.target import (
    BlockRam,
    BoardPins,
    FpgaTarget,
    Pin,
    PllLimits,
    Resources,
)

TARGET = FpgaTarget(
    name="icebreaker",
    title="1BitSquared iCEBreaker, Lattice iCE40UP5K, 5k LUT",
    family="ice40",
    device="iCE40UP5K",
    device_option="--up5k",
    package="sg48",
    speed_grade="",
    resources=Resources(lut=5280, ff=5280, bram=30, dsp=8, spram=4),
    block_ram=BlockRam(shapes=((256, 16), (512, 8), (1024, 4), (2048, 2))),
    board_clock_mhz=12.0,
    # iCE40 UltraPlus Family Data Sheet (FPGA-DS-02008), sysCLOCK PLL Timing
    pll=PllLimits(
        input_mhz=(10.0, 133.0),
        phase_detector_mhz=(10.0, 133.0),
        vco_mhz=(533.0, 1066.0),
        output_mhz=(16.0, 275.0),
    ),
    default_clock_mhz=24.0,
    uart_baud=1_000_000,
    pins=BoardPins(
        clock=Pin(site="35"),
        reset=Pin(site="10", inverted=True, pull="up"),  # user button, low when pressed
        uart_rx=Pin(site="6", pull="up"),
        uart_tx=Pin(site="9"),
        leds=(Pin(site="37", inverted=True), Pin(site="11", inverted=True)),  # green, red
    ),
    programmer="iceprog {bitstream}",
)
