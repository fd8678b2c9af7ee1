"""Roundings of imported models on the overlay: the same function, or refused by name."""

from typing import Any

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.ir import graph, reference
from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams
from bitwright.passes.half_up import half_up
from bitwright.passes.partition import partition
from bitwright.passes.tile import Tile
from bitwright.passes.tile_program import UnsupportedOnOverlay
from bitwright.passes.widths import accumulator_range

X = QuantParams((0.5,), 3, 8, -128, 127)


def _sum_pool(**options: Any) -> ir.Module:
    builder = Builder([("x", (1, 2, 3, 3), X)])
    acc = builder.sum_pool2d(builder.inputs[0], kernel=(3, 3), stride=(1, 1))
    return builder.finish([("y", builder.named("pool").requantize(acc, X, **options))])


def _requantize(module: ir.Module) -> Any:
    return next(op for op in graph.operations(module) if op.operation.name == "bw.requantize")


@pytest.mark.parametrize(
    ("multiplier", "shift", "found"),
    [(1 << 30, 31, (32768, 16)), (40000 << 15, 31, (40000, 16)), (3 << 29, 28, (49152, 13)),
     (0, 40, (0, 1)), (5, 31, (5, 31))],
)  # fmt: skip
def test_a_multiplier_that_fits_is_kept(
    multiplier: int, shift: int, found: tuple[int, int]
) -> None:
    module = _sum_pool(multiplier=[multiplier], shift=[shift], rounding="tflite")
    assert half_up(_requantize(module)) == ((found[0],), (found[1],))
    same = _sum_pool(multiplier=[found[0]], shift=[found[1]])
    x = np.random.default_rng(1).integers(-128, 128, (40, 2, 3, 3)).astype(np.int8)
    np.testing.assert_array_equal(
        reference.run(module, {"x": x})["y"], reference.run(same, {"x": x})["y"]
    )
    Tile().run(partition(module).core)


@pytest.mark.parametrize(
    ("multiplier", "shift", "rounding"),
    [
        (1 << 30, 32, "tflite"),  # rounds a second time
        ((1 << 30) + 1, 31, "tflite"),  # more than 16 bits
        (1 << 30, 10, "tflite"),  # the left shift may wrap
        (1 << 30, 31, "half_away"),  # other ties
    ],
)
def test_any_other_is_refused_by_name(multiplier: int, shift: int, rounding: str) -> None:
    module = _sum_pool(multiplier=[multiplier], shift=[shift], rounding=rounding)
    with pytest.raises(UnsupportedOnOverlay) as error:
        Tile().run(partition(module).core)
    assert str(error.value) == (
        f"bw.requantize (pool) with operands [1, 2, 1, 1]: its rounding is {rounding!r}, and the "
        "overlay's output stage has 'half_up' with multipliers of 16 bits; compile with --target "
        "cpu, or change the model there"
    )


def test_operations_without_instruction() -> None:
    builder = Builder([("x", (1, 2, 3, 3), X), ("z", (1, 2, 3, 3), X)])
    x, z = builder.inputs
    half = (1 << 30, 31)
    acc = builder.named("sum").scaled_add(x, z, left_shift=20, lhs_scale=half, rhs_scale=half)
    added = builder.requantize(acc, X, multiplier=[1 << 30], shift=[50], rounding="tflite")
    with pytest.raises(UnsupportedOnOverlay, match=r"^bw\.scaled_add \(sum\) with operands"):
        Tile().run(partition(builder.finish([("y", added)])).core)
    builder = Builder([("x", (1, 2, 3, 3), X)])
    pooled = builder.named("mean").integer_avg_pool2d(
        builder.inputs[0], kernel=(3, 3), stride=(1, 1)
    )
    with pytest.raises(UnsupportedOnOverlay, match=r"^bw\.integer_avg_pool2d \(mean\) with"):
        Tile().run(partition(builder.finish([("y", pooled)])).core)


def test_the_range_of_a_scaled_sum_is_reached() -> None:
    builder = Builder([("x", (1, 1), X), ("z", (1, 1), X)])
    acc = builder.scaled_add(
        *builder.inputs, left_shift=20, lhs_scale=(1 << 30, 31), rhs_scale=(3 << 29, 33)
    )
    y = builder.requantize(acc, X, multiplier=[1 << 30], shift=[54], rounding="tflite")
    module = builder.finish([("y", y)])
    found: list[int] = []

    def observe(value: ir.Value, array: reference.Array) -> None:
        if array.dtype == np.int32:
            found.append(int(array.item()))

    for a in (-128, 127):
        for b in (-128, 127):
            x, z = (np.array([[code]], np.int8) for code in (a, b))
            reference.evaluate(module, {"x": x, "z": z}, observe)
    operation = next(op for op in graph.operations(module) if "scaled" in op.operation.name)
    assert accumulator_range(operation) == (min(found), max(found))
