"""Put the kernel's columns of the model's first convolution into the overlay's lanes.

    x [1, C, H, W] -> conv2d KH x KW, stride (SY, SX)
    -->  x -> pad, gather, transpose, reshape [1, KW*C, H + padding, columns of the result]
           -> conv2d KH x 1, stride (SY, 1)

An image has few channels: where all columns of the kernel fit into the lanes that its channels
leave empty, a step of the engine takes a whole row of the kernel, from as many words as before.
What moves and pads the pixels is the host's: `partition` leaves it there.

Requires: a quantized module, after `space_to_depth`, before `partition`. The result computes the
same integers.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from torch_mlir import ir

from bitwright.ir.checks import ints
from bitwright.ir.types import quant_params, shape_of
from bitwright.passes.pack import blocks
from bitwright.passes.rewrite import Match, Rewriter, to_fixed_point
from bitwright.passes.space_to_depth import is_input


@dataclass(frozen=True)
class KernelColumns:
    """See the module's description.

    Attributes:
        lanes: channels of a word of the machine.
    """

    lanes: int = 8

    def run(self, module: ir.Module) -> ir.Module:
        """Return the rewritten module, in the same context."""
        return to_fixed_point(module, {"bw.conv2d": (partial(_conv2d, lanes=self.lanes),)})


def _conv2d(rewriter: Rewriter, match: Match, lanes: int) -> ir.Value | None:
    operation, constants = match.operation, match.constants(start=1)
    x, weight_value, bias = match.operands
    params = quant_params(x.type)
    if (
        operation.groups.value != 1 or max(ints(operation.dilation)) > 1 or constants is None
        or params is None or not is_input(x) or not rewriter.read_once(x) or shape_of(x)[0] > 1
    ):  # fmt: skip
        return None
    weight = constants[0]
    outputs, channels, kernel_rows, taps = weight.shape
    deep = taps * channels
    if taps == 1 or blocks(deep, lanes) > blocks(channels, lanes):
        return None
    top, left, bottom, right = ints(operation.padding)
    (stride, step), columns = ints(operation.stride), match.shape[3]
    builder = rewriter.builder
    if top or left or bottom or right:
        x = builder.pad(x, [0, 0, top, left], [0, 0, bottom, right], params.zero_point)
    rows = shape_of(x)[2]
    indices = np.arange(taps)[:, None] + step * np.arange(columns)
    wide = builder.gather(x, builder.constant(indices), 3)  # [1, C, rows, tap, column]
    x = builder.reshape(builder.transpose(wide, (0, 3, 1, 2, 4)), (1, deep, rows, columns))
    filters = weight.transpose(0, 3, 1, 2).reshape(outputs, deep, kernel_rows, 1)
    return builder.conv2d(
        x, builder.constant(filters, quant_params(weight_value.type)), bias, stride=(stride, 1)
    )
