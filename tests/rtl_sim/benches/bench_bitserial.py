"""Bits times bits: all of eight lanes, and random ones of many."""

import random

import cocotb
import numpy as np
from units import Pins

from bitwright.hwgen.engines import bitserial


async def check(pins: Pins, operands: list[tuple[np.ndarray, np.ndarray]], binary: bool) -> None:
    """New operands every cycle, those of each row `delay(row)` cycles after row 0's."""
    rows, lanes = operands[0][0].shape
    latency, width = bitserial.latency(lanes), bitserial.count_bits(lanes)
    counts = [bitserial.golden(*pair, binary=binary) for pair in operands]
    columns = counts[0].shape[1]
    for cycle in range(len(operands) + latency + bitserial.delay(rows - 1)):
        places = [min(max(0, cycle - bitserial.delay(r)), len(operands) - 1) for r in range(rows)]
        pins["weights"] = bitserial.pack(
            np.stack([operands[p][0][r] for r, p in enumerate(places)])
        )
        pins["activations"] = bitserial.pack(operands[min(cycle, len(operands) - 1)][1])
        await pins.settled()
        for row in range(rows):
            place = cycle - latency - bitserial.delay(row)
            if 0 <= place < len(operands):
                for column in range(columns):
                    number = row * columns + column
                    count = pins["counts"] >> (width * number) & ((1 << width) - 1)
                    got = count + (pins["ones"] >> number & 1)
                    assert got == counts[place][row, column], f"cycle {cycle}"
        await pins.edge()


@cocotb.test()
async def all_of_eight_lanes(dut: object) -> None:
    """All weights, each with the activations that make every set of products, and others."""
    pins = Pins(dut, "bitserial")
    await pins.start(weights=0, activations=0)
    bits = (np.arange(256)[:, None] >> np.arange(8) & 1)[:, None]
    order = random.sample(range(256), 256)
    full = np.ones((1, 8), int)
    operands = [(full, row) for row in bits] + [(row, full) for row in bits]
    operands += [(bits[a], bits[b]) for a in range(256) for b in order[a::32]]
    await check(pins, operands, False)


@cocotb.test()
async def equal_bits(dut: object) -> None:
    pins = Pins(dut, "bitserial_binary")
    await pins.start(weights=0, activations=0)
    rng = np.random.default_rng(random.getrandbits(32))
    operands = [(rng.integers(0, 2, (2, 64)), rng.integers(0, 2, (3, 64))) for _ in range(300)]
    operands += [
        (np.full((2, 64), one), np.full((3, 64), other)) for one in (0, 1) for other in (0, 1)
    ]
    await check(pins, operands, True)
