"""Quantized operations and networks with random weights, for comparison with the reference."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams, shape_of, value_params

Array = NDArray[Any]
Rng = np.random.Generator


def activation(zero: int = 0, bits: int = 8, scale: float = 0.05) -> QuantParams:
    """A per-tensor type with the full range of `bits`."""
    half = 1 << (bits - 1)
    return QuantParams((scale,), max(-half, min(half - 1, zero)), bits, -half, half - 1)


def random_activation(rng: Rng) -> QuantParams:
    """Any zero point, 4 to 8 bits."""
    return activation(int(rng.integers(-128, 128)), int(rng.choice([4, 8, 8])))


def weight(builder: Builder, rng: Rng, shape: Sequence[int], bits: int = 8) -> ir.Value:
    """Symmetric weights with a scale for each output; the extremes occur."""
    top = (1 << (bits - 1)) - 1
    values = rng.integers(-top, top + 1, shape)
    values.reshape(-1)[:2] = [top, -top][: values.size]
    scales = tuple(float(s) for s in rng.uniform(0.001, 0.1, shape[0]))
    return builder.constant(values, QuantParams(scales, 0, bits, -top, top, 0))


def bias(builder: Builder, rng: Rng, outputs: int) -> ir.Value:
    """int32 values."""
    return builder.constant(rng.integers(-20000, 20001, outputs).astype(np.int32))


def requantize(
    builder: Builder, rng: Rng, acc: ir.Value, spread: float, *, axis: int = 1
) -> ir.Value:
    """To a random type; an accumulator of `spread` comes out about 60."""
    shape = shape_of(acc)
    count = shape[axis] if len(shape) > axis and rng.random() < 0.7 else 1
    shift = rng.integers(18, 30, count)
    real = 60.0 / max(spread, 1.0) * rng.uniform(0.5, 2.0, count)
    multiplier = np.clip(np.round(real * 2.0**shift), 1, 65535)
    params = random_activation(rng)
    low, high = params.qmin, params.qmax
    if rng.random() < 0.5:
        low = params.zero_point  # a fused relu
    return builder.requantize(
        acc, params, multiplier=multiplier.astype(int).tolist(), shift=shift.tolist(),
        axis=axis if count > 1 else 0, clamp_min=low, clamp_max=high,
    )  # fmt: skip


def conv(
    builder: Builder, rng: Rng, x: ir.Value, outputs: int, kernel: Sequence[int], **options: Any
) -> ir.Value:
    """A convolution and its requantization."""
    bits = options.pop("bits", int(rng.integers(2, 9)))
    groups = options.get("groups", 1)
    shape = (outputs, shape_of(x)[1] // groups, *kernel)
    acc = builder.conv2d(
        x, weight(builder, rng, shape, bits), bias(builder, rng, outputs), **options
    )
    spread = 60.0 * (1 << (bits - 2)) * float(np.prod(shape[1:])) ** 0.5
    return requantize(builder, rng, acc, spread)


def exponentials(scale: float) -> list[int]:
    """The table of an integer softmax."""
    return [round(65536 * float(np.exp(-scale * distance))) for distance in range(256)]


def random_inputs(
    rng: Rng, named: Sequence[tuple[str, ir.Value]], samples: int
) -> dict[str, NDArray[np.int8]]:
    """Integers in the range of each tensor: the first sample least, the second greatest."""
    inputs: dict[str, NDArray[np.int8]] = {}
    for name, value in named:
        params, shape = value_params(value), shape_of(value)
        array = rng.integers(params.qmin, params.qmax + 1, (samples, *shape[1:]))
        array[0] = params.qmin
        array[1 % samples] = params.qmax
        inputs[name] = array.astype(np.int8)
    return inputs


def random_branch(builder: Builder, rng: Rng, x: ir.Value) -> ir.Value:
    """A few operations on [1, C, H, W], then a classifier half of the time."""
    for _ in range(int(rng.integers(2, 6))):
        x = _STEPS[int(rng.integers(len(_STEPS)))](builder, rng, x)
    if rng.random() < 0.5:
        _, channels, rows, columns = shape_of(x)
        pooled = builder.sum_pool2d(x, kernel=(rows, columns), stride=(1, 1))
        x = requantize(builder, rng, pooled, 60.0 * (rows * columns) ** 0.5)
        x = builder.reshape(x, (1, channels))
        acc = builder.linear(x, weight(builder, rng, (7, channels)), bias(builder, rng, 7))
        x = requantize(builder, rng, acc, 5000.0 * channels**0.5)
    return x


def _random_conv(builder: Builder, rng: Rng, x: ir.Value) -> ir.Value:
    channels = shape_of(x)[1]
    groups = int(rng.choice([g for g in (1, 1, 2, channels) if channels % g == 0]))
    rows, columns = shape_of(x)[2:]
    kernel = (int(rng.integers(1, min(4, rows) + 1)), int(rng.integers(1, min(4, columns) + 1)))
    return conv(
        builder, rng, x, groups * int(rng.integers(1, 7)), kernel, groups=groups,
        stride=tuple(rng.integers(1, 3, 2).tolist()),
        padding=tuple(rng.integers(0, 3, 4).tolist()),
        dilation=(1, 1) if min(rows, columns) < 8 else tuple(rng.integers(1, 3, 2).tolist()),
    )  # fmt: skip


def _random_residual(builder: Builder, rng: Rng, x: ir.Value) -> ir.Value:
    channels = shape_of(x)[1]
    y = conv(builder, rng, x, channels, (3, 3), padding=(1, 1, 1, 1))
    left, right = (int(m) for m in rng.integers(1, 128, 2))
    return requantize(builder, rng, builder.add(x, y, left, right), 60.0 * (left + right))


def _random_max_pool(builder: Builder, rng: Rng, x: ir.Value) -> ir.Value:
    padding = tuple(rng.integers(0, 2, 4).tolist())
    return builder.max_pool2d(x, kernel=(2, 2), stride=(1, 1 + int(rng.random() < 0.3)),
                              padding=padding)  # fmt: skip


def _random_table(builder: Builder, rng: Rng, x: ir.Value) -> ir.Value:
    params = random_activation(rng)
    return builder.table(x, params, rng.integers(params.qmin, params.qmax + 1, 256).tolist())


def _random_gate(builder: Builder, rng: Rng, x: ir.Value) -> ir.Value:
    """A squeeze and excitation: the pooled channels scale the image."""
    rows, columns = shape_of(x)[2:]
    pooled = builder.reduce_sum(x, (2, 3), True)
    gate = requantize(builder, rng, pooled, 60.0 * (rows * columns) ** 0.5)
    return requantize(builder, rng, builder.mul(x, gate), 3600.0)


def _random_concat(builder: Builder, rng: Rng, x: ir.Value) -> ir.Value:
    if shape_of(x)[1] > 16:
        return x
    return builder.concat(
        [x, builder.transpose(builder.transpose(x, (0, 2, 1, 3)), (0, 2, 1, 3))], 1
    )


_STEPS = (
    _random_conv, _random_conv, _random_residual, _random_max_pool, _random_table, _random_gate,
    _random_concat,
)  # fmt: skip
