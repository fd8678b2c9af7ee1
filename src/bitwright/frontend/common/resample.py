"""A linear map along one axis: resizing, and means over windows of unequal size."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.ir.builder import Builder
from bitwright.ir.types import shape_of


def along(build: Builder, x: ir.Value, axis: int, matrix: NDArray[Any]) -> ir.Value:
    """`matrix` [new, old] times one axis of a float32 tensor; one that only picks is a gather."""
    rank = len(shape_of(x))
    if ((matrix == 0) | (matrix == 1)).all() and (matrix.sum(axis=1) == 1).all():
        return build.gather(x, build.plain(matrix.argmax(axis=1)), axis)
    perm = [*(i for i in range(rank) if i != axis), axis]
    moved = build.linear(
        build.transpose(x, perm), build.constant(matrix.astype(np.float32)),
        build.constant(np.zeros(len(matrix), np.float32)),
    )  # fmt: skip
    return build.transpose(moved, [perm.index(i) for i in range(rank)])
