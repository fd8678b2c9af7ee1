"""Requantizer: one channel per cycle, corners of every operand and rounding."""

import random

import cocotb
import numpy as np
from units import MACHINES, Pins, signed

from bitwright.hwgen import requantize
from bitwright.hwgen.golden import requantize as golden
from bitwright.ir.instructions import Rounding
from bitwright.ir.machine import Machine

SHIFTS = (1, 2, 8, 16, 17, 24, 30, 31, 32, 33, 34, 40, 46, 61, 62)


def operands(machine: Machine, target: int) -> tuple[int, int, int, int]:
    """acc, bias, multiplier, shift; often with a result near `target`, or near a tie."""
    bits, acc_bits = machine.multiplier_bits, machine.acc_bits
    furthest = 62 if machine.wide else 46
    shift = random.choice((*SHIFTS, random.randint(1, furthest)))
    shift = min(shift, furthest, bits + acc_bits - 1)
    top = (1 << bits) - 1
    corners = (
        1,
        2,
        0x7FFF,
        0x8000,
        0xFFFF,
        top // 2,
        top // 2 + 1,
        top,
        1 << random.randrange(bits),
    )
    multiplier = min(random.choice((*corners, random.randint(1, top))), top)
    low, high = -(1 << (acc_bits - 1)), (1 << (acc_bits - 1)) - 1
    if random.random() < 0.3:
        value = random.choice((low, high, -1, 0, 1, random.randint(low, high)))
    else:
        value = ((target << shift) + random.choice((-1, 0, 1, 1 << (shift - 1)))) // multiplier
        value = min(max(value + random.randint(-1, 1), low), high)
    bias = random.choice((low, high, 0, random.randint(low, high)))
    return signed(value - bias, acc_bits), bias, multiplier, shift


async def channels(pins: Pins, machine: Machine, rounding: Rounding, *, rounds: int) -> None:
    latency, bits = requantize.latency(machine.multiplier_bits), machine.acc_bits
    ties = 0
    for _ in range(rounds):
        zero = random.choice((-128, 0, 127, random.randint(-128, 127)))
        low, high = sorted(random.choice((-128, 127, random.randint(-128, 127))) for _ in range(2))
        negate = random.getrandbits(1)
        pins["negate"], pins["zero_point"], pins["clamp_min"], pins["clamp_max"] = (
            negate, zero, low, high,
        )  # fmt: skip
        expected: list[tuple[int, tuple[int, ...]]] = []
        for cycle in range(100):
            acc, bias, multiplier, shift = operands(machine, random.randint(-130, 130) - zero)
            pins["acc"] = -acc if negate else acc
            pins["bias"], pins["multiplier"], pins["shift"] = bias, multiplier, shift
            value = signed(acc + bias, bits)
            ties += value < 0 and (value * multiplier) % (1 << shift) == 1 << shift - 1
            result = golden(
                np.int64(value), np.int64(multiplier), np.int64(shift), zero_point=zero,
                clamp_min=low, clamp_max=high, rounding=rounding,
            )  # fmt: skip
            expected.append((int(result), (value, multiplier, shift, zero)))
            await pins.settled()
            if cycle >= latency:
                wanted, operand = expected[cycle - latency]
                assert pins["entry"] - 128 == wanted, (rounding.name, operand)
            await pins.edge()
    assert ties > 20, "too few negative ties to tell the roundings apart"


NAMES = ("acc", "bias", "multiplier", "shift", "negate", "zero_point", "clamp_min", "clamp_max")


@cocotb.test()
async def narrow(dut: object) -> None:
    pins = Pins(dut, "requantizer")
    await pins.start(**dict.fromkeys(NAMES, 0))
    await channels(pins, MACHINES["requantizer"], Rounding.HALF_UP, rounds=40)


@cocotb.test()
@cocotb.parametrize(rounding=list(Rounding))
async def wide(dut: object, rounding: Rounding) -> None:
    for unit in (name for name in MACHINES if name.startswith("requantizer_")):
        pins = Pins(dut, unit)
        await pins.start(**dict.fromkeys(NAMES, 0), rounding=rounding)
        await channels(pins, MACHINES[unit], rounding, rounds=20)
