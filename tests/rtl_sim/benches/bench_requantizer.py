"""Requantizer: one channel per cycle, corners of every operand."""

import random

import cocotb
from units import MACHINE, Pins, signed

from bitwright.hwgen import requantize

ACC = MACHINE.acc_bits


def operands(target: int) -> tuple[int, int, int, int]:
    """acc, bias, multiplier, shift; often with a result near `target`."""
    shift = random.choice((1, 2, 8, 16, 17, 24, 31, 32, 33, 40, 46, random.randint(1, 46)))
    multiplier = random.choice((1, 2, 0x7FFF, 0x8000, 0xFFFF, random.randint(1, 0xFFFF)))
    low, high = -(1 << (ACC - 1)), (1 << (ACC - 1)) - 1
    if random.random() < 0.5:
        value = random.choice((low, high, -1, 0, 1, random.randint(low, high)))
    else:
        value = ((target << shift) + random.choice((-1, 0, 1, 1 << (shift - 1)))) // multiplier
        value = min(max(value + random.randint(-1, 1), low), high)
    bias = random.choice((low, high, 0, random.randint(low, high)))
    return signed(value - bias, ACC), bias, multiplier, shift


@cocotb.test()
async def channels(dut: object) -> None:
    pins = Pins(dut, "requantizer")
    names = ("acc", "bias", "multiplier", "shift", "negate", "zero_point", "clamp_min", "clamp_max")
    await pins.start(**dict.fromkeys(names, 0))
    for _ in range(40):
        zero = random.choice((-128, 0, 127, random.randint(-128, 127)))
        low, high = sorted(random.choice((-128, 127, random.randint(-128, 127))) for _ in range(2))
        negate = random.getrandbits(1)
        pins["negate"], pins["zero_point"], pins["clamp_min"], pins["clamp_max"] = (
            negate, zero, low, high,
        )  # fmt: skip
        expected: list[int] = []
        for cycle in range(100):
            acc, bias, multiplier, shift = operands(random.randint(-130, 130) - zero)
            pins["acc"] = -acc if negate else acc
            pins["bias"], pins["multiplier"], pins["shift"] = bias, multiplier, shift
            value = signed(acc + bias, ACC)
            expected.append(
                requantize.golden(
                    value, bias=0, multiplier=multiplier, shift=shift, zero_point=zero,
                    low=low, high=high,
                )
            )  # fmt: skip
            await pins.settled()
            if cycle >= requantize.LATENCY:
                got = pins["entry"] - 128
                assert got == expected[cycle - requantize.LATENCY], (value, multiplier, shift, zero)
            await pins.edge()
