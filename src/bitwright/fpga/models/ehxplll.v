// Phase-locked loop of the ECP5, for functional simulation: every clock is the input clock, so a
// simulation runs one machine cycle for each cycle of the oscillator. It is locked from the start.

module EHXPLLL #(
    parameter CLKI_DIV = 1,
    parameter CLKFB_DIV = 1,
    parameter CLKOP_DIV = 8, CLKOS_DIV = 8, CLKOS2_DIV = 8, CLKOS3_DIV = 8,
    parameter CLKOP_ENABLE = "ENABLED", CLKOS_ENABLE = "DISABLED",
    parameter CLKOS2_ENABLE = "DISABLED", CLKOS3_ENABLE = "DISABLED",
    parameter CLKOP_CPHASE = 0, CLKOS_CPHASE = 0, CLKOS2_CPHASE = 0, CLKOS3_CPHASE = 0,
    parameter CLKOP_FPHASE = 0, CLKOS_FPHASE = 0, CLKOS2_FPHASE = 0, CLKOS3_FPHASE = 0,
    parameter FEEDBK_PATH = "CLKOP",
    parameter OUTDIVIDER_MUXA = "DIVA", OUTDIVIDER_MUXB = "DIVB",
    parameter OUTDIVIDER_MUXC = "DIVC", OUTDIVIDER_MUXD = "DIVD",
    parameter PLLRST_ENA = "DISABLED",
    parameter INTFB_WAKE = "DISABLED",
    parameter STDBY_ENABLE = "DISABLED",
    parameter DPHASE_SOURCE = "DISABLED"
) (
    input CLKI, CLKFB, RST, STDBY, PLLWAKESYNC,
    input PHASESEL1, PHASESEL0, PHASEDIR, PHASESTEP, PHASELOADREG,
    input ENCLKOP, ENCLKOS, ENCLKOS2, ENCLKOS3,
    output CLKOP, CLKOS, CLKOS2, CLKOS3, LOCK, INTLOCK, REFCLK, CLKINTFB
);
    assign CLKOP = CLKI;
    assign CLKOS = CLKI;
    assign CLKOS2 = CLKI;
    assign CLKOS3 = CLKI;
    assign CLKINTFB = CLKI;
    assign REFCLK = CLKI;
    assign LOCK = 1'b1;
    assign INTLOCK = 1'b1;
endmodule
