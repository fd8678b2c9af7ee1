// One simulated design: its clock, its reset, and the waveform file.
//
// PIN_CLK names the clock pin; PIN_RST, where the design has one, the reset pin, and
// RST_ACTIVE its active level.
#pragma once

#include <cstdint>
#include <memory>

#include "Vtop.h"
#include "verilated.h"
#if VM_TRACE_FST
#include "verilated_fst_c.h"
using Waves = VerilatedFstC;
#elif VM_TRACE_VCD
#include "verilated_vcd_c.h"
using Waves = VerilatedVcdC;
#endif

class Machine {
 public:
  explicit Machine(VerilatedContext* context) : context_(context), top(context) {}

  // Settles the combinational logic after the inputs of this cycle were set.
  void settle() {
    top.PIN_CLK = 0;
    top.eval();
    dump();
    context_->timeInc(1);
  }

  // The rising edge that ends this cycle.
  void edge() {
    top.PIN_CLK = 1;
    top.eval();
    dump();
    context_->timeInc(1);
    ++cycles;
  }

  void tick() {
    settle();
    edge();
  }

  void reset(uint32_t count) {
#ifdef PIN_RST
    top.PIN_RST = RST_ACTIVE;
#endif
    for (uint32_t i = 0; i < count; ++i) tick();
#ifdef PIN_RST
    top.PIN_RST = !RST_ACTIVE;
#endif
  }

#if VM_TRACE
  void open_waves(const char* path, uint64_t first, uint64_t count, int depth) {
    first_ = first;
    last_ = first + count;
    waves_ = std::make_unique<Waves>();
    top.trace(waves_.get(), depth);
    waves_->open(path);
  }
#endif

  void close() {
#if VM_TRACE
    if (waves_) waves_->close();
#endif
    top.final();
  }

  uint64_t cycles = 0;

 private:
  void dump() {
#if VM_TRACE
    if (waves_ && cycles >= first_ && cycles < last_) waves_->dump(context_->time());
#endif
  }

  VerilatedContext* context_;
#if VM_TRACE
  std::unique_ptr<Waves> waves_;
  uint64_t first_ = 0;
  uint64_t last_ = 0;
#endif

 public:
  Vtop top;
};
