// Answers of the harness; rtl_sim/bus.py has the same numbers.
#pragma once

#include <cstdint>

enum class Status : uint32_t { kOk = 0, kTimeout = 1, kRefused = 2 };

// Cycles after which a transfer that nobody answers is given up.
constexpr uint32_t kBusTimeout = 100000;
