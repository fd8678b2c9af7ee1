"""Convolutions and matrix products."""

import math

import numpy as np
from torch_mlir import ir

from bitwright.frontend.common.windows import as_2d, from_2d
from bitwright.frontend.onnx.node import Handler, Node, Operand, checked_size, shape
from bitwright.frontend.onnx.windows import transposed_window, window


def conv(node: Node) -> Operand:
    """Conv, 1-D (as one row) and 2-D, with a constant weight."""
    x, weight = node.value(0), node.weight(1, "weight")
    return convolve(node, x, weight, _bias(node, math.prod(shape(weight)[:1])), 1)


def convolve(node: Node, x: ir.Value, weight: ir.Value, bias: ir.Value, index: int) -> ir.Value:
    """`x` with `weight`, by the attributes of Conv; errors name operand `index` as the weight."""
    extents, spatial = shape(weight), len(shape(x)) - 2
    if spatial not in (1, 2):
        node.fail_operand(0, f"has shape {list(shape(x))}", "1-D [N, C, L] and 2-D [N, C, H, W]")
    if len(extents) != spatial + 2:
        node.fail_operand(
            index, f"has shape {list(extents)}", f"a weight of rank {spatial + 2}, as the input"
        )
    kernel = node.integers("kernel_shape", extents[2:])
    if tuple(kernel) != extents[2:]:
        node.fail_attribute("kernel_shape", kernel, f"that of the weight, {extents[2:]}")
    sliding = window(node, shape(x)[2:], kernel)
    result = node.builder.conv2d(
        as_2d(node.builder, x), as_2d(node.builder, weight), bias, stride=sliding.stride,
        padding=sliding.padding, dilation=sliding.dilation, groups=node.integer("group", 1),
    )  # fmt: skip
    return from_2d(node.builder, result, spatial)


def _bias(node: Node, outputs: int) -> ir.Value:
    if node.operand(2) is None:
        return node.builder.constant(np.zeros(outputs, np.float32))
    return node.weight(2, "bias")


def conv_transpose(node: Node) -> Operand:
    """ConvTranspose, 1-D (as one row) and 2-D; the weight may be computed."""
    x, weight = node.value(0), node.value(1)
    spatial = len(shape(x)) - 2
    if spatial not in (1, 2):
        node.fail_operand(0, f"has shape {list(shape(x))}", "1-D [N, C, L] and 2-D [N, C, H, W]")
    sizes, kernel = shape(x)[2:], shape(weight)[2:]
    sliding = transposed_window(node, sizes, kernel)
    result = node.builder.conv_transpose2d(
        as_2d(node.builder, x), as_2d(node.builder, weight), stride=sliding.stride,
        padding=sliding.padding, dilation=sliding.dilation, extra=sliding.overhang,
        groups=node.integer("group", 1),
    )  # fmt: skip
    if node.operand(2) is not None:
        bias = node.value(2)
        result = node.builder.add(result, node.builder.reshape(bias, (1, shape(bias)[0], 1, 1)))
    return from_2d(node.builder, result, spatial)


def gemm(node: Node) -> Operand:
    """alpha * A * B + beta * C, each of A and B transposed on request."""
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    build, x, rhs = node.builder, node.value(0), node.required(1)
    if node.integer("transA", 0):
        x = build.transpose(x, (1, 0))
    if isinstance(rhs, ir.Value):
        if node.integer("transB", 0):
            rhs = build.transpose(rhs, (1, 0))
        product = build.matmul(x, rhs)
        if alpha != 1.0:
            product = build.mul(product, build.constant(np.array([alpha], np.float32)))
        return _plus(node, product, beta)
    weight = node.float_array(1, "weight")
    if weight.ndim != 2:
        node.fail_operand(1, f"has shape {list(weight.shape)}", "a matrix")
    weight = weight if node.integer("transB", 0) else weight.T
    addend = node.operand(2)
    bias = np.zeros(weight.shape[0], np.float32)
    folded = addend is None
    if addend is not None and not isinstance(addend, ir.Value):
        row = node.float_array(2, "bias")
        if row.ndim < 2 or row.shape[0] == 1:
            bias = np.broadcast_to(row.reshape(-1) * np.float32(beta), bias.shape)
            folded = True
    if alpha != 1.0:
        weight = weight * np.float32(alpha)
    product = build.linear(x, build.constant(weight), build.constant(bias))
    return product if folded else _plus(node, product, beta)


def _plus(node: Node, product: ir.Value, beta: float) -> ir.Value:
    if node.operand(2) is None or beta == 0.0:
        return product
    addend = node.value(2)
    if beta != 1.0:
        addend = node.builder.mul(addend, node.builder.constant(np.array([beta], np.float32)))
    return node.builder.add(product, addend)


def matmul(node: Node) -> Operand:
    """A product with a constant matrix is `bw.linear`; any other is `bw.matmul`."""
    build, rhs = node.builder, node.required(1)
    if isinstance(rhs, ir.Value) or rhs.ndim > 2 or not node.all_float():
        return matrix_product(node, node.tensor(0), node.tensor(1))
    weight = node.float_array(1, "weight")
    vector = weight.ndim == 1
    columns = weight.reshape(-1, 1) if vector else weight
    product = build.linear(
        node.value(0), build.constant(columns.T),
        build.constant(np.zeros(columns.shape[1], np.float32)),
    )  # fmt: skip
    if vector:
        return build.reshape(product, checked_size(shape(product)[:-1], node.describe()))
    return product


def matrix_product(node: Node, lhs: ir.Value, rhs: ir.Value) -> ir.Value:
    """A matrix product of any plain type; a vector is a row on the left, a column on the right."""
    build = node.builder
    row, column = len(shape(lhs)) == 1, len(shape(rhs)) == 1
    left = build.reshape(lhs, (1, *shape(lhs))) if row else lhs
    right = build.reshape(rhs, (*shape(rhs), 1)) if column else rhs
    product = build.matmul(left, right)
    extents = list(shape(product))
    if column:
        del extents[-1]
    if row:
        del extents[-1 if column else -2]
    return build.reshape(product, extents) if row or column else product


HANDLERS: dict[str, Handler] = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Gemm": gemm,
    "MatMul": matmul,
}
