"""`bw.rescale`: plain integers to another scale, as LiteRT's kernels of 16-bit activations do.

Such models stay in plain integers: 16-bit activations, sums of 32 or 64 bits.
Source: LiteRT, kernels/internal/common.cc (MultiplyByQuantizedMultiplier of 32 and of 64 bits).
"""

# Operations get their operands and attributes as annotations that the dialect machinery reads.
# pyright: basic, reportInvalidTypeForm=false, reportAttributeAccessIssue=false

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir.dialects import ext

from bitwright.ir import fixed_point
from bitwright.ir.bw import SCALE_LIMITS, BwOperation
from bitwright.ir.bw_quantize import expect_integer, integer_range
from bitwright.ir.checks import VerifyError, expect_shape, ints
from bitwright.ir.types import dtype_of, shape_of

RESCALE_LIMITS = {"half_up": ((1 << 15) - 1, 46), "tflite": SCALE_LIMITS["tflite"]}
"""Greatest multiplier and greatest shift of each rounding; the least are 0 and 1."""


class RescaleOp(BwOperation, name="rescale", traits=[ext.Pure]):
    """clamp(x * m / 2^s, minimum, maximum), one m and s, or one per index of `axis`.

    `half_up` is (x * m + 2^(s-1)) >> s of a sum below 2^47; `tflite` is that of `bw.requantize`,
    of 32 bits. The quotient wraps to 32 bits before it is clamped, as LiteRT's does.
    """

    input: ext.Operand[Any]
    multiplier: Any
    shift: Any
    axis: Any
    minimum: Any
    maximum: Any
    rounding: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expect_integer(self.input, "input")
        expect_integer(self.result, "result")
        shape, axis, rounding = shape_of(self.input), self.axis.value, self.rounding.value
        expect_shape(self.result, shape)
        if rounding not in RESCALE_LIMITS:
            raise VerifyError(f"rounding {rounding!r} is not one of {', '.join(RESCALE_LIMITS)}")
        if rounding == "tflite" and dtype_of(self.input).itemsize > 4:
            raise VerifyError(f"input is {self.input.type}, expected at most 32 bits for tflite")
        if not 0 <= axis < len(shape):
            raise VerifyError(f"axis {axis} is outside of {shape}")
        multiplier, shift = ints(self.multiplier), ints(self.shift)
        if len(multiplier) != len(shift) or len(multiplier) not in (1, shape[axis]):
            raise VerifyError(
                f"{len(multiplier)} multipliers and {len(shift)} shifts; expected 1 of both, or "
                f"{shape[axis]}"
            )
        largest, furthest = RESCALE_LIMITS[rounding]
        for m, s in zip(multiplier, shift, strict=True):
            if not (0 <= m <= largest and 1 <= s <= furthest):
                raise VerifyError(
                    f"multiplier {m}, shift {s}; expected 0 to {largest} and 1 to {furthest}"
                )
        low, high = self.minimum.value, self.maximum.value
        least, most = integer_range(dtype_of(self.result))
        if not least <= low <= high <= most:
            raise VerifyError(
                f"range [{low}, {high}] leaves that of {self.result.type}: [{least}, {most}]"
            )


def rescale(op: Any, x: NDArray[Any]) -> NDArray[Any]:
    """What `RescaleOp` computes of `x`."""
    multiplier, shift = (np.asarray(ints(a), np.int64) for a in (op.multiplier, op.shift))
    if multiplier.size > 1:
        along = [1] * x.ndim
        along[op.axis.value] = -1
        multiplier, shift = multiplier.reshape(along), shift.reshape(along)
    if op.rounding.value == "tflite":
        scaled = fixed_point.scale(x, multiplier, shift)
    else:
        product = x.astype(np.int64) * multiplier
        scaled = (product + (np.int64(1) << (shift - 1))) >> shift
    wrapped = scaled.astype(np.int32)
    return np.clip(wrapped, op.minimum.value, op.maximum.value).astype(dtype_of(op.result))
