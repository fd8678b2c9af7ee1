"""One rounding in place of two: equal to the definition for every sum that matters."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.codegen.cpu.line import line
from bitwright.ir import fixed_point
from bitwright.ir.builder import Builder
from bitwright.ir.checks import ints
from bitwright.ir.types import QuantParams

OUTPUTS = 40
MOST = 1 << 20


def requantize(
    rng: np.random.Generator, rounding: str, zero: int, low: int
) -> tuple[ir.Module, Any]:
    """Of multipliers and shifts of all sizes; and the module that it lives in."""
    builder = Builder([("x", (1, 4), QuantParams((1.0,), 0, 8, -128, 127))])
    weight = builder.constant(
        np.ones((OUTPUTS, 4), np.int8), QuantParams((1.0,), 0, 8, -127, 127)
    )  # fmt: skip
    sums = builder.linear(builder.inputs[0], weight, builder.constant(np.zeros(OUTPUTS, np.int32)))
    if rounding == "tflite":
        multiplier = rng.integers(1 << 30, 1 << 31, OUTPUTS)
        multiplier[:3] = [0, 1 << 30, (1 << 31) - 1]
        shift = rng.integers(26 if low >= zero else 32, 46, OUTPUTS)
        shift[5] = 62
    else:
        most = 1 << (16 if rounding == "half_up" else 31)
        multiplier = rng.integers(most >> 9, most, OUTPUTS) | 1  # odd ones make no ties
        multiplier[:2] = [0, 1]
        bits = np.array([m.bit_length() for m in multiplier.tolist()])
        shift = np.maximum(bits + rng.integers(2, 14, OUTPUTS), 22)
        multiplier[5], shift[5] = 1, 46
    y = builder.requantize(
        sums, QuantParams((1.0,), zero, 8, -128, 127), multiplier=multiplier.tolist(),
        shift=shift.tolist(), axis=1, rounding=rounding, clamp_min=low,
    )  # fmt: skip
    return builder.finish([("y", y)]), y.owner.opview


def ranges(most: int) -> NDArray[np.int64]:
    """Of all outputs but one, whose sums are far from 0 and give one result."""
    both = np.tile(np.array([-most, most], np.int64), (OUTPUTS, 1))
    both[5] = (1 << 30) - 1, 1 << 30
    return both


@pytest.mark.parametrize(("zero", "low"), [(-128, -128), (5, 5), (3, -128), (127, -40)])
@pytest.mark.parametrize("rounding", fixed_point.SCALES)
def test_a_line_is_the_definition(rounding: str, zero: int, low: int) -> None:
    rng = np.random.default_rng(abs(zero))
    found = 0
    for _ in range(2):
        module, op = requantize(rng, rounding, zero, low)
        assert module is not None
        made = line(op, ranges(MOST))
        if made is None:
            continue
        found += 1
        for n, (m, s) in enumerate(zip(ints(op.multiplier), ints(op.shift), strict=True)):
            least, most = ranges(MOST)[n]
            steps = np.arange(-300, 300) * (1 << s) // max(m, 1)  # near halves and integers
            near = (steps + (1 << s - 1) // max(m, 1))[:, None] + np.arange(-2, 3)
            sums = np.concatenate([
                np.array([-MOST, -2, -1, 0, 1, 2, MOST]), steps, near.ravel(),
                rng.integers(-MOST, MOST + 1, 500),
            ]).clip(least, most)  # fmt: skip
            left = sums << made.left[n]
            np.testing.assert_array_equal(left, left.astype(np.int32))
            product = left * np.int64(made.multiplier[n])
            moved = product + made.offset[n] + np.where(product < 0, made.below, 0)
            high = moved >> 32
            np.testing.assert_array_equal(high, high.astype(np.int32))
            wanted = (fixed_point.SCALES[rounding](sums, m, s) + zero).clip(low, 127)
            np.testing.assert_array_equal((high >> made.shift[n]).clip(low, 127), wanted)
    assert found == 2


def test_what_has_no_line() -> None:
    module, op = requantize(np.random.default_rng(0), "half_even", 0, -128)
    assert module is not None
    assert line(op, ranges((1 << 31) - 1)) is None  # ties
    builder = Builder([("x", (1, 4), QuantParams((1.0,), 0, 8, -128, 127))])
    both = builder.add(builder.inputs[0], builder.inputs[0])
    for rounding, multiplier, shift, most, has in (
        ("tflite", 1 << 30, 31, 255, False), ("tflite", 1 << 30, 32, 255, True),
        ("half_up", 3, 1, 255, True), ("half_up", 3, 1, 1 << 30, False),
        ("half_up", 1, 24, 1 << 30, True), ("half_up", 1, 25, 1 << 30, False),
    ):  # fmt: skip
        scaled = builder.requantize(
            both, QuantParams((1.0,), 0, 8, -128, 127), multiplier=[multiplier], shift=[shift],
            rounding=rounding,
        )  # fmt: skip
        found = line(scaled.owner.opview, np.array([[-most, most]]))
        assert (found is not None) == has
