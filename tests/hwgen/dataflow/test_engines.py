"""Matrix engines in Amaranth's simulator, against plain matrix products."""

from itertools import product

import numpy as np
import pytest
from amaranth.sim import Simulator

from bitwright.hwgen.dataflow.engines import ENGINES
from bitwright.hwgen.dataflow.products import golden
from bitwright.ir.dataflow import Engine

CASES = [
    (engine, weight_bits, activation_bits, signed, lanes)
    for engine, (weight_bits, activation_bits, signed), lanes in product(
        ENGINES, [(1, 2, False), (2, 2, True), (3, 3, False), (4, 8, True), (8, 7, False),
                  (8, 8, True), (5, 1, True)], [1, 3, 4],
    )
    if engine != "packed" or weight_bits > 1
]  # fmt: skip


@pytest.mark.parametrize(("engine", "weight_bits", "activation_bits", "signed", "lanes"), CASES)
def test_sums(
    engine: Engine, weight_bits: int, activation_bits: int, signed: bool, lanes: int
) -> None:
    """Random operands and the greatest ones, a new set in every cycle."""
    kind, rows = ENGINES[engine], 2
    unit = kind(
        rows=rows, lanes=lanes, weight_bits=weight_bits, activation_bits=activation_bits,
        activation_signed=signed,
    )  # fmt: skip
    draw = np.random.default_rng(lanes)
    least = -(1 << activation_bits - 1) if signed else 0
    most = least + (1 << activation_bits) - 1
    edge = 1 << weight_bits - 1
    sets = 40
    activations = draw.integers(least, most + 1, (sets, lanes))
    weights = draw.integers(-edge, edge, (sets, rows, lanes))
    activations[:4] = [[least], [least], [most], [most]]
    weights[:4] = np.array([-edge, edge - 1, -edge, edge - 1])[:, None, None]
    if weight_bits == 1:
        weights = 2 * weights + 1
    latency = kind.latency(lanes, weight_bits)
    seen: list[list[int]] = []

    async def bench(ctx) -> None:  # type: ignore[no-untyped-def]
        for cycle in range(sets + latency):
            now = min(cycle, sets - 1)
            for lane, value in enumerate(activations[now].tolist()):
                ctx.set(unit.activations[lane], value)
            ctx.set(unit.weights, kind.pack(weights[now], weight_bits))
            seen.append([ctx.get(unit.sums[row]) for row in range(rows)])
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    expected = [golden(a, w).tolist() for a, w in zip(activations, weights, strict=True)]
    assert seen[latency:] == expected
