"""Tables of weights: all weights of a group of two bits with all digits, and constants."""

from itertools import product

import cocotb
import numpy as np
from units import SETTINGS, Pins, unpack

from bitwright.hwgen.engines import weighttable

CHOICES = [np.array(c) for c in product((1, -1), repeat=4)]


async def use(pins: Pins, weights: np.ndarray, bits: int, turn: int) -> None:
    """All digits of a group, other ones in the groups beside it."""
    rows, lanes = weights.shape
    latency, width = weighttable.latency(lanes), weighttable.sum_bits(lanes, bits)
    expected: list[list[int]] = []
    for step in range(len(CHOICES) + latency):
        groups = [CHOICES[(step * (2 * g + 1) + g * turn) % 16] for g in range(lanes // 4)]
        signs = np.concatenate(groups)
        pins["digits"] = weighttable.pack_digits(signs)
        expected.append(weighttable.golden(weights, signs).tolist())
        await pins.settled()
        if step >= latency:
            sums, carries = unpack(pins["sums"], width, rows), pins["carries"]
            got = [value + (carries >> row & 1) for row, value in enumerate(sums)]
            assert got == expected[step - latency], (weights.tolist(), step)
        await pins.edge()


@cocotb.test()
async def all_of_two_bits(dut: object) -> None:
    pins = Pins(dut, "weighttable")
    await pins.start(tables=0, fill=0, entry=0, fill_bank=0, digits=0, bank=0)
    groups = np.array(list(product(range(-2, 2), repeat=4)))
    for number in range(0, len(groups), 4):  # four rows take four of all 256 groups
        rows = groups[number : number + 4]
        weights = np.concatenate([rows, rows[::-1, ::-1]], axis=1)
        pins["fill"], pins["fill_bank"] = 1, number // 4 % 2
        for entry, word in enumerate(weighttable.pack(weights, weight_bits=2)):
            pins["tables"], pins["entry"] = word, entry
            await pins.edge()
        pins["fill"], pins["bank"] = 0, number // 4 % 2
        await pins.edge()
        await use(pins, weights, 2, number)


@cocotb.test()
async def constant(dut: object) -> None:
    pins = Pins(dut, "weighttable_constant")
    await pins.start(tables=0, fill=0, entry=0, fill_bank=0, digits=0, bank=0)
    for turn in range(16):
        await use(pins, np.array(SETTINGS["constant"]), 4, turn)
