"""`bw.multi_threshold`: a requantize of any monotone shape, as a count of thresholds.

For outputs of few bits this is the exact form of whatever lies between a sum and its quantization:
a batch norm, an activation, scales that are no power of two. Source: FINN, arXiv 1612.07119,
section 4.2.2.
"""

# Operations get their operands and attributes as annotations that the dialect machinery reads.
# pyright: basic, reportInvalidTypeForm=false, reportAttributeAccessIssue=false

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir.dialects import ext

from bitwright.ir import graph
from bitwright.ir.bw import BwOperation
from bitwright.ir.checks import VerifyError, expect_activation, expect_shape
from bitwright.ir.types import is_accumulator, quant_params, shape_of

MAX_THRESHOLDS = 255


class MultiThresholdOp(BwOperation, name="multi_threshold", traits=[ext.Pure]):
    """qmin + how many thresholds the input has reached (t <= x); qmin is the result type's.

    The input is an accumulator or a quantized tensor, whose integers are compared as they are.
    `thresholds` is an i32 constant [C, n], one ascending row per index of `axis`, or [1, n].
    """

    input: ext.Operand[Any]
    thresholds: ext.Operand[Any]
    axis: Any
    result: ext.Result[Any]

    def check(self) -> None:
        if not is_accumulator(self.input):
            expect_activation(self.input, "input")
        expect_activation(self.result, "result")
        shape = shape_of(self.input)
        expect_shape(self.result, shape)
        axis, grid = self.axis.value, shape_of(self.thresholds)
        if not 0 <= axis < len(shape):
            raise VerifyError(f"axis {axis} is outside of {shape}")
        if not is_accumulator(self.thresholds) or len(grid) != 2 or grid[0] not in (1, shape[axis]):
            raise VerifyError(
                f"thresholds are {self.thresholds.type}; expected i32 of shape (1, n) or "
                f"({shape[axis]}, n)"
            )
        params = quant_params(self.result.type)
        most = min(MAX_THRESHOLDS, params.qmax - params.qmin)
        if grid[1] > most:
            raise VerifyError(
                f"{grid[1]} thresholds for {self.result.type}; expected at most {most}"
            )
        thresholds = graph.constant_of(self.thresholds)
        if thresholds is None:
            raise VerifyError("thresholds are computed at run time, expected a constant")
        if not isinstance(thresholds, np.ndarray) or thresholds.ndim != 2:
            return  # a splat, or data in the .npz of a saved module
        falls = np.argwhere(np.diff(thresholds.astype(np.int64), axis=1) < 0)
        if len(falls):
            row, at = falls[0]
            raise VerifyError(
                f"thresholds {thresholds[row, at]}, {thresholds[row, at + 1]} of row {row} "
                "descend, expected ascending ones"
            )


def count_reached(x: NDArray[Any], thresholds: NDArray[Any], axis: int) -> NDArray[np.int64]:
    """How many of its channel's thresholds each integer of `x` has reached.

    Args:
        x: integers of any shape.
        thresholds: [C, n] for C indices of `axis`, or [1, n]; ascending rows.
    """
    if len(thresholds) == 1:
        return np.searchsorted(thresholds[0], x, side="right")
    moved = np.moveaxis(x, axis, 0)
    counted = np.stack(
        [
            np.searchsorted(row, part, side="right")
            for row, part in zip(thresholds, moved, strict=True)
        ]
    )
    return np.moveaxis(counted, 0, axis)
