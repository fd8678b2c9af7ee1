"""Normalisations, as means, products and roots."""

import math
from collections.abc import Sequence

import numpy as np
from torch_mlir import ir

from bitwright.ir.builder import Builder
from bitwright.ir.types import dtype_of, shape_of


def scalar(build: Builder, value: float, like: ir.Value) -> ir.Value:
    """A constant of rank 0 in the type of `like`."""
    return build.plain(np.asarray(value).astype(dtype_of(like)))


def mean_of(build: Builder, x: ir.Value, axes: Sequence[int]) -> ir.Value:
    """The mean, reduced axes kept, of any float type."""
    if dtype_of(x) == np.float32:
        return build.reduce_mean(x, axes, True)
    count = math.prod(shape_of(x)[axis] for axis in axes)
    return build.binary("div", build.reduce_sum(x, axes, True), scalar(build, count, x))


def inverse_root(build: Builder, x: ir.Value, epsilon: float) -> ir.Value:
    """1 / sqrt(x + epsilon)."""
    root = build.function("sqrt", build.add(x, scalar(build, epsilon, x)))
    return build.function("reciprocal", root)


def normalized(
    build: Builder, x: ir.Value, axes: Sequence[int], epsilon: float
) -> tuple[ir.Value, ir.Value, ir.Value]:
    """(x - mean) / sqrt(variance + epsilon), the mean, and the inverse deviation."""
    mean = mean_of(build, x, axes)
    centred = build.add(x, mean, 1, -1)
    inverse = inverse_root(build, mean_of(build, build.mul(centred, centred), axes), epsilon)
    return build.mul(centred, inverse), mean, inverse
