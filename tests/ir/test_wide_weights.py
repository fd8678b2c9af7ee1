"""Weights of 9 bits in parts: the same sums."""

import numpy as np
import pytest

from bitwright.ir import reference
from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams
from bitwright.ir.wide_weights import parted

X = QuantParams((1.0,), -3, 8, -128, 127)


@pytest.mark.parametrize(("low", "high", "parts"), [(-128, 127, 1), (-255, 254, 2), (-5, 255, 3)])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_convolution(low: int, high: int, parts: int, groups: int) -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(low, high + 1, (4, 4 // groups, 1, 1))
    weight[0, 0], weight[1, 0] = low, high
    x = rng.integers(-128, 128, (1, 4, 3, 5)).astype(np.int8)
    builder = Builder([("x", x.shape, X)])
    wide, narrow = parted(builder, builder.inputs[0], weight, groups)
    assert narrow.shape[1] == weight.shape[1] * parts
    y = builder.conv2d(
        wide, builder.constant(narrow, QuantParams((1.0,), 0, 8, -128, 127)),
        builder.constant(np.zeros(4, np.int32)), groups=groups,
    )  # fmt: skip
    found = reference.run(builder.finish([("y", y)]), {"x": x})["y"]
    pixels = (x.astype(np.int64) + 3).reshape(groups, 4 // groups, -1)
    rows = weight.reshape(groups, 4 // groups, 4 // groups)
    np.testing.assert_array_equal(found.reshape(groups, 4 // groups, -1), rows @ pixels)
