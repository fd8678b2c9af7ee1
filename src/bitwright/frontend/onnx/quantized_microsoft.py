"""Operators of com.microsoft on 8-bit integers, which ONNX Runtime's quantizer writes.

Those that rescale their result are the float operator between `bw.dequantize` and `bw.quantize`;
those that quantize at run time multiply plain integers, and scale the exact sums.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch_mlir import ir

from bitwright.frontend.onnx import elementwise, pooling
from bitwright.frontend.onnx.convolution import matrix_product
from bitwright.frontend.onnx.errors import InvalidModelError
from bitwright.frontend.onnx.node import Handler, Node, Operand, shape
from bitwright.frontend.onnx.quantized import (
    FLOAT32,
    dequantize_linear,
    dequantized,
    integer_dtype,
    placed,
    quantize_linear,
    quantized,
)  # fmt: skip
from bitwright.frontend.onnx.quantized_products import (
    INT32,
    centred,
    dynamic_quantize,
    qlinear_conv,
    quantized_bias,
)  # fmt: skip


def _through(handler: Handler, inputs: Sequence[int], scale: int) -> Handler:
    """A float operator between dequantized `inputs` and a result quantized by operand `scale`."""

    def handle(node: Node) -> Operand:
        floats = tuple(dequantized(node, index) for index in inputs)
        y = handler(replace(node, operands=floats))
        assert isinstance(y, ir.Value)
        return quantized(node, y, scale, integer_dtype(node, inputs[0]))

    return handle


def _channels_first(handler: Handler) -> Handler:
    """`handler`, with the channels moved from the last axis and back where the node says so."""

    def handle(node: Node) -> Operand:
        if not node.integer("channels_last", 0):
            return handler(node)
        build, rank = node.builder, node.rank(0)
        x = build.transpose(node.tensor(0), (0, rank - 1, *range(1, rank - 1)))
        y = handler(replace(node, operands=(x, *node.operands[1:])))
        assert isinstance(y, ir.Value)
        return build.transpose(y, (0, *range(2, rank), 1))

    return handle


def _softmax(node: Node) -> Operand:
    return elementwise.softmax(replace(node, opset=node.integer("opset", 13)))


def qlinear_concat(node: Node) -> Operand:
    """QLinearConcat: every input has a scale and a zero point of its own."""
    count, rest = divmod(len(node.operands) - 2, 3)
    if count < 1 or rest:
        raise InvalidModelError(
            f"{node.describe()}: {len(node.operands)} inputs; expected a scale, a zero point, and "
            "three inputs for each tensor"
        )
    values = [dequantized(node, 2 + 3 * index) for index in range(count)]
    axis = node.axis(node.integer("axis", 0), len(shape(values[0])))
    return quantized(node, node.builder.concat(values, axis), 0, integer_dtype(node, 2))


def qlinear_where(node: Node) -> Operand:
    """QLinearWhere."""
    y = node.builder.select(node.tensor(0), dequantized(node, 1), dequantized(node, 4))
    return quantized(node, y, 7, integer_dtype(node, 1))


def qgemm(node: Node) -> Operand:
    """QGemm: alpha * (A * B + C), with C in steps of a_scale * b_scale; float without a y_scale."""
    build = node.builder
    lhs = dequantized(node, 0)
    if node.integer("transA", 0):
        lhs = build.transpose(lhs, (1, 0))
    transposed = bool(node.integer("transB", 0))
    rhs = dequantized(node, 3, axis=0 if transposed else 1)
    if transposed:
        rhs = build.transpose(rhs, (1, 0))
    y = build.matmul(lhs, rhs)
    if node.operand(6) is not None:
        y = build.add(y, quantized_bias(node, 6, (1, 4)))
    alpha = node.number("alpha", 1.0)
    if alpha != 1.0:
        y = build.mul(y, build.constant(np.array([alpha], np.float32)))
    return y if node.operand(7) is None else quantized(node, y, 7, integer_dtype(node, 0))


def _scaled(node: Node, total: ir.Value, scale: ir.Value, bias: int) -> ir.Value:
    """Integer sums as float32, times their scale, plus the operand `bias` where there is one."""
    y = node.builder.mul(node.builder.cast(total, FLOAT32), scale)
    return y if node.operand(bias) is None else node.builder.add(y, node.value(bias))


def _column_scale(node: Node, index: int, total: ir.Value) -> ir.Value:
    return placed(node, index, shape(total), -1, 0)


def matmul_integer_to_float(node: Node) -> Operand:
    """MatMulIntegerToFloat: the exact sums, times a_scale * b_scale, plus the bias."""
    build = node.builder
    total = matrix_product(node, centred(node, 0, 4, -2), centred(node, 1, 5, -1))
    if np.prod(shape(node.required(2)), dtype=int) != 1:
        node.fail_operand(2, f"has shape {list(shape(node.required(2)))}", "one scale")
    scale = build.mul(_column_scale(node, 2, total), _column_scale(node, 3, total))
    return _scaled(node, total, scale, 6)


def dynamic_quantize_matmul(node: Node) -> Operand:
    """DynamicQuantizeMatMul: A becomes uint8 over its own range, then as MatMulIntegerToFloat."""
    build = node.builder
    codes, scale, offset = dynamic_quantize(node, node.value(0))
    lhs = build.add(build.cast(codes, INT32), build.cast(offset, INT32), 1, -1)
    total = matrix_product(node, lhs, centred(node, 1, 3, -1))
    return _scaled(node, total, build.mul(scale, _column_scale(node, 2, total)), 4)


HANDLERS: dict[str, Handler] = {
    "DequantizeLinear": dequantize_linear,
    "DynamicQuantizeMatMul": dynamic_quantize_matmul,
    "MatMulIntegerToFloat": matmul_integer_to_float,
    "QGemm": qgemm,
    "QLinearAdd": _through(elementwise.add, (0, 3), 6),
    "QLinearAveragePool": _channels_first(_through(pooling.average_pool, (0,), 3)),
    "QLinearConcat": qlinear_concat,
    "QLinearConv": _channels_first(qlinear_conv),
    "QLinearGlobalAveragePool": _channels_first(_through(pooling.global_average_pool, (0,), 3)),
    "QLinearLeakyRelu": _through(elementwise.leaky_relu, (0,), 3),
    "QLinearMul": _through(elementwise.mul, (0, 3), 6),
    "QLinearSigmoid": _through(elementwise.HANDLERS["Sigmoid"], (0,), 3),
    "QLinearSoftmax": _through(_softmax, (0,), 3),
    "QLinearWhere": qlinear_where,
    "QuantizeLinear": quantize_linear,
}
