// Runs a Verilated design under the command of another process, over stdin and stdout.
//
// A command is four 32-bit words (operation, address, count, limit) and its data; the answer is
// status, count, the 64-bit cycle counter, and its data. Everything is little endian.
// The port is chosen when this is compiled: PORT_HEADER is wishbone.h, axi4lite.h or uart.h.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "machine.h"
#include "status.h"
#include PORT_HEADER

namespace {

enum class Operation : uint32_t { kWrite, kRead, kPoll, kReset, kStep, kSend, kReceive };

struct Command {
  Operation operation;
  uint32_t address;
  uint32_t count;
  uint32_t limit;
};

struct Answer {
  Status status;
  uint32_t count;
  uint64_t cycles;
};

FILE* answers = nullptr;

bool get(void* data, size_t size) { return fread(data, 1, size, stdin) == size; }

void answer(const Machine& machine, Status status, const void* data, uint32_t count,
            size_t item) {
  const Answer head = {status, count, machine.cycles};
  fwrite(&head, sizeof head, 1, answers);
  if (count != 0) fwrite(data, item, count, answers);
  fflush(answers);
}

#ifdef BUS_PORT
bool serve(Machine& machine, Port& port, const Command& command) {
  static std::vector<uint32_t> words;
  switch (command.operation) {
    case Operation::kWrite: {
      words.resize(command.count);
      if (!get(words.data(), 4 * size_t(command.count))) return false;
      answer(machine, port.write(command.address, words.data(), command.count), nullptr, 0, 4);
      return true;
    }
    case Operation::kRead: {
      words.assign(command.count, 0);
      const Status status = port.read(command.address, words.data(), command.count);
      answer(machine, status, words.data(), command.count, 4);
      return true;
    }
    case Operation::kPoll: {
      const uint64_t end = machine.cycles + command.limit;
      uint32_t word = 0;
      Status status = port.read(command.address, &word, 1);
      while (status == Status::kOk && (word & command.count) == 0) {
        if (machine.cycles >= end) {
          status = Status::kTimeout;
        } else {
          status = port.read(command.address, &word, 1);
        }
      }
      answer(machine, status, &word, 1, 4);
      return true;
    }
    case Operation::kStep: {
      for (uint32_t i = 0; i < command.count; ++i) machine.tick();
      answer(machine, Status::kOk, nullptr, 0, 4);
      return true;
    }
    default:
      return false;
  }
}

#else
bool serve(Machine& machine, Port& port, const Command& command) {
  static std::deque<uint8_t> received;
  std::vector<uint8_t> bytes(command.count);
  switch (command.operation) {
    case Operation::kSend: {
      if (!get(bytes.data(), bytes.size())) return false;
      for (const uint8_t value : bytes) port.send(value);
      while (port.sending()) port.tick(received);
      answer(machine, Status::kOk, nullptr, 0, 1);
      return true;
    }
    case Operation::kReceive: {
      uint64_t end = machine.cycles + command.limit;  // of the silence
      while (received.size() < command.count && machine.cycles < end) {
        const size_t before = received.size();
        port.tick(received);
        if (received.size() != before) end = machine.cycles + command.limit;
      }
      const bool enough = received.size() >= command.count;
      if (!enough) bytes.resize(received.size());
      for (uint8_t& value : bytes) {
        value = received.front();
        received.pop_front();
      }
      answer(machine, enough ? Status::kOk : Status::kTimeout, bytes.data(),
             uint32_t(bytes.size()), 1);
      return true;
    }
    case Operation::kStep: {
      for (uint32_t i = 0; i < command.count; ++i) port.tick(received);
      answer(machine, Status::kOk, nullptr, 0, 1);
      return true;
    }
    default:
      return false;
  }
}
#endif

const char* option(int argc, char** argv, const char* name, const char* otherwise) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (strcmp(argv[i], name) == 0) return argv[i + 1];
  }
  return otherwise;
}

}  // namespace

int main(int argc, char** argv) {
  // What the design prints must not get between the answers.
  answers = fdopen(dup(STDOUT_FILENO), "wb");
  dup2(STDERR_FILENO, STDOUT_FILENO);

  VerilatedContext context;
#if VM_TRACE
  context.traceEverOn(true);
#endif
  Machine machine(&context);
  Port port(machine);
#ifndef BUS_PORT
  port.set_divisor(uint32_t(atol(option(argc, argv, "--divisor", "8"))));
#endif
#if VM_TRACE
  if (const char* path = option(argc, argv, "--waves", nullptr)) {
    machine.open_waves(path, strtoull(option(argc, argv, "--waves-first", "0"), nullptr, 10),
                       strtoull(option(argc, argv, "--waves-cycles", "100000"), nullptr, 10),
                       atoi(option(argc, argv, "--waves-depth", "99")));
  }
#endif
  port.idle();
  machine.reset(4);

  Command command;
  while (get(&command, sizeof command)) {
    if (command.operation == Operation::kReset) {
      port.idle();
      machine.reset(command.count);
      answer(machine, Status::kOk, nullptr, 0, 4);
    } else if (!serve(machine, port, command)) {
      break;
    }
  }
  machine.close();
  return 0;
}
