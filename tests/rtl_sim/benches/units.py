"""What all benches share: the machine, a unit's pins by name, the clock.

A cycle of a bench: drive inputs, `await pins.settled()`, look at outputs, `await pins.edge()`.
"""

import json
import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.handle import HierarchyObject
from cocotb.triggers import FallingEdge, RisingEdge

from bitwright.ir.machine import Machine

SETTINGS = json.loads(os.environ["BITWRIGHT_BENCH"])
MACHINES = {unit: Machine(**values) for unit, values in SETTINGS["machines"].items()}
MACHINE = MACHINES["core"]


class Pins:
    """Pins of one unit: `pins["a_b"]` reads, `pins["a_b"] = value` drives (negative is wrapped)."""

    def __init__(self, dut: HierarchyObject, unit: str) -> None:
        self._dut = dut
        self._unit = unit

    async def start(self, **inputs: int) -> None:
        """Starts the clock with all inputs of the unit at the given values, and resets."""
        cocotb.log.info("seed %s", cocotb.RANDOM_SEED)
        for name, value in inputs.items():
            self[name] = value
        self._dut.rst.value = 1
        Clock(self._dut.clk, 10, unit="ns").start()
        for _ in range(2):
            await self.edge()
        self._dut.rst.value = 0

    def _handle(self, name: str):
        return getattr(self._dut, f"{self._unit}_{name}")

    def __getitem__(self, name: str) -> int:
        return int(self._handle(name).value)

    def __setitem__(self, name: str, value: int) -> None:
        handle = self._handle(name)
        handle.value = value & ((1 << len(handle)) - 1)

    async def settled(self) -> None:
        await FallingEdge(self._dut.clk)

    async def edge(self) -> None:
        await RisingEdge(self._dut.clk)


def signed(value: int, bits: int) -> int:
    """Two's complement number of the low `bits` bits."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def pack(values: list[int], bits: int) -> int:
    """Numbers side by side, the first lowest."""
    word = 0
    for position, value in enumerate(values):
        word |= (value & ((1 << bits) - 1)) << (position * bits)
    return word


def unpack(word: int, bits: int, count: int) -> list[int]:
    """Signed numbers side by side, the first lowest."""
    return [signed(word >> (bits * position), bits) for position in range(count)]


def random_byte() -> int:
    """An int8, often one of the corners."""
    return random.choice((-128, -1, 0, 1, 127, *(random.randint(-128, 127) for _ in range(5))))


def chance(percent: int) -> bool:
    return random.randrange(100) < percent
