"""Scale channels that can only have one result, or two, so that short accumulators hold their sums.

    conv2d(x, w, b), requantize          (whatever x, channel c gives the code k, or k and k + 1)
    -->  conv2d(x, w', b'), requantize'  (b'[c] is small; w'[c] = 0 where there is one code)

Training leaves such channels behind: their biases, in tiny scales, are huge integers, for which
all accumulators of the machine would have to be wide.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.ir import dyadic, fixed_point, graph, reference
from bitwright.ir.checks import ints
from bitwright.ir.types import quant_params, value_params
from bitwright.passes.rewrite import Match, Rewriter, producer
from bitwright.passes.widths import channel_ranges, signed_bits

Ints = NDArray[np.int64]
_ONE = {"tflite": (1 << 30, 30)}  # multiplier and shift of 1, elsewhere (1, 0)
_FAR = np.asarray([1 << 30])  # no accumulator that is worth it


def requantize(rewriter: Rewriter, match: Match) -> ir.Value | None:
    """The rule for `bw.requantize` of a convolution, where it makes the longest sum shorter."""
    conv, operation = producer(match.operands[0], "bw.conv2d"), match.operation
    if conv is None or operation.axis.value != 1 or not rewriter.read_once(match.operands[0]):
        return None
    x, weight_value, bias_value = conv.operands
    weight, bias = graph.constant_of(weight_value), graph.constant_of(bias_value)
    if weight is None or bias is None:
        return None
    ranges = channel_ranges(conv.opview, len(weight)).copy()
    before = signed_bits(int(ranges.min()), int(ranges.max()))
    weight, bias = weight.copy(), bias.copy()
    multiplier, shift = (
        list(np.broadcast_to(ints(values), len(weight)).tolist())
        for values in (operation.multiplier, operation.shift)
    )
    for number, (codes, starts) in enumerate(zip(*_codes(operation, ranges), strict=True)):
        found = _scaled(operation.rounding.value, codes, starts)
        if found is not None:
            move, (multiplier[number], shift[number]) = found
            if codes[0] == codes[1]:
                weight[number], bias[number], ranges[number] = 0, move, move
            else:
                bias[number] += move
                ranges[number] += move
    if signed_bits(int(ranges.min()), int(ranges.max())) >= before:
        return None
    builder, window = rewriter.builder, conv.opview
    acc = builder.conv2d(
        x, builder.constant(weight, quant_params(weight_value.type)), builder.constant(bias),
        stride=ints(window.stride), padding=ints(window.padding), dilation=ints(window.dilation),
        groups=window.groups.value,
    )  # fmt: skip
    return builder.requantize(
        acc, value_params(operation.result), multiplier=multiplier, shift=shift, axis=1,
        clamp_min=operation.clamp_min.value, clamp_max=operation.clamp_max.value,
        rounding=operation.rounding.value,
    )  # fmt: skip


def _codes(operation: Any, ranges: Ints) -> tuple[Ints, Ints]:
    """Of each channel the least and the greatest result, and the sums (least, first of the
    greatest result, greatest)."""

    def results(sums: Ints) -> Ints:
        found = reference.apply(operation, sums[..., None, None])[..., 0, 0]
        return found.astype(np.int64) - value_params(operation.result).zero_point

    codes = results(np.ascontiguousarray(ranges.T))
    low, high = ranges.T
    begin = dyadic.starts(lambda sums: results(sums) - codes[1], low, high, np.zeros(1, np.int64))
    return codes.T, np.stack((low, begin[0], high), axis=1)


def _scaled(rounding: str, codes: Ints, sums: Ints) -> tuple[int, dyadic.Scale] | None:
    """What the sums are moved by (of one code: to), and their new scale; None: more codes."""
    (low, begin, high), (multiplier, shift) = sums.tolist(), _ONE.get(rounding, (1, 0))
    if codes[0] == codes[1]:
        return 2 * int(codes[0]), (multiplier, shift + 1)
    if codes[0] + 1 < codes[1]:
        return None
    scale = multiplier, shift + max((max(begin - low, high + 1 - begin) - 1).bit_length(), 1)
    step = fixed_point.SCALES[rounding]
    move = int(dyadic.starts(lambda a: step(a, *scale), -_FAR, _FAR, codes[1:])[0, 0]) - begin
    ends = np.asarray([low, begin - 1, begin, high]) + move
    return (move, scale) if (step(ends, *scale) == codes.repeat(2)).all() else None
