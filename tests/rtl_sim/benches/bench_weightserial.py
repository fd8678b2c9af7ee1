"""Matrix engine: new random operands in every cycle, sums `latency` cycles later."""

import random

import cocotb
import numpy as np
from units import MACHINE, Pins, pack, random_byte, unpack

from bitwright.hwgen.engines import weightserial


@cocotb.test()
async def sums(dut: object) -> None:
    pins = Pins(dut, "weightserial")
    await pins.start(activations=0, weights=0)
    latency = weightserial.latency(MACHINE)
    expected: list[list[int]] = []
    for cycle in range(1000):
        activations = [random_byte() for _ in range(MACHINE.lanes)]
        weights = random.choice((0, -1, random.getrandbits(MACHINE.weight_bits)))
        pins["activations"] = pack(activations, 8)
        pins["weights"] = weights
        bits = [(weights >> position) & 1 for position in range(MACHINE.weight_bits)]
        matrix = np.array(bits).reshape(MACHINE.rows, MACHINE.lanes)
        expected.append(weightserial.golden(np.array(activations), matrix).tolist())
        await pins.settled()
        if cycle >= latency:
            got = unpack(pins["sums"], weightserial.sum_bits(MACHINE), MACHINE.rows)
            assert got == expected[cycle - latency], f"cycle {cycle}"
        await pins.edge()
