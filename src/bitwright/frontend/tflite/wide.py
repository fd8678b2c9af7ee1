"""Models with int16 activations and int8 weights (16x8), in plain integers.

Activations have the zero point 0. Sums of convolutions have 64 bits and are scaled by a multiplier
of 15 bits, those of FULLY_CONNECTED in float64; other sums have 32 bits and a multiplier of 31.
Source: LiteRT, `reference_integer_ops` and common.cc.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tflite
from torch_mlir import ir

from bitwright.frontend.tflite import arithmetic
from bitwright.frontend.tflite.elementwise import operands
from bitwright.frontend.tflite.node import Array, Handler, Node, Value
from bitwright.frontend.tflite.pooling import kernel_of, mean_multiplier, reduced_axes
from bitwright.frontend.tflite.products import conv_shape, dense_shape, depthwise_shape, rows
from bitwright.frontend.tflite.shape import HANDLERS as SHAPE_HANDLERS
from bitwright.frontend.tflite.windows import window
from bitwright.ir.bw_rescale import RESCALE_LIMITS
from bitwright.ir.reference import pooled_elements
from bitwright.ir.types import dtype_of, shape_of

ADD_LEFT_SHIFT = 15
_INT16, _INT32, _INT64 = np.dtype(np.int16), np.dtype(np.int32), np.dtype(np.int64)
_FLOAT64 = np.dtype(np.float64)
MOST_SUMMED = 1 << 16
LEAST, GREATEST = -(1 << 15), (1 << 15) - 1


def reduced(real: float) -> tuple[int, int]:
    """`real` as a multiplier of 15 bits and a shift.

    Raises:
        ValueError: for a factor of 2^15 and more.
    """
    fixed, shift = arithmetic.multiplier(real)
    narrow = min((fixed + (1 << 15)) >> 16, RESCALE_LIMITS["half_up"][0])
    if shift - 16 < 1:
        raise ValueError(f"scales by {real:g}; expected a factor below 2^15")
    return narrow, shift - 16


def conv_2d(node: Node) -> Value:
    """CONV_2D, weight [O, KH, KW, C / groups]."""
    weight, scales = node.weight(1, axis=0)
    groups = conv_shape(node, weight)
    return _convolution(node, weight.transpose(0, 3, 1, 2), scales, groups)


def depthwise_conv_2d(node: Node) -> Value:
    """DEPTHWISE_CONV_2D, weight [1, KH, KW, C * multiplier]."""
    weight, scales = node.weight(1, axis=3)
    groups = depthwise_shape(node, weight)
    return _convolution(node, weight.transpose(3, 0, 1, 2), scales, groups)


def _convolution(node: Node, weight: Array, scales: Sequence[float], groups: int) -> Value:
    options, build = node.operator.options, node.builder
    x = node.value(0).first()
    dilation = (options["DilationHFactor"], options["DilationWFactor"])
    sliding = window(node, shape_of(x)[2:], weight.shape[2:], dilation)
    bias = node.bias(2, len(weight))
    factors = _factors(node, weight, bias, scales)
    acc = build.conv2d(
        build.cast(x, _INT64), build.plain(np.ascontiguousarray(weight, np.int64)),
        build.plain(bias), stride=sliding.stride, padding=sliding.padding,
        dilation=dilation, groups=groups,
    )  # fmt: skip
    return node.first(rescaled(node, acc, factors, node.clamp()))


def fully_connected(node: Node) -> Value:
    """FULLY_CONNECTED, weight [O, K]; scaled in float64 and rounded once, ties away from zero."""
    weight, scales = node.weight(1, axis=0)
    count, wanted = dense_shape(node, weight)
    build, bias = node.builder, node.bias(2, len(weight))
    factors = _factors(node, weight, bias, scales)
    x, weight = rows(node, weight, count)
    acc = build.linear(
        build.cast(x, _INT64), build.plain(weight.astype(np.int64)), build.plain(bias)
    )
    scaled = build.mul(build.cast(acc, _FLOAT64), build.plain(np.array([factors])))
    low, high = node.clamp()
    made = build.quantize(
        scaled, build.plain(np.ones((1, 1))), build.plain(np.zeros((1, 1), np.int16)), _INT16,
        minimum=low, maximum=high, rounding="half_away",
    )  # fmt: skip
    return node.last(made if wanted is None else build.reshape(made, wanted))


def _factors(node: Node, weight: Array, bias: Array, scales: Sequence[float]) -> list[float]:
    """The factor of each output (or of all), with which every sum stays within LiteRT's widths."""
    name, default = "QuantizedBiasType", tflite.TensorType.FLOAT32
    if (kind := node.operator.options.get(name, default)) not in (default, tflite.TensorType.INT64):
        node.fail_option(name, kind, "0 (not given), 4 (INT64)")
    source, result = node.params(0).scale, node.result_params().scale
    factors = [source * scale / result for scale in scales]
    sums = np.abs(weight.astype(np.float64)).reshape(len(weight), -1).sum(axis=1) * -LEAST
    sums += np.abs(bias.astype(np.float64))
    scaled = float((sums * factors).max())
    if sums.max() >= 1 << 47 or scaled >= 1 << 31:
        node.fail_operand(
            1, f"makes sums up to {sums.max():.0f}, which scale to {scaled:.0f}",
            "sums below 2^47 that scale to below 2^31",
        )  # fmt: skip
    return factors


def rescaled(
    node: Node, x: ir.Value, factors: Sequence[float], clamp: tuple[int, int],
    result: np.dtype[np.signedinteger] = _INT16,
) -> ir.Value:  # fmt: skip
    """`x` times a factor (or one for each index of axis 1), rounded as sums of its type are."""
    rounding = "half_up" if dtype_of(x) == _INT64 else "tflite"
    found = [reduced(f) if rounding == "half_up" else arithmetic.multiplier(f) for f in factors]
    return node.builder.rescale(
        x, result, multiplier=[m for m, _ in found], shift=[s for _, s in found],
        axis=1 if len(found) > 1 else 0, minimum=clamp[0], maximum=clamp[1], rounding=rounding,
    )  # fmt: skip


def add(node: Node) -> Value:
    """ADD: both operands brought to twice the larger scale, at 15 more bits (AddElementwise)."""
    if node.operator.options["PotScaleInt16"]:
        node.fail_option(
            "PotScaleInt16", True, "False, which the converter writes (version 3 of the operator)"
        )
    scales = [node.params(index).scale for index in (0, 1)]
    twice = 2 * max(scales)
    lhs, rhs, layout = operands(node)
    build, limits = node.builder, (np.iinfo(np.int32).min, np.iinfo(np.int32).max)
    scaled: list[ir.Value] = []
    for value, scale in zip((lhs, rhs), scales, strict=True):
        one = np.full([1] * len(shape_of(value)), 1 << ADD_LEFT_SHIFT, np.int32)
        shifted = build.mul(build.cast(value, _INT32), build.plain(one))
        scaled.append(rescaled(node, shifted, [scale / twice], limits, _INT32))
    factor = _below(node, twice / ((1 << ADD_LEFT_SHIFT) * node.result_params().scale))
    return layout(rescaled(node, build.add(*scaled), [factor], node.clamp()))


def _below(node: Node, factor: float, limit: int = 1) -> float:
    """`factor`, which shifts nothing out of 32 bits."""
    if factor >= limit:
        node.fail_operand(0, f"is scaled by {factor:g}", f"a factor below {limit}")
    return factor


def _checked_count(node: Node, count: int) -> int:
    """`count` elements, whose sum has 32 bits."""
    if count >= MOST_SUMMED:
        node.fail_operand(0, f"is summed over {count} elements", f"less than {MOST_SUMMED}")
    return count


def mul(node: Node) -> Value:
    """MUL, its factor in float32 (MulElementwise)."""
    scales = [np.float32(node.params(index).scale) for index in (0, 1)]
    factor = float(scales[0] * scales[1] / np.float32(node.result_params().scale))
    lhs, rhs, layout = operands(node)
    build = node.builder
    product = build.mul(build.cast(lhs, _INT32), build.cast(rhs, _INT32))
    return layout(rescaled(node, product, [_below(node, factor)], node.clamp()))


def average_pool_2d(node: Node) -> Value:
    """AVERAGE_POOL_2D over what is inside of the image, ties away from zero."""
    node.rank(0, 4)
    node.same_type([0])
    x, kernel, build = node.value(0).first(), kernel_of(node), node.builder
    sliding = window(node, shape_of(x)[2:], kernel)
    channels = shape_of(x)[1]
    _checked_count(node, kernel[0] * kernel[1])
    total = build.conv2d(
        build.cast(x, _INT32), build.plain(np.ones((channels, 1, *kernel), np.int32)),
        build.plain(np.zeros(channels, np.int32)), stride=sliding.stride, padding=sliding.padding,
        groups=channels,
    )  # fmt: skip
    counts = pooled_elements(shape_of(x)[2:], kernel, sliding.stride, sliding.padding)
    count = build.plain(counts[None, None].astype(np.int32))
    half = build.plain((counts[None, None] // 2).astype(np.int32))
    negative = build.binary("less", total, build.plain(np.zeros((1, 1, 1, 1), np.int32)))
    away = build.select(negative, build.function("neg", half), half)
    mean = build.binary("div", build.add(total, away), count)  # towards zero
    return node.first(build.cast(_clamped(node, mean), _INT16))


def max_pool_2d(node: Node) -> Value:
    """MAX_POOL_2D."""
    node.rank(0, 4)
    node.same_type([0])
    x, kernel = node.value(0).first(), kernel_of(node)
    sliding = window(node, shape_of(x)[2:], kernel)
    pooled = node.builder.max_pool2d(
        x, kernel=kernel, stride=sliding.stride, padding=sliding.padding
    )
    return node.first(_clamped(node, pooled))


def mean(node: Node) -> Value:
    """MEAN: the sum, scaled by a multiplier that divides by the count (QuantizedMeanOrSum)."""
    axes, shape, build = reduced_axes(node), node.tensor(0).shape, node.builder
    count = _checked_count(node, int(np.prod([shape[a] for a in axes], dtype=np.int64)))
    ratio = node.params(0).scale / node.result_params().scale
    bits = count.bit_length()
    _below(node, ratio / (1 << (bits - 1)), 1 << (16 - bits))
    keep = bool(node.operator.options["KeepDims"])
    x = build.cast(node.value(0).last(), _INT32)
    fixed, shift = mean_multiplier(node, count)
    made = build.rescale(
        build.reduce_sum(x, axes, keep), _INT16, multiplier=[fixed], shift=[shift], axis=0,
        minimum=LEAST, maximum=GREATEST, rounding="tflite",
    )  # fmt: skip
    return node.last(made)


def _clamped(node: Node, x: ir.Value) -> ir.Value:
    low, high = node.clamp()
    if (low, high) == (LEAST, GREATEST):
        return x
    build, ones = node.builder, [1] * len(shape_of(x))
    least, most = (build.plain(np.full(ones, bound, dtype_of(x))) for bound in (low, high))
    return build.binary("minimum", build.binary("maximum", x, least), most)


def _changed_scale(factor: Callable[[float, float], float], activation: str = "NONE") -> Handler:
    def handle(node: Node) -> Value:
        result = node.result_params()
        real = _below(node, factor(node.params(0).scale, result.scale), 1 << 16)
        clamp = arithmetic.bounds(activation, result)
        return node.mapped(lambda x: rescaled(node, node.builder.cast(x, _INT32), [real], clamp))

    return handle


def _in_float32(source: float, result: float) -> float:
    return float(np.float32(source) / np.float32(result))


HANDLERS: dict[str, Handler] = {
    **SHAPE_HANDLERS,
    "ADD": add,
    "AVERAGE_POOL_2D": average_pool_2d,
    "CONV_2D": conv_2d,
    "DEPTHWISE_CONV_2D": depthwise_conv_2d,
    "FULLY_CONNECTED": fully_connected,
    "MAX_POOL_2D": max_pool_2d,
    "MEAN": mean,
    "MUL": mul,
    "QUANTIZE": _changed_scale(lambda source, result: source / result),
    "RELU": _changed_scale(_in_float32, "RELU"),
    "RELU6": _changed_scale(_in_float32, "RELU6"),
}
