"""The proof of accumulator widths against what really happens."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_mlir import ir

from bitwright.ir import graph, reference
from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams
from bitwright.passes.widths import (
    AccumulatorTooWide,
    NotAnAccumulator,
    accumulator_bits,
    accumulator_range,
    prove,
    signed_bits,
    value_range,
)

PARAMS = QuantParams((0.5,), -3, 8, -128, 127)
WEIGHTS = QuantParams((1.0,), 0, 8, -127, 127)


@given(st.integers(-(1 << 31), (1 << 31) - 1), st.integers(-(1 << 31), (1 << 31) - 1))
def test_signed_bits_are_the_least_that_hold_both_ends(a: int, b: int) -> None:
    low, high = min(a, b), max(a, b)
    bits = signed_bits(low, high)
    assert -(1 << bits - 1) <= low <= high < 1 << bits - 1
    if bits > 1:
        smaller = 1 << bits - 2
        assert low < -smaller or high >= smaller


def last(module: ir.Module) -> ir.OpView:
    return list(graph.operations(module))[-1]


@given(seed=st.integers(0, 1 << 30))
@settings(max_examples=25, deadline=None)
def test_a_convolutions_range_is_reached_exactly(seed: int) -> None:
    """The worst input of each channel, built from the signs of its weights."""
    random = np.random.default_rng(seed)
    weight = random.integers(-127, 128, (3, 2, 2, 2))
    bias = random.integers(-5000, 5000, 3)
    builder = Builder([("x", (1, 2, 2, 2), PARAMS)])
    acc = builder.conv2d(
        builder.inputs[0], builder.constant(weight, WEIGHTS), builder.constant(bias)
    )
    module = builder.finish([("y", acc)])
    reached = [
        reference.run(module, {"x": np.where(sign * row > 0, 127, -128)[None].astype(np.int8)})["y"]
        for row in weight
        for sign in (1, -1)
    ]
    assert accumulator_range(last(module)) == (np.min(reached), np.max(reached))
    assert accumulator_bits(last(module)) == signed_bits(int(np.min(reached)), int(np.max(reached)))


def test_ranges_of_the_other_operations() -> None:
    def of(build: object) -> tuple[int, int]:
        builder = Builder([("x", (1, 2, 4, 4), PARAMS)])
        return accumulator_range(last(builder.finish([("y", build(builder, builder.inputs[0]))])))

    assert of(lambda b, x: b.add(x, x, 3, -2)) == (-125 * 3 - 130 * 2, 130 * 3 + 125 * 2)
    assert of(lambda b, x: b.mul(x, x)) == (-125 * 130, 130 * 130)
    assert of(lambda b, x: b.matmul(x, x)) == (-125 * 130 * 4, 130 * 130 * 4)
    assert of(lambda b, x: b.sum_pool2d(x, kernel=(2, 3), stride=(1, 1))) == (-750, 780)
    assert of(lambda b, x: b.reduce_sum(x, [2, 3], True)) == (-125 * 16, 130 * 16)


def test_intervals_are_narrowed_on_the_way() -> None:
    builder = Builder([("x", (1, 2, 4, 4), PARAMS)])
    acc = builder.sum_pool2d(builder.inputs[0], kernel=(2, 2), stride=(2, 2))
    clamped = builder.requantize(
        acc, PARAMS, multiplier=[40000], shift=[16], clamp_min=-3, clamp_max=20
    )
    shaped = builder.transpose(builder.reshape(clamped, (1, 8)), [1, 0])
    padded = builder.pad(shaped, [0, 1], [0, 0], 30)
    table = builder.table(padded, PARAMS, [min(i - 128, 25) for i in range(256)])
    joined = builder.concat([table, builder.constant(np.full((8, 1), -5), PARAMS)], 1)
    module = builder.finish([("y", joined)])
    ranges = [value_range(op.result) for op in list(graph.operations(module))[1:]]
    assert ranges == [(-3, 20), (-3, 20), (-3, 20), (-3, 30), (-3, 25), (-5, -5), (-5, 25)]


def test_padding_is_a_zero_also_where_the_input_has_none() -> None:
    builder = Builder([("x", (1, 1, 2, 2), PARAMS)])
    acc = builder.sum_pool2d(builder.inputs[0], kernel=(1, 1), stride=(1, 1))
    high = builder.requantize(acc, PARAMS, multiplier=[1], shift=[1], clamp_min=50, clamp_max=60)
    total = builder.sum_pool2d(high, kernel=(2, 2), stride=(1, 1), padding=(1, 1, 1, 1))
    assert accumulator_range(last(builder.finish([("y", total)]))) == (0, 63 * 4)


def huge(bias: int) -> ir.Module:
    builder = Builder([("x", (1, 2), PARAMS)])
    weight = builder.constant(np.asarray([[127, 127]]), WEIGHTS)
    biases = builder.constant(np.asarray([bias]))
    return builder.finish([("y", builder.named("dense").linear(builder.inputs[0], weight, biases))])


def test_a_sum_that_leaves_32_bits() -> None:
    assert prove(huge((1 << 31) - 1 - 130 * 127 * 2)) == {"dense": 32}
    with pytest.raises(AccumulatorTooWide) as caught:
        prove(huge((1 << 31) - 130 * 127 * 2))
    assert str(caught.value) == (
        "'dense' (bw.linear) accumulates from 2147418878 to 2147483648, which needs 33 bits, more "
        "than 32; quantize weights or activations to fewer bits, or split the layer"
    )
    assert caught.value.exit_code == 5


def test_an_operation_without_accumulator() -> None:
    builder = Builder([("x", (1, 2), PARAMS)])
    module = builder.finish([("y", builder.reshape(builder.inputs[0], (2, 1)))])
    with pytest.raises(NotAnAccumulator, match=r"^bw\.reshape has no accumulator$"):
        accumulator_bits(last(module))
