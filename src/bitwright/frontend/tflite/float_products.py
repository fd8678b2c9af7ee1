"""Convolutions and matrix products of float models."""

import numpy as np

from bitwright.frontend.tflite.float_elementwise import fused
from bitwright.frontend.tflite.node import Array, Handler, Node, Value
from bitwright.frontend.tflite.products import conv_shape, dense_shape, depthwise_shape, rows
from bitwright.frontend.tflite.windows import window
from bitwright.ir.types import shape_of


def conv_2d(node: Node) -> Value:
    """CONV_2D, weight [O, KH, KW, C / groups]."""
    weight = node.floats(1, "weight")
    return _convolution(node, weight.transpose(0, 3, 1, 2), conv_shape(node, weight))


def depthwise_conv_2d(node: Node) -> Value:
    """DEPTHWISE_CONV_2D, weight [1, KH, KW, C * multiplier]."""
    weight = node.floats(1, "weight")
    groups = depthwise_shape(node, weight)
    return _convolution(node, weight.transpose(3, 0, 1, 2), groups)


def _convolution(node: Node, weight: Array, groups: int) -> Value:
    options, build = node.operator.options, node.builder
    x = node.value(0).first()
    dilation = (options["DilationHFactor"], options["DilationWFactor"])
    sliding = window(node, shape_of(x)[2:], weight.shape[2:], dilation)
    made = build.conv2d(
        x, build.constant(np.ascontiguousarray(weight)), build.constant(_bias(node, len(weight))),
        stride=sliding.stride, padding=sliding.padding, dilation=dilation, groups=groups,
    )  # fmt: skip
    return node.first(fused(node, made))


def fully_connected(node: Node) -> Value:
    """FULLY_CONNECTED, weight [O, K]; an operand of any rank is rows of K."""
    weight, build = node.floats(1, "weight"), node.builder
    count, wanted = dense_shape(node, weight)
    x, weight = rows(node, weight, count)
    made = build.linear(x, build.constant(weight), build.constant(_bias(node, len(weight))))
    made = fused(node, made)
    return node.last(made if wanted is None else build.reshape(made, wanted))


def _bias(node: Node, outputs: int) -> Array:
    if not node.has(2):
        return np.zeros(outputs, np.float32)
    bias = node.floats(2, "bias")
    if bias.size != outputs:
        node.fail_operand(2, f"is the bias of shape {list(bias.shape)}", f"[{outputs}]")
    return bias.reshape(-1)


def batch_matmul(node: Node) -> Value:
    """BATCH_MATMUL; `AdjX` and `AdjY` transpose the last two axes."""
    operands = [node.value(index).last() for index in (0, 1)]
    for index, option in enumerate(("AdjX", "AdjY")):
        if node.operator.options[option]:
            rank = len(node.rank(index, 2, 3, 4, 5))
            perm = [*range(rank - 2), rank - 1, rank - 2]
            operands[index] = node.builder.transpose(operands[index], perm)
    return node.last(node.builder.matmul(*operands))


HANDLERS: dict[str, Handler] = {
    "BATCH_MATMUL": batch_matmul,
    "CONV_2D": conv_2d,
    "DEPTHWISE_CONV_2D": depthwise_conv_2d,
    "FULLY_CONNECTED": fully_connected,
}
