"""Serial products in Amaranth's simulator, against plain integers."""

import random

import pytest
from amaranth.sim import Simulator

from bitwright.hwgen.serial_product import DigitSerial, SerialProduct, SharedBlock, golden


@pytest.mark.parametrize("multiplier_bits", [16, 31])
@pytest.mark.parametrize("acc_bits", [16, 24, 32])
@pytest.mark.parametrize("kind", [DigitSerial, SharedBlock])
def test_products(kind: type[SerialProduct], acc_bits: int, multiplier_bits: int) -> None:
    unit = kind(acc_bits=acc_bits, multiplier_bits=multiplier_bits)
    rng = random.Random(acc_bits)
    edge = 1 << acc_bits - 1
    operands = [
        (
            rng.choice([-edge, edge - 1, rng.randrange(-edge, edge)]),
            rng.choice([0, (1 << multiplier_bits) - 1, rng.randrange(1 << multiplier_bits)]),
            rng.randrange(2) if multiplier_bits == 31 else 0,
        )
        for _ in range(40)
    ]
    cycles, latency = kind.cycles(multiplier_bits), kind.latency(multiplier_bits)
    starts = [number * cycles + (number > 20) * 3 for number in range(len(operands))]
    seen: dict[int, int] = {}

    async def bench(ctx) -> None:  # type: ignore[no-untyped-def]
        for cycle in range(starts[-1] + latency + 1):
            started = cycle in starts
            ctx.set(unit.start, started)
            acc, multiplier, half = operands[starts.index(cycle)] if started else (0, 0, 0)
            ctx.set(unit.acc, acc)
            ctx.set(unit.multiplier, multiplier)
            ctx.set(unit.half, half)
            seen[cycle] = ctx.get(unit.product)
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert [seen[start + latency] for start in starts] == [golden(*item) for item in operands]
