// One of two results that are equal: synthesis leaves out what makes the other. `in_small` is for
// the cells of BITWRIGHT_ICE40: blocks of 16 x 16 bits, not 18 x 18, carries of two inputs, not four.
`default_nettype none

module bitwright_choose #(
    parameter WIDTH = 8
) (
    input wire [WIDTH-1:0] in_large,
    input wire [WIDTH-1:0] in_small,
    output wire [WIDTH-1:0] chosen
);
`ifdef BITWRIGHT_ICE40
    assign chosen = in_small;
    wire unused = ^in_large;
`else
    assign chosen = in_large;
    wire unused = ^in_small;
`endif
endmodule

`default_nettype wire
