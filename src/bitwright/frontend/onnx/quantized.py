"""QuantizeLinear and DequantizeLinear, and the markers that all quantized operators are made of.

Integers become `bw.quantize` and `bw.dequantize`, which keep them visible for the pass `integer`;
8-bit and 4-bit floats are casts.
"""

import math
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import helper
from torch_mlir import ir

from bitwright.frontend.onnx.errors import InvalidModelError, NonFiniteWeightError
from bitwright.frontend.onnx.node import Array, Handler, Node, Operand, operand_dtype, shape
from bitwright.frontend.onnx.source import type_name
from bitwright.ir.reference import constant_value
from bitwright.ir.reference_float import is_fraction
from bitwright.ir.types import dtype_of

FLOAT32 = np.dtype(np.float32)
_INTEGERS = ("int2", "uint2", "int4", "uint4", "int8", "uint8", "int16", "uint16", "int32")
_NARROW_FLOATS = (
    "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float4_e2m1fn",
)  # fmt: skip
_FLOATS: dict[int, np.dtype[Any]] = {
    onnx.TensorProto.FLOAT: FLOAT32,
    onnx.TensorProto.FLOAT16: np.dtype(np.float16),
    onnx.TensorProto.BFLOAT16: np.dtype(ml_dtypes.bfloat16),
}
_FLOAT_NAMES = "float32, float16, bfloat16"


def dequantized(node: Node, index: int, *, axis: int = 1, block: int = 0) -> ir.Value:
    """float32 of an operand: its scale is the next operand, its zero point the one after that.

    The scale is one number, one for each index of `axis`, or one for each `block` of indices.
    """
    dtype, x = integer_dtype(node, index), node.tensor(index)
    grids = _grids(node, x, index + 1, axis, block, dtype, FLOAT32)
    return node.builder.dequantize(x, *grids)


def quantized(
    node: Node, y: ir.Value, scale: int, dtype: np.dtype[Any], *, axis: int = 1, block: int = 0
) -> ir.Value:
    """`y` as integers: its scale is the operand `scale`, its zero point the one after that.

    `dtype` is the result's type where the zero point is left out.
    """
    if node.operand(scale + 1) is not None:
        dtype = integer_dtype(node, scale + 1)
    grids = _grids(node, y, scale, axis, block, dtype, dtype_of(y), divides=True)
    return node.builder.quantize(y, *grids, dtype)


def _grids(
    node: Node, x: ir.Value, index: int, axis: int, block: int, dtype: np.dtype[Any],
    real: np.dtype[Any], divides: bool = False,
) -> tuple[ir.Value, ir.Value]:  # fmt: skip
    """Scale (as `real`) and zero point (which has to be of `dtype`) in the rank of `x`."""
    build, operand = node.builder, node.operand(index + 1)
    scale = build.cast(placed(node, index, shape(x), axis, block, divides), real)
    if operand is None:
        return scale, build.plain(np.zeros(shape(scale), dtype))
    if operand_dtype(operand) != dtype:
        node.fail_operand(
            index + 1, f"is a zero point of type {operand_dtype(operand)}",
            f"{dtype}, as the integers",
        )  # fmt: skip
    zero = placed(node, index + 1, shape(x), axis, block)
    both = np.broadcast_shapes(shape(scale), shape(zero))
    return _expanded(node, scale, both), _expanded(node, zero, both)


def _expanded(node: Node, value: ir.Value, extents: tuple[int, ...]) -> ir.Value:
    if shape(value) == extents:
        return value
    array = constant_value(value)
    if array is None:
        return node.builder.expand(value, extents)
    return node.builder.plain(np.broadcast_to(array, extents))


def integer_dtype(node: Node, index: int) -> np.dtype[Any]:
    """Element type of an operand that must hold integers."""
    dtype = operand_dtype(node.required(index))
    if dtype.name not in _INTEGERS:
        node.fail_operand(index, f"has element type {dtype}", ", ".join(_INTEGERS))
    return dtype


def placed(
    node: Node, index: int, extents: tuple[int, ...], axis: int, block: int, divides: bool = False
) -> ir.Value:
    """A scale or zero point in the rank of the tensor of `extents` that it is for.

    Constant scales must be finite, and positive where they divide.
    """
    build, operand = node.builder, node.required(index)
    grid = _grid(node, index, extents, axis, block)
    repeats: Array | None = None
    if block > 0 and math.prod(grid) > 1:
        axis = node.axis(axis, len(extents))
        if grid[axis] * block != extents[axis]:  # the last block is shorter
            repeats = np.arange(extents[axis]) // block
    if isinstance(operand, ir.Value):
        value = operand if shape(operand) == grid else build.reshape(operand, grid)
        return value if repeats is None else build.gather(value, build.plain(repeats), axis)
    if is_fraction(operand.dtype):
        operand = _checked_scale(node, index, operand, divides)
    array = operand.reshape(grid)
    return build.plain(array if repeats is None else np.take(array, repeats, axis))


def _grid(
    node: Node, index: int, extents: tuple[int, ...], axis: int, block: int
) -> tuple[int, ...]:
    own, rank = shape(node.required(index)), len(extents)
    if math.prod(own) == 1:
        return (1,) * rank
    axis = node.axis(axis, rank)
    wanted = (extents[axis],)
    if block > 0:
        wanted = (*extents[:axis], -(-extents[axis] // block), *extents[axis + 1 :])
    elif len(own) == rank > 1 and all(n in (1, m) for n, m in zip(own, extents, strict=True)):
        return own
    if own != wanted:
        node.fail_operand(
            index, f"has shape {list(own)} for {list(extents)}",
            f"one number, or shape {list(wanted)}",
        )  # fmt: skip
    return own if block > 0 else tuple(n if i == axis else 1 for i, n in enumerate(extents))


def _checked_scale(node: Node, index: int, scale: Array, divides: bool) -> Array:
    if scale.dtype.name == "float8_e8m0fnu":  # powers of two, which have no type in the module
        scale = scale.astype(np.float32)
    wide = scale.astype(np.float64)
    if not np.isfinite(wide).all() or (divides and (wide <= 0).any()):
        bad = wide[~np.isfinite(wide) | (wide <= 0)][0]
        raise NonFiniteWeightError(
            f"{node.describe()}: scale {node.proto.input[index]!r} holds {bad}; expected "
            f"{'positive ' if divides else ''}finite numbers. Train or export the model again"
        )
    return scale


def dequantize_linear(node: Node) -> Operand:
    """(x - zero_point) * scale, per tensor, per axis or in blocks, in float32."""
    build, x = node.builder, node.tensor(0)
    axis, block = node.integer("axis", 1), node.integer("block_size", 0)
    own = operand_dtype(node.required(1))
    target = node.integer("output_dtype", 0)
    dtype = own if own.name != "float8_e8m0fnu" else FLOAT32
    if target:
        dtype = _FLOATS.get(target)
        if dtype is None:
            node.fail_attribute("output_dtype", type_name(target), _FLOAT_NAMES)
    if not is_fraction(dtype_of(x)):
        return build.cast(dequantized(node, 0, axis=axis, block=block), dtype)
    wide = build.cast(x, FLOAT32)
    if node.operand(2) is not None:
        zero = build.cast(placed(node, 2, shape(x), axis, block), FLOAT32)
        wide = build.add(wide, zero, 1, -1)
    factor = build.cast(placed(node, 1, shape(x), axis, block), FLOAT32)
    return build.cast(build.mul(wide, factor), dtype)


def quantize_linear(node: Node) -> Operand:
    """saturate(round(x / scale) + zero_point), per tensor, per axis or in blocks.

    The quotient has the type of `precision`, else of the scale; types that differ meet in float32.
    """
    build, x = node.builder, node.tensor(0)
    axis, block = node.integer("axis", 1), node.integer("block_size", 0)
    dtype = _result_dtype(node)
    division = _division(node, x)
    x = build.cast(x, division)
    if not is_fraction(dtype):
        return quantized(node, x, 1, dtype, axis=axis, block=block)
    factor = build.cast(placed(node, 1, shape(x), axis, block, divides=True), division)
    codes = build.binary("div", x, factor)
    if node.operand(2) is not None:
        codes = build.add(codes, build.cast(placed(node, 2, shape(x), axis, block), division))
    return build.cast(codes, dtype, bool(node.integer("saturate", 1)))


def _result_dtype(node: Node) -> np.dtype[Any]:
    zero, output = node.operand(2), node.integer("output_dtype", 0)
    try:
        named = np.dtype(helper.tensor_dtype_to_np_dtype(output or onnx.TensorProto.UINT8))
    except KeyError:
        named = np.dtype(np.void)
    dtype = named if zero is None or output else operand_dtype(zero)
    if dtype.name not in (*_INTEGERS, *_NARROW_FLOATS):
        found = f"{type_name(output)}" if output else f"{dtype}"
        node.fail_attribute("output_dtype", found, ", ".join((*_INTEGERS, *_NARROW_FLOATS)))
    if zero is not None and operand_dtype(zero) != dtype:
        raise InvalidModelError(
            f"{node.describe()}: attribute output_dtype is {dtype} and the zero point has type "
            f"{operand_dtype(zero)}; expected the same"
        )
    return dtype


def _division(node: Node, x: ir.Value) -> np.dtype[Any]:
    precision, own = node.integer("precision", 0), operand_dtype(node.required(1))
    if precision:
        if precision not in _FLOATS:
            node.fail_attribute("precision", type_name(precision), _FLOAT_NAMES)
        return _FLOATS[precision]
    same = own == dtype_of(x) or not is_fraction(dtype_of(x))
    return own if same and own in _FLOATS.values() else FLOAT32


HANDLERS: dict[str, Handler] = {
    "DequantizeLinear": dequantize_linear,
    "QuantizeLinear": quantize_linear,
}
