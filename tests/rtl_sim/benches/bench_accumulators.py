"""Accumulators: bit planes of both engines with random pauses, then the groups at the head."""

import random

import cocotb
from units import MACHINE, Pins, chance, pack, signed, unpack

from bitwright.hwgen.address import AccOp
from bitwright.hwgen.engines import accumulator, channelwise, weightserial


def plane_ops(planes: int, steps: int) -> list[int]:
    ops: list[int] = []
    for plane in range(planes):
        first = (AccOp.LOAD, AccOp.NEGATE, AccOp.DOUBLE)[min(plane, 2)]
        ops += [first, *[AccOp.ADD] * (steps - 1)]
    return ops


@cocotb.test()
async def tiles(dut: object) -> None:
    pins = Pins(dut, "accumulators")
    await pins.start(sums=0, terms=0, use_terms=0, op=0, valid=0, last=0)
    sum_bits, rows, lanes = weightserial.sum_bits(MACHINE), MACHINE.rows, MACHINE.lanes
    for _ in range(80):
        use_terms = chance(40)
        channels = lanes if use_terms else rows
        groups = channels // MACHINE.requant_lanes
        planes, steps = (1 if use_terms else random.randint(1, 8)), random.randint(1, 5)
        pins["use_terms"] = use_terms
        sums = [[0] * channels for _ in range(planes)]
        ops = plane_ops(planes, steps)
        position, late = 0, (0, 0)
        while position < len(ops):
            valid = chance(75)
            pins["valid"] = valid
            pins["last"] = position == len(ops) - 1 if valid else random.getrandbits(1)
            pins["op"] = ops[position]
            low, high = (-16256, 16384) if use_terms else (-128 * lanes, 127 * lanes)
            values = [
                random.choice((low, high, random.randint(low, high))) for _ in range(channels)
            ]
            # The term of a step comes one cycle after its flags.
            pins["sums"], pins["terms"] = late
            late = random.getrandbits(sum_bits * rows), random.getrandbits(16 * lanes)
            if use_terms:
                late = late[0], pack(values, channelwise.TERM_BITS)
            else:
                late = pack(values, sum_bits), late[1]
            if valid:
                plane = sums[position // steps]
                for channel, value in enumerate(values):
                    plane[channel] += value
                position += 1
            await pins.edge()
        pins["valid"] = 0
        pins["sums"], pins["terms"] = late
        for _ in range(accumulator.LATENCY):
            await pins.edge()
        got: list[int] = []
        for _ in range(groups):
            await pins.settled()
            got += unpack(pins["head"], MACHINE.acc_bits, MACHINE.requant_lanes)
            await pins.edge()
        expected = [
            signed(
                accumulator.golden([plane[c] for plane in sums], MACHINE.acc_bits), MACHINE.acc_bits
            )
            for c in range(channels)
        ]
        assert got == expected
