"""Convolutions and matrix products: `reference_integer_ops` of LiteRT."""

import numpy as np
from torch_mlir import ir

from bitwright.frontend.tflite import arithmetic
from bitwright.frontend.tflite.node import Array, Handler, Node, Value, shaped
from bitwright.frontend.tflite.windows import window
from bitwright.ir.types import QuantParams, shape_of
from bitwright.ir.wide_weights import parted


def conv_2d(node: Node) -> Value:
    """CONV_2D, weight [O, KH, KW, C / groups]."""
    weight, scales = node.weight(1, axis=0)
    groups = conv_shape(node, weight)
    return _convolution(node, weight.transpose(0, 3, 1, 2), scales, groups)


def conv_shape(node: Node, weight: Array) -> int:
    """Groups of a CONV_2D, whose shapes are checked."""
    shape = node.rank(0, 4)
    if weight.ndim != 4 or not weight.shape[3] or shape[3] % weight.shape[3]:
        node.fail_operand(
            1, f"has shape {list(weight.shape)}",
            f"[outputs, rows, columns, a divisor of the {shape[3]} channels]",
        )  # fmt: skip
    return shape[3] // weight.shape[3]


def depthwise_conv_2d(node: Node) -> Value:
    """DEPTHWISE_CONV_2D, weight [1, KH, KW, C * multiplier]."""
    weight, scales = node.weight(1, axis=3)
    groups = depthwise_shape(node, weight)
    return _convolution(node, weight.transpose(3, 0, 1, 2), scales, groups)


def depthwise_shape(node: Node, weight: Array) -> int:
    """Groups of a DEPTHWISE_CONV_2D, whose shapes are checked."""
    shape = node.rank(0, 4)
    if weight.ndim != 4 or weight.shape[0] != 1 or weight.shape[3] % shape[3]:
        node.fail_operand(
            1, f"has shape {list(weight.shape)}",
            f"[1, rows, columns, a multiple of the {shape[3]} channels]",
        )  # fmt: skip
    return shape[3]


def _convolution(node: Node, weight: Array, scales: tuple[float, ...], groups: int) -> Value:
    """Weight [O, C / groups, KH, KW]; the factor of each output in float64."""
    options = node.operator.options
    x, weight = parted(node.builder, node.value(0).first(), weight, groups)
    dilation = (options["DilationHFactor"], options["DilationWFactor"])
    sliding = window(node, shape_of(x)[2:], weight.shape[2:], dilation)
    build = node.builder
    acc = build.conv2d(
        x, build.constant(np.ascontiguousarray(weight), _weight_params(weight, scales)),
        build.constant(node.bias(2, len(weight))), stride=sliding.stride, padding=sliding.padding,
        dilation=dilation, groups=groups,
    )  # fmt: skip
    source, result = node.params(0).scale, node.result_params().scale
    if node.unsigned:  # GetQuantizedConvolutionMultipler: the product in float32
        factors = [float(np.float32(source) * np.float32(scale)) / result for scale in scales]
    else:
        factors = [source * scale / result for scale in scales]
    return node.first(node.scaled(acc, factors, 1, node.clamp()))


def _weight_params(weight: Array, scales: tuple[float, ...]) -> QuantParams:
    least = min(-127, int(weight.min()))
    return QuantParams(scales, 0, 8, least, 127, None if len(scales) == 1 else 0)


def fully_connected(node: Node) -> Value:
    """FULLY_CONNECTED, weight [O, K]; an operand of any rank is rows of K."""
    weight, scales = node.weight(1, axis=0)
    count, wanted = dense_shape(node, weight)
    x, weight = rows(node, weight, count)
    x, weight = parted(node.builder, x, weight)
    build = node.builder
    acc = build.linear(
        x, build.constant(weight, _weight_params(weight, scales)),
        build.constant(node.bias(2, len(weight))),
    )  # fmt: skip
    made = _rounded_once(node, acc, [node.params(0).scale * scale for scale in scales], weight)
    return node.last(made if wanted is None else build.reshape(made, wanted))


def dense_shape(node: Node, weight: Array) -> tuple[int, tuple[int, ...] | None]:
    """Rows of a FULLY_CONNECTED, and the shape of its result where it keeps the axes."""
    options = node.operator.options
    if weight.ndim != 2:
        node.fail_operand(1, f"has shape {list(weight.shape)}", "a matrix [outputs, inputs]")
    if options["WeightsFormat"]:
        node.fail_option("WeightsFormat", options["WeightsFormat"], "0 (DEFAULT)")
    depth = weight.shape[1]
    shape = node.tensor(0).shape
    elements = int(np.prod(shape, dtype=np.int64))
    if elements % depth or (options["KeepNumDims"] and shape[-1] != depth):
        node.fail_operand(0, f"has shape {list(shape)}", f"rows of {depth} elements")
    return elements // depth, (*shape[:-1], len(weight)) if options["KeepNumDims"] else None


def _rounded_once(node: Node, acc: ir.Value, scales: list[float], weight: Array) -> ir.Value:
    """The sums as LiteRT's FULLY_CONNECTED brings them to the output's scale."""
    source, result = node.params(0), node.result_params()
    furthest = max(source.qmax - source.zero_point, source.zero_point - source.qmin)
    sums = np.abs(weight.astype(np.int64)).sum(axis=1) * furthest
    sums += np.abs(node.bias(2, len(weight)).astype(np.int64))
    limit = min(int(sums.max()), (1 << 31) - 1)
    low, high = node.clamp()
    steps = max(abs(low - result.zero_point), abs(high - result.zero_point))
    try:
        made = [arithmetic.exact_multiplier(s / result.scale, max(limit, 1), steps) for s in scales]
    except ValueError as error:
        node.fail_operand(1, str(error), "factors that one of them does")
    return node.builder.requantize(
        acc, result, multiplier=[m for m, _ in made], shift=[s for _, s in made], axis=1,
        clamp_min=low, clamp_max=high, rounding="half_away",
    )  # fmt: skip


def rows(node: Node, weight: Array, count: int) -> tuple[ir.Value, Array]:
    """The operand as [rows, K]; flattened channels first, it reorders the weight instead."""
    value, flat = node.value(0), (count, weight.shape[1])
    if value.last_ is None and value.first_ is not None:
        samples, *extents = shape_of(value.first_)
        if samples == count:
            channels, height, width = extents
            ordered = weight.reshape(-1, height, width, channels).transpose(0, 3, 1, 2)
            return shaped(node.builder, value.first_, flat), ordered.reshape(weight.shape)
    return shaped(node.builder, value.last(), flat), weight


HANDLERS: dict[str, Handler] = {
    "CONV_2D": conv_2d,
    "DEPTHWISE_CONV_2D": depthwise_conv_2d,
    "FULLY_CONNECTED": fully_connected,
}
