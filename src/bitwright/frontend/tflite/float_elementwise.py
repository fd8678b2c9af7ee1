"""Sums, products, activations and functions of float models."""

from typing import Any

import numpy as np
from torch_mlir import ir

from bitwright.frontend.tflite import arithmetic
from bitwright.frontend.tflite.elementwise import operands
from bitwright.frontend.tflite.node import Handler, Node, Value
from bitwright.ir import bw
from bitwright.ir.types import shape_of


def bounded(node: Node, x: ir.Value, name: str) -> ir.Value:
    """`x` through an activation that only clamps."""
    low, high = arithmetic.ACTIVATIONS[name]
    if low is None:
        return x
    if high is None:
        return node.builder.relu(x)
    return node.builder.unary(bw.ClipOp, x, minimum=low, maximum=high)


def fused(node: Node, x: ir.Value) -> ir.Value:
    """`x` through the operator's fused activation."""
    return bounded(node, x, node.fused_activation())


def add(node: Node) -> Value:
    """ADD."""
    lhs, rhs, layout = operands(node)
    return layout(fused(node, node.builder.add(lhs, rhs)))


def sub(node: Node) -> Value:
    """SUB."""
    lhs, rhs, layout = operands(node)
    return layout(fused(node, node.builder.add(lhs, rhs, 1, -1)))


def mul(node: Node) -> Value:
    """MUL."""
    lhs, rhs, layout = operands(node)
    return layout(fused(node, node.builder.mul(lhs, rhs)))


def div(node: Node) -> Value:
    """DIV; by a constant it is a product with the reciprocal, which quantizes."""
    build = node.builder
    if node.is_constant(1) and not node.is_constant(0):
        with np.errstate(divide="ignore"):
            reciprocal = (1.0 / node.floats(1, "divisor").astype(np.float64)).astype(np.float32)
        lhs, rhs, layout = operands(node, reciprocal)
        return layout(fused(node, build.mul(lhs, rhs)))
    lhs, rhs, layout = operands(node)
    return layout(fused(node, build.binary("div", lhs, rhs)))


def _binary(name: str) -> Handler:
    def handle(node: Node) -> Value:
        lhs, rhs, layout = operands(node)
        return layout(node.builder.binary(name, lhs, rhs))

    return handle


def _unary(operation: Any) -> Handler:
    def handle(node: Node) -> Value:
        return node.mapped(lambda x: node.builder.unary(operation, x))

    return handle


def _function(name: str, **attributes: Any) -> Handler:
    def handle(node: Node) -> Value:
        return node.mapped(lambda x: node.builder.function(name, x, **attributes))

    return handle


def _activation(name: str) -> Handler:
    def handle(node: Node) -> Value:
        return node.mapped(lambda x: bounded(node, x, name))

    return handle


def leaky_relu(node: Node) -> Value:
    """LEAKY_RELU."""
    alpha = node.alpha()
    return node.mapped(lambda x: node.builder.unary(bw.LeakyReluOp, x, alpha=alpha))


def prelu(node: Node) -> Value:
    """PRELU with a constant slope; one slope for all is a LEAKY_RELU."""
    slope = node.floats(1, "slope")
    build, first = node.builder, float(slope.reshape(-1)[0])
    if (slope == first).all():
        return node.mapped(lambda x: build.unary(bw.LeakyReluOp, x, alpha=first))
    x, slopes, layout = operands(node)
    positive = build.binary("greater", x, build.plain(np.zeros((), np.float32)))
    return layout(build.select(positive, x, build.mul(x, slopes)))


def square(node: Node) -> Value:
    """SQUARE."""
    return node.mapped(lambda x: node.builder.mul(x, x))


def rsqrt(node: Node) -> Value:
    """RSQRT."""
    build = node.builder
    return node.mapped(lambda x: build.function("reciprocal", build.function("sqrt", x)))


def softmax(node: Node) -> Value:
    """SOFTMAX along the last axis, of `Beta` times the operand."""
    beta, x = node.beta(), node.value(0).last()
    if beta != 1.0:
        x = node.builder.mul(x, node.builder.constant(np.array([beta], np.float32)))
    return node.last(node.builder.softmax(x, len(shape_of(x)) - 1))


HANDLERS: dict[str, Handler] = {
    "ABS": _function("abs"),
    "ADD": add,
    "COS": _function("cos"),
    "DIV": div,
    "ELU": _function("elu", alpha=1.0),
    "EXP": _function("exp"),
    "FLOOR": _function("floor"),
    "HARD_SWISH": _unary(bw.HardSwishOp),
    "LEAKY_RELU": leaky_relu,
    "LOG": _function("log"),
    "LOGISTIC": _unary(bw.SigmoidOp),
    "MAXIMUM": _binary("maximum"),
    "MINIMUM": _binary("minimum"),
    "MUL": mul,
    "NEG": _function("neg"),
    "PRELU": prelu,
    "RELU": _activation("RELU"),
    "RELU6": _activation("RELU6"),
    "RELU_0_TO_1": _activation("RELU_0_TO_1"),
    "RELU_N1_TO_1": _activation("RELU_N1_TO_1"),
    "RSQRT": rsqrt,
    "SIN": _function("sin"),
    "SOFTMAX": softmax,
    "SQRT": _function("sqrt"),
    "SQUARE": square,
    "SUB": sub,
    "TANH": _unary(bw.TanhOp),
}
