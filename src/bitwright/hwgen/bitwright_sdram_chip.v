// An SDRAM chip for simulation, with bursts of two columns, that ends the simulation where a
// command breaks a rule or comes too early, or a refresh too late. Times are in picoseconds.
`default_nettype none

module bitwright_sdram_chip #(
    parameter PERIOD = 10000,       // of the clock
    parameter BANK_BITS = 2,
    parameter ROW_BITS = 13,
    parameter ADDRESS_BITS = 13,    // of the pins `a`, at least 11
    parameter COLUMN_BITS = 9,
    parameter POWER_UP = 100000000,
    parameter T_RCD = 21000,
    parameter T_RP = 21000,
    parameter T_RAS = 45000,
    parameter T_RC = 66000,
    parameter T_RFC = 66000,
    parameter T_RRD = 15000,
    parameter T_WR = 15000,
    parameter T_MRD_CYCLES = 2,
    parameter T_REFRESH = 7812500,  // between refreshes, on average
    parameter FAST_PERIOD = 10000   // from here on CAS latency 2
) (
    input wire clk,
    input wire cke,
    input wire csn,
    input wire rasn,
    input wire casn,
    input wire wen,
    input wire [ADDRESS_BITS-1:0] a,
    input wire [BANK_BITS-1:0] ba,
    input wire [1:0] dqm,
    input wire [15:0] d,            // what the controller drives, where `d_driven`
    input wire d_driven,
    output reg [15:0] q
);
    localparam BANKS = 1 << BANK_BITS;
    localparam [63:0] LONG_AGO = 64'd1 << 40;

    reg [15:0] cells [0:(1 << (BANK_BITS + ROW_BITS + COLUMN_BITS)) - 1];
    reg [ROW_BITS-1:0] row [0:BANKS-1];
    reg [BANKS-1:0] open;
    // When each of these was last, in cycles.
    reg [63:0] opened [0:BANKS-1], closed [0:BANKS-1], written [0:BANKS-1];
    reg [63:0] any_opened, any_closed, refreshed, mode_set;
    reg [63:0] now, refreshes;
    reg [1:0] latency;  // 0: no mode has been set
    reg was_closed;

    // The burst that is read or written, and what comes of it: out[0] is on `q` a cycle later.
    reg reading, writing;
    reg [BANK_BITS-1:0] bank;
    reg [COLUMN_BITS-1:0] column;
    reg [1:0] out_valid;
    reg [15:0] out [0:1];
    reg driving;
    reg [1:0] masked;

    integer i;
    initial begin
        for (i = 0; i < BANKS; i = i + 1) begin
            opened[i] = 0; closed[i] = 0; written[i] = 0; row[i] = 0;
        end
        {open, latency, was_closed, reading, writing, out_valid, driving, masked} = 0;
        {any_opened, any_closed, refreshed, mode_set, refreshes} = 0;
        now = LONG_AGO;
    end

    function early(input [63:0] since, input [63:0] least);
        early = (now - since) * PERIOD < least;
    endfunction

    task broken(input [8*40-1:0] rule);
        if ($test$plusargs("sdram_goes_on"))
            $display("SDRAM chip: %0s, in cycle %0d", rule, now - LONG_AGO);
        else
            $fatal(1, "SDRAM chip: %0s, in cycle %0d", rule, now - LONG_AGO);
    endtask

    task write(input [BANK_BITS-1:0] to_bank, input [COLUMN_BITS-1:0] to_column);
        begin
            if (!d_driven) broken("nobody drives the data of a WRITE");
            if (!dqm[0]) cells[{row[to_bank], to_bank, to_column}][7:0] <= d[7:0];
            if (!dqm[1]) cells[{row[to_bank], to_bank, to_column}][15:8] <= d[15:8];
            written[to_bank] <= now;
        end
    endtask

    always @(posedge clk) begin
        now <= now + 1;
        masked <= dqm;
        out_valid <= {1'b0, out_valid[1]};
        out[0] <= out[1];
        driving <= out_valid[0];
        q <= out_valid[0] ? out[0] : 16'hdead ^ now[15:0];
        if (out_valid[0] && masked != 0) broken("DQM masks what is read");
        if ((out_valid[0] || driving) && d_driven) broken("both sides drive the data pins");
        reading <= 0;
        writing <= 0;
        if (writing) write(bank, column + 1'b1);
        if (reading) begin
            out[latency == 3] <= cells[{row[bank], bank, column + 1'b1}];
            out_valid[latency == 3] <= 1;
        end
        if (latency != 0 && (now - mode_set) * PERIOD > (refreshes + 9) * T_REFRESH)
            broken("refreshes are late");
        if (!cke) begin  // a controller that was reset begins anew
            {latency, was_closed, reading, writing, out_valid} <= 0;
            refreshes <= 0;
        end
        if (!csn && {rasn, casn, wen} != 3'b111) begin
            if (!cke) broken("a command without CKE");
            if (early(LONG_AGO, POWER_UP)) broken("a command before power-up ends");
            if (now - mode_set < T_MRD_CYCLES) broken("t_mrd");
            if (early(refreshed, T_RFC)) broken("t_rfc");
            case ({rasn, casn, wen})
                3'b011: begin // ACTIVATE
                    if (latency == 0) broken("ACTIVATE before the mode is set");
                    if (open[ba]) broken("ACTIVATE of an open bank");
                    if (early(closed[ba], T_RP)) broken("t_rp before ACTIVATE");
                    if (early(opened[ba], T_RC)) broken("t_rc");
                    if (early(any_opened, T_RRD)) broken("t_rrd");
                    open[ba] <= 1;
                    row[ba] <= a[ROW_BITS-1:0];
                    opened[ba] <= now;
                    any_opened <= now;
                end
                3'b101, 3'b100: begin // READ, WRITE
                    if (!open[ba]) broken("READ or WRITE of a closed bank");
                    if (early(opened[ba], T_RCD)) broken("t_rcd");
                    if (a[10] || a[0]) broken("auto precharge, or half a word");
                    bank <= ba;
                    column <= a[COLUMN_BITS-1:0];
                    if (wen) begin
                        reading <= 1;
                        out[latency == 3] <= cells[{row[ba], ba, a[COLUMN_BITS-1:0]}];
                        out_valid[latency == 3] <= 1;
                    end else begin
                        writing <= 1;
                        write(ba, a[COLUMN_BITS-1:0]);
                    end
                end
                3'b010: begin // PRECHARGE
                    for (i = 0; i < BANKS; i = i + 1) if (a[10] || ba == i[BANK_BITS-1:0]) begin
                        if (open[i] && early(opened[i], T_RAS)) broken("t_ras");
                        if (open[i] && early(written[i], T_WR)) broken("t_wr");
                        open[i] <= 0;
                        closed[i] <= now;
                    end
                    any_closed <= now;
                    if (writing && (a[10] || ba == bank)) broken("PRECHARGE within a WRITE");
                    was_closed <= was_closed | a[10];
                end
                3'b001: begin // REFRESH
                    if (!was_closed) broken("REFRESH before all banks are closed");
                    if (open != 0) broken("REFRESH while a bank is open");
                    if (early(any_closed, T_RP)) broken("t_rp before REFRESH");
                    refreshed <= now;
                    refreshes <= refreshes + 1;
                end
                3'b000: begin // MODE
                    if (open != 0 || refreshes < 2) broken("MODE before two refreshes");
                    if ({a[9:7], a[3:0]} != 7'b0000001) broken("MODE is not bursts of two");
                    if (a[6:4] != 2 && a[6:4] != 3) broken("MODE has no CAS latency of 2 or 3");
                    if (a[6:4] == 2 && PERIOD < FAST_PERIOD) broken("CAS latency 2 is too fast");
                    latency <= a[5:4];
                    mode_set <= now;
                    refreshes <= 0;
                end
                default: broken("an unknown command");
            endcase
        end
    end
endmodule

`default_nettype wire
