// Two bits of a carry chain of the ECP5. Like yosys's model, but with each table as one shift.

module CCU2C #(
    parameter [15:0] INIT0 = 16'd0, INIT1 = 16'd0,
    parameter INJECT1_0 = "YES", INJECT1_1 = "YES"
) (
    input CIN, A0, B0, C0, D0, A1, B1, C1, D1,
    output S0, S1, COUT
);
    wire propagate_0 = INIT0[{D0, C0, B0, A0}];
    wire propagate_1 = INIT1[{D1, C1, B1, A1}];
    wire carry;
    generate
        if (INJECT1_0 == "YES") begin : first
            assign S0 = propagate_0;
            assign carry = propagate_0 & CIN;
        end else begin : first
            assign S0 = propagate_0 ^ CIN;
            assign carry = propagate_0 ? CIN : INIT0[{2'b00, B0, A0}];
        end
        if (INJECT1_1 == "YES") begin : second
            assign S1 = propagate_1;
            assign COUT = propagate_1 & carry;
        end else begin : second
            assign S1 = propagate_1 ^ carry;
            assign COUT = propagate_1 ? carry : INIT1[{2'b00, B1, A1}];
        end
    endgenerate
endmodule
