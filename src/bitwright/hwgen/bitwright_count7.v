// How many of seven lanes have both bits set, or with EQUAL how many have equal bits.
// With BITWRIGHT_ECP5 it is twelve tables: synthesis by itself takes half as many again, for speed.
`default_nettype none

module bitwright_count7 #(
    parameter EQUAL = 0
) (
    input wire [6:0] a,
    input wire [6:0] b,
    output wire [2:0] count
);
`ifdef BITWRIGHT_ECP5
    // Of the products AB and CD: their parity, and both.
    localparam [15:0] PARITY = EQUAL != 0 ? 16'h6996 : 16'h7888;
    localparam [15:0] BOTH = EQUAL != 0 ? 16'h9009 : 16'h8000;
    // The product AB with C and D: the parity of AB and C; D, or AB and C; the parity of all;
    // two of all.
    localparam [15:0] ODD = EQUAL != 0 ? 16'h6969 : 16'h7878;
    localparam [15:0] CARRY = EQUAL != 0 ? 16'hFF90 : 16'hFF80;
    localparam [15:0] SUM = EQUAL != 0 ? 16'h9669 : 16'h8778;
    localparam [15:0] MAJORITY = EQUAL != 0 ? 16'hF990 : 16'hF880;
    localparam [15:0] PARITY3 = 16'h9696, MAJORITY3 = 16'hE8E8;
    wire [1:0] parity, both, sum, carry;
    wire over;
    genvar i;
    generate
        for (i = 0; i < 2; i = i + 1) begin : three
            LUT4 #(.INIT(PARITY)) lut0 (
                .A(a[3*i]), .B(b[3*i]), .C(a[3*i+1]), .D(b[3*i+1]), .Z(parity[i])
            );
            LUT4 #(.INIT(BOTH)) lut1 (
                .A(a[3*i]), .B(b[3*i]), .C(a[3*i+1]), .D(b[3*i+1]), .Z(both[i])
            );
            LUT4 #(.INIT(ODD)) lut2 (
                .A(a[3*i+2]), .B(b[3*i+2]), .C(parity[i]), .D(1'b1), .Z(sum[i])
            );
            LUT4 #(.INIT(CARRY)) lut3 (
                .A(a[3*i+2]), .B(b[3*i+2]), .C(parity[i]), .D(both[i]), .Z(carry[i])
            );
        end
    endgenerate
    LUT4 #(.INIT(SUM)) lut4 (.A(a[6]), .B(b[6]), .C(sum[0]), .D(sum[1]), .Z(count[0]));
    LUT4 #(.INIT(MAJORITY)) lut5 (.A(a[6]), .B(b[6]), .C(sum[0]), .D(sum[1]), .Z(over));
    LUT4 #(.INIT(PARITY3)) lut6 (.A(carry[0]), .B(carry[1]), .C(over), .D(1'b1), .Z(count[1]));
    LUT4 #(.INIT(MAJORITY3)) lut7 (.A(carry[0]), .B(carry[1]), .C(over), .D(1'b1), .Z(count[2]));
`else
    wire [6:0] product = EQUAL != 0 ? a ~^ b : a & b;
    assign count = {2'b0, product[0]} + {2'b0, product[1]} + {2'b0, product[2]}
        + {2'b0, product[3]} + {2'b0, product[4]} + {2'b0, product[5]} + {2'b0, product[6]};
`endif
endmodule

`default_nettype wire
