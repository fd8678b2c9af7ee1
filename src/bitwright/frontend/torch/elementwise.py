"""Arithmetic, functions of each element, comparisons, logic, choice and conversion."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch_mlir import ir

from bitwright.frontend.common.normalization import inverse_root, scalar
from bitwright.frontend.torch.node import FLOAT, Handler, Node, Operand
from bitwright.ir.types import dtype_of


def add(node: Node) -> Operand:
    """add: self + alpha * other."""
    return node.builder.add(node.tensor("self", node.dtype), _scaled(node, 1))


def sub(node: Node) -> Operand:
    """sub: a constant on the right is negated, otherwise the multiplier is -1."""
    x = node.tensor("self", node.dtype)
    if isinstance(node.argument("other"), ir.Value) or node.dtype.kind != "f":
        return node.builder.add(x, _scaled(node, 1), 1, -1)
    return node.builder.add(x, _scaled(node, -1))


def _scaled(node: Node, sign: int) -> ir.Value:
    """sign * alpha * other."""
    other, factor = node.argument("other"), node.argument("alpha") * sign
    if isinstance(other, ir.Value):
        value = node.tensor("other", node.dtype)
        return (
            value if factor == 1 else node.builder.mul(value, scalar(node.builder, factor, value))
        )
    return node.as_value(other * factor, "other", node.dtype)


def mul(node: Node) -> Operand:
    """mul."""
    return node.builder.mul(node.tensor("self", node.dtype), node.tensor("other", node.dtype))


def div(node: Node) -> Operand:
    """div; of floats by a constant it is a product with its reciprocal."""
    build, x, other = node.builder, node.tensor("self", node.dtype), node.argument("other")
    mode = node.argument("rounding_mode") if "rounding_mode" in node.given else None
    if mode is None and not isinstance(other, ir.Value) and node.dtype == FLOAT:
        divisor = np.asarray(other, np.float64)
        with np.errstate(all="ignore"):
            reciprocal = (1.0 / divisor).astype(np.float32)
        if np.isfinite(reciprocal).all():
            return build.mul(x, node.as_value(torch.from_numpy(np.array(reciprocal)), "other"))
    quotient = build.binary("div", x, node.tensor("other", node.dtype))
    if mode is None or (mode == "trunc" and node.dtype.kind in "iu"):
        return quotient
    if node.dtype.kind != "f":  # a - mod(a, b) is a multiple of b
        divisor = node.tensor("other", node.dtype)
        return build.binary("div", build.add(x, build.binary("mod", x, divisor), 1, -1), divisor)
    return build.function("floor", quotient) if mode == "floor" else _truncated(node, quotient)


def _truncated(node: Node, x: ir.Value) -> ir.Value:
    build = node.builder
    whole = build.function("floor", build.function("abs", x))
    return build.mul(build.function("sign", x), whole)


def trunc(node: Node) -> Operand:
    """trunc."""
    return _truncated(node, node.tensor("self"))


def pow_(node: Node) -> Operand:
    """pow; the common exponents as products and roots."""
    build, exponent = node.builder, node.argument("exponent")
    x = node.tensor("self", node.dtype)
    if isinstance(exponent, (int, float)):
        if exponent == 1:
            return x
        if exponent == 2:
            return build.mul(x, x)
        if exponent == 3:
            return build.mul(build.mul(x, x), x)
        if exponent == 0.5:
            return build.function("sqrt", x)
        if exponent == -0.5:
            return inverse_root(build, x, 0.0)
    return build.binary("pow", x, node.tensor("exponent", node.dtype))


def rsqrt(node: Node) -> Operand:
    """rsqrt: 1 / sqrt(x)."""
    build = node.builder
    return build.function("reciprocal", build.function("sqrt", node.tensor("self", node.dtype)))


def round_(node: Node) -> Operand:
    """round, ties to even; to `decimals` digits not."""
    if "decimals" in node.given and node.integer("decimals"):
        node.fail_value("decimals", "0")
    return node.builder.function("round", node.tensor("self"))


def _function(name: str) -> Handler:
    def handle(node: Node) -> Operand:
        x = node.tensor("self", node.dtype)
        if node.dtype.kind in "iub" and name in ("floor", "ceil"):
            return x
        return node.builder.function(name, x)

    return handle


def _logarithm(base: float) -> Handler:
    def handle(node: Node) -> Operand:
        logarithm = node.builder.function("log", node.tensor("self", node.dtype))
        return node.builder.mul(logarithm, scalar(node.builder, 1 / math.log(base), logarithm))

    return handle


def isnan(node: Node) -> Operand:
    """isnan."""
    return node.builder.function("isnan", node.tensor("self"))


def isinf(node: Node) -> Operand:
    """isinf of either sign."""
    return node.builder.function("is_inf", node.tensor("self"), negative=1, positive=1)


def _binary(name: str) -> Handler:
    def handle(node: Node) -> Operand:
        lhs, rhs = (node.tensor(side, node.dtype) for side in ("self", "other"))
        return node.builder.binary(name, lhs, rhs)

    return handle


def _comparison(name: str, negated: bool = False) -> Handler:
    def handle(node: Node) -> Operand:
        common = node.common_dtype("self", "other")
        if common == np.bool_:
            common = np.dtype(np.uint8)
        lhs, rhs = (node.tensor(side, common) for side in ("self", "other"))
        result = node.builder.binary(name, lhs, rhs)
        return node.builder.function("logical_not", result) if negated else result

    return handle


def _logical(name: str) -> Handler:
    truth = np.dtype(np.bool_)

    def handle(node: Node) -> Operand:
        lhs, rhs = (node.tensor(side, truth) for side in ("self", "other"))
        return node.builder.binary(name, lhs, rhs)

    return handle


def logical_not(node: Node) -> Operand:
    """logical_not."""
    return node.builder.function("logical_not", node.tensor("self", np.dtype(np.bool_)))


def bitwise_not(node: Node) -> Operand:
    """bitwise_not."""
    x = node.tensor("self")
    name = "logical_not" if dtype_of(x) == np.bool_ else "bitwise_not"
    return node.builder.function(name, x)


def where(node: Node) -> Operand:
    """where."""
    lhs, rhs = (node.tensor(side, node.dtype) for side in ("self", "other"))
    return node.builder.select(node.tensor("condition"), lhs, rhs)


def to_copy(node: Node) -> Operand:
    """_to_copy: conversion to another type."""
    node.read.add("dtype")  # that of the result
    return node.tensor("self", node.dtype)


def identity(node: Node) -> Operand:
    """What changes nothing: clone (dropout is one at inference), alias, detach."""
    return node.tensor("self")


def filled(node: Node) -> Operand:
    """full_like, zeros_like, ...: a constant of the result's shape."""
    node.read.update(("dtype", "size", "self"))
    value: Any = 0
    for name in ("fill_value", "value"):
        if name in node.given:
            value = node.argument(name)
    if "ones" in str(node.proto.target):
        value = 1
    extents = node.shape
    if isinstance(value, ir.Value):
        return node.builder.expand(node.builder.cast(value, node.dtype), extents)
    return torch.full(extents, value, dtype=node.proto.meta["val"].dtype)


_FUNCTIONS = (
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "erf", "exp",
    "floor", "log", "neg", "reciprocal", "sign", "sin", "sinh", "sqrt", "tan",
)  # fmt: skip
_BINARIES: Mapping[str, str] = {
    "bitwise_and": "bitwise_and", "bitwise_or": "bitwise_or", "bitwise_xor": "bitwise_xor",
    "fmod": "fmod", "maximum": "maximum", "minimum": "minimum", "remainder": "mod",
}  # fmt: skip
_COMPARISONS: Mapping[str, str] = {
    "eq": "equal", "ge": "greater_equal", "gt": "greater", "le": "less_equal", "lt": "less",
}  # fmt: skip

HANDLERS: dict[str, Handler] = {
    **{f"aten.{name}": _function(name) for name in _FUNCTIONS},
    **{f"aten.{kind}": _binary(name) for kind, name in _BINARIES.items()},
    **{f"aten.{kind}": _comparison(name) for kind, name in _COMPARISONS.items()},
    **{f"aten.{name}": _logical(name) for name in ("logical_and", "logical_or", "logical_xor")},
    **{f"aten.{name}": identity for name in ("alias", "clone", "detach")},
    **{f"aten.{name}": filled for name in ("full_like", "ones_like", "zeros_like", "new_full",
                                           "new_ones", "new_zeros")},
    "aten._to_copy": to_copy,
    "aten.add": add,
    "aten.bitwise_not": bitwise_not,
    "aten.div": div,
    "aten.isinf": isinf,
    "aten.isnan": isnan,
    "aten.log10": _logarithm(10),
    "aten.log2": _logarithm(2),
    "aten.logical_not": logical_not,
    "aten.mul": mul,
    "aten.ne": _comparison("equal", negated=True),
    "aten.pow": pow_,
    "aten.round": round_,
    "aten.rsqrt": rsqrt,
    "aten.sub": sub,
    "aten.trunc": trunc,
    "aten.where": where,
}  # fmt: skip
