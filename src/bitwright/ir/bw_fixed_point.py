"""Operations of `bw` with LiteRT's fixed-point arithmetic, for models that came with it.

They are the integer kernels of TFLite that `add`, `sum_pool2d` and `integer_softmax` with a
`half_up` requantize cannot express. What each one computes is defined by `bitwright.ir.reference`
and `bitwright.ir.fixed_point`.
"""

# Operations get their operands and attributes as annotations that the dialect machinery reads.
# pyright: basic, reportInvalidTypeForm=false, reportAttributeAccessIssue=false

from typing import Any

from torch_mlir.dialects import ext

from bitwright.ir import shapes
from bitwright.ir.bw import SCALE_LIMITS, BwOperation
from bitwright.ir.checks import (
    VerifyError,
    expect_accumulating,
    expect_activation,
    expect_same_type,
    expect_shape,
    ints,
)
from bitwright.ir.types import quant_params, shape_of

MAX_LEFT_SHIFT = 22
MAX_SOFTMAX_EXTENT = 4095


class ScaledAddOp(BwOperation, name="scaled_add", traits=[ext.Pure]):
    """scale(lhs << left_shift) + scale(rhs << left_shift), broadcast, as an i32 accumulator.

    Integers minus their zero points; each is scaled by its own multiplier and shift with the
    rounding `tflite` of `requantize`. LiteRT adds with a left shift of 20.
    """

    lhs: ext.Operand[Any]
    rhs: ext.Operand[Any]
    left_shift: Any
    lhs_multiplier: Any
    lhs_shift: Any
    rhs_multiplier: Any
    rhs_shift: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expect_shape(self.result, shapes.broadcast(shape_of(self.lhs), shape_of(self.rhs)))
        if not expect_accumulating(self.result, self.lhs, self.rhs):
            raise VerifyError("operands are float; use bw.add")
        if not 0 <= self.left_shift.value <= MAX_LEFT_SHIFT:
            raise VerifyError(
                f"left_shift is {self.left_shift.value}, expected 0 to {MAX_LEFT_SHIFT}"
            )
        largest, furthest = SCALE_LIMITS["tflite"]
        for side in ("lhs", "rhs"):
            multiplier = self.attributes[f"{side}_multiplier"].value
            shift = self.attributes[f"{side}_shift"].value
            # A scale of at most 1 keeps the sum of the two within 32 bits.
            if not 0 <= multiplier <= largest or not 31 <= shift <= furthest:
                raise VerifyError(
                    f"{side}_multiplier {multiplier} and {side}_shift {shift}; expected 0 to "
                    f"{largest} and 31 to {furthest}"
                )


class IntegerAvgPool2dOp(BwOperation, name="integer_avg_pool2d", traits=[ext.Pure]):
    """Mean of the integers in a window, ties away from zero; padding does not count."""

    input: ext.Operand[Any]
    kernel: Any
    stride: Any
    padding: Any
    clamp_min: Any
    clamp_max: Any
    result: ext.Result[Any]

    def check(self) -> None:
        kernel, padding = ints(self.kernel), ints(self.padding)
        expected = shapes.pool2d(shape_of(self.input), kernel, ints(self.stride), padding)
        expect_shape(self.result, expected)
        expect_activation(self.input, "input")
        expect_same_type(self.result, self.input)
        if any(pad >= kernel[axis % 2] for axis, pad in enumerate(padding)):
            raise VerifyError(
                f"padding {list(padding)} is not less than the kernel {list(kernel)}, so that a "
                "window would be empty"
            )
        params = quant_params(self.result.type)
        low, high = self.clamp_min.value, self.clamp_max.value
        if params is None or not params.qmin <= low <= high <= params.qmax:
            raise VerifyError(f"clamp [{low}, {high}] leaves the range of {self.result.type}")


class FixedPointSoftmaxOp(BwOperation, name="fixed_point_softmax", traits=[ext.Pure]):
    """e = table[max - x]; y = e / (sum of e) by Newton's reciprocal, as gemmlowp computes it.

    The table holds exponentials over 2^31. The result has scale 1/256 and zero point -128.
    """

    input: ext.Operand[Any]
    axis: Any
    table: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expect_activation(self.input, "input")
        expect_activation(self.result, "result")
        expect_shape(self.result, shape_of(self.input))
        entries, largest = ints(self.table), (1 << 31) - 1
        if (
            len(entries) != 256
            or min(entries) < 0
            or entries[0] != largest
            or max(entries) != largest
        ):
            raise VerifyError(f"table needs 256 entries from {largest} down to not less than 0")
        if not 0 <= self.axis.value < len(shape_of(self.input)):
            raise VerifyError(f"axis {self.axis.value} is outside of {shape_of(self.input)}")
        extent = shape_of(self.input)[self.axis.value]
        if extent > MAX_SOFTMAX_EXTENT:
            raise VerifyError(f"{extent} classes, expected at most {MAX_SOFTMAX_EXTENT}")
        params = quant_params(self.result.type)
        if params is None or params.zero_point != -128 or params.scale != 1 / 256:
            raise VerifyError(
                f"result is {self.result.type}, expected scale 1/256, zero point -128"
            )
