"""Matrix engine of whole weights: new random operands in every cycle, in blocks and in tables."""

import cocotb
import numpy as np
from units import MACHINES, Pins, pack, random_byte, unpack

from bitwright.hwgen.engines import dsp


@cocotb.test()
async def sums(dut: object) -> None:
    pins, machine = Pins(dut, "dsp"), MACHINES["dsp"]
    pixels, rows, lanes = machine.pixels, machine.rows, machine.lanes
    assert 0 < machine.multiplier_blocks < machine.product_pairs
    await pins.start(activations=0, weights=0)
    expected: list[np.ndarray] = []
    products: list[np.ndarray] = []
    for cycle in range(1500):
        activations = np.array([random_byte() for _ in range(pixels * lanes)])
        weights = np.array([random_byte() for _ in range(rows * lanes)])
        pins["activations"] = pack(activations.tolist(), 8)
        pins["weights"] = pack(weights.tolist(), 8)
        activations, weights = activations.reshape(pixels, lanes), weights.reshape(rows, lanes)
        expected.append(dsp.golden(activations, weights).ravel())
        products.append((activations[:, None] * weights[None, :3]).ravel())
        await pins.settled()
        if cycle >= dsp.PRODUCTS:
            found = unpack(pins["products"], dsp.PRODUCT_BITS, pixels * 3 * lanes)
            assert found == products[cycle - dsp.PRODUCTS].tolist(), f"cycle {cycle}"
        latency = dsp.latency(machine)
        if cycle >= latency:
            found = unpack(pins["sums"], dsp.sum_bits(machine), pixels * rows)
            assert found == expected[cycle - latency].tolist(), f"cycle {cycle}"
        await pins.edge()
