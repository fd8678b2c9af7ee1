// Phase-locked loop of the iCE40, for functional simulation: every clock is the input clock, so a
// simulation runs one machine cycle for each cycle of the oscillator. It is locked from the start.

module SB_PLL40_PAD #(
    parameter FEEDBACK_PATH = "SIMPLE",
    parameter [3:0] DIVR = 4'd0,
    parameter [6:0] DIVF = 7'd0,
    parameter [2:0] DIVQ = 3'd0,
    parameter [2:0] FILTER_RANGE = 3'd0
) (
    input PACKAGEPIN, RESETB, BYPASS,
    output PLLOUTCORE, PLLOUTGLOBAL, LOCK
);
    assign PLLOUTCORE = PACKAGEPIN;
    assign PLLOUTGLOBAL = PACKAGEPIN;
    assign LOCK = RESETB;
endmodule
