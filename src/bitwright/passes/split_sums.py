"""Outputs that are sums, as bytes: the overlay's outputs are int8, and the host adds them up.

    linear(x, w, b) [1, O], an output
        -->  reduce_sum(reshape [1, O, K] (requantize(linear [1, O·K])))

Each sum becomes K pieces clamp(a - c_k, -128, 127) with c_k = 255·k - 128·(K - 1). They tile the
range from -128·K to 127·K: pieces below are at 127, those above at -128, and all of them add up to
a. K is the least that the proved range needs.

Requires: a quantized module.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch_mlir import ir

from bitwright.ir import graph
from bitwright.ir.builder import Builder
from bitwright.ir.checks import ints
from bitwright.ir.types import QuantParams, is_accumulator, quant_params, shape_of, value_params
from bitwright.passes.tile_program import unsupported
from bitwright.passes.widths import accumulator_range

PIECE = QuantParams((1.0,), 0, 8, -128, 127)
MAX_PIECES = 256


@dataclass(frozen=True)
class SplitSums:
    """See the module's description."""

    def run(self, module: ir.Module) -> ir.Module:
        """Return the module with split outputs, in the same context.

        Raises:
            UnsupportedOnOverlay: an output of other sums than those of constant weights, or of
                too wide ones.
        """
        outputs = graph.outputs(module)
        wide = {item.value for item in outputs if is_accumulator(item.value)}
        if not wide:
            return module
        inputs = graph.inputs(module)
        builder = Builder(
            [(i.name, shape_of(i.value), quant_params(i.value.type)) for i in inputs],
            module.context,
        )
        values = dict(zip((i.value for i in inputs), builder.inputs, strict=True))
        for operation in graph.operations(module):
            builder.named(graph.location_name(operation))
            operands = [values[operand] for operand in operation.operands]
            if operation.result in wide:
                values[operation.result] = _pieces(builder, operation, operands)
            else:
                values[operation.result] = builder.copy(operation, operands)
        return builder.finish(
            [(item.name, values[item.value]) for item in outputs],
            {item.name: item.scale for item in outputs if item.value in wide},
        )


def _pieces(builder: Builder, operation: Any, operands: list[ir.Value]) -> ir.Value:
    if operation.operation.name == "bw.reshape":
        inner = operation.input.owner.opview
        made = _pieces(builder, inner, [*operands[0].owner.operands])
        return builder.reshape(made, shape_of(operation.result))
    weighted = operation.operation.name in ("bw.linear", "bw.conv2d")
    weight = graph.constant_of(operands[1]) if weighted else None
    bias = graph.constant_of(operands[2]) if weighted else None
    if weight is None or bias is None:
        unsupported(
            operation,
            "its sums are an output, which the overlay splits into bytes where they are those of "
            "constant weights; quantize the output",
        )
    low, high = accumulator_range(operation)
    count = max(-(low // 128), -(-high // 127), 1)
    if count > MAX_PIECES:
        unsupported(
            operation,
            f"its sums are an output and go from {low} to {high}, which takes {count} bytes for "
            f"each, more than {MAX_PIECES}; quantize the output",
        )
    params = value_params(operation.weight)
    centres = 255 * np.arange(count) - 128 * (count - 1)
    wide_params = QuantParams(
        params.scales if params.axis is None else tuple(np.repeat(params.scales, count).tolist()),
        0, params.bits, params.qmin, params.qmax, params.axis,
    )  # fmt: skip
    filters = builder.constant(np.repeat(weight, count, axis=0), wide_params)
    biases = (bias.astype(np.int64)[:, None] - centres).reshape(-1)
    if operation.operation.name == "bw.linear":
        sums = builder.linear(operands[0], filters, builder.constant(biases))
    else:
        groups = operation.groups.value
        sums = builder.conv2d(
            operands[0], filters, builder.constant(biases), stride=ints(operation.stride),
            padding=ints(operation.padding), dilation=ints(operation.dilation), groups=groups,
        )  # fmt: skip
    axis = len(shape_of(sums)) - 1 if operation.operation.name == "bw.linear" else 1
    pieces = builder.requantize(sums, PIECE, multiplier=[2], shift=[1], axis=axis)
    shape = shape_of(operation.result)
    split = builder.reshape(pieces, (*shape[: axis + 1], count, *shape[axis + 1 :]))
    return builder.reduce_sum(split, (axis + 1,), False)
