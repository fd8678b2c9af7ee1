// One read and one write port, both synchronous, meant for block RAM.
// A word that is read and written in the same cycle reads as undefined.
`default_nettype none

module bitwright_ram #(
    parameter WIDTH = 8,
    parameter DEPTH = 2,
    parameter ADDRESS = 1,      // bits of an address
    parameter INIT_FILE = ""    // $readmemh file with the power-up contents; "" for none
) (
    input wire clk,
    input wire [ADDRESS-1:0] read_address,
    output reg [WIDTH-1:0] read_data,
    input wire write_enable,
    input wire [ADDRESS-1:0] write_address,
    input wire [WIDTH-1:0] write_data
);
    (* ram_style = "block", no_rw_check *)
    reg [WIDTH-1:0] memory [0:DEPTH-1];

    generate
        if (INIT_FILE != "") begin : init
            initial $readmemh(INIT_FILE, memory);
        end
    endgenerate

    always @(posedge clk) begin
        if (write_enable) memory[write_address] <= write_data;
        read_data <= memory[read_address];
    end
endmodule

`default_nettype wire
