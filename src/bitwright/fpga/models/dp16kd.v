// Block RAM of the ECP5 (16 Kbit and 2 Kbit of parity), for functional simulation.
//
// Covers what synthesis makes: two ports of 1, 2, 4, 9 or 18 bits each, or one write port of 36
// bits (low half on DIA, high half on DIB) with one read port of 1 to 36 bits (on DOB; 36 bits: low
// half on DOA, high half on DOB). Word w of 18 bits is initialised by bits [20 (w mod 16) +: 18] of
// INITVAL_{w / 16}; ports of 1, 2 and 4 bits do not reach the parity bits 8 and 17.
//
// Reading a word through one port while the other writes it is undefined in the device. Here it
// gives the old bits; with BITWRIGHT_POISON_COLLISIONS defined it gives their inverse, so that a
// design that depends on them shows itself.

module DP16KD #(
    parameter DATA_WIDTH_A = 18,
    parameter DATA_WIDTH_B = 18,
    parameter REGMODE_A = "NOREG",
    parameter REGMODE_B = "NOREG",
    parameter RESETMODE = "SYNC",
    parameter ASYNC_RESET_RELEASE = "SYNC",
    parameter WRITEMODE_A = "NORMAL",
    parameter WRITEMODE_B = "NORMAL",
    parameter [39:0] CSDECODE_A = "0b000",
    parameter [39:0] CSDECODE_B = "0b000",
    parameter CLKAMUX = "CLKA",
    parameter CLKBMUX = "CLKB",
    parameter GSR = "ENABLED",
    parameter INIT_DATA = "STATIC",
    parameter WID = 0,
    parameter [319:0] INITVAL_00 = 0, INITVAL_01 = 0, INITVAL_02 = 0, INITVAL_03 = 0,
    parameter [319:0] INITVAL_04 = 0, INITVAL_05 = 0, INITVAL_06 = 0, INITVAL_07 = 0,
    parameter [319:0] INITVAL_08 = 0, INITVAL_09 = 0, INITVAL_0A = 0, INITVAL_0B = 0,
    parameter [319:0] INITVAL_0C = 0, INITVAL_0D = 0, INITVAL_0E = 0, INITVAL_0F = 0,
    parameter [319:0] INITVAL_10 = 0, INITVAL_11 = 0, INITVAL_12 = 0, INITVAL_13 = 0,
    parameter [319:0] INITVAL_14 = 0, INITVAL_15 = 0, INITVAL_16 = 0, INITVAL_17 = 0,
    parameter [319:0] INITVAL_18 = 0, INITVAL_19 = 0, INITVAL_1A = 0, INITVAL_1B = 0,
    parameter [319:0] INITVAL_1C = 0, INITVAL_1D = 0, INITVAL_1E = 0, INITVAL_1F = 0,
    parameter [319:0] INITVAL_20 = 0, INITVAL_21 = 0, INITVAL_22 = 0, INITVAL_23 = 0,
    parameter [319:0] INITVAL_24 = 0, INITVAL_25 = 0, INITVAL_26 = 0, INITVAL_27 = 0,
    parameter [319:0] INITVAL_28 = 0, INITVAL_29 = 0, INITVAL_2A = 0, INITVAL_2B = 0,
    parameter [319:0] INITVAL_2C = 0, INITVAL_2D = 0, INITVAL_2E = 0, INITVAL_2F = 0,
    parameter [319:0] INITVAL_30 = 0, INITVAL_31 = 0, INITVAL_32 = 0, INITVAL_33 = 0,
    parameter [319:0] INITVAL_34 = 0, INITVAL_35 = 0, INITVAL_36 = 0, INITVAL_37 = 0,
    parameter [319:0] INITVAL_38 = 0, INITVAL_39 = 0, INITVAL_3A = 0, INITVAL_3B = 0,
    parameter [319:0] INITVAL_3C = 0, INITVAL_3D = 0, INITVAL_3E = 0, INITVAL_3F = 0
) (
    input DIA0, DIA1, DIA2, DIA3, DIA4, DIA5, DIA6, DIA7, DIA8, DIA9, DIA10, DIA11, DIA12, DIA13,
        DIA14, DIA15, DIA16, DIA17,
    input ADA0, ADA1, ADA2, ADA3, ADA4, ADA5, ADA6, ADA7, ADA8, ADA9, ADA10, ADA11, ADA12, ADA13,
    input CLKA, CEA, OCEA, WEA, RSTA, CSA0, CSA1, CSA2,
    output DOA0, DOA1, DOA2, DOA3, DOA4, DOA5, DOA6, DOA7, DOA8, DOA9, DOA10, DOA11, DOA12, DOA13,
        DOA14, DOA15, DOA16, DOA17,
    input DIB0, DIB1, DIB2, DIB3, DIB4, DIB5, DIB6, DIB7, DIB8, DIB9, DIB10, DIB11, DIB12, DIB13,
        DIB14, DIB15, DIB16, DIB17,
    input ADB0, ADB1, ADB2, ADB3, ADB4, ADB5, ADB6, ADB7, ADB8, ADB9, ADB10, ADB11, ADB12, ADB13,
    input CLKB, CEB, OCEB, WEB, RSTB, CSB0, CSB1, CSB2,
    output DOB0, DOB1, DOB2, DOB3, DOB4, DOB5, DOB6, DOB7, DOB8, DOB9, DOB10, DOB11, DOB12, DOB13,
        DOB14, DOB15, DOB16, DOB17
);
    /* verilator lint_off MULTIDRIVEN */
    localparam WIDE_WRITE = DATA_WIDTH_A == 36;
    localparam WIDE_READ = DATA_WIDTH_B == 36;

    wire [17:0] data_a = {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7,
        DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0};
    wire [13:0] address_a = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3,
        ADA2, ADA1, ADA0};
    assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5,
        DOA4, DOA3, DOA2, DOA1, DOA0} = output_a;
    wire [17:0] data_b = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7,
        DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0};
    wire [13:0] address_b = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3,
        ADB2, ADB1, ADB0};
    assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5,
        DOB4, DOB3, DOB2, DOB1, DOB0} = output_b;

    wire clock_a = (CLKAMUX == "INV") ? ~CLKA : CLKA;
    wire reset_a = RSTA & (RESETMODE == "SYNC");
    wire async_reset_a = RSTA & (RESETMODE != "SYNC");
    // The low bit of a digit's character is the digit.
    wire selected_a = {CSA2, CSA1, CSA0} == {CSDECODE_A[16], CSDECODE_A[8], CSDECODE_A[0]};
    wire enable_a = CEA & selected_a;
    wire write_a = enable_a & WEA & ~reset_a;
    wire [9:0] word_a = address_a[13:4];

    wire clock_b = (CLKBMUX == "INV") ? ~CLKB : CLKB;
    wire reset_b = RSTB & (RESETMODE == "SYNC");
    wire async_reset_b = RSTB & (RESETMODE != "SYNC");
    // The low bit of a digit's character is the digit.
    wire selected_b = {CSB2, CSB1, CSB0} == {CSDECODE_B[16], CSDECODE_B[8], CSDECODE_B[0]};
    wire enable_b = CEB & selected_b;
    wire write_b = enable_b & WEB & ~reset_b & !WIDE_WRITE & !WIDE_READ;
    wire [9:0] word_b = address_b[13:4];

    // Where in a word of 18 bits a port's bits lie, and which bits of the word they are.
    function automatic [4:0] offset(input integer width, input [13:0] address);
        if (width >= 18) offset = 5'd0;
        else if (width == 9) offset = address[3] ? 5'd9 : 5'd0;
        else offset = (address[3] ? 5'd9 : 5'd0) + ({2'b00, address[2:0]} & ~(width[4:0] - 5'd1));
    endfunction

    function automatic [17:0] write_mask(input integer width, input [13:0] address);
        if (width >= 18) write_mask = {{9{address[1]}}, {9{address[0]}}};
        else write_mask = ((18'd1 << width) - 18'd1) << offset(width, address);
    endfunction

    function automatic [17:0] read_bits(
        input integer width, input [13:0] address, input [17:0] bits
    );
        if (width >= 18) read_bits = bits;
        else read_bits = (bits >> offset(width, address)) & ((18'd1 << width) - 18'd1);
    endfunction

    wire [17:0] mask_a = write_mask(DATA_WIDTH_A, address_a);
    wire [17:0] mask_b = write_mask(DATA_WIDTH_B, address_b);
    wire [17:0] mask_high = {{9{address_a[3]}}, {9{address_a[2]}}};
    wire [17:0] shifted_a = data_a << offset(DATA_WIDTH_A, address_a);
    wire [17:0] shifted_b = data_b << offset(DATA_WIDTH_B, address_b);

    reg [17:0] memory [0:1023];
    localparam [20479:0] INITIAL = {
        INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C,
        INITVAL_3B, INITVAL_3A, INITVAL_39, INITVAL_38,
        INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34,
        INITVAL_33, INITVAL_32, INITVAL_31, INITVAL_30,
        INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C,
        INITVAL_2B, INITVAL_2A, INITVAL_29, INITVAL_28,
        INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24,
        INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20,
        INITVAL_1F, INITVAL_1E, INITVAL_1D, INITVAL_1C,
        INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18,
        INITVAL_17, INITVAL_16, INITVAL_15, INITVAL_14,
        INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10,
        INITVAL_0F, INITVAL_0E, INITVAL_0D, INITVAL_0C,
        INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08,
        INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04,
        INITVAL_03, INITVAL_02, INITVAL_01, INITVAL_00
    };
    integer i, j;
    initial begin
        for (i = 0; i < 1024; i = i + 1) memory[i] = INITIAL[20 * i +: 18];
    end

    // The word as a port reads it, with the bits inverted that the other port is writing.
    function automatic [17:0] seen_by_a(input [9:0] word);
        seen_by_a = memory[word];
`ifdef BITWRIGHT_POISON_COLLISIONS
        if (write_b && word == word_b) seen_by_a = seen_by_a ^ mask_b;
`endif
    endfunction

    function automatic [17:0] seen_by_b(input [9:0] word);
        seen_by_b = memory[word];
`ifdef BITWRIGHT_POISON_COLLISIONS
        if (write_a && WIDE_WRITE && word[9:1] == word_a[9:1])
            seen_by_b = seen_by_b ^ (word[0] ? mask_high : mask_a);
        else if (write_a && !WIDE_WRITE && word == word_a) seen_by_b = seen_by_b ^ mask_a;
`endif
    endfunction

    // Of 36 bits read through port B, latch_a is the low half.
    reg [17:0] latch_a = 18'd0, latch_b = 18'd0;
    reg [17:0] register_a = 18'd0, register_b = 18'd0;
    wire [17:0] output_a = (REGMODE_A == "OUTREG") ? register_a : latch_a;
    wire [17:0] output_b = (REGMODE_B == "OUTREG") ? register_b : latch_b;

    generate
        if (WIDE_WRITE) begin : write_port
            always @(posedge clock_a)
                if (write_a) begin
                    memory[{word_a[9:1], 1'b0}] <=
                        (memory[{word_a[9:1], 1'b0}] & ~mask_a) | (data_a & mask_a);
                    memory[{word_a[9:1], 1'b1}] <=
                        (memory[{word_a[9:1], 1'b1}] & ~mask_high) | (data_b & mask_high);
                end
        end else begin : write_ports
            // Bit by bit, since both ports may write different bits of one word.
            always @(posedge clock_a)
                if (write_a)
                    for (i = 0; i < 18; i = i + 1) if (mask_a[i]) memory[word_a][i] <= shifted_a[i];
            always @(posedge clock_b)
                if (write_b)
                    for (j = 0; j < 18; j = j + 1) if (mask_b[j]) memory[word_b][j] <= shifted_b[j];
        end

        if (WIDE_READ) begin : read_port
            always @(posedge clock_b or posedge async_reset_b)
                if (async_reset_b) {latch_b, latch_a} <= 36'd0;
                else if (reset_b) {latch_b, latch_a} <= 36'd0;
                else if (enable_b) begin
                    latch_a <= seen_by_b({word_b[9:1], 1'b0});
                    latch_b <= seen_by_b({word_b[9:1], 1'b1});
                end
        end else begin : read_ports
            always @(posedge clock_a or posedge async_reset_a)
                if (async_reset_a) latch_a <= 18'd0;
                else if (reset_a) latch_a <= 18'd0;
                else if (enable_a && !(write_a && WRITEMODE_A == "NORMAL"))
                    latch_a <= read_bits(
                        DATA_WIDTH_A, address_a,
                        (write_a && WRITEMODE_A == "WRITETHROUGH")
                            ? (seen_by_a(word_a) & ~mask_a) | (shifted_a & mask_a)
                            : seen_by_a(word_a)
                    );
            always @(posedge clock_b or posedge async_reset_b)
                if (async_reset_b) latch_b <= 18'd0;
                else if (reset_b) latch_b <= 18'd0;
                else if (enable_b && !(write_b && WRITEMODE_B == "NORMAL"))
                    latch_b <= read_bits(
                        DATA_WIDTH_B, address_b,
                        (write_b && WRITEMODE_B == "WRITETHROUGH")
                            ? (seen_by_b(word_b) & ~mask_b) | (shifted_b & mask_b)
                            : seen_by_b(word_b)
                    );
        end
    endgenerate

    always @(posedge clock_a or posedge async_reset_a)
        if (async_reset_a) register_a <= 18'd0;
        else if (reset_a) register_a <= 18'd0;
        else if (OCEA) register_a <= latch_a;

    always @(posedge clock_b or posedge async_reset_b)
        if (async_reset_b) register_b <= 18'd0;
        else if (reset_b) register_b <= 18'd0;
        else if (OCEB) register_b <= latch_b;

endmodule
