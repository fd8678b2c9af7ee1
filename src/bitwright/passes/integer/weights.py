"""Constant weights and biases as the integers that the model holds."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.ir.checks import ints
from bitwright.ir.reference import constant_value
from bitwright.ir.reference_quantize import spread
from bitwright.ir.types import QuantParams, shape_of
from bitwright.passes.integer.markers import DEQUANTIZE

Array = NDArray[Any]


@dataclass(frozen=True)
class Weight:
    """real = integers * scale; integers without their zero point, scale broadcasts with them."""

    integers: NDArray[np.int64]
    scale: NDArray[np.float32]


def weight_of(value: ir.Value) -> Weight | None:
    """The integers behind a constant that is dequantized (and moved), None for any other."""
    if isinstance(value.owner, ir.Block):
        return None
    op = value.owner.opview
    match op.operation.name:
        case kind if kind == DEQUANTIZE:
            parts = [constant_value(operand) for operand in op.operands]
            if any(part is None for part in parts):
                return None
            data, scale, zero = (np.asarray(part) for part in parts)
            wide = data.astype(np.int64)
            centred = wide - spread(zero.astype(np.int64), wide.shape)
            grid = scale if scale.size == 1 else spread(scale, wide.shape)
            return Weight(centred, grid.astype(np.float32))
        case "bw.transpose":
            inner = weight_of(op.input)
            perm = ints(op.perm)
            return inner and Weight(inner.integers.transpose(perm), inner.scale.transpose(perm))
        case "bw.reshape":
            inner, shape = weight_of(op.input), shape_of(value)
            if inner is None:
                return None
            full = np.broadcast_to(inner.scale, inner.integers.shape)
            scale = inner.scale.reshape((1,) * len(shape)) if inner.scale.size == 1 else (
                full.reshape(shape)
            )  # fmt: skip
            return Weight(inner.integers.reshape(shape), scale)
        case _:
            return None


def per_output(weight: Weight) -> tuple[float, ...] | None:
    """One scale, or one for each index of axis 0; None where it differs along another axis."""
    if weight.scale.size == 1:
        return (float(weight.scale.item()),)
    full = np.broadcast_to(weight.scale, weight.integers.shape).reshape(len(weight.integers), -1)
    if (full != full[:, :1]).any():
        return None
    return tuple(float(scale) for scale in full[:, 0])


def weight_params(integers: NDArray[np.int64], scales: tuple[float, ...]) -> QuantParams:
    """The narrowest type of these integers; symmetric where the least one does not occur."""
    least, most = int(integers.min()), int(integers.max())
    bits = max((-least - 1).bit_length() if least < 0 else 0, most.bit_length(), 1) + 1
    limit = 1 << (bits - 1)
    qmin = -limit if least == -limit else 1 - limit
    return QuantParams(scales, 0, bits, qmin, limit - 1, None if len(scales) == 1 else 0)
