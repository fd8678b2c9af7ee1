"""Pooling and reductions of float models."""

from collections.abc import Callable, Sequence

from torch_mlir import ir

from bitwright.frontend.tflite.float_elementwise import fused
from bitwright.frontend.tflite.node import Handler, Node, Value
from bitwright.frontend.tflite.pooling import kernel_of, reduced_axes
from bitwright.frontend.tflite.windows import window
from bitwright.ir.builder import Builder
from bitwright.ir.types import shape_of

Reduction = Callable[[Builder, ir.Value, Sequence[int], bool], ir.Value]


def average_pool_2d(node: Node) -> Value:
    """AVERAGE_POOL_2D: padding is not counted."""
    node.rank(0, 4)
    x, kernel = node.value(0).first(), kernel_of(node)
    sliding = window(node, shape_of(x)[2:], kernel)
    pooled = node.builder.avg_pool2d(
        x, kernel=kernel, stride=sliding.stride, padding=sliding.padding
    )
    return node.first(fused(node, pooled))


def max_pool_2d(node: Node) -> Value:
    """MAX_POOL_2D."""
    node.rank(0, 4)
    x, kernel = node.value(0).first(), kernel_of(node)
    sliding = window(node, shape_of(x)[2:], kernel)
    pooled = node.builder.max_pool2d(
        x, kernel=kernel, stride=sliding.stride, padding=sliding.padding
    )
    return node.first(fused(node, pooled))


def _reduction(reduce: Reduction) -> Handler:
    def handle(node: Node) -> Value:
        axes, keep = reduced_axes(node), bool(node.operator.options["KeepDims"])
        x = node.value(0)
        if len(x.shape) == 4 and x.first_ is not None and axes == [1, 2]:
            made = reduce(node.builder, x.first(), (2, 3), keep)
            return node.first(made) if keep else node.last(made)
        return node.last(reduce(node.builder, x.last(), axes, keep))

    return handle


def _named(name: str) -> Handler:
    return _reduction(lambda build, x, axes, keep: build.reduce(name, x, axes, keep))


HANDLERS: dict[str, Handler] = {
    "AVERAGE_POOL_2D": average_pool_2d,
    "MAX_POOL_2D": max_pool_2d,
    "MEAN": _reduction(Builder.reduce_mean),
    "REDUCE_MAX": _named("reduce_max"),
    "REDUCE_MIN": _named("reduce_min"),
    "SUM": _reduction(Builder.reduce_sum),
}
