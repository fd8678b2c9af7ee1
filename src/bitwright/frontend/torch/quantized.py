"""PT2E's quantize and dequantize, as `bw.quantize` and `bw.dequantize`.

They stand in the graph also where they depend on constants only (weights): what the integers are
is then known to the pass that turns the module into an integer one.
"""

from typing import Any

import numpy as np
from torch_mlir import ir

from bitwright.frontend.torch.node import Array, Handler, Node, Operand, numpy_type, shape
from bitwright.ir.types import dtype_of


def quantize(node: Node) -> Operand:
    """quantize_per_tensor and quantize_per_channel, ties to even."""
    x, dtype = node.value("input"), _integer_type(node)
    scale, zero_point = _grid(node, x, dtype)
    return node.builder.quantize(
        x, scale, zero_point, dtype, minimum=node.integer("quant_min"),
        maximum=node.integer("quant_max"),
    )  # fmt: skip


def dequantize(node: Node) -> Operand:
    """dequantize_per_tensor and dequantize_per_channel."""
    x = node.tensor("input")
    node.read.update(("quant_min", "quant_max", "out_dtype"))  # of the integers; of the result
    if dtype_of(x) != _integer_type(node):
        node.fail("input", f"has element type {dtype_of(x)}", str(_integer_type(node)))
    if node.dtype != np.float32:
        node.fail_value("out_dtype", "float32")
    scale, zero_point = _grid(node, x, dtype_of(x))
    return node.builder.dequantize(x, scale, zero_point)


def _integer_type(node: Node) -> np.dtype[Any]:
    dtype = numpy_type(node.argument("dtype"), f"{node.describe()}: argument dtype")
    if dtype.kind not in "iu":
        node.fail_value("dtype", "int8, uint8, int16, int32")
    return dtype


def _grid(node: Node, x: ir.Value, dtype: np.dtype[Any]) -> tuple[ir.Value, ir.Value]:
    """Scale and zero point in the rank of `x`."""
    extents = [1] * len(shape(x))
    names = ("scales", "zero_points") if "scales" in node.given else ("scale", "zero_point")
    if "axis" in node.given:
        axis = node.axis("axis", len(extents))
        extents[axis] = shape(x)[axis]
    scale = node.array(names[0], "scale")
    zero_point: Array = np.zeros(scale.shape, np.int64)
    if node.has(names[1]):
        zero_point = node.array(names[1], "zero point")
    return (
        node.builder.plain(scale.astype(np.float32).reshape(extents)),
        node.builder.plain(zero_point.astype(dtype).reshape(extents)),
    )


HANDLERS: dict[str, Handler] = {
    "quantized_decomposed.dequantize_per_channel": dequantize,
    "quantized_decomposed.dequantize_per_tensor": dequantize,
    "quantized_decomposed.quantize_per_channel": quantize,
    "quantized_decomposed.quantize_per_tensor": quantize,
}
