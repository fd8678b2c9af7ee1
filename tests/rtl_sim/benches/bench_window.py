"""Channelwise sums of several columns, rows of windows, and maxima; pauses between steps."""

import random

import cocotb
import numpy as np
from units import MACHINES, Pins, chance, pack, random_byte, unpack

from bitwright.hwgen.address import AccOp
from bitwright.hwgen.engines import dsp, window


@cocotb.test()
async def rows(dut: object) -> None:
    pins, machine = Pins(dut, "window"), MACHINES["window"]
    pixels, lanes, count = machine.pixels, machine.lanes, machine.pixels + window.CARRIED
    await pins.start(
        products=0, activations=0, peak_valid=0, peak_first=0, maximum=0, op=0, valid=0
    )
    for _ in range(40):
        kernel_rows, tiles = random.randint(1, machine.window_rows), random.randint(1, 4)
        shape = (kernel_rows, tiles * pixels, lanes)
        columns = np.array([random_byte() for _ in range(np.prod(shape))]).reshape(shape)
        weights = np.array([random_byte() for _ in range(kernel_rows * 3 * lanes)])
        weights = weights.reshape(kernel_rows, 3, lanes)
        found: list[list[int]] = []
        for tile in range(tiles):
            own = columns[:, tile * pixels : (tile + 1) * pixels]
            for row in range(kernel_rows):
                while not chance(75):
                    pins["valid"] = 0
                    await pins.edge()
                pins["op"], pins["valid"] = AccOp.ADD if row else AccOp.LOAD, 1
                await pins.edge()
                products = own[row][:, None] * weights[row][None]
                pins["products"] = pack(products.ravel().tolist(), dsp.PRODUCT_BITS)
            pins["valid"] = 0
            await pins.edge()
            await pins.edge()
            await pins.settled()
            found += np.reshape(unpack(pins["sums"], machine.acc_bits, count * lanes),
                                (count, lanes)).tolist()[:pixels]  # fmt: skip
        if tiles * pixels < 3:
            continue
        expected = window.golden(columns, weights)
        got = np.array(found)[window.CARRIED :]  # sum i of tile t: the window at t * pixels + i - 2
        np.testing.assert_array_equal(got[: len(expected)], expected)


@cocotb.test()
async def maxima(dut: object) -> None:
    pins, machine = Pins(dut, "window"), MACHINES["window"]
    lanes, count = machine.lanes, machine.pixels + window.CARRIED
    await pins.start(
        products=0, activations=0, peak_valid=0, peak_first=0, maximum=1, op=AccOp.LOAD, valid=0
    )
    steps: list[str] = []  # of each cycle: "first" of a tile, "more", or "" for a pause
    for _ in range(60):
        steps += ["first", *(random.choice(("", "more", "more")) for _ in range(5)), ""]
    steps += [""] * (dsp.PRODUCTS + 2)
    shape = (len(steps), machine.pixels, lanes)
    words = np.array([random_byte() for _ in range(np.prod(shape))]).reshape(shape)
    largest = np.zeros(shape[1:], int)
    expected: list[np.ndarray] = []  # after each cycle's step
    for cycle, word in enumerate(words):
        pins["activations"] = pack(word.ravel().tolist(), 8)
        pins["peak_valid"], pins["peak_first"] = bool(steps[cycle - 1]), steps[cycle - 1] == "first"
        pins["valid"] = bool(steps[cycle + 1 - dsp.PRODUCTS])
        await pins.settled()
        done = cycle - dsp.PRODUCTS - 2
        if done >= 0 and steps[done]:
            sums = unpack(pins["sums"], machine.acc_bits, count * lanes)
            got = np.reshape(sums, (count, lanes))[window.CARRIED :]
            np.testing.assert_array_equal(got, expected[done])
        await pins.edge()
        if steps[cycle]:
            largest = word if steps[cycle] == "first" else np.maximum(largest, word)
        expected.append(largest)
