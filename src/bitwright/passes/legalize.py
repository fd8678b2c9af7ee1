"""Rewrite a quantized module into the operations that the overlay has instructions for.

    linear(reshape(transpose(x)))     -->  linear(reshape(x)), columns permuted
    linear [1, K]                     -->  reshape, conv2d 1x1, reshape
    reshape [1, C, H, W] -> [1, K],
        linear [1, K]                 -->  conv2d H x W (the flattening becomes a full kernel)
    reduce_sum over H, W              -->  sum_pool2d H x W (, reshape)
    reshape of sums, requantize       -->  requantize, reshape
    conv2d of constant channels       -->  without their weights (`constant_channels`)

Requires: a quantized module. The result computes the same integers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch_mlir import ir

from bitwright.ir.checks import ints
from bitwright.ir.types import is_accumulator, quant_params, shape_of, value_params
from bitwright.passes import constant_channels, fold_layout, thresholds
from bitwright.passes.rewrite import Match, Rewriter, Rule, producer, to_fixed_point


@dataclass(frozen=True)
class Legalize:
    """See the module's description."""

    def run(self, module: ir.Module) -> ir.Module:
        """Return the rewritten module, in the same context."""
        return to_fixed_point(module, RULES)


def _linear(rewriter: Rewriter, match: Match) -> ir.Value | None:
    constants = match.constants(start=1)
    x, weight_value, bias = match.operands
    shape = shape_of(x)
    if len(shape) != 2 or shape[0] != 1 or constants is None:
        return None
    weight = constants[0]
    builder = rewriter.builder
    source = _flattened(x)
    if source is None:
        source = builder.reshape(x, (1, shape[1], 1, 1))
    _, channels, height, width = shape_of(source)
    filters = builder.constant(
        weight.reshape(len(weight), channels, height, width), quant_params(weight_value.type)
    )
    return builder.reshape(builder.conv2d(source, filters, bias), match.shape)


def _flattened(value: ir.Value) -> ir.Value | None:
    """The [1, C, H, W] tensor that `value` [1, C*H*W] flattens; None if there is none."""
    while (reshape := producer(value, "bw.reshape")) is not None:
        value = reshape.operands[0]
        if len(shape_of(value)) == 4 and shape_of(value)[0] == 1:
            return value
    return None


def _requantize(rewriter: Rewriter, match: Match) -> ir.Value | None:
    reshape = producer(match.operands[0], "bw.reshape")
    operation = match.operation
    if reshape is None or operation.axis.value != 1 or shape_of(match.operands[0])[0] != 1:
        return None
    sums = reshape.operands[0]
    if shape_of(sums)[:2] != match.shape[:2]:
        return None
    result = rewriter.builder.requantize(
        sums, value_params(operation.result), multiplier=ints(operation.multiplier),
        shift=ints(operation.shift), axis=1, clamp_min=operation.clamp_min.value,
        clamp_max=operation.clamp_max.value, rounding=operation.rounding.value,
    )  # fmt: skip
    return rewriter.builder.reshape(result, match.shape)


def _reduce_sum(rewriter: Rewriter, match: Match) -> ir.Value | None:
    x = match.operands[0]
    shape = shape_of(x)
    if (
        len(shape) != 4
        or sorted(ints(match.operation.axes)) != [2, 3]
        or not is_accumulator(match.operation.result)
    ):
        return None
    sums = rewriter.builder.sum_pool2d(x, kernel=shape[2:], stride=(1, 1))
    return sums if len(match.shape) == 4 else rewriter.builder.reshape(sums, match.shape)


RULES: Mapping[str, Sequence[Rule]] = {
    "bw.linear": (fold_layout.linear, _linear),
    "bw.multi_threshold": thresholds.RULES,
    "bw.requantize": (_requantize, constant_channels.requantize),
    "bw.reduce_sum": (_reduce_sum,),
}
