"""Sums, products, activations and softmax."""

from collections.abc import Callable
from typing import Any

import numpy as np
from torch_mlir import ir

from bitwright.frontend.tflite import arithmetic
from bitwright.frontend.tflite.node import Array, Handler, Node, Value, shaped
from bitwright.ir.types import shape_of

ADD_LEFT_SHIFT = 20


def add(node: Node) -> Value:
    """ADD: both operands brought to twice the larger scale, at 20 more bits (AddElementwise)."""
    left, right = node.params(0).scale, node.params(1).scale
    result = node.result_params().scale
    twice = 2 * max(left, right)
    lhs, rhs, layout = operands(node)
    acc = node.builder.scaled_add(
        lhs, rhs, left_shift=ADD_LEFT_SHIFT, lhs_scale=arithmetic.multiplier(left / twice),
        rhs_scale=arithmetic.multiplier(right / twice),
    )  # fmt: skip
    factor = twice / ((1 << ADD_LEFT_SHIFT) * result)
    return layout(node.scaled(acc, [factor], 0, node.clamp()))


def mul(node: Node) -> Value:
    """MUL, its factor in float32 (MulElementwise)."""
    scales = [np.float32(node.params(index).scale) for index in (0, 1)]
    factor = float(scales[0] * scales[1] / np.float32(node.result_params().scale))
    lhs, rhs, layout = operands(node)
    return layout(node.scaled(node.builder.mul(lhs, rhs), [factor], 0, node.clamp()))


def operands(
    node: Node, right: Array | None = None
) -> tuple[ir.Value, ir.Value, Callable[[ir.Value], Value]]:
    """Both operands in one layout, and that of the result; `right` are floats for the second."""
    values = [node.value(0), node.value(1) if right is None else node.constant(right)]
    ranks = [len(value.shape) for value in values]
    computed = [value for i, value in enumerate(values) if not node.is_constant(i)]
    if max(ranks) == 4 and any(value.first_ is not None for value in computed):
        lifted = [
            value if rank == 4 else node.last(
                shaped(node.builder, value.last(), (1,) * (4 - rank) + value.shape)
            )
            for value, rank in zip(values, ranks, strict=True)
        ]  # fmt: skip
        return lifted[0].first(), lifted[1].first(), node.first
    return values[0].last(), values[1].last(), node.last


def _table(node: Node, entries: Any) -> Value:
    """A function of one integer, in the layout of the operand."""
    result, table = node.result_params(), [int(entry) for entry in entries]
    return node.mapped(lambda x: node.builder.table(x, result, table))


def _activation(name: str) -> Handler:
    def handle(node: Node) -> Value:
        return _table(node, arithmetic.activation_table(node.params(0), node.result_params(), name))

    return handle


def quantize(node: Node) -> Value:
    """QUANTIZE from int8 to int8: another scale."""
    return _table(node, arithmetic.requantized_table(node.params(0), node.result_params()))


def leaky_relu(node: Node) -> Value:
    """LEAKY_RELU."""
    return _table(node, arithmetic.leaky_table(node.params(0), node.result_params(), node.alpha()))


def logistic(node: Node) -> Value:
    """LOGISTIC, computed in float32 for each integer."""
    return _table(
        node,
        arithmetic.function_table(
            node.params(0), node.result_params(), lambda x: np.float32(1) / (1 + np.exp(-x))
        ),
    )


def tanh(node: Node) -> Value:
    """TANH, computed in float32 for each integer."""
    return _table(node, arithmetic.function_table(node.params(0), node.result_params(), np.tanh))


def softmax(node: Node) -> Value:
    """SOFTMAX along the last axis."""
    beta = node.beta()
    result = node.result_params()
    if result.scale != 1 / 256 or result.zero_point != -128:
        node.fail_operand(
            0, f"becomes scale {result.scale:g}, zero point {result.zero_point}",
            "a result of scale 1/256, zero point -128",
        )  # fmt: skip
    x = node.value(0).last()
    table = arithmetic.softmax_table(node.params(0).scale, beta)
    return node.last(node.builder.fixed_point_softmax(x, len(shape_of(x)) - 1, table.tolist()))


HANDLERS: dict[str, Handler] = {
    "ADD": add,
    "LEAKY_RELU": leaky_relu,
    "LOGISTIC": logistic,
    "MUL": mul,
    "QUANTIZE": quantize,
    "RELU": _activation("RELU"),
    "RELU6": _activation("RELU6"),
    "RELU_0_TO_1": _activation("RELU_0_TO_1"),
    "RELU_N1_TO_1": _activation("RELU_N1_TO_1"),
    "SOFTMAX": softmax,
    "TANH": tanh,
}
