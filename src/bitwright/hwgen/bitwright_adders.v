// Sums that lie side by side in one carry chain; none of them carries into the next.
// The hierarchy is kept because synthesis would else cut the chain where it proves a carry to be 0,
// and the short pieces cost more than their bits.
`default_nettype none

(* keep_hierarchy *)
module bitwright_adders #(
    parameter WIDTH = 8,
    parameter COMPLEMENT = 0    // 1: the complement of b is added
) (
    input wire [WIDTH-1:0] a,
    input wire [WIDTH-1:0] b,
    output wire [WIDTH-1:0] sum
);
    generate
        if (COMPLEMENT != 0) begin : complement
            // The lowest bits borrow, so that the subtraction's own 1 is gone.
            wire unused;
            assign {sum, unused} = {a, 1'b0} - {b, 1'b1};
        end else begin : plain
            assign sum = a + b;
        end
    endgenerate
endmodule

`default_nettype wire
