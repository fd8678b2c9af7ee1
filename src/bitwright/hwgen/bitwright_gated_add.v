// sum = (a_on ? a : 0) + (b_on ? b : 0), modulo 2^WIDTH; of ~b where NOT_B is set.
// With BITWRIGHT_ECP5 defined it is one look-up table a bit: that of a carry cell has four inputs,
// which take both bits and both switches. Synthesis by itself uses another table for each switch.
`default_nettype none

module bitwright_gated_add #(
    parameter WIDTH = 8,
    parameter NOT_B = 0
) (
    input wire [WIDTH-1:0] a,
    input wire [WIDTH-1:0] b,
    input wire a_on,
    input wire b_on,
    output wire [WIDTH-1:0] sum
);
`ifdef BITWRIGHT_ECP5
    // (A & B) ^ (C & D), or of ~C; its lowest four bits, A & B, are the carry where that is 0
    localparam [15:0] BIT = NOT_B != 0 ? 16'h8788 : 16'h7888;
    localparam PAIRS = (WIDTH + 1) / 2;
    wire [2*PAIRS-1:0] wide_a = a;
    wire [2*PAIRS-1:0] wide_b = b;
    wire [2*PAIRS-1:0] wide_sum;
    wire [PAIRS:0] carry;
    assign carry[0] = 1'b0;
    assign sum = wide_sum[WIDTH-1:0];
    genvar pair;
    generate
        for (pair = 0; pair < PAIRS; pair = pair + 1) begin : pairs
            CCU2C #(.INIT0(BIT), .INIT1(BIT), .INJECT1_0("NO"), .INJECT1_1("NO")) adder (
                .CIN(carry[pair]),
                .A0(wide_a[2*pair]), .B0(a_on), .C0(wide_b[2*pair]), .D0(b_on),
                .A1(wide_a[2*pair+1]), .B1(a_on), .C1(wide_b[2*pair+1]), .D1(b_on),
                .S0(wide_sum[2*pair]), .S1(wide_sum[2*pair+1]), .COUT(carry[pair+1])
            );
        end
    endgenerate
`else
    wire [WIDTH-1:0] second = NOT_B != 0 ? ~b : b;
    assign sum = (a & {WIDTH{a_on}}) + (second & {WIDTH{b_on}});
`endif
endmodule

`default_nettype wire
