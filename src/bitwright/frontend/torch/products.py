"""Convolutions and matrix products."""

import numpy as np
from torch_mlir import ir

from bitwright.frontend.common.windows import as_2d, from_2d
from bitwright.frontend.torch.node import FLOAT, Handler, Node, Operand, shape
from bitwright.ir.types import dtype_of


def convolution(node: Node) -> Operand:
    """convolution, 1-D (as one row) and 2-D, and its transpose."""
    build, x, weight = node.builder, node.value("input"), node.value("weight")
    spatial = len(shape(weight)) - 2
    if spatial not in (1, 2) or len(shape(x)) != spatial + 2:
        node.fail("input", f"has shape {list(shape(x))}", "1-D [N, C, L] and 2-D [N, C, H, W]")
    (high, wide), (top, left), dilation, extra = (
        node.pair(name, spatial, fill)
        for name, fill in (("stride", 1), ("padding", 0), ("dilation", 1), ("output_padding", 0))
    )
    groups, padding = node.integer("groups"), (top, left, top, left)
    x, weight = as_2d(build, x), as_2d(build, weight)
    if node.flag("transposed"):
        result = build.conv_transpose2d(
            x, weight, stride=(high, wide), padding=padding, dilation=dilation, extra=extra,
            groups=groups,
        )  # fmt: skip
        if node.has("bias"):
            bias = node.value("bias")
            result = build.add(result, build.reshape(bias, (1, shape(bias)[0], 1, 1)))
    else:
        bias = node.vector("bias", shape(weight)[0], 0.0)
        result = build.conv2d(
            x, weight, bias, stride=(high, wide), padding=padding, dilation=dilation,
            groups=groups,
        )  # fmt: skip
    return from_2d(build, result, spatial)


def linear(node: Node) -> Operand:
    """linear."""
    build, x, weight = node.builder, node.value("input"), node.value("weight")
    if len(shape(weight)) != 2:
        node.fail("weight", f"has shape {list(shape(weight))}", "a matrix")
    return build.linear(x, weight, node.vector("bias", shape(weight)[0], 0.0))


def matmul(node: Node) -> Operand:
    """matmul, mm and bmm; a product with a constant matrix is `bw.linear`."""
    names = [argument for argument in node.given if argument in ("self", "other", "mat2")]
    return _product(node, names[0], names[1])


def _product(node: Node, lhs: str, rhs: str) -> ir.Value:
    """A vector is a row on the left, a column on the right."""
    build, right = node.builder, node.argument(rhs)
    x = node.tensor(lhs)
    if not isinstance(right, ir.Value) and right.ndim == 2 and dtype_of(x) == FLOAT:
        columns = node.array(rhs, "weight").T
        zero = build.constant(np.zeros(len(columns), np.float32))
        return build.linear(x, build.constant(columns), zero)
    y = node.tensor(rhs)
    row, column = len(shape(x)) == 1, len(shape(y)) == 1
    left = build.reshape(x, (1, *shape(x))) if row else x
    product = build.matmul(left, build.reshape(y, (*shape(y), 1)) if column else y)
    return build.reshape(product, node.shape) if row or column else product


def addmm(node: Node) -> Operand:
    """addmm and baddbmm: beta * input + alpha * product; a bias is part of a `bw.linear`."""
    build, right, bias = node.builder, node.argument("mat2" if node.has("mat2") else "batch2"), None
    alpha, beta = node.number("alpha"), node.number("beta")
    lhs, rhs = ("mat1", "mat2") if node.has("mat1") else ("batch1", "batch2")
    x = node.tensor(lhs)
    if not isinstance(node.argument("self"), ir.Value):
        bias = node.array("self", "bias")
    simple = alpha == 1 and beta == 1 and bias is not None and bias.ndim == 1
    if simple and not isinstance(right, ir.Value) and right.ndim == 2 and dtype_of(x) == FLOAT:
        columns = node.array(rhs, "weight").T
        row = np.broadcast_to(bias, (len(columns),)).astype(np.float32)  # pyright: ignore
        return build.linear(x, build.constant(columns), build.constant(row))
    product = _product(node, lhs, rhs)
    addend = node.tensor("self")
    if alpha != 1:
        product = build.mul(product, node.as_value(alpha, "alpha", node.dtype))
    if beta != 1:
        addend = build.mul(addend, node.as_value(beta, "beta", node.dtype))
    return build.add(product, addend)


def int_mm(node: Node) -> Operand:
    """_int_mm: a matrix product of int8 tensors in int32."""
    build, wide = node.builder, np.dtype(np.int32)
    return build.matmul(node.tensor("self", wide), node.tensor("mat2", wide))


HANDLERS: dict[str, Handler] = {
    "aten._int_mm": int_mm,
    "aten.addmm": addmm,
    "aten.baddbmm": addmm,
    "aten.bmm": matmul,
    "aten.convolution": convolution,
    "aten.linear": linear,
    "aten.matmul": matmul,
    "aten.mm": matmul,
}
