// Sixteen words with a synchronous write port and an asynchronous read port.
// With BITWRIGHT_ECP5 it is LUT RAM as it is; synthesis finds the same, but in minutes for hundreds.
`default_nettype none

module bitwright_lutram #(
    parameter WIDTH = 4
) (
    input wire clk,
    input wire write_enable,
    input wire [3:0] write_address,
    input wire [WIDTH-1:0] write_data,
    input wire [3:0] read_address,
    output wire [WIDTH-1:0] read_data
);
`ifdef BITWRIGHT_ECP5
    localparam RAMS = (WIDTH + 3) / 4;
    wire [4*RAMS-1:0] in = {{(4*RAMS-WIDTH){1'b0}}, write_data};
    wire [4*RAMS-1:0] out;
    assign read_data = out[WIDTH-1:0];
    genvar i;
    generate
        for (i = 0; i < RAMS; i = i + 1) begin : rams
            TRELLIS_DPR16X4 ram (
                .WCK(clk), .WRE(write_enable), .WAD(write_address), .DI(in[4*i+:4]),
                .RAD(read_address), .DO(out[4*i+:4])
            );
        end
    endgenerate
`else
    reg [WIDTH-1:0] memory [0:15];
    always @(posedge clk) if (write_enable) memory[write_address] <= write_data;
    assign read_data = memory[read_address];
`endif
endmodule

`default_nettype wire
