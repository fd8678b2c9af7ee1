"""The pins of an SDRAM chip on an ECP5: a register in every pin, and the chip's clock.

All pins are driven by registers in the I/O cells, so the delay from a clock edge to the pin is
about the same for all, the chip's clock among them. That clock comes from an output of the PLL
which leads the machine's by `LEAD_NS`. With 3 to 6 ns from a clock edge to an output and from an
input to its register together (assumed, the board's wires among them), with 0.7 ns between pins,
and with the slowest chips (setup 1.5 ns, hold 0.8 ns, data 6 ns after the clock at CAS latency 2
and 5.4 ns at 3, held for 2.5 ns), a clock period T leaves

    commands at the chip, setup   T - lead - 1.5 - 0.7       3.8 ns at 100 MHz, 1.3 ns at 133 MHz
    commands at the chip, hold    lead - 0.8 - 0.7           2.5 ns
    data at the FPGA, setup       T + lead - 6 - 6 (5.4)     2.0 ns at 100 MHz, 0.1 ns at 133 MHz
    data at the FPGA, hold        3 + 2.5 - lead             1.5 ns

An inverted clock leads by T / 2, and holds data long enough only above 91 MHz.
"""

from bitwright.fpga.pll import ClockPlan
from bitwright.targets.target import SdramPins

LEAD_NS = 4.0
_SET = ("csn", "rasn", "casn", "wen")  # high until the machine drives them


def phase_settings(plan: ClockPlan) -> list[tuple[str, str]]:
    """Parameters of the PLL for an output CLKOS2 that leads CLKOS by `LEAD_NS`.

    A phase is a delay in periods of the loop's oscillator (CPHASE) and eighths of them (FPHASE).
    """
    divider = dict(plan.dividers)["CLKOS_DIV"]
    delay = (1000 / plan.output_mhz - LEAD_NS) * plan.vco_mhz / 1000
    periods, eighths = divmod(8 * ((divider - 1) // 2) + round(8 * delay), 8)
    return [
        ("CLKOS2_ENABLE", '"ENABLED"'),
        ("CLKOS2_DIV", str(divider)),
        ("CLKOS2_CPHASE", str(periods)),
        ("CLKOS2_FPHASE", str(eighths)),
    ]


def ports(pins: SdramPins) -> str:
    """The ports of the board's top level, one a line, each after a comma."""
    lines = ["output wire sdram_clk", "inout  wire [15:0] sdram_d"]
    for name, group in pins.outputs():
        lines.append(f"output wire {_range(len(group))}sdram_{name}")
    return "".join(f",\n    {line}" for line in lines)


def connections(pins: SdramPins) -> str:
    """The connections of the machine, each after a comma."""
    names = [name for name, _ in pins.outputs()] + ["d_o", "d_oe", "d_i"]
    return "".join(f",\n        .sdram_{name}(sdram_{name}_now)" for name in names)


def body(pins: SdramPins) -> str:
    """The registers; `sdram_clock` and `clk` are the two clocks."""
    text = """\
    ODDRX1F sdram_clk_pin (.SCLK(sdram_clock), .RST(1'b0), .D0(1'b1), .D1(1'b0), .Q(sdram_clk));
"""
    for name, group in pins.outputs():
        kind, idle = ("OFS1P3BX", "PD") if name in _SET else ("OFS1P3DX", "CD")
        width = _range(len(group))
        text += f"""
    wire {width}sdram_{name}_now;
    {kind} sdram_{name}_pin {width}(
        .SCLK(clk), .SP(1'b1), .{idle}(1'b0), .D(sdram_{name}_now), .Q(sdram_{name})
    );
"""
    return (
        text
        + """
    wire [15:0] sdram_d_o_now, sdram_d_o, sdram_d_z, sdram_d_i, sdram_d_i_now;
    wire sdram_d_oe_now;
    OFS1P3BX sdram_d_z_pin [15:0] (
        .SCLK(clk), .SP(1'b1), .PD(1'b0), .D({16{~sdram_d_oe_now}}), .Q(sdram_d_z)
    );
    OFS1P3DX sdram_d_o_pin [15:0] (
        .SCLK(clk), .SP(1'b1), .CD(1'b0), .D(sdram_d_o_now), .Q(sdram_d_o)
    );
    IFS1P3DX sdram_d_i_pin [15:0] (
        .SCLK(clk), .SP(1'b1), .CD(1'b0), .D(sdram_d_i), .Q(sdram_d_i_now)
    );
    BB sdram_d_pad [15:0] (.I(sdram_d_o), .T(sdram_d_z), .O(sdram_d_i), .B(sdram_d));

"""
    )


def _range(width: int) -> str:
    return f"[{width - 1}:0] " if width > 1 else ""
