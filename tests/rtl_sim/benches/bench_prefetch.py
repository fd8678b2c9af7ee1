"""The weight streamer behind simulated memories: the weights, and when they are there."""

import random

import cocotb
from cocotb.handle import HierarchyObject
from memory_systems import BURST_WORDS, CONTENTS, DEPTH, STREAMED_WIDTH, TIMINGS
from units import Pins

from bitwright.hwgen.prefetch import Layer, predict

SLICES = STREAMED_WIDTH // 32
DEEPEST = 64


def weights(layer: Layer) -> list[int]:
    """The words that the weight memory holds of a layer."""
    first = [layer.address + word * SLICES for word in range(layer.words)]
    return [sum(CONTENTS[start + part] << 32 * part for part in range(SLICES)) for start in first]


async def check(dut: HierarchyObject, name: str) -> None:
    pins = Pins(dut, f"streamed_{name}")
    await pins.start(layer_valid=0, layer_payload=0, release=0)
    layers = [
        Layer(
            address=random.randrange(DEPTH - DEEPEST * SLICES),
            words=random.choice((1, 2, random.randint(1, 40))),
            compute_cycles=random.choice((1, 5, random.randint(1, 400))),
        )
        for _ in range(20)
    ]
    spans = predict(layers, TIMINGS[name], width=STREAMED_WIDTH, burst_words=BURST_WORDS)
    halves = [[0] * DEEPEST, [0] * DEEPEST]
    asked, running, free = 0, 0, 0
    begin: int | None = None
    for cycle in range(spans[-1].end + 1):
        if asked < len(layers):
            pins["layer_payload"] = layers[asked].address | layers[asked].words << 26
        pins["layer_valid"] = asked < len(layers)
        await pins.settled()
        if begin is None and pins["loaded"] and cycle >= free:
            begin = cycle
            assert begin == spans[running].begin
            wanted = weights(layers[running])
            assert halves[pins["read_half"]][: len(wanted)] == wanted
        last = begin is not None and cycle == begin + layers[running].compute_cycles - 1
        pins["release"] = last
        if asked < len(layers) and pins["layer_ready"]:
            assert cycle == spans[asked].load
            asked += 1
        if pins["write_enable"]:
            halves[pins["write_half"]][pins["write_address"]] = pins["write_data"]
        if last:
            begin, running, free = None, running + 1, cycle + 1
        await pins.edge()
    assert running == len(layers)


for name in TIMINGS:

    async def one(dut: HierarchyObject, name: str = name) -> None:
        await check(dut, name)

    one.__name__ = one.__qualname__ = name
    globals()[name] = cocotb.test(one)
