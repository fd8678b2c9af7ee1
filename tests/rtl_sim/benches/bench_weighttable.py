"""Tables of weights: all of a group of few bits with all digits, random ones of each width, and
constants."""

import random
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


async def fill(pins: Pins, weights: np.ndarray, bits: int, bank: int) -> None:
    pins["fill"], pins["fill_bank"] = 1, bank
    for entry, word in enumerate(weighttable.pack(weights, weight_bits=bits)):
        pins["tables"], pins["entry"] = word, entry
        await pins.edge()
    pins["fill"], pins["bank"] = 0, bank


@cocotb.test()
@cocotb.parametrize(bits=[1, 2])
async def all_of_few_bits(dut: object, bits: int) -> None:
    pins = Pins(dut, f"weighttable_{bits}")
    await pins.start(tables=0, fill=0, entry=0, fill_bank=0, digits=0, bank=0)
    low = -(1 << bits - 1)
    groups = np.array(list(product(range(low, low + (1 << bits)), repeat=4)))
    for number in range(0, len(groups), 4):  # four rows take four of all groups
        rows = groups[number : number + 4]
        weights = np.concatenate([rows, rows[::-1, ::-1]], axis=1)
        await fill(pins, weights, bits, number // 4 % 2)
        await use(pins, weights, bits, number)


@cocotb.test()
@cocotb.parametrize(bits=range(1, 9))
async def random_weights(dut: object, bits: int) -> None:
    unit = f"weighttable_{bits}"
    pins, own = Pins(dut, unit), SETTINGS["parameters"][unit]
    shape = own["rows"], own["lanes"]
    await pins.start(tables=0, fill=0, entry=0, fill_bank=0, digits=0, bank=0)
    low, most = -(1 << bits - 1), (1 << bits - 1) - 1
    for turn in range(12):
        weights = np.array(
            [random.choice((low, most, random.randint(low, most))) for _ in range(np.prod(shape))]
        ).reshape(shape)
        if turn < 2:  # the greatest sums
            weights[:] = most if turn else low
        await fill(pins, weights, bits, turn % 2)
        await use(pins, weights, bits, turn)


@cocotb.test()
@cocotb.parametrize(bits=range(1, 9))
async def constant(dut: object, bits: int) -> None:
    unit = f"weighttable_constant_{bits}"
    pins = Pins(dut, unit)
    await pins.start(tables=0, fill=0, entry=0, fill_bank=0, digits=0, bank=0)
    for turn in range(16 if bits == 4 else 4):
        await use(pins, np.array(SETTINGS["parameters"][unit]["constant"]), bits, turn)
