"""Kernel columns in the lanes: the same integers in fewer steps, the moving on the host."""

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.ir import graph, reference
from bitwright.ir.builder import Builder
from bitwright.ir.checks import ints
from bitwright.ir.types import QuantParams, shape_of
from bitwright.passes.kernel_columns import KernelColumns
from bitwright.passes.partition import partition
from bitwright.passes.space_to_depth import SpaceToDepth

X = QuantParams((0.5,), 3, 8, -128, 127)
Four = tuple[int, int, int, int]


def _network(
    shape: Four, kernel: tuple[int, int], stride: tuple[int, int], padding: Four, *,
    dilation: int = 1, layers_before: bool = False,
) -> ir.Module:  # fmt: skip
    random = np.random.default_rng(1)
    builder = Builder([("x", shape, X)])
    x = builder.inputs[0]
    if layers_before:
        x = builder.max_pool2d(x, kernel=(1, 1), stride=(1, 1))
    weight = random.integers(-127, 128, (5, shape[1], *kernel))
    filters = builder.constant(weight, QuantParams((0.1,) * 5, 0, 8, -127, 127, axis=0))
    bias = builder.constant(random.integers(-900, 900, 5))
    acc = builder.conv2d(
        x, filters, bias, stride=stride, padding=padding, dilation=(dilation, dilation)
    )
    return builder.finish([("y", builder.requantize(acc, X, multiplier=[40000], shift=[24]))])


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding", "lanes", "found"),
    [
        ((1, 3, 32, 32), (3, 3), (1, 1), (1, 1, 1, 1), 16, (1, 9, 34, 32)),
        ((1, 1, 49, 10), (10, 4), (2, 2), (4, 1, 5, 1), 8, (1, 8, 29, 5)),  # after space to depth
        ((1, 2, 9, 11), (2, 3), (3, 2), (0, 2, 1, 0), 8, (1, 6, 10, 6)),
        ((1, 20, 5, 6), (1, 3), (1, 1), (0, 0, 0, 0), 64, (1, 60, 5, 4)),
    ],
)
def test_the_same_integers_in_fewer_steps(
    shape: Four, kernel: tuple[int, int], stride: tuple[int, int], padding: Four, lanes: int,
    found: Four,
) -> None:  # fmt: skip
    module = _network(shape, kernel, stride, padding)
    given = SpaceToDepth(lanes).run(module) if lanes == 8 and stride == (2, 2) else module
    packed = KernelColumns(lanes).run(given)
    x = np.random.default_rng(2).integers(-128, 128, (3, *shape[1:])).astype(np.int8)
    samples = [reference.run(packed, {"x": sample[None]})["y"] for sample in x]
    np.testing.assert_array_equal(np.concatenate(samples), reference.run(module, {"x": x})["y"])
    parts = partition(packed)
    assert [shape_of(item.value) for item in graph.inputs(parts.core)] == [found]
    (conv,) = [op for op in graph.operations(parts.core) if op.operation.name == "bw.conv2d"]
    assert shape_of(conv.operands[1])[3] == 1
    assert not any(ints(conv.attributes["padding"]))


@pytest.mark.parametrize(
    "module",
    [
        _network((1, 6, 8, 8), (3, 3), (1, 1), (1, 1, 1, 1)),  # 18 channels are two words
        _network((4, 3, 8, 8), (3, 3), (1, 1), (1, 1, 1, 1)),  # refused later, by its batch
        _network((1, 3, 8, 8), (3, 1), (1, 1), (0, 0, 1, 1)),
        _network((1, 3, 8, 8), (3, 3), (1, 1), (0, 0, 1, 1), dilation=2),
        _network((1, 3, 8, 8), (3, 3), (1, 1), (0, 0, 1, 1), layers_before=True),
    ],
)
def test_what_would_gain_nothing_is_left(module: ir.Module) -> None:
    assert str(KernelColumns(16).run(module)) == str(module)
