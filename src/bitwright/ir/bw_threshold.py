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
from torch_mlir import ir
from torch_mlir.dialects import ext

from bitwright.ir.bw import BwOperation, ConstantOp
from bitwright.ir.bw_quantize import expect_integer, integer_range
from bitwright.ir.checks import VerifyError, expect_activation, expect_shape
from bitwright.ir.types import dtype_of, is_accumulator, is_float, shape_of, value_params

MAX_THRESHOLDS = 255


class MultiThresholdOp(BwOperation, name="multi_threshold", traits=[ext.Pure]):
    """qmin + how many thresholds the input has reached (t <= x); qmin is the result type's.

    The input is an accumulator or a quantized tensor, whose integers are compared as they are.
    `thresholds` is an i32 constant [C, n], one ascending row per index of `axis`, or [1, n].
    In a float module (QONNX's MultiThreshold) both are float32, and the result is the count in
    plain integers.
    """

    input: ext.Operand[Any]
    thresholds: ext.Operand[Any]
    axis: Any
    result: ext.Result[Any]

    def check(self) -> None:
        shape = shape_of(self.input)
        expect_shape(self.result, shape)
        axis, grid = self.axis.value, shape_of(self.thresholds)
        if not 0 <= axis < len(shape):
            raise VerifyError(f"axis {axis} is outside of {shape}")
        real = is_float(self.input)
        if not real and not is_accumulator(self.input):
            expect_activation(self.input, "input")
        fits = is_float(self.thresholds) if real else is_accumulator(self.thresholds)
        if not fits or len(grid) != 2 or grid[0] not in (1, shape[axis]):
            raise VerifyError(
                f"thresholds are {self.thresholds.type}; expected {'f32' if real else 'i32'} of "
                f"shape (1, n) or ({shape[axis]}, n)"
            )
        if grid[1] > self._most(real):
            raise VerifyError(
                f"{grid[1]} thresholds for {self.result.type}; expected at most {self._most(real)}"
            )
        owner = self.thresholds.owner
        if isinstance(owner, ir.Block) or owner.name != ConstantOp.OPERATION_NAME:
            raise VerifyError("thresholds are computed at run time, expected a constant")
        data = owner.attributes["value"]
        if isinstance(data, ir.DenseElementsAttr):  # else it lies beside the text
            _expect_ascending(np.asarray(data).reshape(grid))

    def _most(self, real: bool) -> int:
        if not real:
            expect_activation(self.result, "result")
            params = value_params(self.result)
            return min(MAX_THRESHOLDS, params.qmax - params.qmin)
        expect_integer(self.result, "result")
        return min(MAX_THRESHOLDS, integer_range(dtype_of(self.result))[1])


def _expect_ascending(thresholds: NDArray[Any]) -> None:
    falls = np.argwhere(thresholds[:, 1:] < thresholds[:, :-1])
    if len(falls):
        row, at = falls[0]
        raise VerifyError(
            f"thresholds {thresholds[row, at]}, {thresholds[row, at + 1]} of row {row} descend, "
            "expected ascending ones"
        )


def count_reached(x: NDArray[Any], thresholds: NDArray[Any], axis: int) -> NDArray[np.int64]:
    """How many of its channel's thresholds each element of `x` has reached.

    Args:
        x: numbers of any shape; one on `axis` counts as C equal ones.
        thresholds: [C, n] for C indices of `axis`, or [1, n]; ascending rows.
    """
    if len(thresholds) == 1:
        return np.searchsorted(thresholds[0], x, side="right")
    moved = np.moveaxis(x, axis, 0)
    moved = np.broadcast_to(moved, (len(thresholds), *moved.shape[1:]))
    counted = np.stack(
        [
            np.searchsorted(row, part, side="right")
            for row, part in zip(thresholds, moved, strict=True)
        ]
    )
    return np.moveaxis(counted, 0, axis)
