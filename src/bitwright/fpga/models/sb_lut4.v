// Look-up table of the iCE40. Like yosys's model, but as one shift, which simulates and compiles
// several times faster than a tree of multiplexers.

module SB_LUT4 #(parameter [15:0] LUT_INIT = 16'd0) (input I0, I1, I2, I3, output O);
    assign O = LUT_INIT[{I3, I2, I1, I0}];
endmodule
