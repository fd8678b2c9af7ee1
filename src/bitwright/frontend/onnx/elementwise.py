"""Arithmetic, activations, normalisation and softmax."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from torch_mlir import ir

from bitwright.frontend.onnx.node import Handler, Node, Operand, shape
from bitwright.ir import bw
from bitwright.ir.types import dtype_of

LARGEST = float(np.finfo(np.float32).max)


def add(node: Node) -> Operand:
    """Add; a constant may be a mask with minus infinity."""
    if not node.all_float() or any(_is_mask(operand) for operand in node.operands):
        return node.builder.add(node.tensor(0), node.tensor(1))
    return node.builder.add(node.value(0), node.value(1))


def _is_mask(operand: Operand | None) -> bool:
    if operand is None or isinstance(operand, ir.Value):
        return False
    return bool(np.isneginf(operand).any() and (operand < np.inf).all())


def sub(node: Node) -> Operand:
    """Sub: a constant on the right is negated, otherwise the multiplier is -1."""
    build, rhs = node.builder, node.required(1)
    if isinstance(rhs, ir.Value) or not node.all_float():
        return build.add(node.tensor(0), node.tensor(1), 1, -1)
    negative = node.constant(-node.float_array(1, "subtrahend"), node.proto.input[1])
    return build.add(node.value(0), negative)


def mul(node: Node) -> Operand:
    """Mul."""
    if not node.all_float():
        return node.builder.mul(node.tensor(0), node.tensor(1))
    return node.builder.mul(node.value(0), node.value(1))


def div(node: Node) -> Operand:
    """Div; by a constant it is a product with its reciprocal."""
    if isinstance(node.required(1), ir.Value) or not node.all_float():
        return node.builder.binary("div", node.tensor(0), node.tensor(1))
    divisor = node.float_array(1, "divisor")
    with np.errstate(divide="ignore"):
        reciprocal = (1.0 / divisor.astype(np.float64)).astype(np.float32)
    return node.builder.mul(node.value(0), node.constant(reciprocal, f"1 / {node.proto.input[1]}"))


def neg(node: Node) -> Operand:
    """Neg; of floats as a product with -1."""
    if not node.all_float() or node.rank(0) == 0:
        return node.builder.function("neg", node.tensor(0))
    return node.builder.mul(node.value(0), node.builder.constant(np.array([-1.0], np.float32)))


def sum_(node: Node) -> Operand:
    """Sum of any number of operands."""
    operand = node.value if node.all_float() else node.tensor
    total = operand(0)
    for index in range(1, len(node.operands)):
        total = node.builder.add(total, operand(index))
    return total


def _plain(operation: Any) -> Handler:
    def handle(node: Node) -> Operand:
        return node.builder.unary(operation, node.value(0))

    return handle


def clip(node: Node) -> Operand:
    """Clip; bounds are operands since opset 11 (attributes before), and may be computed."""
    given = [node.operand(index) for index in (1, 2)]
    if not node.all_float() or any(isinstance(operand, ir.Value) for operand in given):
        x = node.tensor(0)
        for index, kind in ((1, "maximum"), (2, "minimum")):
            if node.operand(index) is not None:
                x = node.builder.binary(kind, x, node.tensor(index))
        return x
    bounds = [
        _bound(node, 1, "min", -LARGEST),
        _bound(node, 2, "max", LARGEST),
    ]
    low, high = (min(max(bound, -LARGEST), LARGEST) for bound in bounds)
    if (low, high) == (-LARGEST, LARGEST):
        return node.value(0)
    if (low, high) == (0.0, LARGEST):
        return node.builder.relu(node.value(0))
    # The standard gives max where min > max; bw.clip applies the lower bound first as well.
    return node.builder.unary(bw.ClipOp, node.value(0), minimum=min(low, high), maximum=high)


def _bound(node: Node, index: int, name: str, default: float) -> float:
    if node.operand(index) is None:
        return node.number(name, default)
    bound = node.array(index, f"{name} of the clip")
    if bound.size != 1 or math.isnan(float(bound.reshape(-1)[0])):
        node.fail_operand(index, f"is {bound.tolist()}", "one number")
    return float(bound.reshape(-1)[0])


def leaky_relu(node: Node) -> Operand:
    """LeakyRelu."""
    return node.builder.unary(bw.LeakyReluOp, node.value(0), alpha=node.number("alpha", 0.01))


def prelu(node: Node) -> Operand:
    """PRelu; with one slope for all channels it is a LeakyRelu."""
    build, computed = node.builder, isinstance(node.required(1), ir.Value)
    slope = None if computed else node.float_array(1, "slope")
    if slope is None or slope.size == 0 or (slope != slope.reshape(-1)[0]).any():
        x, slopes = node.value(0), node.value(1)
        positive = build.binary("greater", x, build.plain(np.zeros((), np.float32)))
        return build.select(positive, x, build.mul(x, slopes))
    return node.builder.unary(bw.LeakyReluOp, node.value(0), alpha=float(slope.reshape(-1)[0]))


def hard_sigmoid(node: Node) -> Operand:
    """HardSigmoid."""
    return node.builder.unary(
        bw.HardSigmoidOp, node.value(0), alpha=node.number("alpha", 0.2),
        beta=node.number("beta", 0.5),
    )  # fmt: skip


def softmax(node: Node) -> Operand:
    """Softmax: along one axis since opset 13, before that over all axes from `axis` on."""
    build, x = node.builder, node.tensor(0)
    extents, own = shape(x), dtype_of(x)
    if own != np.float32:
        axis = node.axis(node.integer("axis", -1 if node.opset >= 13 else 1), len(extents))
        if node.opset < 13 and math.prod(extents[axis + 1 :]) != 1:
            node.fail_operand(0, f"has element type {own}", "float32 before opset 13")
        return build.cast(build.softmax(build.cast(x, np.dtype(np.float32)), axis), own)
    if node.opset >= 13:
        return build.softmax(x, node.axis(node.integer("axis", -1), len(extents)))
    axis = node.axis(node.integer("axis", 1), len(extents))
    if math.prod(extents[axis + 1 :]) == 1:
        return build.softmax(x, axis)
    flat = build.reshape(x, (math.prod(extents[:axis]), math.prod(extents[axis:])))
    return build.reshape(build.softmax(flat, 1), extents)


def batch_normalization(node: Node) -> Operand:
    """BatchNormalization with constant statistics."""
    if node.integer("training_mode", 0):
        node.fail_attribute("training_mode", 1, "0; export the model for inference")
    roles = ("scale", "bias", "mean", "variance")
    scale, bias, mean, variance = (
        node.float_array(index, role) for index, role in enumerate(roles, start=1)
    )
    epsilon = node.number("epsilon", 1e-5)
    if (variance.astype(np.float64) + epsilon <= 0).any():
        node.fail_operand(4, f"has a variance of {float(variance.min())}", "positive variances")
    constant: Callable[[Any], ir.Value] = node.builder.constant
    return node.builder.batch_norm(
        node.value(0), constant(scale), constant(bias), constant(mean), constant(variance),
        epsilon,
    )  # fmt: skip


HANDLERS: dict[str, Handler] = {
    "Add": add,
    "BatchNormalization": batch_normalization,
    "Clip": clip,
    "Div": div,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": _plain(bw.HardSwishOp),
    "LeakyRelu": leaky_relu,
    "Mul": mul,
    "Neg": neg,
    "PRelu": prelu,
    "Relu": _plain(bw.ReluOp),
    "Sigmoid": _plain(bw.SigmoidOp),
    "Softmax": softmax,
    "Sub": sub,
    "Sum": sum_,
    "Tanh": _plain(bw.TanhOp),
}
