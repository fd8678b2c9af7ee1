// AXI4-Lite bus master: address and data of a write together, one transfer at a time.
#pragma once

#include "machine.h"
#include "status.h"

class Port {
 public:
  explicit Port(Machine& machine) : machine_(machine) {}

  void idle() {
    auto& top = machine_.top;
    top.s_axil_awvalid = 0;
    top.s_axil_wvalid = 0;
    top.s_axil_arvalid = 0;
    top.s_axil_bready = 0;
    top.s_axil_rready = 0;
  }

  Status write(uint32_t address, uint32_t* words, uint32_t count) {
    auto& top = machine_.top;
    for (uint32_t i = 0; i < count; ++i) {
      top.s_axil_awaddr = address + 4 * i;
      top.s_axil_wdata = words[i];
      top.s_axil_wstrb = 0xf;
      top.s_axil_awvalid = 1;
      top.s_axil_wvalid = 1;
      top.s_axil_bready = 1;
      for (uint32_t waited = 0;; ++waited) {
        machine_.settle();
        const bool address_taken = top.s_axil_awvalid && top.s_axil_awready;
        const bool data_taken = top.s_axil_wvalid && top.s_axil_wready;
        const bool done = top.s_axil_bvalid;
        const bool refused = done && top.s_axil_bresp != 0;
        machine_.edge();
        if (address_taken) top.s_axil_awvalid = 0;
        if (data_taken) top.s_axil_wvalid = 0;
        if (refused || waited > kBusTimeout) return fail(refused);
        if (done) break;
      }
    }
    idle();
    return Status::kOk;
  }

  Status read(uint32_t address, uint32_t* words, uint32_t count) {
    auto& top = machine_.top;
    for (uint32_t i = 0; i < count; ++i) {
      top.s_axil_araddr = address + 4 * i;
      top.s_axil_arvalid = 1;
      top.s_axil_rready = 1;
      for (uint32_t waited = 0;; ++waited) {
        machine_.settle();
        const bool address_taken = top.s_axil_arvalid && top.s_axil_arready;
        const bool done = top.s_axil_rvalid;
        const bool refused = done && top.s_axil_rresp != 0;
        if (done) words[i] = top.s_axil_rdata;
        machine_.edge();
        if (address_taken) top.s_axil_arvalid = 0;
        if (refused || waited > kBusTimeout) return fail(refused);
        if (done) break;
      }
    }
    idle();
    return Status::kOk;
  }

 private:
  Status fail(bool refused) {
    idle();
    return refused ? Status::kRefused : Status::kTimeout;
  }

  Machine& machine_;
};
