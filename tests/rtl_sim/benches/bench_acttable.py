"""Tables of activations: all of a group of few bits with all digits, random ones of each width."""

import random
from itertools import product

import cocotb
import numpy as np
from units import SETTINGS, Pins, pack, signed, unpack

from bitwright.hwgen.engines import acttable

WIDTHS = (*range(1, 9), 16)


def sums(pins: Pins, bits: int, rows: int) -> list[int]:
    carries = pins["carries"]
    return [v + (carries >> row & 1) for row, v in enumerate(unpack(pins["sums"], bits, rows))]


async def fill(pins: Pins, activations: list[int], bits: int, bank: int) -> None:
    pins["activations"] = pack(activations, bits)
    pins["fill"], pins["fill_bank"] = 1, bank
    for entry in range(acttable.ENTRIES):
        pins["entry"] = entry
        await pins.edge()
    pins["fill"] = 0


@cocotb.test()
@cocotb.parametrize(bits=[1, 2])
async def all_of_few_bits(dut: object, bits: int) -> None:
    unit = f"acttable_all_{bits}"
    pins, own = Pins(dut, unit), SETTINGS["parameters"][unit]
    rows, lanes, is_signed = own["rows"], own["lanes"], own["activation_signed"]
    await pins.start(activations=0, fill=0, entry=0, fill_bank=0, digits=0, bank=0)
    width = acttable.sum_bits(lanes, bits, is_signed)
    choices = [np.array(c) for c in product((1, -1), repeat=acttable.GROUP)]
    low = -(1 << bits - 1) if is_signed else 0
    values = range(low, low + (1 << bits))
    for number, group in enumerate(product(values, repeat=acttable.GROUP)):
        activations = [*group, *reversed(group)]
        await fill(pins, activations, bits, number % 2)
        for _ in range(acttable.FILL - acttable.ENTRIES):
            await pins.edge()
        pins["bank"] = number % 2
        expected: list[list[int]] = []
        for step in range(len(choices) + acttable.latency(lanes)):
            one, other = choices[step % 16], choices[(5 * step + number) % 16]
            signs = np.array([[*one, *other], [*-other, *one]])
            pins["digits"] = acttable.pack(signs)
            expected.append(acttable.golden(np.array(activations), signs).tolist())
            await pins.settled()
            if step >= acttable.latency(lanes):
                got = sums(pins, width, rows)
                assert got == expected[step - acttable.latency(lanes)], (activations, step)
            await pins.edge()


@cocotb.test()
@cocotb.parametrize(bits=WIDTHS)
async def built_while_used(dut: object, bits: int) -> None:
    unit = f"acttable_{bits}"
    pins, own = Pins(dut, unit), SETTINGS["parameters"][unit]
    rows, lanes, is_signed = own["rows"], own["lanes"], own["activation_signed"]
    await pins.start(activations=0, fill=0, entry=0, fill_bank=0, digits=0, bank=0)
    width = acttable.sum_bits(lanes, bits, is_signed)
    low = -(1 << bits - 1) if is_signed else 0
    most = low + (1 << bits) - 1
    latency, total_latency = acttable.latency(lanes), acttable.total_latency(lanes)
    tables: list[np.ndarray] = []
    signs: list[np.ndarray] = []  # of every cycle, and what row 0 has begun in it
    expected: list[list[int] | None] = []
    totals: dict[int, int] = {}
    cycle = 0
    for period in range(60 if bits == 8 else 25):
        high = random.choice((low, most))
        following = np.array(
            [random.choice((low, most, random.randint(low, high))) for _ in range(lanes)]
        )
        if period < 4:  # the greatest sums
            following[:] = low if period % 2 else most
        length = acttable.FILL + random.choice((0, 0, 1, 7))
        pins["activations"] = pack(following.tolist(), bits)
        pins["fill_bank"], pins["bank"] = period % 2, 1 - period % 2
        for step in range(length):
            pins["fill"], pins["entry"] = step < acttable.ENTRIES, step % acttable.ENTRIES
            if step == acttable.ENTRIES - 1:
                totals[cycle + total_latency] = int(following.sum())
            signs.append(np.array([random.choices((1, -1), k=lanes) for _ in range(rows)]))
            own = [signs[max(0, cycle - acttable.delay(row))][row] for row in range(rows)]
            pins["digits"] = acttable.pack(np.stack(own))
            expected.append(acttable.golden(tables[-1], signs[-1]).tolist() if tables else None)
            await pins.settled()
            got = sums(pins, width, rows)
            for row in range(rows):
                begun = cycle - latency - acttable.delay(row)
                wanted = expected[begun] if begun >= 0 else None
                assert wanted is None or got[row] == wanted[row], f"cycle {cycle}"
            if cycle in totals:
                assert signed(pins["total"], width) == totals.pop(cycle), f"cycle {cycle}"
            await pins.edge()
            cycle += 1
        tables.append(following)
