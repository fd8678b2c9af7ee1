"""Rows and columns exchanged: the same integers, the host transposes what enters and leaves."""

from dataclasses import replace

import numpy as np
from torch_mlir import ir

from bitwright.ir import graph, reference
from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams, shape_of
from bitwright.passes.legalize import Legalize
from bitwright.passes.long_rows import long_rows
from bitwright.passes.partition import Parts, partition

X = QuantParams((0.5,), 3, 8, -128, 127)


def _network(height: int, width: int, flatten: bool = False) -> ir.Module:
    """An image and sums of an image of the same layers."""
    random = np.random.default_rng(1)
    builder = Builder([("x", (1, 2, height, width), X)])

    def convolution(
        x: ir.Value, outputs: int, kernel: tuple[int, int], **window: object
    ) -> ir.Value:
        weight = random.integers(-127, 128, (outputs, shape_of(x)[1], *kernel))
        filters = builder.constant(weight, QuantParams((0.1,) * outputs, 0, 8, -127, 127, axis=0))
        bias = builder.constant(random.integers(-900, 900, outputs))
        acc = builder.conv2d(x, filters, bias, **window)  # pyright: ignore[reportArgumentType]
        return builder.requantize(
            acc, X, multiplier=random.integers(9000, 40000, outputs).tolist(), shift=[24] * outputs
        )

    x = builder.max_pool2d(builder.inputs[0], kernel=(2, 3), stride=(1, 2), padding=(1, 0, 0, 1))
    x = convolution(x, 3, (3, 2), stride=(2, 1), padding=(0, 1, 2, 0), dilation=(1, 2))
    x = builder.pad(x, (0, 0, 2, 0), (0, 0, 1, 3), 5)
    y = convolution(x, 3, (1, 1))
    y = builder.requantize(builder.add(x, y, 3, 5), X, multiplier=[9000], shift=[16])
    z = builder.concat([y, x], 1)
    if flatten:
        result = builder.reshape(z, (1, int(np.prod(shape_of(z)))))
        result = builder.table(result, X, list(range(-128, 128)))
    else:
        size = shape_of(z)[2:]
        sums = builder.sum_pool2d(z, kernel=(size[0], size[1]), stride=(1, 1))
        mean = builder.requantize(sums, X, multiplier=[9000], shift=[20])
        result = convolution(mean, 4, (1, 1))
    return builder.finish([("image", y), ("sums", result)])


def _parts(module: ir.Module) -> Parts:
    parts = partition(module)
    return replace(parts, core=Legalize().run(parts.core))


def test_the_same_integers_in_longer_rows() -> None:
    module = _network(13, 6)
    parts = _parts(module)
    changed = long_rows(parts)
    (item,) = graph.inputs(changed.core)
    assert shape_of(item.value) == (1, 2, 6, 13)
    x = {"x": np.random.default_rng(2).integers(-128, 128, (1, 2, 13, 6)).astype(np.int8)}
    found = x
    for part in (changed.before, changed.core, changed.after):
        found = reference.run(part, found)
    wanted = reference.run(module, x)
    assert set(found) == set(wanted) == {"image", "sums"}
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)


def test_what_is_wide_or_flattened_is_left() -> None:
    for module in (_network(6, 13), _network(13, 6, flatten=True)):
        parts = _parts(module)
        assert long_rows(parts) is parts
