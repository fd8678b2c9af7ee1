"""The unit that adds a tensor to results, against its golden function."""

import dataclasses
import random

import numpy as np
from amaranth.sim import Simulator

from bitwright.hwgen import fused_add
from bitwright.hwgen.fused_add import LATENCY, PREPARE_CYCLES, FusedAdd

EXTREMES = [
    {"add_own": (1 << 25) - 1, "add_other": (1 << 25) - 1, "add_offset": (1 << 31) - 1},
    {"add_own": (1 << 25) - 1, "add_other": (1 << 25) - 1, "add_offset": -1 << 31},
    {"add_own": 0, "add_other": 1 << 23, "add_offset": 0},
]


def _factors(rng: random.Random) -> dict[str, int]:
    own, other = (rng.randrange(1 << rng.randint(18, 25)) for _ in range(2))
    offset = rng.randrange(-1 << 31, 1 << 31) >> rng.randint(0, 8)
    return {"add_own": own, "add_other": other, "add_offset": offset}


def test_sums_of_several_instructions(small_machine):
    """The tables of one are made while those of the one before are looked up in."""
    machine = dataclasses.replace(
        small_machine(), rows=8, lanes=8, engine="dsp", pixels=2, banks=2, fused_adds=1
    )
    unit, rng = FusedAdd(machine=machine), random.Random(1)
    instructions = [*EXTREMES, *(_factors(rng) for _ in range(3))]

    async def made(ctx, factors) -> None:
        for name, value in factors.items():
            ctx.set(unit.factors[name], value)
        ctx.set(unit.prepare, 1)

    async def bench(ctx) -> None:
        await made(ctx, instructions[0])
        for _ in range(PREPARE_CYCLES):
            assert not ctx.get(unit.prepared)
            await ctx.tick()
        for number, factors in enumerate(instructions):
            assert ctx.get(unit.prepared)
            ctx.set(unit.taken, 1)
            await ctx.tick()
            ctx.set(unit.taken, 0)
            ctx.set(unit.start, 1)
            ctx.set(unit.next_adds, 1)
            await made(ctx, instructions[(number + 1) % len(instructions)])
            low, high = sorted(rng.randint(-128, 127) for _ in range(2))
            ctx.set(unit.adds, 1)
            ctx.set(unit.clamp_min, low)
            ctx.set(unit.clamp_max, high)
            wanted: list[list[int]] = []
            for cycle in range(PREPARE_CYCLES):
                codes = np.array([[rng.randint(-128, 127) for _ in range(2)] for _ in range(2)])
                if cycle < 4:
                    codes = np.array([[-128, 127], [(-128, 127)[cycle % 2]] * 2])
                for lane in range(machine.requant_lanes):
                    ctx.set(unit.own[lane], int(codes[0, lane]) & 255)
                    ctx.set(unit.other[lane], int(codes[1, lane]) & 255)
                sums = fused_add.golden(*codes, **factors, clamp_min=low, clamp_max=high)
                wanted.append([int(code) & 255 for code in sums])
                if cycle > LATENCY:  # the first ones came before `start`
                    found = [ctx.get(unit.results[lane]) for lane in range(2)]
                    assert found == wanted[cycle - LATENCY], (number, cycle)
                await ctx.tick()
                ctx.set(unit.start, 0)

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_what_is_not_added_to_goes_through(small_machine):
    machine = dataclasses.replace(
        small_machine(), rows=8, lanes=8, engine="dsp", pixels=2, banks=2, fused_adds=1
    )
    unit = FusedAdd(machine=machine)

    async def bench(ctx) -> None:
        for cycle in range(LATENCY + 30):
            ctx.set(unit.own[0], cycle)
            ctx.set(unit.own[1], 255 - cycle)
            if cycle >= LATENCY:
                assert ctx.get(unit.results[0]) == cycle - LATENCY
                assert ctx.get(unit.results[1]) == 255 - cycle + LATENCY
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
