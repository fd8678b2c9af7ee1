"""Normalisations, as means, products and roots."""

from collections.abc import Sequence

import numpy as np

from bitwright.frontend.common.normalization import inverse_root, mean_of, normalized
from bitwright.frontend.onnx.functions import scalar
from bitwright.frontend.onnx.node import Handler, Node, Operand, shape
from bitwright.frontend.onnx.reductions import log_sum_exp
from bitwright.ir.types import dtype_of

_FLOAT = np.dtype(np.float32)


def layer_normalization(node: Node) -> Sequence[Operand]:
    """LayerNormalization over the axes from `axis` on, in float32."""
    build, x = node.builder, node.tensor(0)
    own, rank = dtype_of(x), len(shape(x))
    axis = node.axis(node.integer("axis", -1), rank)
    y, mean, inverse = normalized(
        build, build.cast(x, _FLOAT), range(axis, rank), node.number("epsilon", 1e-5)
    )
    y = build.mul(build.cast(y, own), node.tensor(1))
    if node.operand(2) is not None:
        y = build.add(y, node.tensor(2))
    return y, mean, inverse


def rms_normalization(node: Node) -> Operand:
    """RMSNormalization over the axes from `axis` on, in float32."""
    build, x = node.builder, node.tensor(0)
    own, rank = dtype_of(x), len(shape(x))
    axis = node.axis(node.integer("axis", -1), rank)
    wide = build.cast(x, _FLOAT)
    square = mean_of(build, build.mul(wide, wide), range(axis, rank))
    y = build.mul(wide, inverse_root(build, square, node.number("epsilon", 1e-5)))
    return build.mul(build.cast(y, own), node.tensor(1))


def instance_normalization(node: Node) -> Operand:
    """InstanceNormalization: each channel of each sample over its plane."""
    build, x = node.builder, node.value(0)
    rank = len(shape(x))
    y, _, _ = normalized(build, x, range(2, rank), node.number("epsilon", 1e-5))
    column = (1, shape(x)[1], *[1] * (rank - 2))
    scale, bias = (build.reshape(node.value(index), column) for index in (1, 2))
    return build.add(build.mul(y, scale), bias)


def group_normalization(node: Node) -> Operand:
    """GroupNormalization; scale and bias are per channel (per group before opset 21)."""
    build, x = node.builder, node.value(0)
    extents, groups = shape(x), node.integer("num_groups", 1)
    if groups < 1 or extents[1] % groups:
        node.fail_attribute("num_groups", groups, f"a divisor of the {extents[1]} channels")
    grouped = build.reshape(x, (extents[0], groups, extents[1] // groups, *extents[2:]))
    y, _, _ = normalized(
        build, grouped, range(2, len(shape(grouped))), node.number("epsilon", 1e-5)
    )
    scale, bias = node.value(1), node.value(2)
    if node.opset < 21:
        column = (1, groups, *[1] * (len(extents) - 1))
        y = build.add(build.mul(y, build.reshape(scale, column)), build.reshape(bias, column))
        return build.reshape(y, extents)
    column = (1, extents[1], *[1] * (len(extents) - 2))
    y = build.mul(build.reshape(y, extents), build.reshape(scale, column))
    return build.add(y, build.reshape(bias, column))


def mean_variance_normalization(node: Node) -> Operand:
    """MeanVarianceNormalization; the deviation gets 1e-9, as in the standard."""
    build, x = node.builder, node.value(0)
    axes = [node.axis(a, len(shape(x))) for a in node.integers("axes", (0, 2, 3))]
    mean = mean_of(build, x, axes)
    square = mean_of(build, build.mul(x, x), axes)
    variance = build.add(square, build.mul(mean, mean), 1, -1)
    deviation = build.add(build.function("sqrt", variance), scalar(node, 1e-9, x))
    return build.binary("div", build.add(x, mean, 1, -1), deviation)


def lp_normalization(node: Node) -> Operand:
    """LpNormalization: each vector over its 1- or 2-norm; a zero vector stays zero."""
    build, x = node.builder, node.tensor(0)
    axis, p = node.axis(node.integer("axis", -1), len(shape(x))), node.integer("p", 2)
    if p not in (1, 2):
        node.fail_attribute("p", p, "1, 2")
    powered = build.function("abs", x) if p == 1 else build.mul(x, x)
    norm = build.reduce_sum(powered, [axis], True)
    norm = norm if p == 1 else build.function("sqrt", norm)
    zero = scalar(node, 0, x)
    divided = build.binary("div", x, norm)
    return build.select(build.binary("equal", norm, zero), build.mul(x, zero), divided)


def log_softmax(node: Node) -> Operand:
    """LogSoftmax: along one axis since opset 13, before that over all axes from `axis` on."""
    build, x = node.builder, node.tensor(0)
    rank = len(shape(x))
    if node.opset >= 13:
        axes = [node.axis(node.integer("axis", -1), rank)]
    else:
        axes = list(range(node.axis(node.integer("axis", 1), rank), rank))
    return build.add(x, log_sum_exp(node, x, axes, True), 1, -1)


def lrn(node: Node) -> Operand:
    """Local response normalisation across channels; the window is cut at the border."""
    build, x = node.builder, node.value(0)
    size, channels = node.integer("size", 1), shape(x)[1]
    low, high = (size - 1) // 2, size - 1 - (size - 1) // 2
    window = np.zeros((channels, channels), np.float32)
    for channel in range(channels):
        window[channel, max(0, channel - low) : channel + high + 1] = 1
    rank = len(shape(x))
    to_last = (0, *range(2, rank), 1)
    back = (0, rank - 1, *range(1, rank - 1))
    squares = build.transpose(build.mul(x, x), to_last)
    total = build.linear(
        squares, build.constant(window), build.constant(np.zeros(channels, np.float32))
    )
    alpha, beta, bias = (
        node.number("alpha", 1e-4),
        node.number("beta", 0.75),
        node.number("bias", 1),
    )
    scaled = build.mul(build.transpose(total, back), scalar(node, alpha / size, x))
    base = build.add(scaled, scalar(node, bias, x))
    return build.binary("div", x, build.binary("pow", base, scalar(node, beta, x)))


HANDLERS: dict[str, Handler] = {
    "GroupNormalization": group_normalization,
    "InstanceNormalization": instance_normalization,
    "LRN": lrn,
    "LayerNormalization": layer_normalization,
    "LogSoftmax": log_softmax,
    "LpNormalization": lp_normalization,
    "MeanVarianceNormalization": mean_variance_normalization,
    "RMSNormalization": rms_normalization,
}
