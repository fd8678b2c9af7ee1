"""Commands for the SDRAM chip alone, from BITWRIGHT_COMMANDS: each (levels of rasn, casn, wen;
bank; address; data or None; cycles until the next one). What the chip gives is logged."""

import json
import os

import cocotb
from cocotb.clock import Clock
from cocotb.handle import HierarchyObject
from cocotb.triggers import FallingEdge

COMMANDS = json.loads(os.environ["BITWRIGHT_COMMANDS"])


@cocotb.test()
async def drive(dut: HierarchyObject) -> None:
    for name, value in {
        "cke": 1,
        "csn": 1,
        "dqm": 0,
        "d": 0,
        "d_driven": 0,
        "a": 0,
        "ba": 0,
    }.items():
        getattr(dut, name).value = value
    Clock(dut.clk, 10, unit="ns").start()
    given: list[str] = []
    for levels, bank, address, data, cycles in COMMANDS:
        dut.csn.value = 0
        dut.rasn.value, dut.casn.value, dut.wen.value = (int(level) for level in levels)
        dut.ba.value, dut.a.value = bank, address
        for cycle in range(cycles):
            dut.d_driven.value = int(data is not None and cycle < 2)
            dut.d.value = (data or 0) >> 16 * min(cycle, 1) & 0xFFFF
            await FallingEdge(dut.clk)
            given.append(f"{int(dut.q.value):04x}")
            dut.csn.value = 1
    cocotb.log.info("given %s", " ".join(given))
