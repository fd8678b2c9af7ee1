"""Weights of 2, 4 and 8 bits in blocks, packed into bytes: MatMulNBits, GatherBlockQuantized.

They become constants of the narrow type, and `bw.dequantize` with a scale for each block.
"""

import math
from typing import Any

import ml_dtypes
import numpy as np
from torch_mlir import ir

from bitwright.frontend.common.checks import checked_size
from bitwright.frontend.onnx.indexing import part
from bitwright.frontend.onnx.node import Array, Handler, Node, Operand
from bitwright.frontend.onnx.quantized import FLOAT32, operand_dtype

_CODES: dict[int, np.dtype[Any]] = {
    2: np.dtype(ml_dtypes.uint2), 4: np.dtype(ml_dtypes.uint4), 8: np.dtype(np.uint8),
}  # fmt: skip


def unpacked(packed: Array, bits: int) -> Array:
    """[..., bytes] to [..., bytes * 8 / bits] of uint8, the low bits of a byte first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes = (packed[..., None] >> shifts) & np.uint8((1 << bits) - 1)
    return codes.reshape(*packed.shape[:-1], -1)


def matmul_nbits(node: Node) -> Operand:
    """MatMulNBits: A times the transpose of a weight [N, K] that has a scale for each block.

    `accuracy_level` allows an execution to compute less exactly; here it is float32.
    """
    build, x = node.builder, node.tensor(0)
    bits, block = _bits(node), _block(node, 0)
    own = _float_dtype(node, 0)
    if node.operand(4) is not None:
        node.fail_operand(4, "is a g_idx", "none; quantize without reordering the input channels")
    if node.integer("weight_prepacked", 0):
        node.fail_attribute("weight_prepacked", node.integer("weight_prepacked", 0), "0")
    rows, columns = node.integer("N", 0), node.integer("K", 0)
    checked_size((rows, columns), f"{node.describe()}: its weight")
    blocks = -(-columns // block)
    packed = _sized(node, 1, "packed weight", (rows, blocks * block * bits // 8))
    scale = _sized(node, 2, "scale", (rows, blocks))
    zero = _zero_point(node, 3, bits, (rows, blocks))
    weight = _table(node, _codes(node, 1, packed, bits), scale, zero)
    if blocks * block != columns:
        weight = part(node, weight, 1, 0, columns)
    bias = np.zeros(rows, np.float32)
    if node.operand(5) is not None:
        bias = _sized(node, 5, "bias", (rows,)).astype(np.float32)
    return build.cast(build.linear(build.cast(x, FLOAT32), weight, build.constant(bias)), own)


def gather_block_quantized(node: Node) -> Operand:
    """GatherBlockQuantized: entries of a table that has a scale for each block."""
    build, table, own = node.builder, node.array(0, "table"), _float_dtype(node, 2)
    if table.dtype == np.uint8:
        bits = _bits(node)
        codes, zero = _codes(node, 0, table, bits), 1 << (bits - 1)
    elif table.dtype.name in ("int4", "uint4"):
        bits, codes, zero = 4, table, 0
    else:
        node.fail_operand(0, f"has element type {table.dtype}", "uint8, int4, uint4")
    block, extents = _block(node, 128), codes.shape
    along = node.axis(node.integer("quantize_axis", 1), len(extents))
    axis = node.axis(node.integer("gather_axis", 0), len(extents))
    blocks = -(-extents[along] // block)
    grid = (*extents[:along], blocks, *extents[along + 1 :])
    scale = _sized(node, 2, "scale", grid)
    zeros = np.full(grid, zero, np.uint8)
    if node.operand(3) is not None:
        packed = table.dtype == np.uint8
        zeros = _zero_point(node, 3, bits, grid) if packed else _sized(node, 3, "zero point", grid)
    if blocks * block != extents[along]:  # the last block is shorter
        repeats = np.arange(extents[along]) // block
        scale, zeros = (np.take(array, repeats, along) for array in (scale, zeros))
    indices = _indices(node, extents[axis])
    if axis == along:
        return build.cast(build.gather(_table(node, codes, scale, zeros), indices, axis), own)
    arrays = (codes, scale, zeros.astype(codes.dtype))
    picked = (build.gather(build.plain(array), indices, axis) for array in arrays)
    return build.cast(build.dequantize(*picked), own)


def _indices(node: Node, extent: int) -> ir.Value:
    indices = node.required(1)
    if isinstance(indices, ir.Value):
        return indices
    if indices.dtype.kind not in "iu" or ((indices < -extent) | (indices >= extent)).any():
        node.fail_operand(1, f"is {indices.tolist()}", f"integers from {-extent} to {extent - 1}")
    return node.builder.plain(np.where(indices < 0, indices + extent, indices))


def _float_dtype(node: Node, index: int) -> np.dtype[Any]:
    dtype = operand_dtype(node.required(index))
    if dtype not in (FLOAT32, np.dtype(np.float16)):
        node.fail_operand(index, f"has element type {dtype}", "float32, float16")
    return dtype


def _bits(node: Node) -> int:
    bits = node.integer("bits", 4)
    if bits not in _CODES:
        node.fail_attribute("bits", bits, ", ".join(map(str, _CODES)))
    return bits


def _block(node: Node, default: int) -> int:
    block = node.integer("block_size", default)
    if block < 16 or block & (block - 1):
        node.fail_attribute("block_size", block, "a power of two from 16 on")
    return block


def _sized(node: Node, index: int, role: str, wanted: tuple[int, ...]) -> Array:
    """A constant operand in the shape `wanted`; some exporters write it flat."""
    array = node.array(index, role)
    if array.size != math.prod(wanted):
        node.fail_operand(index, f"has shape {list(array.shape)}", f"a {role} of {list(wanted)}")
    if array.dtype.kind == "f":
        array = node.float_array(index, role)
    return array.reshape(wanted)


def _codes(node: Node, index: int, packed: Array, bits: int) -> Array:
    if packed.dtype != np.uint8:
        node.fail_operand(index, f"has element type {packed.dtype}", "uint8")
    return unpacked(packed, bits).astype(_CODES[bits])


def _zero_point(node: Node, index: int, bits: int, grid: tuple[int, ...]) -> Array:
    """Zero points of `grid`: packed along the last axis as the weights, or floats."""
    if node.operand(index) is None:
        return np.full(grid, 1 << (bits - 1), np.uint8)
    if operand_dtype(node.required(index)) != np.uint8:
        return _sized(node, index, "zero point", grid).astype(np.float32)
    width = -(-grid[-1] * bits // 8)
    packed = _sized(node, index, "packed zero point", (*grid[:-1], width))
    return unpacked(packed, bits)[..., : grid[-1]]


def _table(node: Node, codes: Array, scale: Array, zero: Array) -> ir.Value:
    """Codes as float32; a zero point that is not one of the codes leaves no integers."""
    build = node.builder
    if zero.dtype.kind == "f":
        repeats = codes.shape[-1] // scale.shape[-1]
        wide = codes.astype(np.float32) - np.repeat(zero, repeats, -1)
        return build.constant(wide * np.repeat(scale, repeats, -1))
    return build.dequantize(*(build.plain(a) for a in (codes, scale, zero.astype(codes.dtype))))


HANDLERS: dict[str, Handler] = {
    "GatherBlockQuantized": gather_block_quantized,
    "MatMulNBits": matmul_nbits,
}
