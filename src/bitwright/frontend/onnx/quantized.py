"""QuantizeLinear and DequantizeLinear: the markers between which a quantized model computes."""

from typing import Any

import numpy as np
from torch_mlir import ir

from bitwright.frontend.onnx.node import Handler, Node, Operand, shape
from bitwright.ir.types import dtype_of

_INTEGERS = "int8, uint8, int16, uint16, int32"


def quantize_linear(node: Node) -> Operand:
    """QuantizeLinear, per tensor, per axis and in blocks, to 8, 16 or 32 bits."""
    x = node.tensor(0)
    target = np.dtype(np.uint8)
    zero_point = node.operand(2)
    if zero_point is not None:
        target = _dtype(zero_point)
    elif node.integer("output_dtype", 0):
        node.fail_attribute("output_dtype", node.integer("output_dtype", 0), "a zero point")
    _check_integer(node, 2, target)
    grid = _grid(node, shape(x))
    scale = node.builder.cast(_shaped(node, 1, grid), dtype_of(x))
    return node.builder.quantize(x, scale, _zero_point(node, target, grid), target)


def dequantize_linear(node: Node) -> Operand:
    """DequantizeLinear, per tensor, per axis and in blocks, of 8, 16 or 32 bits."""
    x = node.tensor(0)
    source = dtype_of(x)
    _check_integer(node, 0, source)
    grid = _grid(node, shape(x))
    return node.builder.dequantize(x, _shaped(node, 1, grid), _zero_point(node, source, grid))


def _dtype(operand: Operand) -> np.dtype[Any]:
    return dtype_of(operand) if isinstance(operand, ir.Value) else operand.dtype


def _check_integer(node: Node, index: int, dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "iu" or dtype.itemsize > 4:
        node.fail_operand(index, f"has element type {dtype}", _INTEGERS)


def _zero_point(node: Node, dtype: np.dtype[Any], grid: tuple[int, ...]) -> ir.Value:
    if node.operand(2) is None:
        return node.builder.plain(np.zeros(grid, dtype))
    return _shaped(node, 2, grid)


def _shaped(node: Node, index: int, grid: tuple[int, ...]) -> ir.Value:
    operand = node.required(index)
    if isinstance(operand, ir.Value):
        return node.builder.reshape(operand, grid)
    return node.builder.plain(operand.reshape(grid))


def _grid(node: Node, extents: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the scale, brought to the rank of the tensor."""
    scale = shape(node.required(1))
    if scale in ((), (1,)):
        return (1,) * len(extents)
    axis = node.axis(node.integer("axis", 1), len(extents))
    if len(scale) == 1 and scale[0] == extents[axis]:
        return tuple(scale[0] if i == axis else 1 for i in range(len(extents)))
    block = node.integer("block_size", 0)
    if block and len(scale) == len(extents) and extents[axis] == block * scale[axis]:
        return scale
    return node.fail_operand(
        1, f"is a scale of shape {list(scale)} for {list(extents)}, axis {axis}",
        "one scale, one for each index of the axis, or one for each block of equal length",
    )  # fmt: skip


HANDLERS: dict[str, Handler] = {
    "DequantizeLinear": dequantize_linear,
    "QuantizeLinear": quantize_linear,
}
