"""Weights of more than 8 bits, which zero points make of 8, as weights of 8 bits."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.ir.builder import Builder
from bitwright.ir.types import shape_of

LEAST, GREATEST = -128, 127


def parted(
    build: Builder, x: ir.Value, weight: NDArray[Any], groups: int = 1
) -> tuple[ir.Value, NDArray[np.int8]]:
    """x * w --> x * a + x * b + ..., where a is w within 8 bits, b what is left, and so on.

    The parts stand behind one another along the weight's inputs (axis 1), and the channels of each
    group of `x` (the last axis, for a matrix) are followed by themselves: the sums are the same.
    """
    parts: list[NDArray[np.int8]] = []
    rest = weight.astype(np.int64)
    while rest.any() or not parts:
        parts.append(np.clip(rest, LEAST, GREATEST).astype(np.int8))
        rest = rest - parts[-1]
    times, joined = len(parts), np.concatenate(parts, axis=1)
    if times == 1:
        return x, joined
    if weight.ndim == 2 or groups == 1:
        axis = len(shape_of(x)) - 1 if weight.ndim == 2 else 1
        return build.concat([x] * times, axis), joined
    samples, channels, *plane = shape_of(x)
    grouped = build.reshape(x, (samples, groups, channels // groups * math.prod(plane)))
    repeated = build.concat([grouped] * times, 2)
    return build.reshape(repeated, (samples, times * channels, *plane)), joined
