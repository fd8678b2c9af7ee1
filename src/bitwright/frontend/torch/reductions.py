"""Reductions over axes."""

import math

import numpy as np
from torch_mlir import ir

from bitwright.frontend.common.normalization import mean_of, scalar
from bitwright.frontend.torch.node import Handler, Node, Operand, shape


def _given_axes(node: Node, rank: int) -> tuple[list[int], bool]:
    """Axes (all where none are given) and whether they are kept."""
    axes = node.axes("dim", rank) if "dim" in node.given else list(range(rank))
    return axes, "keepdim" in node.given and node.flag("keepdim")


def mean(node: Node) -> Operand:
    """mean."""
    node.read.add("dtype")  # that of the result
    x = node.tensor("self", node.dtype)
    axes, _ = _given_axes(node, len(shape(x)))
    return _reshaped(node, mean_of(node.builder, x, axes))


def sum_(node: Node) -> Operand:
    """sum."""
    node.read.add("dtype")
    x = node.tensor("self", node.dtype)
    axes, keep = _given_axes(node, len(shape(x)))
    return node.builder.reduce_sum(x, axes, keep)


_OF_TWO = {"reduce_max": "maximum", "reduce_min": "minimum"}


def _reduction(kind: str) -> Handler:
    def handle(node: Node) -> Operand:
        if "dtype" in node.given:
            node.read.add("dtype")
        x = node.tensor("self", node.dtype)
        if "other" in node.given:
            other = node.tensor("other", node.dtype)
            return node.builder.binary(_OF_TWO[kind], x, other)
        axes, keep = _given_axes(node, len(shape(x)))
        result = node.builder.reduce(kind, x, axes, keep)
        # max and min of an axis also give indices, which are not computed.
        return [result, None] if isinstance(node.proto.meta["val"], (tuple, list)) else result

    return handle


def _truth(kind: str) -> Handler:
    """any and all: the largest and the least of truth values."""

    def handle(node: Node) -> Operand:
        build, truth = node.builder, np.dtype(np.bool_)
        x = build.cast(node.tensor("self", truth), np.dtype(np.uint8))
        axes, keep = _given_axes(node, len(shape(x)))
        return build.cast(build.reduce(kind, x, axes, keep), truth)

    return handle


def variance(node: Node) -> Operand:
    """var: the mean square of the deviations, times n / (n - correction)."""
    build, x = node.builder, node.value("self")
    axes, _ = _given_axes(node, len(shape(x)))
    correction = node.number("correction") if node.has("correction") else 1.0
    count = math.prod(shape(x)[axis] for axis in axes)
    if count <= correction:
        node.fail_value("correction", f"less than the {count} elements of each variance")
    centred = build.add(x, mean_of(build, x, axes), 1, -1)
    square = mean_of(build, build.mul(centred, centred), axes)
    factor = count / (count - correction)
    scaled = square if factor == 1 else build.mul(square, scalar(build, factor, square))
    return _reshaped(node, scaled)


def vector_norm(node: Node) -> Operand:
    """linalg_vector_norm of order 1, 2 or infinity."""
    node.read.add("dtype")
    build, x, order = node.builder, node.tensor("self", node.dtype), node.number("ord")
    axes, keep = _given_axes(node, len(shape(x)))
    if order == 2:
        return build.function("sqrt", build.reduce_sum(build.mul(x, x), axes, keep))
    magnitude = build.function("abs", x)
    if order == 1:
        return build.reduce_sum(magnitude, axes, keep)
    if order != math.inf:
        node.fail_value("ord", "1, 2, inf")
    return build.reduce("reduce_max", magnitude, axes, keep)


def _reshaped(node: Node, x: ir.Value) -> ir.Value:
    """Without the reduced axes where they are not kept."""
    node.read.add("keepdim")
    return x if shape(x) == node.shape else node.builder.reshape(x, node.shape)


def cumsum(node: Node) -> Operand:
    """cumsum."""
    node.read.add("dtype")
    x = node.tensor("self", node.dtype)
    return node.builder.cumsum(x, node.axis("dim", len(shape(x))), False, False)


HANDLERS: dict[str, Handler] = {
    "aten.all": _truth("reduce_min"),
    "aten.amax": _reduction("reduce_max"),
    "aten.amin": _reduction("reduce_min"),
    "aten.any": _truth("reduce_max"),
    "aten.cumsum": cumsum,
    "aten.linalg_vector_norm": vector_norm,
    "aten.max": _reduction("reduce_max"),
    "aten.mean": mean,
    "aten.min": _reduction("reduce_min"),
    "aten.prod": _reduction("reduce_prod"),
    "aten.sum": sum_,
    "aten.var": variance,
}
