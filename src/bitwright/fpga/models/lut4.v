// Look-up table of the ECP5. Like yosys's model, but as one shift, which simulates and compiles
// several times faster than a tree of multiplexers.

module LUT4 #(parameter [15:0] INIT = 16'd0) (input A, B, C, D, output Z);
    assign Z = INIT[{D, C, B, A}];
endmodule
