"""Functions of each element, comparisons, logic, choice and conversion, on any plain type."""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper
from torch_mlir import ir

from bitwright.frontend.onnx.errors import UnsupportedAttributeError
from bitwright.frontend.onnx.node import Handler, Node, Operand
from bitwright.frontend.onnx.source import type_name
from bitwright.ir import bw
from bitwright.ir.types import dtype_of


def _function(name: str, **defaults: float) -> Handler:
    def handle(node: Node) -> Operand:
        values = {key: node.number(key, default) for key, default in defaults.items()}
        return node.builder.function(name, node.tensor(0), **values)

    return handle


def _binary(name: str) -> Handler:
    def handle(node: Node) -> Operand:
        return node.builder.binary(name, node.tensor(0), node.tensor(1))

    return handle


def _chain(name: str) -> Handler:
    def handle(node: Node) -> Operand:
        total = node.tensor(0)
        for index in range(1, len(node.operands)):
            total = node.builder.binary(name, total, node.tensor(index))
        return total

    return handle


def mean(node: Node) -> Operand:
    """Mean of any number of operands."""
    total = node.tensor(0)
    for index in range(1, len(node.operands)):
        total = node.builder.add(total, node.tensor(index))
    return node.builder.mul(total, scalar(node, 1 / len(node.operands), total))


def scalar(node: Node, value: float, like: ir.Value) -> ir.Value:
    """A constant of rank 0 in the type of `like`."""
    return node.builder.plain(np.asarray(value).astype(dtype_of(like)))


def gelu(node: Node) -> Operand:
    """Gelu, exact or with a hyperbolic tangent."""
    mode = node.attribute("approximate", "none")
    if mode not in ("none", "tanh"):
        node.fail_attribute("approximate", mode, "none, tanh")
    return node.builder.function("gelu", node.tensor(0), approximate=mode)


def swish(node: Node) -> Operand:
    """x / (1 + exp(-alpha * x))."""
    build, x = node.builder, node.tensor(0)
    alpha = node.number("alpha", 1.0)
    scaled = x if alpha == 1.0 else build.mul(x, scalar(node, alpha, x))
    denominator = build.add(
        build.function("exp", build.function("neg", scaled)), scalar(node, 1, x)
    )
    return build.binary("div", x, denominator)


def mish(node: Node) -> Operand:
    """x * tanh(softplus(x))."""
    build, x = node.builder, node.tensor(0)
    return build.mul(x, tanh(node, build.function("softplus", x)))


def tanh(node: Node, x: ir.Value) -> ir.Value:
    """Hyperbolic tangent, in float32."""
    build = node.builder
    wide = build.cast(x, np.dtype(np.float32))
    return build.cast(build.unary(bw.TanhOp, wide), dtype_of(x))


def mod(node: Node) -> Operand:
    """Mod with the divisor's sign, or with the dividend's (fmod)."""
    name = "fmod" if node.integer("fmod", 0) else "mod"
    return node.builder.binary(name, node.tensor(0), node.tensor(1))


def bit_shift(node: Node) -> Operand:
    """BitShift."""
    direction = str(node.attribute("direction", "")).lower()
    if direction not in ("left", "right"):
        node.fail_attribute("direction", direction, "LEFT, RIGHT")
    return node.builder.binary(f"shift_{direction}", node.tensor(0), node.tensor(1))


def is_inf(node: Node) -> Operand:
    """IsInf of one or both signs."""
    return node.builder.function(
        "is_inf", node.tensor(0), negative=node.integer("detect_negative", 1),
        positive=node.integer("detect_positive", 1),
    )  # fmt: skip


def where(node: Node) -> Operand:
    """Where."""
    return node.builder.select(node.tensor(0), node.tensor(1), node.tensor(2))


def cast(node: Node) -> Operand:
    """Cast to another type of numbers."""
    return _converted(node, node.integer("to", 0))


def cast_like(node: Node) -> Operand:
    """Cast to the type of the second operand."""
    like = node.required(1)
    dtype = dtype_of(like) if isinstance(like, ir.Value) else like.dtype
    return _converted(node, int(helper.np_dtype_to_tensor_dtype(dtype)))


def _converted(node: Node, target: int) -> Operand:
    name = type_name(target)
    if target in (onnx.TensorProto.STRING, onnx.TensorProto.FLOAT8E8M0):
        node.fail_attribute("to", name, "floats, integers and booleans")
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(target))
    try:
        return node.builder.cast(node.tensor(0), dtype, bool(node.integer("saturate", 1)))
    except ValueError:
        raise UnsupportedAttributeError(
            f"{node.describe()}: attribute to is {name!r}; supported: floats, integers, booleans"
        ) from None


_ANY: Mapping[str, str] = {
    "Abs": "abs", "Acos": "acos", "Acosh": "acosh", "Asin": "asin", "Asinh": "asinh",
    "Atan": "atan", "Atanh": "atanh", "BitwiseNot": "bitwise_not", "Ceil": "ceil", "Cos": "cos",
    "Cosh": "cosh", "Erf": "erf", "Exp": "exp", "Floor": "floor", "IsNaN": "isnan", "Log": "log",
    "Not": "logical_not", "Reciprocal": "reciprocal", "Round": "round", "Sign": "sign",
    "Sin": "sin", "Sinh": "sinh", "Softplus": "softplus", "Softsign": "softsign", "Sqrt": "sqrt",
    "Tan": "tan",
}  # fmt: skip
_PAIRS: Mapping[str, str] = {
    "And": "logical_and", "BitwiseAnd": "bitwise_and", "BitwiseOr": "bitwise_or",
    "BitwiseXor": "bitwise_xor", "Equal": "equal", "Greater": "greater",
    "GreaterOrEqual": "greater_equal", "Less": "less", "LessOrEqual": "less_equal",
    "Or": "logical_or", "Pow": "pow", "Xor": "logical_xor",
}  # fmt: skip

HANDLERS: dict[str, Handler] = {
    **{kind: _function(name) for kind, name in _ANY.items()},
    **{kind: _binary(name) for kind, name in _PAIRS.items()},
    "BitShift": bit_shift,
    "Cast": cast,
    "CastLike": cast_like,
    "Celu": _function("celu", alpha=1.0),
    "Elu": _function("elu", alpha=1.0),
    "Gelu": gelu,
    "IsInf": is_inf,
    "Max": _chain("maximum"),
    "Mean": mean,
    "Min": _chain("minimum"),
    "Mish": mish,
    "Mod": mod,
    "Selu": _function("selu", alpha=1.67326319217681884765625, gamma=1.05070102214813232421875),
    "Shrink": _function("shrink", lambd=0.5, bias=0.0),
    "Swish": swish,
    "ThresholdedRelu": _function("thresholded_relu", alpha=1.0),
    "Where": where,
}
