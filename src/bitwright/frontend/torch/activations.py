"""Activation functions and softmax."""

import math
from typing import Any

import numpy as np
from torch_mlir import ir

from bitwright.frontend.common.normalization import scalar
from bitwright.frontend.torch.node import FLOAT, Handler, Node, Operand, shape
from bitwright.ir import bw
from bitwright.ir.types import is_float

_SELU = (1.6732632423543772, 1.0507009873554805)


def _plain(operation: Any) -> Handler:
    """A function of `self` without further arguments; half types through float32."""

    def handle(node: Node) -> Operand:
        build, own = node.builder, node.dtype
        return build.cast(build.unary(operation, node.tensor("self", FLOAT)), own)

    return handle


def relu(node: Node) -> Operand:
    """relu, of integers too."""
    x = node.tensor("self")
    if is_float(x):
        return node.builder.relu(x)
    return node.builder.binary("maximum", x, scalar(node.builder, 0, x))


def clipped(node: Node, x: ir.Value, low: float, high: float) -> ir.Value:
    """min(max(x, low), high), of which either bound may be infinite."""
    build = node.builder
    if not is_float(x):
        if low > -math.inf:
            x = build.binary("maximum", x, scalar(build, low, x))
        return build.binary("minimum", x, scalar(build, high, x)) if high < math.inf else x
    largest = float(np.finfo(np.float32).max)
    low, high = max(low, -largest), min(high, largest)
    if (low, high) == (0.0, largest):
        return build.relu(x)
    return build.unary(bw.ClipOp, x, minimum=min(low, high), maximum=high)


def relu6(node: Node) -> Operand:
    """relu6."""
    return clipped(node, node.value("self"), 0.0, 6.0)


def hardtanh(node: Node) -> Operand:
    """hardtanh."""
    return clipped(node, node.value("self"), node.number("min_val"), node.number("max_val"))


def clamp(node: Node) -> Operand:
    """clamp with numbers or tensors as bounds."""
    build, x = node.builder, node.tensor("self", node.dtype)
    bounds = {name: node.argument(name) for name in ("min", "max") if node.has(name)}
    if any(isinstance(bound, ir.Value) or hasattr(bound, "shape") for bound in bounds.values()):
        for name, kind in (("min", "maximum"), ("max", "minimum")):
            if name in bounds:
                x = build.binary(kind, x, node.tensor(name, node.dtype))
        return x
    return clipped(node, x, bounds.get("min", -math.inf), bounds.get("max", math.inf))


def leaky_relu(node: Node) -> Operand:
    """leaky_relu."""
    return node.builder.unary(
        bw.LeakyReluOp, node.value("self"), alpha=node.number("negative_slope")
    )


def prelu(node: Node) -> Operand:
    """prelu; with one constant slope for all channels it is a leaky_relu."""
    build, x, slope = node.builder, node.value("self"), node.argument("weight")
    if not isinstance(slope, ir.Value) and slope.numel() == 1:
        return build.unary(bw.LeakyReluOp, x, alpha=float(slope))
    slopes = node.value("weight")
    if shape(slopes) != (1,) and len(shape(slopes)) == 1 and len(shape(x)) > 1:
        slopes = build.reshape(slopes, (shape(slopes)[0], *[1] * (len(shape(x)) - 2)))
    positive = build.binary("greater", x, scalar(build, 0, x))
    return build.select(positive, x, build.mul(x, slopes))


def hardsigmoid(node: Node) -> Operand:
    """hardsigmoid: min(max(x / 6 + 1/2, 0), 1)."""
    return node.builder.unary(bw.HardSigmoidOp, node.value("self"), alpha=1 / 6, beta=0.5)


def silu(node: Node) -> Operand:
    """silu: x * sigmoid(x)."""
    x = node.value("self")
    return node.builder.mul(x, node.builder.unary(bw.SigmoidOp, x))


def gelu(node: Node) -> Operand:
    """gelu, exact or with a hyperbolic tangent."""
    mode = node.argument("approximate")
    return node.builder.function("gelu", node.tensor("self"), approximate=mode)


def elu(node: Node) -> Operand:
    """elu, and selu, which is one with fixed numbers."""
    build, x = node.builder, node.tensor("self")
    alpha, scale = node.number("alpha"), node.number("scale")
    if node.number("input_scale") != 1:
        node.fail_value("input_scale", "1")
    if scale == 1:
        return build.function("elu", x, alpha=alpha)
    return build.function("selu", x, alpha=alpha, gamma=scale)


def selu(node: Node) -> Operand:
    """selu."""
    return node.builder.function("selu", node.tensor("self"), alpha=_SELU[0], gamma=_SELU[1])


def celu(node: Node) -> Operand:
    """celu."""
    return node.builder.function("celu", node.tensor("self"), alpha=node.number("alpha"))


def softplus(node: Node) -> Operand:
    """softplus; above a threshold where both are equal in float32, torch takes x itself."""
    build, x = node.builder, node.tensor("self")
    beta = node.number("beta")
    if node.number("threshold") < 16:
        node.fail_value("threshold", "16 and more (the default is 20)")
    if beta == 1:
        return build.function("softplus", x)
    scaled = build.function("softplus", build.mul(x, scalar(build, beta, x)))
    return build.mul(scaled, scalar(build, 1 / beta, x))


def mish(node: Node) -> Operand:
    """mish: x * tanh(softplus(x))."""
    build, x = node.builder, node.value("self")
    return build.mul(x, build.unary(bw.TanhOp, build.function("softplus", x)))


def log_sigmoid(node: Node) -> Operand:
    """log_sigmoid: -softplus(-x)."""
    build, x = node.builder, node.tensor("self")
    negative = build.function("softplus", build.function("neg", x))
    return build.function("neg", negative)


def softmax(node: Node) -> Operand:
    """softmax in float32."""
    build, x = node.builder, node.tensor("self", FLOAT)
    node.read.add("half_to_float")  # the type of the result says it
    return build.cast(build.softmax(x, node.axis("dim", len(shape(x)))), node.dtype)


def log_softmax(node: Node) -> Operand:
    """log_softmax: x - max - log(sum(exp(x - max)))."""
    build, x = node.builder, node.tensor("self", FLOAT)
    node.read.add("half_to_float")
    axes = [node.axis("dim", len(shape(x)))]
    below = build.add(x, build.reduce("reduce_max", x, axes, True), 1, -1)
    total = build.reduce_sum(build.function("exp", below), axes, True)
    return build.cast(build.add(below, build.function("log", total), 1, -1), node.dtype)


HANDLERS: dict[str, Handler] = {
    "aten._log_softmax": log_softmax,
    "aten._softmax": softmax,
    "aten.celu": celu,
    "aten.clamp": clamp,
    "aten.elu": elu,
    "aten.gelu": gelu,
    "aten.hardsigmoid": hardsigmoid,
    "aten.hardswish": _plain(bw.HardSwishOp),
    "aten.hardtanh": hardtanh,
    "aten.leaky_relu": leaky_relu,
    "aten.log_sigmoid": log_sigmoid,
    "aten.mish": mish,
    "aten.prelu": prelu,
    "aten.relu": relu,
    "aten.relu6": relu6,
    "aten.selu": selu,
    "aten.sigmoid": _plain(bw.SigmoidOp),
    "aten.silu": silu,
    "aten.softplus": softplus,
    "aten.tanh": _plain(bw.TanhOp),
}
