"""`bw.quantize` and `bw.dequantize` against one number at a time in exact fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest

from bitwright.ir import fixed_point, reference
from bitwright.ir.builder import Builder
from bitwright.ir.bw_quantize import QUANTIZE_ROUNDINGS
from bitwright.ir.context import IrError


def _rounded(value: Fraction, rounding: str) -> int:
    below, above = math.floor(value), math.ceil(value)
    tie = {"half_even": round(value), "half_up": above}
    tie["half_away"] = above if value > 0 else below
    if rounding in tie:
        return tie[rounding] if 2 * value % 2 == 1 else round(value)
    return {"floor": below, "ceil": above, "zero": math.trunc(value)}[rounding]


@pytest.mark.parametrize("rounding", QUANTIZE_ROUNDINGS)
def test_blocks_ties_and_clamps(rounding: str) -> None:
    x = (np.arange(-48, 48, dtype=np.float32) / 4).reshape(1, 2, 48)
    scale = np.array([[[0.5, 1, 2]], [[4, 0.25, 1]]], np.float32).reshape(1, 2, 3)
    zero = np.array([[0, 3, -7], [1, -1, 5]], np.int8).reshape(1, 2, 3)
    builder = Builder([("x", x.shape, None)])
    grids = builder.plain(scale), builder.plain(zero)
    codes = builder.quantize(
        builder.inputs[0], *grids, np.dtype(np.int8), minimum=-9, maximum=7, rounding=rounding
    )
    module = builder.finish([("q", codes), ("y", builder.dequantize(codes, *grids))])
    found = reference.run(module, {"x": x})
    for channel in range(2):
        for i in range(48):
            step, offset = scale[0, channel, i // 16], int(zero[0, channel, i // 16])
            real = Fraction(float(x[0, channel, i])) / Fraction(float(step))
            wanted = min(max(_rounded(real, rounding) + offset, -9), 7)
            assert found["q"][0, channel, i] == wanted
            assert found["y"][0, channel, i] == (wanted - offset) * step


def test_a_grid_that_does_not_divide_is_refused() -> None:
    builder = Builder([("x", (1, 6), None)])
    scale, zero = builder.plain(np.ones((1, 4), np.float32)), builder.plain(np.zeros((1, 4), "i1"))
    builder.quantize(builder.inputs[0], scale, zero, np.dtype(np.int8))
    with pytest.raises(IrError, match=r"expected rank 2 and extents that divide \(1, 6\)"):
        builder.finish([("y", builder.inputs[0])])


def test_scale_to_even() -> None:
    rng = np.random.default_rng(0)
    values = [*rng.integers(-(1 << 31), 1 << 31, 200).tolist(), *range(-9, 10)]
    for multiplier, shift in ((1, 1), (3, 2), (5, 1), ((1 << 31) - 1, 62), (1 << 30, 31), (7, 3)):
        found = fixed_point.scale_to_even(values, multiplier, shift).tolist()
        assert found == [round(Fraction(v * multiplier, 1 << shift)) for v in values]
