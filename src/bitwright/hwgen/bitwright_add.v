// sum = (a op a_control) + (b op b_control) + carry; op is `^`, or `&` where AND_A or AND_B is set.
// With BITWRIGHT_ECP5 it is one carry chain of WIDTH + 1 tables, the operators inside of them.
`default_nettype none

module bitwright_add #(
    parameter WIDTH = 8,
    parameter AND_A = 0,
    parameter AND_B = 0
) (
    input wire [WIDTH-1:0] a,
    input wire a_control,
    input wire [WIDTH-1:0] b,
    input wire b_control,
    input wire carry,
    output wire [WIDTH-1:0] sum
);
`ifdef BITWRIGHT_ECP5
    // Tables of (A op B) ^ (C op D); START never propagates, and its carry is A.
    localparam [15:0] START = 16'h000A;
    localparam [15:0] BIT = AND_A != 0 ? (AND_B != 0 ? 16'h7888 : 16'h8778)
                                       : (AND_B != 0 ? 16'h9666 : 16'h6996);
    localparam CELLS = WIDTH / 2 + 1;
    wire [2*CELLS-1:0] left = {{(2*CELLS-WIDTH-1){1'b0}}, a, carry};
    wire [2*CELLS-1:0] right = {{(2*CELLS-WIDTH-1){1'b0}}, b, 1'b1};
    wire [2*CELLS-1:0] bits;
    wire [CELLS:0] chain;
    assign sum = bits[WIDTH:1];
    assign chain[0] = 1'b0;
    genvar i;
    generate
        for (i = 0; i < CELLS; i = i + 1) begin : cells
            CCU2C #(
                .INIT0(i == 0 ? START : BIT), .INIT1(BIT), .INJECT1_0("NO"), .INJECT1_1("NO")
            ) pair (
                .CIN(chain[i]), .COUT(chain[i+1]),
                .A0(left[2*i]), .B0(i == 0 ? 1'b1 : a_control),
                .C0(right[2*i]), .D0(i == 0 ? 1'b1 : b_control),
                .A1(left[2*i+1]), .B1(a_control), .C1(right[2*i+1]), .D1(b_control),
                .S0(bits[2*i]), .S1(bits[2*i+1])
            );
        end
    endgenerate
`else
    wire [WIDTH-1:0] left = AND_A != 0 ? a & {WIDTH{a_control}} : a ^ {WIDTH{a_control}};
    wire [WIDTH-1:0] right = AND_B != 0 ? b & {WIDTH{b_control}} : b ^ {WIDTH{b_control}};
    assign sum = left + right + {{(WIDTH-1){1'b0}}, carry};
`endif
endmodule

`default_nettype wire
