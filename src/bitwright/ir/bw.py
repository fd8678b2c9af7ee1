"""The `bw` graph dialect: tensors in, tensors out, float at first and integer after quantization.

Layout is NCHW. An operation whose inputs are quantized (`!quant.uniform`) computes in integers:
`conv2d`, `linear`, `matmul`, `add`, `mul`, `sum_pool2d` and `reduce_sum` give i32 accumulators
that one `requantize` brings back; pooling by maximum, tables and shape operations stay in the
quantized type. Convolutions and products of plain integers give that type, as its arithmetic wraps.
What each one computes is defined by `bitwright.ir.reference`.
"""

# Operations get their operands and attributes as annotations that the dialect machinery reads.
# pyright: basic, reportInvalidTypeForm=false, reportAttributeAccessIssue=false

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import ext

from bitwright.ir import blobs, shapes
from bitwright.ir.checks import (
    VerifyError,
    check_weighted,
    count,
    expect_accumulating,
    expect_activation,
    expect_float,
    expect_same_type,
    expect_shape,
    ints,
    run_check,
)
from bitwright.ir.types import is_accumulator, is_float, quant_params, shape_of

MAX_MULTIPLIER = (1 << 16) - 1
MAX_SHIFT = 46
SCALE_LIMITS = {
    "half_up": (MAX_MULTIPLIER, MAX_SHIFT),
    "half_away": ((1 << 31) - 1, 62),
    "half_even": ((1 << 31) - 1, 62),
    "tflite": ((1 << 31) - 1, 62),
}
"""Greatest multiplier and greatest shift of each rounding; the least are 0 and 1."""
ROUNDINGS = tuple(SCALE_LIMITS)


class Bw(ext.Dialect, name="bw"):
    """Graph dialect of Bitwright."""


class BwOperation(Bw.Operation):
    """Base of all `bw` operations: verified by the `check` of the subclass.

    Operations that have a float form only stand in `bitwright.ir.bw_float`.
    """

    def check(self) -> None:
        raise NotImplementedError

    def verify_invariants(self) -> bool:
        return run_check(self)


class Blob(Bw.Attribute, name="blob"):
    """Stands for data outside of MLIR: in `bitwright.ir.blobs`, or in the `.npz` beside a text."""

    key: ir.StringAttr


def blob_key(blob: ir.Attribute) -> str:
    """The key of a `Blob`."""
    return ir.StringAttr(blob.key).value


class ConstantOp(BwOperation, name="constant", traits=[ext.Pure]):
    """Data. The value holds storage integers where the result type is quantized."""

    value: Any
    result: ext.Result[Any]

    def check(self) -> None:
        if isinstance(self.value, Blob):
            array = blobs.find(self.context, blob_key(self.value))
            if array is not None:
                expect_shape(self.result, array.shape)
            return
        if not isinstance(self.value, ir.DenseElementsAttr):
            raise VerifyError(f"value must be dense elements, found {self.value.type}")
        expect_shape(self.result, shape_of(self.value.type))


class Conv2dOp(BwOperation, name="conv2d", traits=[ext.Pure]):
    """Cross-correlation of [N, C, H, W] with [O, C/groups, KH, KW], plus a bias of [O]."""

    input: ext.Operand[Any]
    weight: ext.Operand[Any]
    bias: ext.Operand[Any]
    stride: Any
    padding: Any
    dilation: Any
    groups: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expected = shapes.conv2d(
            shape_of(self.input), shape_of(self.weight), ints(self.stride), ints(self.padding),
            ints(self.dilation), self.groups.value,
        )  # fmt: skip
        expect_shape(self.result, expected)
        check_weighted(self.input, self.weight, self.bias, self.result)


class LinearOp(BwOperation, name="linear", traits=[ext.Pure]):
    """[..., K] times the transpose of [N, K], plus a bias of [N]."""

    input: ext.Operand[Any]
    weight: ext.Operand[Any]
    bias: ext.Operand[Any]
    result: ext.Result[Any]

    def check(self) -> None:
        expect_shape(self.result, shapes.linear(shape_of(self.input), shape_of(self.weight)))
        check_weighted(self.input, self.weight, self.bias, self.result)


class MatmulOp(BwOperation, name="matmul", traits=[ext.Pure]):
    """[..., M, K] times [..., K, N], both computed at run time."""

    lhs: ext.Operand[Any]
    rhs: ext.Operand[Any]
    result: ext.Result[Any]

    def check(self) -> None:
        expect_shape(self.result, shapes.matmul(shape_of(self.lhs), shape_of(self.rhs)))
        expect_accumulating(self.result, self.lhs, self.rhs)


class AddOp(BwOperation, name="add", traits=[ext.Pure]):
    """lhs * lhs_multiplier + rhs * rhs_multiplier, broadcast; integers minus their zero points."""

    lhs: ext.Operand[Any]
    rhs: ext.Operand[Any]
    lhs_multiplier: Any
    rhs_multiplier: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expect_shape(self.result, shapes.broadcast(shape_of(self.lhs), shape_of(self.rhs)))
        limit = 127 if expect_accumulating(self.result, self.lhs, self.rhs) else 1
        for name in ("lhs_multiplier", "rhs_multiplier"):
            value = self.attributes[name].value
            if not 1 <= abs(value) <= limit:
                raise VerifyError(f"{name} is {value}, expected 1 to {limit} or its negative")


class MulOp(BwOperation, name="mul", traits=[ext.Pure]):
    """Elementwise product, broadcast; integers minus their zero points."""

    lhs: ext.Operand[Any]
    rhs: ext.Operand[Any]
    result: ext.Result[Any]

    def check(self) -> None:
        expect_shape(self.result, shapes.broadcast(shape_of(self.lhs), shape_of(self.rhs)))
        expect_accumulating(self.result, self.lhs, self.rhs)


class _Unary(BwOperation):
    def check(self) -> None:
        expect_float(self.input, self.result)  # pyright: ignore
        expect_shape(self.result, shape_of(self.input))  # pyright: ignore


class ReluOp(_Unary, name="relu", traits=[ext.Pure]):
    """max(x, 0)."""

    input: ext.Operand[Any]
    result: ext.Result[Any]


class ClipOp(_Unary, name="clip", traits=[ext.Pure]):
    """min(max(x, minimum), maximum)."""

    input: ext.Operand[Any]
    minimum: Any
    maximum: Any
    result: ext.Result[Any]


class LeakyReluOp(_Unary, name="leaky_relu", traits=[ext.Pure]):
    """x where positive, else alpha * x."""

    input: ext.Operand[Any]
    alpha: Any
    result: ext.Result[Any]


class HardSigmoidOp(_Unary, name="hard_sigmoid", traits=[ext.Pure]):
    """min(max(alpha * x + beta, 0), 1)."""

    input: ext.Operand[Any]
    alpha: Any
    beta: Any
    result: ext.Result[Any]


class HardSwishOp(_Unary, name="hard_swish", traits=[ext.Pure]):
    """x * min(max(x / 6 + 1/2, 0), 1)."""

    input: ext.Operand[Any]
    result: ext.Result[Any]


class SigmoidOp(_Unary, name="sigmoid", traits=[ext.Pure]):
    """1 / (1 + exp(-x))."""

    input: ext.Operand[Any]
    result: ext.Result[Any]


class TanhOp(_Unary, name="tanh", traits=[ext.Pure]):
    """Hyperbolic tangent."""

    input: ext.Operand[Any]
    result: ext.Result[Any]


class SoftmaxOp(_Unary, name="softmax", traits=[ext.Pure]):
    """exp(x - max) / sum, along one axis."""

    input: ext.Operand[Any]
    axis: Any
    result: ext.Result[Any]


class BatchNormOp(BwOperation, name="batch_norm", traits=[ext.Pure]):
    """scale * (x - mean) / sqrt(variance + epsilon) + bias, per channel (axis 1)."""

    input: ext.Operand[Any]
    scale: ext.Operand[Any]
    bias: ext.Operand[Any]
    mean: ext.Operand[Any]
    variance: ext.Operand[Any]
    epsilon: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expect_float(*self.operands, self.result)
        expect_shape(self.result, shape_of(self.input))
        channels = shape_of(self.input)[1]
        for name in ("scale", "bias", "mean", "variance"):
            if shape_of(getattr(self, name)) != (channels,):
                raise VerifyError(
                    f"{name} has shape {shape_of(getattr(self, name))}, expected ({channels},)"
                )


class MaxPool2dOp(BwOperation, name="max_pool2d", traits=[ext.Pure]):
    """Maximum over a window; padding never wins."""

    input: ext.Operand[Any]
    kernel: Any
    stride: Any
    padding: Any
    dilation: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expected = shapes.pool2d(
            shape_of(self.input), ints(self.kernel), ints(self.stride), ints(self.padding),
            ints(self.dilation),
        )  # fmt: skip
        expect_shape(self.result, expected)
        expect_same_type(self.result, self.input)


class AvgPool2dOp(BwOperation, name="avg_pool2d", traits=[ext.Pure]):
    """Mean over a window; padding counts as zeros where `count_include_pad`, else not at all."""

    input: ext.Operand[Any]
    kernel: Any
    stride: Any
    padding: Any
    count_include_pad: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expected = shapes.pool2d(
            shape_of(self.input), ints(self.kernel), ints(self.stride), ints(self.padding)
        )
        expect_shape(self.result, expected)
        expect_float(self.input, self.result)


class SumPool2dOp(BwOperation, name="sum_pool2d", traits=[ext.Pure]):
    """Sum over a window of integers minus their zero point; the integer form of a mean."""

    input: ext.Operand[Any]
    kernel: Any
    stride: Any
    padding: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expected = shapes.pool2d(
            shape_of(self.input), ints(self.kernel), ints(self.stride), ints(self.padding)
        )
        expect_shape(self.result, expected)
        if not expect_accumulating(self.result, self.input):
            raise VerifyError("input is float; use bw.avg_pool2d")


class ReduceMeanOp(BwOperation, name="reduce_mean", traits=[ext.Pure]):
    """Mean over axes."""

    input: ext.Operand[Any]
    axes: Any
    keepdims: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expect_shape(
            self.result,
            shapes.reduce(shape_of(self.input), ints(self.axes), self.keepdims.value),
        )
        expect_float(self.input, self.result)


class ReduceSumOp(BwOperation, name="reduce_sum", traits=[ext.Pure]):
    """Sum over axes, of integers minus their zero point where quantized."""

    input: ext.Operand[Any]
    axes: Any
    keepdims: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expect_shape(
            self.result,
            shapes.reduce(shape_of(self.input), ints(self.axes), self.keepdims.value),
        )
        expect_accumulating(self.result, self.input)


class ReshapeOp(BwOperation, name="reshape", traits=[ext.Pure]):
    """The same elements in row-major order under another shape."""

    input: ext.Operand[Any]
    result: ext.Result[Any]

    def check(self) -> None:
        expect_same_type(self.result, self.input)
        if ir.RankedTensorType(self.input.type).rank and count(self.input) != count(self.result):
            raise VerifyError(f"{shape_of(self.input)} does not reshape to {shape_of(self.result)}")


class TransposeOp(BwOperation, name="transpose", traits=[ext.Pure]):
    """Axis i of the result is axis perm[i] of the input."""

    input: ext.Operand[Any]
    perm: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expect_same_type(self.result, self.input)
        expect_shape(self.result, shapes.transpose(shape_of(self.input), ints(self.perm)))


class ConcatOp(BwOperation, name="concat", traits=[ext.Pure]):
    """Two tensors of one element type joined along an axis.

    Two, because operations with any number of operands cannot mix types in this dialect
    definition; `Builder.concat` chains them.
    """

    lhs: ext.Operand[Any]
    rhs: ext.Operand[Any]
    axis: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expect_same_type(self.result, self.lhs)
        expect_same_type(self.result, self.rhs)
        expected = shapes.concat([shape_of(self.lhs), shape_of(self.rhs)], self.axis.value)
        expect_shape(self.result, expected)


class PadOp(BwOperation, name="pad", traits=[ext.Pure]):
    """A constant around the tensor: a float, or the integer itself where quantized."""

    input: ext.Operand[Any]
    low: Any
    high: Any
    value: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expect_same_type(self.result, self.input)
        expect_shape(self.result, shapes.pad(shape_of(self.input), ints(self.low), ints(self.high)))
        if is_float(self.input) != isinstance(self.value, ir.FloatAttr):
            raise VerifyError(f"value {self.value} does not fit the input {self.input.type}")


class RequantizeOp(BwOperation, name="requantize", traits=[ext.Pure]):
    """clamp(acc * m / 2^s + zero_point, clamp_min, clamp_max), dyadic.

    `multiplier` and `shift` have one entry, or one per index of `axis`. The quotient is rounded
    as `rounding` says:

    * `half_up`: (acc * m + 2^(s-1)) >> s (HAWQ-V3, arXiv 2011.10680, section 3.1);
    * `half_away`: the nearest integer, ties away from zero, of the whole product;
    * `half_even`: the nearest integer, ties to even, of the whole product;
    * `tflite`: LiteRT's MultiplyByQuantizedMultiplier with m in Q31. Where s <= 31, acc is shifted
      left by 31-s (modulo 2^32) and (acc * m + 2^30) >> 31 is the result; where s > 31, that is
      then divided by 2^(s-31) with ties away from zero.
    """

    input: ext.Operand[Any]
    multiplier: Any
    shift: Any
    axis: Any
    clamp_min: Any
    clamp_max: Any
    rounding: Any
    result: ext.Result[Any]

    def check(self) -> None:
        if not is_accumulator(self.input):
            raise VerifyError(f"input is {self.input.type}, expected i32")
        expect_activation(self.result, "result")
        expect_shape(self.result, shape_of(self.input))
        multipliers, shifts = ints(self.multiplier), ints(self.shift)
        if len(multipliers) != len(shifts):
            raise VerifyError(f"{len(multipliers)} multipliers but {len(shifts)} shifts")
        if len(multipliers) != 1 and len(multipliers) != shape_of(self.input)[self.axis.value]:
            raise VerifyError(
                f"{len(multipliers)} multipliers for axis {self.axis.value} of "
                f"{shape_of(self.input)}; expected one, or one per index"
            )
        if self.rounding.value not in ROUNDINGS:
            raise VerifyError(
                f"rounding {self.rounding.value!r} is not one of {', '.join(ROUNDINGS)}"
            )
        largest, furthest = SCALE_LIMITS[self.rounding.value]
        for multiplier, shift in zip(multipliers, shifts, strict=True):
            if not 0 <= multiplier <= largest or not 1 <= shift <= furthest:
                raise VerifyError(
                    f"multiplier {multiplier} and shift {shift}; expected 0 to {largest} "
                    f"and 1 to {furthest}"
                )
        params = quant_params(self.result.type)
        low, high = self.clamp_min.value, self.clamp_max.value
        if params is None or not params.qmin <= low <= high <= params.qmax:
            raise VerifyError(f"clamp [{low}, {high}] leaves the range of {self.result.type}")


class TableOp(BwOperation, name="table", traits=[ext.Pure]):
    """table[x + 128]: a function of one int8 as 256 entries of int8."""

    input: ext.Operand[Any]
    table: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expect_activation(self.input, "input")
        expect_activation(self.result, "result")
        expect_shape(self.result, shape_of(self.input))
        params = quant_params(self.result.type)
        entries = ints(self.table)
        if len(entries) != 256 or params is None:
            raise VerifyError(f"table has {len(entries)} entries, expected 256")
        if min(entries) < params.qmin or max(entries) > params.qmax:
            raise VerifyError(
                f"table spans [{min(entries)}, {max(entries)}], outside of {self.result.type}"
            )


class IntegerSoftmaxOp(BwOperation, name="integer_softmax", traits=[ext.Pure]):
    """e = table[max - x]; y = clamp(floor((2 * 256 * e + S) / (2 * S)) - 128), S = sum of e.

    The result has scale 1/256 and zero point -128; the table holds round(2^16 exp(-scale * d)).
    """

    input: ext.Operand[Any]
    axis: Any
    table: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expect_activation(self.input, "input")
        expect_activation(self.result, "result")
        expect_shape(self.result, shape_of(self.input))
        entries = ints(self.table)
        if len(entries) != 256 or min(entries) < 0 or entries[0] != 1 << 16:
            raise VerifyError("table needs 256 entries from 65536 down to not less than 0")
        params = quant_params(self.result.type)
        if params is None or params.zero_point != -128 or params.scale != 1 / 256:
            raise VerifyError(
                f"result is {self.result.type}, expected scale 1/256, zero point -128"
            )
