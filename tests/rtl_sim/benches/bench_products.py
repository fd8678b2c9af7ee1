"""Engines of pipelines: all operands of few bits, else random and the greatest ones; a new set in
every cycle."""

import random
from itertools import product
from typing import Any

import cocotb
import numpy as np
from units import SETTINGS, Pins, pack, unpack

from bitwright.hwgen.dataflow.engines import ENGINES
from bitwright.hwgen.dataflow.products import golden

UNITS = {u: values for u, values in SETTINGS["parameters"].items() if u.startswith("products_")}
EXHAUSTIVE_BITS = 12  # of all operands
SETS = 40


def operands(unit: dict[str, Any]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Activations [lane] and weights [row, lane]."""
    rows, lanes, weight_bits, bits = (
        unit[name] for name in ("rows", "lanes", "weight_bits", "activation_bits")
    )
    least = -(1 << bits - 1) if unit["activation_signed"] else 0
    most, edge = least + (1 << bits) - 1, 1 << weight_bits - 1
    values = range(-1, 2, 2) if weight_bits == 1 else range(-edge, edge)
    if lanes * bits + rows * lanes * weight_bits <= EXHAUSTIVE_BITS:
        return [
            (np.array(a), np.array(w).reshape(rows, lanes))
            for a in product(range(least, most + 1), repeat=lanes)
            for w in product(values, repeat=rows * lanes)
        ]
    draw = np.random.default_rng(random.getrandbits(32))
    activations = draw.integers(least, most + 1, (SETS, lanes))
    weights = draw.choice(values, (SETS, rows, lanes))
    activations[:4] = [[least], [least], [most], [most]]
    weights[:4] = np.array([values[0], values[-1]] * 2)[:, None, None]
    if weight_bits == 2:  # ternary
        weights[SETS // 2 :] = draw.integers(-1, 2, (SETS - SETS // 2, rows, lanes))
    return list(zip(activations, weights, strict=True))


@cocotb.test()
@cocotb.parametrize(unit=list(UNITS))
async def sums(dut: object, unit: str) -> None:
    pins, own = Pins(dut, unit), UNITS[unit]
    kind = ENGINES[unit.split("_")[1]]
    bits, lanes, weight_bits = own["activation_bits"], own["lanes"], own["weight_bits"]
    width = weight_bits + bits + lanes.bit_length() + 1
    latency = kind.latency(lanes, weight_bits)
    await pins.start(activations=0, weights=0)
    sets = operands(own)
    for cycle in range(len(sets) + latency):
        if cycle < len(sets):
            activations, weights = sets[cycle]
            pins["activations"] = pack(activations.tolist(), bits)
            pins["weights"] = kind.pack(weights, weight_bits)
        await pins.settled()
        if cycle >= latency:
            found = unpack(pins["sums"], width, own["rows"])
            assert found == golden(*sets[cycle - latency]).tolist(), sets[cycle - latency]
        await pins.edge()
