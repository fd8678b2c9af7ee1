"""Pooling and means."""

from dataclasses import replace

import numpy as np
from torch_mlir import ir

from bitwright.frontend.tflite import arithmetic
from bitwright.frontend.tflite.node import Handler, Node, Value
from bitwright.frontend.tflite.windows import window
from bitwright.ir.types import shape_of, value_params


def average_pool_2d(node: Node) -> Value:
    """AVERAGE_POOL_2D: the integers themselves are averaged, ties away from zero.

    The integers of UINT8 are not negative, so that its ties round up.
    """
    node.rank(0, 4)
    node.same_type([0])
    x, kernel = node.value(0).first(), kernel_of(node)
    sliding = window(node, shape_of(x)[2:], kernel)
    if node.unsigned:
        if any(sliding.padding):
            node.fail_option(
                "Padding", "0 (SAME)", "1 (VALID) for UINT8, where windows lie inside of the image"
            )
        return node.first(_unsigned_average(node, x, kernel, sliding.stride))
    low, high = node.clamp()
    pooled = node.builder.integer_avg_pool2d(
        x, kernel=kernel, stride=sliding.stride, padding=sliding.padding, clamp_min=low,
        clamp_max=high,
    )  # fmt: skip
    return node.first(pooled)


def _unsigned_average(
    node: Node, x: ir.Value, kernel: tuple[int, int], stride: tuple[int, int]
) -> ir.Value:
    """The sums of the unsigned bytes, rounded half up: none is negative.

    So the zero point is 0 meanwhile, which is the code -128.
    """
    build, result = node.builder, node.result_params()
    bytes_ = replace(result, zero_point=arithmetic.LEAST)
    low, high = node.clamp()
    fixed, shift = arithmetic.average_multiplier(kernel[0] * kernel[1])
    codes = arithmetic.codes().tolist()
    total = build.sum_pool2d(build.table(x, bytes_, codes), kernel=kernel, stride=stride)
    pooled = build.requantize(
        total, bytes_, multiplier=[fixed], shift=[shift], clamp_min=low, clamp_max=high,
        rounding="half_away",
    )  # fmt: skip
    return build.table(pooled, result, codes)


def max_pool_2d(node: Node) -> Value:
    """MAX_POOL_2D; a fused activation is a table."""
    node.rank(0, 4)
    node.same_type([0])
    x, kernel = node.value(0).first(), kernel_of(node)
    sliding = window(node, shape_of(x)[2:], kernel)
    pooled = node.builder.max_pool2d(
        x, kernel=kernel, stride=sliding.stride, padding=sliding.padding
    )
    low, high = node.clamp()
    if (low, high) != (arithmetic.LEAST, arithmetic.GREATEST):
        clamped = np.clip(arithmetic.codes(), low, high)
        pooled = node.builder.table(pooled, value_params(pooled), clamped.tolist())
    return node.first(pooled)


def kernel_of(node: Node) -> tuple[int, int]:
    """Rows and columns of a pooling window."""
    options = node.operator.options
    return options["FilterHeight"], options["FilterWidth"]


def reduced_axes(node: Node) -> list[int]:
    """The axes of a reduction, ascending."""
    shape, rank = node.tensor(0).shape, len(node.tensor(0).shape)
    axes = node.integers(1, "list of axes")
    if any(not -rank <= axis < rank for axis in axes):
        node.fail_operand(1, f"lists the axes {axes}", f"axes of the shape {list(shape)}")
    return sorted({axis % rank for axis in axes})


def mean_multiplier(node: Node, count: int) -> tuple[int, int]:
    """The multiplier and shift of a sum of `count` elements that a mean is made of."""
    fixed, shift = arithmetic.multiplier(
        float(np.float32(node.params(0).scale)) / node.result_params().scale
    )
    places = min(count.bit_length() - 1, 32, 62 - shift)
    return (fixed << places) // count, shift + places


def mean(node: Node) -> Value:
    """MEAN: the sum, scaled by a multiplier that divides by the count (QuantizedMeanOrSum)."""
    shape, rank, axes = node.tensor(0).shape, len(node.tensor(0).shape), reduced_axes(node)
    count = int(np.prod([shape[axis] for axis in axes], dtype=np.int64))
    fixed, shift = mean_multiplier(node, count)
    low, high = arithmetic.bounds("NONE", node.result_params())
    keep = bool(node.operator.options["KeepDims"])
    x = node.value(0)
    if rank == 4 and x.first_ is not None and axes == [1, 2]:
        total = node.builder.reduce_sum(x.first(), (2, 3), keep)
    else:
        total = node.builder.reduce_sum(x.last(), axes, keep)
        rank = 0
    made = node.builder.requantize(
        total, node.result_params(), multiplier=[fixed], shift=[shift], clamp_min=low,
        clamp_max=high, axis=0, rounding="tflite",
    )  # fmt: skip
    return node.first(made) if rank == 4 and keep else node.last(made)


HANDLERS: dict[str, Handler] = {
    "AVERAGE_POOL_2D": average_pool_2d,
    "MAX_POOL_2D": max_pool_2d,
    "MEAN": mean,
}
