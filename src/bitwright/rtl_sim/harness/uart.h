// The far end of a serial line: 8 data bits, no parity, 1 stop bit.
//
// PIN_RX and PIN_TX name the design's receiving and transmitting pin.
#pragma once

#include <cstdint>
#include <deque>

#include "machine.h"

class Port {
 public:
  explicit Port(Machine& machine) : machine_(machine) {}

  void idle() { machine_.top.PIN_RX = 1; }

  void set_divisor(uint32_t divisor) { divisor_ = divisor; }

  // Puts a byte in the line's queue; it is sent while the clock runs.
  void send(uint8_t value) { outgoing_.push_back(value); }

  bool sending() const { return !outgoing_.empty() || sent_bits_ != 0; }

  // One clock cycle; bytes that arrive are appended to `received`.
  void tick(std::deque<uint8_t>& received) {
    machine_.settle();
    listen(machine_.top.PIN_TX & 1, received);
    machine_.edge();
    talk();
  }

 private:
  void talk() {
    if (send_timer_ != 0 && --send_timer_ != 0) return;
    if (sent_bits_ == 0 && outgoing_.empty()) return;
    if (sent_bits_ == 0) {
      frame_ = (1u << 9) | (uint32_t(outgoing_.front()) << 1);
      outgoing_.pop_front();
      sent_bits_ = 10;
    } else if (--sent_bits_ == 0) {
      return talk();
    } else {
      frame_ >>= 1;
    }
    machine_.top.PIN_RX = frame_ & 1;
    send_timer_ = divisor_;
  }

  void listen(bool level, std::deque<uint8_t>& received) {
    if (heard_bits_ == 0) {
      if (!level) {
        heard_bits_ = 10;
        listen_timer_ = divisor_ / 2;
      }
      return;
    }
    if (listen_timer_ != 0 && --listen_timer_ != 0) return;
    listen_timer_ = divisor_;
    heard_ = (heard_ >> 1) | (uint32_t(level) << 9);
    if (--heard_bits_ == 0) received.push_back((heard_ >> 1) & 0xff);
  }

  Machine& machine_;
  std::deque<uint8_t> outgoing_;
  uint32_t divisor_ = 8;
  uint32_t frame_ = 0;
  uint32_t sent_bits_ = 0;
  uint32_t send_timer_ = 0;
  uint32_t heard_ = 0;
  uint32_t heard_bits_ = 0;
  uint32_t listen_timer_ = 0;
};
