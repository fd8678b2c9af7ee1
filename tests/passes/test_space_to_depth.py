"""Strided convolutions of the input: the same integers, fewer words, the moving on the host."""

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.ir import graph, reference
from bitwright.ir.builder import Builder
from bitwright.ir.checks import ints
from bitwright.ir.types import QuantParams, shape_of
from bitwright.passes.partition import partition
from bitwright.passes.space_to_depth import SpaceToDepth

X = QuantParams((0.5,), 3, 8, -128, 127)
Four = tuple[int, int, int, int]


def _network(
    shape: Four, kernel: tuple[int, int], stride: tuple[int, int], padding: Four, *,
    dilation: int = 1, layers_before: bool = False,
) -> ir.Module:  # fmt: skip
    """An image in NHWC, as TFLite has it, to a convolution."""
    random = np.random.default_rng(1)
    samples, channels, height, width = shape
    builder = Builder([("x", (samples, height, width, channels), X)])
    x = builder.transpose(builder.inputs[0], (0, 3, 1, 2))
    if layers_before:
        x = builder.max_pool2d(x, kernel=(1, 1), stride=(1, 1))
    weight = random.integers(-127, 128, (5, channels, *kernel))
    filters = builder.constant(weight, QuantParams((0.1,) * 5, 0, 8, -127, 127, axis=0))
    bias = builder.constant(random.integers(-900, 900, 5))
    acc = builder.conv2d(
        x, filters, bias, stride=stride, padding=padding, dilation=(dilation, dilation)
    )
    y = builder.requantize(acc, X, multiplier=[40000], shift=[24])
    return builder.finish([("y", y)])


def _conv(module: ir.Module) -> ir.OpView:
    return next(op for op in graph.operations(module) if op.operation.name == "bw.conv2d")


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding", "found"),
    [
        ((1, 3, 96, 96), (3, 3), (2, 2), (0, 0, 1, 1), (1, 12, 48, 48)),
        ((1, 1, 49, 10), (10, 4), (2, 2), (4, 1, 5, 1), (1, 4, 25, 6)),
        ((1, 1, 12, 9), (1, 3), (1, 3), (0, 0, 0, 0), (1, 3, 12, 3)),
        ((1, 2, 7, 7), (3, 2), (3, 2), (2, 1, 0, 0), (1, 12, 3, 4)),
    ],
)
def test_the_same_integers_in_fewer_words(
    shape: Four, kernel: tuple[int, int], stride: tuple[int, int], padding: Four, found: Four
) -> None:
    module = _network(shape, kernel, stride, padding)
    packed = SpaceToDepth(16).run(module)
    conv = _conv(packed)
    assert shape_of(conv.operands[0]) == found
    assert ints(conv.attributes["stride"]) == (1, 1)
    x = np.random.default_rng(2).integers(-128, 128, (3, *shape[2:], shape[1])).astype(np.int8)
    np.testing.assert_array_equal(
        reference.run(packed, {"x": x})["y"], reference.run(module, {"x": x})["y"]
    )
    parts = partition(packed)
    assert [shape_of(item.value) for item in graph.inputs(parts.core)] == [found]
    kinds = [op.operation.name for op in graph.operations(parts.core)]
    assert kinds == ["bw.constant", "bw.constant", "bw.conv2d", "bw.requantize"]


@pytest.mark.parametrize(
    "module",
    [
        _network((1, 3, 8, 8), (3, 3), (1, 1), (1, 1, 1, 1)),
        _network((4, 3, 8, 8), (3, 3), (2, 2), (0, 0, 1, 1)),  # refused later, by its batch
        _network((1, 16, 8, 8), (3, 3), (2, 2), (0, 0, 1, 1)),  # the lanes are full
        _network((1, 3, 8, 8), (3, 3), (2, 2), (0, 0, 1, 1), dilation=2),
        _network((1, 3, 8, 8), (3, 3), (2, 2), (0, 0, 1, 1), layers_before=True),
        _network((1, 3, 9, 9), (1, 1), (4, 4), (0, 0, 0, 0)),  # three of four pixels are not read
    ],
)
def test_what_would_gain_nothing_is_left(module: ir.Module) -> None:
    assert str(SpaceToDepth(16).run(module)) == str(module)
