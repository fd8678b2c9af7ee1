"""How `tile` turns each kind of layer into instructions."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.ir import accel, graph
from bitwright.ir.checks import ints
from bitwright.ir.instructions import ChannelOp, Rounding
from bitwright.ir.machine import WIDE_MULTIPLIER_BITS
from bitwright.ir.reference import pooled_elements
from bitwright.ir.types import shape_of, value_params
from bitwright.passes import pack
from bitwright.passes.linear_add import linear_add
from bitwright.passes.tile_program import (
    Buffer,
    OutputStage,
    Program,
    UnsupportedOnOverlay,
    unsupported,
)
from bitwright.passes.widths import signed_bits

MAX_POOLED = 1 << 20


def conv2d(program: Program, operation: Any, stage: OutputStage) -> None:
    weight = graph.constant_of(operation.weight)
    bias = graph.constant_of(operation.bias)
    if weight is None or bias is None:
        unsupported(operation, "its weight or bias is computed at run time")
        return
    groups = operation.groups.value
    source, target = program.source(operation, operation.input), program.result(stage.result)
    zero_point = value_params(operation.input).zero_point
    sums = weight.astype(np.int64).sum(axis=(1, 2, 3))
    whole_bias = bias.astype(np.int64) - zero_point * sums
    fields = _window_fields(
        source, weight.shape[2:], ints(operation.stride), ints(operation.padding),
        ints(operation.dilation), zero_point,
    )  # fmt: skip
    layer = graph.location_name(operation)
    if groups == source.shape[0] == target.shape[0] and groups > 1:
        if not program.window(layer, source, target, weight[:, 0], stage, whole_bias, fields):
            program.channelwise(
                layer, source, target, weight.reshape(groups, -1), stage, ChannelOp.MAC,
                bias=whole_bias, fields=fields,
            )  # fmt: skip
    elif groups == 1:
        _matmul(program, layer, source, target, weight, whole_bias, stage, fields)
    else:
        _grouped(program, layer, source, target, weight, whole_bias, stage, fields, groups)


def _matmul(
    program: Program, layer: str, source: Buffer, target: Buffer, weight: NDArray[np.int8],
    bias: NDArray[np.int64], stage: OutputStage, fields: dict[str, int], source2: str = "",
) -> None:  # fmt: skip
    """One instruction over dense `weight` [O, C, KH, KW]."""
    lanes, rows = program.array.lanes, program.array.rows
    if program.array.dsp:
        precision, bits = program.array.precision, pack.planes_needed(weight)
        if bits > precision:
            raise UnsupportedOnOverlay(
                f"Layer {layer!r} has weights of {bits} bits, and the machine is to have precision "
                f"= {precision}; leave precision out, or quantize with fewer bits of weights"
            )
        planes, words = 1, pack.whole_weights(weight, lanes, rows, precision)
    else:
        planes = pack.planes_needed(weight)
        words = pack.bit_planes(weight, lanes, rows, planes)
    program.compute(
        accel.MatmulOp, layer, source, target, bias, stage,
        {"n_plane": planes, "n_cb": pack.blocks(weight.shape[1], lanes),
         "w_base": program.place_weights(words), **fields}, source2,
    )  # fmt: skip


def _grouped(
    program: Program, layer: str, source: Buffer, target: Buffer, weight: NDArray[np.int8],
    bias: NDArray[np.int64], stage: OutputStage, fields: dict[str, int], groups: int,
) -> None:  # fmt: skip
    """One instruction per block of rows, over just the input blocks that its groups read."""
    lanes, rows = program.array.lanes, program.array.rows
    outputs, channels = weight.shape[0], source.shape[0]
    outputs_per_group, per_group = outputs // groups, channels // groups
    for block in range(pack.blocks(outputs, rows)):
        first, last = block * rows, min((block + 1) * rows, outputs)
        start = first // outputs_per_group * per_group // lanes
        stop = pack.blocks(((last - 1) // outputs_per_group + 1) * per_group, lanes)
        dense = np.zeros((last - first, (stop - start) * lanes, *weight.shape[2:]), dtype=np.int8)
        for row in range(first, last):
            column = row // outputs_per_group * per_group - start * lanes
            dense[row - first, column : column + per_group] = weight[row]
        words = pack.blocks(last - first, lanes)
        part = replace(
            stage, multiplier=_slice(stage.multiplier, first, last),
            shift=_slice(stage.shift, first, last),
        )  # fmt: skip
        _matmul(
            program, layer, source, target, dense, bias[first:last], part,
            {**fields, "src_base": fields["src_base"] + start * source.pixels, "n_block": 1,
             "dst_base": block * rows // lanes * target.pixels, "dst_words_last": words},
        )  # fmt: skip


def _slice(values: tuple[int, ...], first: int, last: int) -> tuple[int, ...]:
    return values if len(values) == 1 else values[first:last]


def _window_fields(
    source: Buffer, kernel: Any, stride: Any, padding: Any, dilation: Any, pad_value: int
) -> dict[str, int]:
    width = source.shape[2]
    top, left = padding[0], padding[1]
    return {
        "n_ky": kernel[0], "n_kx": kernel[1], "src_base": -top * width - left,
        "s_oy": stride[0] * width, "s_ox": stride[1], "s_ky": dilation[0] * width,
        "s_kx": dilation[1], "y0": -top, "x0": -left, "y_oy": stride[0], "x_ox": stride[1],
        "y_ky": dilation[0], "x_kx": dilation[1], "pad_value": pad_value,
    }  # fmt: skip


def sum_pool2d(program: Program, operation: Any, stage: OutputStage) -> None:
    zero_point = value_params(operation.input).zero_point
    bias = -zero_point * int(np.prod(ints(operation.kernel)))
    _sum_windows(program, operation, stage, bias, zero_point)


def integer_avg_pool2d(program: Program, operation: Any) -> None:
    """The sum of the codes times 2^s / n rounded up, ties away from zero.

    With s = 30 + the bits of n that is the mean for every sum of n codes: the product is wrong by
    less than 2^7 n / 2^s, and a quotient that is no tie is at least 1 / 2n away from one.
    """
    shape, padding = shape_of(operation.input)[2:], ints(operation.padding)
    counts = pooled_elements(shape, ints(operation.kernel), ints(operation.stride), padding)
    count, most = int(counts.min()), int(counts.max())
    if count != most or count >= MAX_POOLED:
        unsupported(
            operation,
            f"its windows cover {count} to {most} elements, padding not counted; expected as many "
            f"in each, below {MAX_POOLED}",
        )
    shift = WIDE_MULTIPLIER_BITS - 1 + (count - 1).bit_length()
    stage = OutputStage(
        multiplier=(-(-(1 << shift) // count),), shift=(shift,), rounding=Rounding.HALF_AWAY,
        zero_point=0, clamp=(operation.clamp_min.value, operation.clamp_max.value), table=None,
        result=operation.result, acc_bits=signed_bits(-128 * count, 127 * count),
    )  # fmt: skip
    _sum_windows(program, operation, stage, 0, 0)


def _sum_windows(
    program: Program, operation: Any, stage: OutputStage, bias: int, pad_value: int
) -> None:
    source, target = program.source(operation, operation.input), program.result(stage.result)
    kernel, layer = ints(operation.kernel), graph.location_name(operation)
    whole = kernel == source.shape[1:] and target.pixels == 1 and not any(ints(operation.padding))
    if whole and program.whole_sum(layer, source, target, stage, bias):
        return
    fields = _window_fields(
        source, kernel, ints(operation.stride), ints(operation.padding), (1, 1), pad_value
    )
    program.channelwise(
        layer, source, target,
        np.ones((target.shape[0], kernel[0] * kernel[1]), dtype=np.int8), stage, ChannelOp.MAC,
        bias=np.full(target.shape[0], bias, dtype=np.int64), fields=fields,
    )  # fmt: skip


def add(program: Program, operation: Any, stage: OutputStage) -> None:
    multipliers = (operation.lhs_multiplier.value, operation.rhs_multiplier.value)
    _weighted_sum(program, operation, stage, multipliers, 0)


def scaled_add(program: Program, operation: Any, stage: OutputStage) -> None:
    """As a weighted sum that is proved equal; see `linear_add`."""
    made_by = stage.result.owner if stage.table is None else stage.result.owner.operands[0].owner
    found = linear_add(operation, made_by.opview)
    if found is None:
        unsupported(operation, "no weighted sum computes the same for every pair of operands")
        return
    whole = replace(
        stage, multiplier=(found.multiplier,), shift=(found.shift,), rounding=Rounding.HALF_UP,
        acc_bits=found.acc_bits,
    )  # fmt: skip
    _weighted_sum(program, operation, whole, (found.lhs, found.rhs), found.offset)


def _weighted_sum(
    program: Program, operation: Any, stage: OutputStage, multipliers: tuple[int, int], offset: int
) -> None:
    operands = (operation.lhs, operation.rhs)
    if any(shape_of(value) != shape_of(operation.result) for value in operands):
        unsupported(operation, "it broadcasts")
    lhs, rhs = program.same_space(*(program.source(operation, value) for value in operands))
    target = program.result(stage.result)
    centre = sum(
        multiplier * value_params(value).zero_point
        for multiplier, value in zip(multipliers, operands, strict=True)
    )
    channels, digits = target.shape[0], pack.digits(multipliers, program.array.plane_bits)
    program.channelwise(
        graph.location_name(operation), lhs, target,
        np.tile(digits.ravel(), (channels, 1)), stage, ChannelOp.MAC,
        bias=np.full(channels, offset - centre, dtype=np.int64),
        fields={"n_cb": 2, "s_cb": 0, "n_plane": len(digits)}, source2=rhs.name,
    )  # fmt: skip


def max_pool2d(program: Program, operation: Any) -> None:
    source, target = program.source(operation, operation.input), program.result(operation.result)
    fields = _window_fields(
        source, ints(operation.kernel), ints(operation.stride), ints(operation.padding),
        ints(operation.dilation), -128,
    )  # fmt: skip
    stage = program.identity(operation.result, (-128, 127))
    taps = fields["n_ky"] * fields["n_kx"]
    program.channelwise(
        graph.location_name(operation), source, target,
        np.zeros((target.shape[0], taps), dtype=np.int8), stage, ChannelOp.MAX, fields=fields,
    )  # fmt: skip


def pad(program: Program, operation: Any) -> None:
    low, high = ints(operation.low), ints(operation.high)
    if len(low) != 4 or any((*low[:2], *high[:2])):
        unsupported(operation, "it pads the batch or the channels")
    source, target = program.source(operation, operation.input), program.result(operation.result)
    fields = _window_fields(source, (1, 1), (1, 1), (low[2], low[3]), (1, 1), operation.value.value)
    program.channelwise(
        graph.location_name(operation), source, target,
        np.ones((target.shape[0], 1), dtype=np.int8),
        program.identity(operation.result, (-128, 127)), ChannelOp.MAC, fields=fields,
    )  # fmt: skip


def table(program: Program, operation: Any) -> None:
    source, target = program.source(operation, operation.input), program.result(operation.result)
    stage = program.identity(operation.result, (-128, 127), ints(operation.table))
    program.channelwise(
        graph.location_name(operation), source, target,
        np.ones((target.shape[0], 1), dtype=np.int8), stage, ChannelOp.MAC,
    )  # fmt: skip


def concat(program: Program, operation: Any) -> None:
    """Weights of 0 and 1 select channels; the source is the block loop, a block the row loop."""
    if operation.axis.value != 1:
        unsupported(operation, f"it joins along axis {operation.axis.value}, not channels")
    first, second = program.same_space(
        program.source(operation, operation.lhs), program.source(operation, operation.rhs)
    )
    target = program.result(operation.result)
    lanes = program.array.lanes
    per_source = max(pack.blocks(buffer.shape[0], lanes) for buffer in (first, second))
    for buffer in (first, second):  # the shorter one is read past its end, with weights of zero
        words = per_source * buffer.pixels
        program.reserved[buffer.name] = max(program.reserved.get(buffer.name, 0), words)
    select = np.zeros((target.shape[0], 2 * lanes, per_source, 1), dtype=np.int8)
    for channel in range(target.shape[0]):
        which = int(channel >= first.shape[0])
        inside = channel - which * first.shape[0]
        select[channel, which * lanes + inside % lanes, inside // lanes, 0] = 1
    stage = program.identity(operation.result, (-128, 127))
    _matmul(
        program, graph.location_name(operation), first, target, select,
        np.zeros(target.shape[0], dtype=np.int64), stage,
        {"n_cb": 2, "s_cb": 0, "n_ky": per_source, "s_ky": first.pixels}, second.name,
    )  # fmt: skip
