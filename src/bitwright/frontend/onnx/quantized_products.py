"""Convolutions and matrix products of integers.

An operator that rescales its result is its float operation between `bw.dequantize` and
`bw.quantize`; one that gives sums is that operation on plain int32, which is exact.
"""

from collections.abc import Sequence

import numpy as np
from torch_mlir import ir

from bitwright.frontend.onnx.convolution import convolve, matrix_product
from bitwright.frontend.onnx.functions import scalar
from bitwright.frontend.onnx.node import Handler, Node, Operand, shape
from bitwright.frontend.onnx.quantized import (
    dequantized,
    integer_dtype,
    placed,
    quantized,
)  # fmt: skip

INT32 = np.dtype(np.int32)


def qlinear_conv(node: Node) -> Operand:
    """QLinearConv; the bias is int32 in steps of x_scale * w_scale."""
    x, weight = dequantized(node, 0), dequantized(node, 3, axis=0)
    bias = node.builder.constant(np.zeros(shape(weight)[:1], np.float32))
    if node.operand(8) is not None:
        bias = quantized_bias(node, 8, (1, 4))
    return quantized(node, convolve(node, x, weight, bias, 3), 6, integer_dtype(node, 0))


def quantized_bias(node: Node, index: int, scales: tuple[int, int]) -> ir.Value:
    """An int32 operand as float32: its step is the product of two scale operands, per column."""
    build, x = node.builder, node.tensor(index)
    dtype = integer_dtype(node, index)
    first, second = (node.required(scale) for scale in scales)
    if isinstance(first, ir.Value) or isinstance(second, ir.Value):
        step = build.mul(*(placed(node, scale, shape(x), -1, 0) for scale in scales))
    else:
        steps = (first.reshape(-1) * second.reshape(-1)).astype(np.float32)
        step = build.plain(steps.reshape(*(1,) * (len(shape(x)) - 1), -1))
    return build.dequantize(x, step, build.plain(np.zeros(shape(step), dtype)))


def qlinear_matmul(node: Node) -> Operand:
    """QLinearMatMul; scales are per tensor, per row of A and Y, per column of B."""
    y = matrix_product(node, dequantized(node, 0, axis=-2), dequantized(node, 3, axis=-1))
    return quantized(node, y, 6, integer_dtype(node, 0), axis=-2)


def centred(node: Node, index: int, zero: int, axis: int) -> ir.Value:
    """An integer operand minus its zero point (the operand `zero`), as int32."""
    integer_dtype(node, index)
    build = node.builder
    x = build.cast(node.tensor(index), INT32)
    if node.operand(zero) is None:
        return x
    integer_dtype(node, zero)
    offset = build.cast(placed(node, zero, shape(x), axis, 0), INT32)
    return build.add(x, offset, 1, -1)


def conv_integer(node: Node) -> Operand:
    """ConvInteger: the exact sums; padding is the zero point."""
    x, weight = centred(node, 0, 2, 0), centred(node, 1, 3, 0)
    zeros = node.builder.plain(np.zeros(shape(weight)[0], np.int32))
    return convolve(node, x, weight, zeros, 1)


def matmul_integer(node: Node) -> Operand:
    """MatMulInteger: the exact sums; zero points are per tensor, per row of A, per column of B."""
    return matrix_product(node, centred(node, 0, 2, -2), centred(node, 1, 3, -1))


def dynamic_quantize(node: Node, x: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
    """`x` as uint8 over its own range, zero included; its scale and zero point of rank 0."""
    build, axes = node.builder, list(range(len(shape(x))))
    zero = scalar(node, 0, x)
    high = build.binary("maximum", build.reduce("reduce_max", x, axes, False), zero)
    low = build.binary("minimum", build.reduce("reduce_min", x, axes, False), zero)
    span = build.add(high, low, 1, -1)
    span = build.select(build.binary("equal", span, zero), scalar(node, 1, x), span)
    scale = build.binary("div", span, scalar(node, 255, x))
    offset = build.function("neg", build.binary("div", low, scale))
    uint8 = np.dtype(np.uint8)
    offset = build.cast(build.function("round", offset), uint8)
    rank = (1,) * len(axes)
    codes = build.quantize(x, build.reshape(scale, rank), build.reshape(offset, rank), uint8)
    return codes, scale, offset


def dynamic_quantize_linear(node: Node) -> Sequence[Operand]:
    """DynamicQuantizeLinear; where all of x is zero the scale is 1 / 255."""
    return dynamic_quantize(node, node.value(0))


HANDLERS: dict[str, Handler] = {
    "ConvInteger": conv_integer,
    "DynamicQuantizeLinear": dynamic_quantize_linear,
    "MatMulInteger": matmul_integer,
    "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul,
}
