"""Normalisations at inference."""

from collections.abc import Sequence

import numpy as np
from torch_mlir import ir

from bitwright.frontend.common.normalization import inverse_root, mean_of, normalized
from bitwright.frontend.torch.node import Handler, Node, Operand, shape


def batch_norm(node: Node) -> Operand:
    """batch_norm with its running statistics."""
    build, x = node.builder, node.value("input")
    node.read.update(("momentum", "training"))  # training is refused before
    count = shape(x)[1]
    roles = (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0))
    for name, _ in roles[2:]:
        if not node.has(name):
            node.fail_value(name, "running statistics (track_running_stats=True)")
    scale, bias, mean, variance = (node.vector(name, count, default) for name, default in roles)
    return build.batch_norm(x, scale, bias, mean, variance, node.number("eps"))


def batch_norm_first(node: Node) -> Sequence[Operand]:
    """The form of core ATen, of whose results only the first is known."""
    return [batch_norm(node), None, None]


def instance_norm(node: Node) -> Operand:
    """instance_norm: each channel of each sample over its plane."""
    if not node.flag("use_input_stats"):
        return batch_norm(node)
    node.read.update(("momentum", "running_mean", "running_var"))
    x = node.value("input")
    y, _, _ = normalized(node.builder, x, range(2, len(shape(x))), node.number("eps"))
    return _affine(node, y, (shape(x)[1], *[1] * (len(shape(x)) - 2)))


def batch_statistics(node: Node) -> Sequence[Operand]:
    """instance_norm in core ATen: each channel over all of its elements in the batch."""
    node.read.update(("momentum", "training"))
    x = node.value("input")
    axes = [axis for axis in range(len(shape(x))) if axis != 1]
    y, _, _ = normalized(node.builder, x, axes, node.number("eps"))
    return [_affine(node, y, (shape(x)[1], *[1] * (len(shape(x)) - 2))), None, None]


def layer_norm(node: Node) -> Operand:
    """layer_norm over the last axes."""
    x = node.value("input")
    rank, last = len(shape(x)), len(node.integers("normalized_shape"))
    y, _, _ = normalized(node.builder, x, range(rank - last, rank), node.number("eps"))
    return _affine(node, y, None)


def layer_norm_first(node: Node) -> Sequence[Operand]:
    """The form of core ATen, of whose results only the first is known."""
    return [layer_norm(node), None, None]


def rms_norm(node: Node) -> Operand:
    """rms_norm over the last axes."""
    build, x = node.builder, node.value("input")
    rank, last = len(shape(x)), len(node.integers("normalized_shape"))
    epsilon = node.number("eps") if node.has("eps") else float(np.finfo(np.float32).eps)
    square = mean_of(build, build.mul(x, x), range(rank - last, rank))
    return _affine(node, build.mul(x, inverse_root(build, square, epsilon)), None)


def group_norm(node: Node) -> Operand:
    """group_norm: each group of channels of each sample."""
    return _group_norm(node, node.integer("num_groups"))


def group_norm_first(node: Node) -> Sequence[Operand]:
    """The form of core ATen, of whose results only the first is known."""
    node.read.update(("N", "C", "HxW"))  # those of the input's shape
    return [_group_norm(node, node.integer("group")), None, None]


def _group_norm(node: Node, groups: int) -> ir.Value:
    build, x = node.builder, node.value("input")
    extents = shape(x)
    grouped = build.reshape(x, (extents[0], groups, extents[1] // groups, *extents[2:]))
    y, _, _ = normalized(build, grouped, range(2, len(extents) + 1), node.number("eps"))
    return _affine(node, build.reshape(y, extents), (extents[1], *[1] * (len(extents) - 2)))


def _affine(node: Node, y: ir.Value, column: tuple[int, ...] | None) -> ir.Value:
    """y * weight + bias, both given this shape, where they are there."""
    build = node.builder
    if node.has("weight"):
        weight = node.value("weight")
        y = build.mul(y, weight if column is None else build.reshape(weight, column))
    if "bias" in node.given and node.has("bias"):
        bias = node.value("bias")
        y = build.add(y, bias if column is None else build.reshape(bias, column))
    return y


HANDLERS: dict[str, Handler] = {
    "aten._native_batch_norm_legit": batch_statistics,
    "aten._native_batch_norm_legit_no_training": batch_norm_first,
    "aten.group_norm": group_norm,
    "aten.instance_norm": instance_norm,
    "aten.layer_norm": layer_norm,
    "aten.native_group_norm": group_norm_first,
    "aten.native_layer_norm": layer_norm_first,
    "aten.rms_norm": rms_norm,
}
