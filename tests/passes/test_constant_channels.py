"""Channels of one or two results: the same integers from shorter sums."""

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.ir import graph, reference
from bitwright.ir.builder import Builder
from bitwright.ir.checks import ints
from bitwright.ir.types import QuantParams
from bitwright.passes.legalize import Legalize
from bitwright.passes.widths import prove

X = QuantParams((0.5,), 3, 8, -128, 127)
Y = QuantParams((0.5,), -128, 8, -128, 127)
SCALES = {  # of 1/512 for the ordinary channels, 2^-26 for the tiny ones
    "half_up": ((64, 15), (1, 26)),
    "half_away": ((1 << 30, 39), (1 << 30, 56)),
    "half_even": ((1 << 30, 39), (1 << 30, 56)),
    "tflite": ((1 << 30, 39), (1 << 30, 56)),
}


def _network(rounding: str, tiny: list[tuple[int, int]]) -> ir.Module:
    """Two ordinary channels, then one for each (weight, bias) with a tiny scale."""
    random = np.random.default_rng(1)
    count = 2 + len(tiny)
    weight = random.integers(-127, 128, (count, 3, 2, 2))
    bias = random.integers(-900, 900, count)
    for number, (size, offset) in enumerate(tiny):
        weight[2 + number] = np.clip(weight[2 + number], -size, size)
        bias[2 + number] = offset
    builder = Builder([("x", (1, 3, 6, 6), X)])
    filters = builder.constant(weight, QuantParams((0.1,) * count, 0, 8, -127, 127, axis=0))
    acc = builder.conv2d(builder.inputs[0], filters, builder.constant(bias), padding=(1, 0, 0, 1))
    (ordinary, small) = SCALES[rounding]
    pairs = [ordinary, ordinary, *[small] * len(tiny)]
    multiplier, shift = (list(values) for values in zip(*pairs, strict=True))
    y = builder.requantize(acc, Y, multiplier=multiplier, shift=shift, rounding=rounding)
    return builder.finish([("y", y)])


ONE_CODE, STEP = 10 << 26, (4 << 26) + (1 << 25)  # the codes are 10, and 4 or 5


@pytest.mark.parametrize("rounding", SCALES)
def test_one_or_two_codes_have_short_sums(rounding: str) -> None:
    tiny = [(127, ONE_CODE), (127, STEP), (3, -5), (100, -(1 << 29))]
    module = _network(rounding, tiny)
    short = Legalize().run(module)
    assert max(prove(module).values()) == 31
    assert max(prove(short).values()) < 25
    (conv,) = [op for op in graph.operations(short) if op.operation.name == "bw.conv2d"]
    weight = graph.constant_of(conv.operands[1])
    assert weight is not None
    assert not weight[2].any()
    assert weight[3].any()
    x = np.random.default_rng(2).integers(-128, 128, (1, 3, 6, 6)).astype(np.int8)
    for scale in (0, 1):
        wanted = reference.run(module, {"x": x * scale})["y"]
        np.testing.assert_array_equal(reference.run(short, {"x": x * scale})["y"], wanted)
    assert len(np.unique(wanted[:, 3])) == 2


def test_channels_that_are_not_the_widest_are_left() -> None:
    module = _network("tflite", [(1, 7)])
    (operation,) = [
        op
        for op in graph.operations(Legalize().run(module))
        if op.operation.name == "bw.requantize"
    ]
    assert ints(operation.shift) == (39, 39, 56)
