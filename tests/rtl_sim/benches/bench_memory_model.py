"""Transfers from simulated memories and SDRAM chips: the words, and the predicted cycles."""

import random

import cocotb
from cocotb.handle import HierarchyObject
from memory_systems import BURST_WORDS, CHIPS, DEPTH, POWER_UP_INTERVALS, TIMINGS
from units import Pins

from bitwright.hwgen.memory_model import wishbone_transfers

COMMANDS = 60
FIRST = 5  # cycle of the first command: the buffer for write data is full by then


def random_commands(row: int) -> list[tuple[int, int, bool]]:
    """Short and long ones, often in the row of the one before, whole and across rows."""
    commands: list[tuple[int, int, bool]] = []
    address = 0
    for _ in range(COMMANDS):
        address = random.choice(
            (address, address + random.randrange(4 * row), random.randrange(DEPTH))
        )
        words = random.choice((1, 2, 3, random.randint(1, 2 * BURST_WORDS), row))
        address %= DEPTH - words
        commands.append((address, words, random.random() < 0.4))
    return commands


async def check(dut: HierarchyObject, unit: str, name: str) -> None:
    pins = Pins(dut, f"{unit}_{name}")
    idle = {"port_command_valid": 0, "port_command_payload": 0, "port_write_data_valid": 0}
    await pins.start(**idle, port_write_data_payload=0, port_read_data_ready=1)
    timing = TIMINGS[name]
    commands = random_commands(getattr(timing, "words_per_row", 40))
    first = FIRST
    if unit == "chip":  # whose initialisation is no part of the prediction
        first = (POWER_UP_INTERVALS + 2) * timing.refresh_interval + random.randrange(50)
    transfers = [(address, words) for address, words, _ in commands]
    predicted = wishbone_transfers(timing, transfers, burst_words=BURST_WORDS, cycle=first)
    memory = [0] * DEPTH
    to_write, to_read = list[int](), list[int]()
    for address, words, write in commands:
        for position in range(address, address + words):
            if write:
                memory[position] = random.getrandbits(32)
                to_write.append(memory[position])
            else:
                to_read.append(memory[position])
    asked, written = 0, 0
    read, taken = list[int](), list[int]()
    # Two cycles more than predicted: for the last word, and to see that nothing follows.
    for cycle in range(predicted[-1] + 3):
        if asked < len(commands):
            address, words, write = commands[asked]
            pins["port_command_payload"] = address | words << 26 | int(write) << 46
        offered = cycle >= first and asked < len(commands)
        pins["port_command_valid"] = offered
        pins["port_write_data_valid"] = written < len(to_write)
        pins["port_write_data_payload"] = to_write[written] if written < len(to_write) else 0
        await pins.settled()
        if pins["port_command_ready"] and offered:
            taken.append(cycle)
            asked += 1
        written += pins["port_write_data_ready"] and written < len(to_write)
        if pins["port_read_data_valid"]:
            read.append(pins["port_read_data_payload"])
        if asked == len(commands) and taken[-1] < cycle:
            assert pins["port_idle"] == (cycle > predicted[-1])
        await pins.edge()
    assert not pins["port_failed"]
    assert taken == [first, *(end + 1 for end in predicted[:-1])]
    assert read == to_read
    assert written == len(to_write)


for unit, names in (("memory", TIMINGS), ("chip", CHIPS)):
    for name in names:

        async def one(dut: HierarchyObject, unit: str = unit, name: str = name) -> None:
            await check(dut, unit, name)

        one.__name__ = one.__qualname__ = f"{unit}_{name}"
        globals()[one.__name__] = cocotb.test(one)
