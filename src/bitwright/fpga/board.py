"""The board's top level: clock, reset, serial port and lights around one machine.

It is written as Verilog, since it only wires pins and primitives of the device to the machine.
"""

from bitwright.fpga import sdram_pins
from bitwright.fpga.pll import ClockPlan
from bitwright.targets.target import FpgaTarget

TOP = "bitwright_board"
MACHINE_TOP = "bitwright_uart"
HEARTBEAT_BITS = 25
"""The first light blinks with the top bit of a counter this wide: it shows that the clock runs."""


def board_verilog(
    target: FpgaTarget, plan: ClockPlan, *, machine_top: str = MACHINE_TOP, memory: bool = False
) -> str:
    """Verilog of `bitwright_board`.

    The machine has the ports `clk`, `rst` (synchronous, high active), `uart_rx`, `uart_tx`, and
    those of a `UartTop` with external memory where the board's `memory` is used.
    Lights: heartbeat, data from the host, data to the host, machine out of reset.
    """
    chip = target.memory.pins if memory and target.memory is not None else None
    pins = target.pins
    count = len(pins.leds)
    pressed = "~reset_button" if pins.reset.inverted else "reset_button"
    lights = ["heartbeat[HEARTBEAT_BITS - 1]", "~uart_rx", "~uart_tx", "~rst"][:count]
    inverted = "".join("1" if pin.inverted else "0" for pin in reversed(pins.leds))
    shown = ", ".join(["1'b0"] * (count - len(lights)) + list(reversed(lights)))
    return f"""\
// {target.title}
// Machine clock {plan.output_mhz:g} MHz from the oscillator of {plan.input_mhz:g} MHz.

module {TOP} (
    input  wire clock,
    input  wire reset_button,
    input  wire uart_rx,
    output wire uart_tx,
    output wire [{count - 1}:0] leds{"" if chip is None else sdram_pins.ports(chip)}
);
    localparam HEARTBEAT_BITS = {HEARTBEAT_BITS};

    wire clk;
    wire locked;

{_clock(target, plan, memory=memory)}
    // Reset ends in step with the clock, six cycles after the clock is stable. The last two
    // registers have room to come near what they reset.
    wire reset_request = {pressed} | ~locked;
    reg [3:0] reset_chain = 4'b1111;
    always @(posedge clk or posedge reset_request)
        if (reset_request) reset_chain <= 4'b1111;
        else reset_chain <= {{reset_chain[2:0], 1'b0}};
    reg rst_before = 1'b1, rst = 1'b1;
    always @(posedge clk) {{rst, rst_before}} <= {{rst_before, reset_chain[3]}};

    reg [HEARTBEAT_BITS - 1:0] heartbeat = 0;
    always @(posedge clk) heartbeat <= heartbeat + 1'b1;

{"" if chip is None else sdram_pins.body(chip)}\
    {machine_top} machine (
        .clk(clk),
        .rst(rst),
        .uart_rx(uart_rx),
        .uart_tx(uart_tx){"" if chip is None else sdram_pins.connections(chip)}
    );

    assign leds = {{{shown}}} ^ {count}'b{inverted};
endmodule
"""


def _clock(target: FpgaTarget, plan: ClockPlan, *, memory: bool) -> str:
    if not plan.uses_pll:
        return "    assign clk = clock;\n    assign locked = 1'b1;\n"
    return _ehxplll(plan, memory=memory) if target.family == "ecp5" else _sb_pll40(plan)


def _parameters(settings: list[tuple[str, str]]) -> str:
    return ",\n".join(f"        .{name}({value})" for name, value in settings)


def _ehxplll(plan: ClockPlan, *, memory: bool) -> str:
    """PLL of the ECP5: CLKOP only feeds back, CLKOS is the machine's clock, CLKOS2 the memory's."""
    dividers = dict(plan.dividers)
    settings = [(name, str(value)) for name, value in plan.dividers]
    settings += [
        ("CLKOP_ENABLE", '"ENABLED"'),
        ("CLKOP_CPHASE", str((dividers["CLKOP_DIV"] - 1) // 2)),
        ("CLKOP_FPHASE", "0"),
        ("CLKOS_ENABLE", '"ENABLED"'),
        ("CLKOS_CPHASE", str((dividers["CLKOS_DIV"] - 1) // 2)),
        ("CLKOS_FPHASE", "0"),
        ("FEEDBK_PATH", '"CLKOP"'),
        ("PLLRST_ENA", '"DISABLED"'),
        ("INTFB_WAKE", '"DISABLED"'),
        ("STDBY_ENABLE", '"DISABLED"'),
        ("DPHASE_SOURCE", '"DISABLED"'),
        ("OUTDIVIDER_MUXA", '"DIVA"'),
        ("OUTDIVIDER_MUXB", '"DIVB"'),
    ]
    settings += sdram_pins.phase_settings(plan) if memory else []
    second = (".CLKOS2(sdram_clock), ", "    wire sdram_clock;\n") if memory else ("", "")
    return f"""\
    wire feedback;
{second[1]}\
    (* FREQUENCY_PIN_CLKI = "{plan.input_mhz:g}" *)
    (* FREQUENCY_PIN_CLKOP = "{plan.vco_mhz / dividers["CLKOP_DIV"]:g}" *)
    (* FREQUENCY_PIN_CLKOS = "{plan.output_mhz:g}" *)
    (* ICP_CURRENT = "12" *) (* LPF_RESISTOR = "8" *)
    (* MFG_ENABLE_FILTEROPAMP = "1" *) (* MFG_GMCREF_SEL = "2" *)
    EHXPLLL #(
{_parameters(settings)}
    ) pll (
        .RST(1'b0), .STDBY(1'b0), .PLLWAKESYNC(1'b0), .ENCLKOP(1'b0),
        .PHASESEL0(1'b0), .PHASESEL1(1'b0),
        .PHASEDIR(1'b1), .PHASESTEP(1'b1), .PHASELOADREG(1'b1),
        .CLKI(clock), .CLKFB(feedback), .CLKOP(feedback), .CLKOS(clk), {second[0]}.LOCK(locked)
    );
"""


def _sb_pll40(plan: ClockPlan) -> str:
    """PLL of the iCE40, fed by the clock's own pad."""
    settings = [("FEEDBACK_PATH", '"SIMPLE"')]
    settings += [(name, str(value)) for name, value in plan.dividers]
    return f"""\
    SB_PLL40_PAD #(
{_parameters(settings)}
    ) pll (
        .PACKAGEPIN(clock), .PLLOUTGLOBAL(clk), .LOCK(locked), .RESETB(1'b1), .BYPASS(1'b0)
    );
"""
