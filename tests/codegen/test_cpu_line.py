"""One rounding in place of two: equal to the definition for every sum that matters."""

from typing import Any

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.codegen.cpu.line import line
from bitwright.ir import fixed_point
from bitwright.ir.builder import Builder
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
        shift = rng.integers(32, 46, OUTPUTS)
    else:
        most = 1 << (16 if rounding == "half_up" else 31)
        multiplier = rng.integers(most >> 9, most, OUTPUTS) | 1  # odd ones make no ties
        multiplier[:2] = [0, 1]
        bits = np.array([int(m).bit_length() for m in multiplier])
        shift = np.maximum(bits + rng.integers(2, 14, OUTPUTS), 22)
    y = builder.requantize(
        sums, QuantParams((1.0,), zero, 8, -128, 127), multiplier=multiplier.tolist(),
        shift=shift.tolist(), axis=1, rounding=rounding, clamp_min=low,
    )  # fmt: skip
    return builder.finish([("y", y)]), y.owner.opview


EXACT = {
    "tflite": fixed_point.scale,
    "half_away": fixed_point.scale_once,
    "half_even": fixed_point.scale_to_even,
    "half_up": lambda x, m, s: x * m + (1 << (s - 1)) >> s,
}


@pytest.mark.parametrize(("zero", "low"), [(-128, -128), (5, 5), (3, -128), (127, -40)])
@pytest.mark.parametrize("rounding", EXACT)
def test_a_line_is_the_definition(rounding: str, zero: int, low: int) -> None:
    rng = np.random.default_rng(abs(zero))
    found = 0
    for _ in range(4):
        module, op = requantize(rng, rounding, zero, low)
        assert module is not None
        made = line(op, MOST, OUTPUTS)
        if made is None:
            continue
        found += 1
        for n, (m, s) in enumerate(zip(op.multiplier, op.shift, strict=True)):
            steps = np.arange(-300, 300) * (1 << s) // max(int(m), 1)  # near halves and integers
            near = (steps + (1 << s - 1) // max(int(m), 1))[:, None] + np.arange(-2, 3)
            sums = np.concatenate([
                np.array([-MOST, -2, -1, 0, 1, 2, MOST]), steps, near.ravel(),
                rng.integers(-MOST, MOST + 1, 500),
            ]).clip(-MOST, MOST)  # fmt: skip
            product = sums * np.int64(made.multiplier[n])
            moved = product + made.offset[n] + np.where(product < 0, made.below, 0)
            high = moved >> 32
            np.testing.assert_array_equal(high, high.astype(np.int32))
            wanted = (EXACT[rounding](sums, int(m), int(s)) + zero).clip(low, 127)
            np.testing.assert_array_equal((high >> made.shift[n]).clip(low, 127), wanted)
    assert found == 4


def test_what_has_no_line() -> None:
    module, op = requantize(np.random.default_rng(0), "half_even", 0, -128)
    assert module is not None
    assert line(op, (1 << 31) - 1, OUTPUTS) is None  # ties
    builder = Builder([("x", (1, 4), QuantParams((1.0,), 0, 8, -128, 127))])
    both = builder.add(builder.inputs[0], builder.inputs[0])
    for rounding, multiplier, shift, has in (
        ("tflite", 1 << 30, 31, False), ("tflite", 1 << 30, 32, True),
        ("half_up", 3, 2, False), ("half_up", 3, 3, True), ("half_up", 3, 26, False),
    ):  # fmt: skip
        scaled = builder.requantize(
            both, QuantParams((1.0,), 0, 8, -128, 127), multiplier=[multiplier], shift=[shift],
            rounding=rounding,
        )  # fmt: skip
        assert (line(scaled.owner.opview, 1, 1) is not None) == has
