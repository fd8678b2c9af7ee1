"""Let a strided convolution of the model's input fill the overlay's lanes.

    x [1, C, H, W] -> conv2d KH x KW, stride (SY, SX)
    -->  x -> pad, reshape, transpose, reshape [1, SY*SX*C, H/SY, W/SX]
           -> conv2d KH/SY x KW/SX, stride (1, 1)

An image has few channels, so that most lanes of its words would be empty, in the input banks as
in the engine. What moves the pixels is the host's: `partition` leaves it there.

Requires: a quantized module, before `partition`. The result computes the same integers.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from torch_mlir import ir

from bitwright.ir import bw
from bitwright.ir.checks import ints
from bitwright.ir.types import quant_params, shape_of
from bitwright.passes.pack import blocks
from bitwright.passes.rewrite import Match, Rewriter, producer, to_fixed_point

_MOVES = tuple(op.OPERATION_NAME for op in (bw.ReshapeOp, bw.TransposeOp, bw.PadOp))


@dataclass(frozen=True)
class SpaceToDepth:
    """See the module's description.

    Attributes:
        lanes: channels of a word of the machine; what would not save words or steps is left.
    """

    lanes: int = 8

    def run(self, module: ir.Module) -> ir.Module:
        """Return the rewritten module, in the same context."""
        return to_fixed_point(module, {"bw.conv2d": (partial(_conv2d, lanes=self.lanes),)})


@dataclass(frozen=True)
class _Axis:
    """One spatial axis: how many elements the host pads, and the convolution of its blocks."""

    before: int
    after: int
    count: int
    kernel: int
    pad_before: int
    pad_after: int


def _axis(size: int, outputs: int, kernel: int, stride: int, padding: int) -> _Axis:
    before = padding % stride
    count, taps, pad_before = (
        blocks(size + before, stride),
        blocks(kernel, stride),
        padding // stride,
    )
    return _Axis(
        before, count * stride - size - before, count, taps, pad_before,
        outputs - 1 + taps - pad_before - count,
    )  # fmt: skip


def _conv2d(rewriter: Rewriter, match: Match, lanes: int) -> ir.Value | None:
    operation, constants = match.operation, match.constants(start=1)
    x, weight_value, bias = match.operands
    stride, padding = ints(operation.stride), ints(operation.padding)
    params = quant_params(x.type)
    if (
        max(stride) == 1 or operation.groups.value != 1 or max(ints(operation.dilation)) > 1
        or constants is None or params is None or not is_input(x) or not rewriter.read_once(x)
        or shape_of(x)[0] > 1
    ):  # fmt: skip
        return None
    weight = constants[0]
    outputs, channels, *kernel = weight.shape
    axes = [
        _axis(*values)
        for values in zip(
            shape_of(x)[2:], match.shape[2:], kernel, stride, padding[:2], strict=True
        )
    ]
    deep = channels * stride[0] * stride[1]
    before = blocks(channels, lanes) * np.array([np.prod(shape_of(x)[2:]), np.prod(kernel)])
    after = blocks(deep, lanes) * np.prod([(axis.count, axis.kernel) for axis in axes], axis=0)
    if any(axis.pad_after < 0 for axis in axes) or (after > before).any() or after[0] == before[0]:
        return None
    builder = rewriter.builder
    rows, columns = axes
    low, high = (rows.before, columns.before), (rows.after, columns.after)
    if any((*low, *high)):
        x = builder.pad(x, [0, 0, *low], [0, 0, *high], params.zero_point)
    order = (0, 3, 5, 1, 2, 4)
    split = builder.reshape(x, (1, channels, rows.count, stride[0], columns.count, stride[1]))
    x = builder.reshape(builder.transpose(split, order), (1, deep, rows.count, columns.count))
    rest = [
        (0, axis.kernel * step - taps)
        for axis, step, taps in zip(axes, stride, kernel, strict=True)
    ]
    filters = np.pad(weight, [(0, 0), (0, 0), *rest])
    filters = filters.reshape(outputs, channels, rows.kernel, stride[0], columns.kernel, stride[1])
    filters = filters.transpose(order).reshape(outputs, deep, rows.kernel, columns.kernel)
    return builder.conv2d(
        x, builder.constant(filters, quant_params(weight_value.type)), bias, stride=(1, 1),
        padding=[rows.pad_before, columns.pad_before, rows.pad_after, columns.pad_after],
    )  # fmt: skip


def is_input(value: ir.Value) -> bool:
    """Whether `value` is an input of the model, perhaps padded or with its elements moved."""
    while not isinstance(value.owner, ir.Block):
        move = next((m for kind in _MOVES if (m := producer(value, kind)) is not None), None)
        if move is None:
            return False
        value = move.operands[0]
    return True
