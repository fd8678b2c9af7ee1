"""Channelwise engine: tiles of random length with random pauses, products and maxima."""

import random

import cocotb
import numpy as np
from units import MACHINE, Pins, chance, pack, random_byte, unpack

from bitwright.hwgen.engines import channelwise


async def tile(pins: Pins, maximum: bool) -> None:
    lanes, latency = MACHINE.lanes, channelwise.LATENCY
    steps = random.randint(1, 9)
    activations = np.array([[random_byte() for _ in range(lanes)] for _ in range(steps)])
    weights = np.array([[random_byte() for _ in range(lanes)] for _ in range(steps)])
    step = 0
    history: list[int | None] = []  # the step of each cycle
    terms: list[np.ndarray] = []
    while len(terms) < steps:
        now = step if step < steps and chance(70) else None
        history.append(now)
        pins["activations"] = pack([random_byte() for _ in range(lanes)], 8)
        if now is not None:
            pins["activations"] = pack(activations[now].tolist(), 8)
            pins["weights"] = pack(weights[now].tolist(), 8)
            step += 1
        before = history[-2] if len(history) > 1 else None
        pins["valid"] = before is not None
        pins["first"] = before == 0 if before is not None else random.getrandbits(1)
        await pins.settled()
        if len(history) > latency and history[-1 - latency] is not None:
            terms.append(np.array(unpack(pins["terms"], channelwise.TERM_BITS, lanes)))
        await pins.edge()
    pins["valid"] = 0
    got = terms[-1] if maximum else sum(terms)
    assert got.tolist() == channelwise.golden(activations, weights, maximum).tolist()


@cocotb.test()
async def products_and_maxima(dut: object) -> None:
    pins = Pins(dut, "channelwise")
    await pins.start(activations=0, weights=0, valid=0, first=0, maximum=0)
    for _ in range(60):
        maximum = chance(50)
        pins["maximum"] = maximum
        for _ in range(channelwise.LATENCY):
            await pins.edge()
        for _ in range(random.randint(1, 4)):
            await tile(pins, maximum)
