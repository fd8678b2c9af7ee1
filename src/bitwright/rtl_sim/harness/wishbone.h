// Wishbone B4 pipelined bus master.
#pragma once

#include "machine.h"
#include "status.h"

class Port {
 public:
  explicit Port(Machine& machine) : machine_(machine) {}

  void idle() {
    machine_.top.wb_cyc = 0;
    machine_.top.wb_stb = 0;
  }

  Status write(uint32_t address, uint32_t* words, uint32_t count) {
    return transfer(address, words, count, true);
  }

  Status read(uint32_t address, uint32_t* words, uint32_t count) {
    return transfer(address, words, count, false);
  }

 private:
  Status transfer(uint32_t address, uint32_t* words, uint32_t count, bool write) {
    auto& top = machine_.top;
    uint32_t asked = 0;
    uint32_t answered = 0;
    uint32_t waited = 0;
    top.wb_cyc = 1;
    top.wb_we = write;
    top.wb_sel = 0xf;
    while (answered < count) {
      top.wb_stb = asked < count;
      top.wb_adr = (address >> 2) + asked;
      top.wb_dat_w = write && asked < count ? words[asked] : 0;
      machine_.settle();
      const bool accepted = top.wb_stb && !top.wb_stall;
      const bool done = top.wb_ack;
      const bool refused = top.wb_err;
      if (done && !write) words[answered] = top.wb_dat_r;
      machine_.edge();
      asked += accepted;
      answered += done;
      waited = done ? 0 : waited + 1;
      if (refused || waited > kBusTimeout) {
        idle();
        return refused ? Status::kRefused : Status::kTimeout;
      }
    }
    idle();
    return Status::kOk;
  }

  Machine& machine_;
};
