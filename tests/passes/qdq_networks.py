"""Quantized ONNX models as exporters write them: markers around every operation."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
Rng = np.random.Generator


@dataclass(frozen=True)
class Grid:
    """Scale, zero point and type of a quantized tensor."""

    scale: float
    zero_point: int = 0
    dtype: str = "int8"


@dataclass
class Network:
    """An ONNX model under construction; values are named by their quantized tensor.

    Scales are powers of two where `exact`, so that float32 computes without rounding and ONNX
    Runtime's result is the one result that there is, ties among it. Its kernels QLinearAdd and
    QLinearAveragePool add the zero point before they round, so that ties fall as the standard says
    only where zero points are `even`.
    """

    rng: Rng
    exact: bool = False
    dtype: str = "int8"
    even: bool = False
    nodes: list[onnx.NodeProto] = field(default_factory=list[onnx.NodeProto])
    weights: dict[str, Array] = field(default_factory=dict[str, Array])
    grids: dict[str, Grid] = field(default_factory=dict[str, Grid])
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list[onnx.ValueInfoProto])
    _count: int = 0

    def name(self, prefix: str) -> str:
        """A new name."""
        self._count += 1
        return f"{prefix}{self._count}"

    def constant(self, array: Any) -> str:
        """An initializer."""
        name = self.name("c")
        self.weights[name] = np.asarray(array)
        return name

    def grid(self, span: float) -> Grid:
        """A scale that covers about `span`, and a zero point somewhere."""
        scale = span / 255
        if self.exact:
            scale = 2.0 ** round(np.log2(scale))
        middle = 128 if self.dtype == "uint8" else 0
        zero_point = middle + int(self.rng.integers(-60, 60))
        if self.even:
            zero_point &= -2
        return Grid(float(np.float32(scale)), zero_point, self.dtype)

    def node(self, kind: str, operands: Sequence[str], **attributes: Any) -> str:
        """A node with one output."""
        name = self.name("t")
        self.nodes.append(helper.make_node(kind, list(operands), [name], name=name, **attributes))
        return name

    def input(self, shape: Sequence[int], grid: Grid) -> str:
        """A float input and its quantize."""
        name = self.name("x")
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))
        return self.quantize(name, shape, grid)

    def quantize(self, value: str, shape: Sequence[int], grid: Grid) -> str:
        """QuantizeLinear."""
        zero = self.constant(np.asarray(grid.zero_point, grid.dtype))
        name = self.node("QuantizeLinear", [value, self.constant(np.float32(grid.scale)), zero])
        self.grids[name], self.shapes[name] = grid, tuple(shape)
        return name

    def real(self, value: str) -> str:
        """DequantizeLinear of a quantized tensor."""
        grid = self.grids[value]
        zero = self.constant(np.asarray(grid.zero_point, grid.dtype))
        return self.node("DequantizeLinear", [value, self.constant(np.float32(grid.scale)), zero])

    def weight(
        self, shape: Sequence[int], axis: int | None, zero_point: int | None = None
    ) -> tuple[str, Array]:
        """A dequantized weight and its scales, per tensor or along `axis`.

        int8 and symmetric, or uint8 where it has a zero point.
        """
        low, high, dtype = (-127, 128, np.int8) if zero_point is None else (0, 256, np.uint8)
        integers = self.rng.integers(low, high, shape).astype(dtype)
        count = 1 if axis is None else shape[axis]
        scales = self.rng.uniform(0.001, 0.01, count)
        if self.exact:
            scales = 2.0 ** np.rint(np.log2(scales))
        scales = scales.astype(np.float32)
        given = scales[0] if axis is None else scales
        options = {} if axis is None else {"axis": axis}
        zero = self.constant(np.full(np.shape(given), zero_point or 0, dtype))
        value = self.node(
            "DequantizeLinear", [self.constant(integers), self.constant(given), zero], **options
        )
        return value, scales

    def bias(self, x: str, scales: Array, outputs: int) -> str:
        """A dequantized int32 bias in units of the accumulator."""
        unit = np.float32(self.grids[x].scale) * scales
        integers = self.rng.integers(-2000, 2000, outputs).astype(np.int32)
        given, options = (unit[0], {}) if len(unit) == 1 else (unit, {"axis": 0})
        return self.node(
            "DequantizeLinear",
            [self.constant(integers), self.constant(given),
             self.constant(np.zeros(np.shape(given), np.int32))], **options,
        )  # fmt: skip

    def conv(
        self, x: str, outputs: int, *, groups: int = 1, activation: str | None = None,
        per_channel: bool = True, zero_point: int | None = None, **attributes: Any,
    ) -> str:  # fmt: skip
        """Conv with a quantized bias, an activation, quantize."""
        channels = self.shapes[x][1]
        weight, scales = self.weight(
            (outputs, channels // groups, 3, 3), 0 if per_channel else None, zero_point
        )
        made = self.node(
            "Conv", [self.real(x), weight, self.bias(x, scales, outputs)], group=groups,
            kernel_shape=[3, 3], pads=[1, 1, 1, 1], **attributes,
        )  # fmt: skip
        if activation is not None:
            made = self.node(activation, [made])
        strides = attributes.get("strides", [1, 1])
        size = [-(-n // s) for n, s in zip(self.shapes[x][2:], strides, strict=True)]
        span = self.grids[x].scale * float(scales.mean()) * 127 * 60 * (channels / groups) ** 0.5
        return self.quantize(made, (1, outputs, *size), self.grid(4 * span))

    def dense(self, x: str, outputs: int, zero_point: int | None = None) -> str:
        """MatMul and Add, quantize."""
        rows, depth = self.shapes[x]
        weight, scales = self.weight((depth, outputs), None, zero_point)
        product = self.node("MatMul", [self.real(x), weight])
        made = self.node("Add", [product, self.bias(x, scales, outputs)])
        span = self.grids[x].scale * float(scales[0]) * 127 * 60 * depth**0.5
        return self.quantize(made, (rows, outputs), self.grid(4 * span))

    def unary(self, kind: str, x: str, span: float, **attributes: Any) -> str:
        """A function of one tensor, quantize."""
        made = self.node(kind, [self.real(x)], **attributes)
        return self.quantize(made, self.shapes[x], self.grid(span))

    def binary(self, kind: str, x: str, y: str) -> str:
        """Add or Mul, quantize."""
        made = self.node(kind, [self.real(x), self.real(y)])
        left, right = 255 * self.grids[x].scale, 255 * self.grids[y].scale
        span = left + right if kind == "Add" else left * right / 4
        return self.quantize(made, self.shapes[x], self.grid(span))

    def moved(self, kind: str, x: str, shape: Sequence[int], *more: Any, **attributes: Any) -> str:
        """An operation that keeps the grid: dequantize, move, quantize."""
        operands = [self.constant(item) for item in more]
        made = self.node(kind, [self.real(x), *operands], **attributes)
        return self.quantize(made, shape, self.grids[x])

    def model(self, *outputs: str) -> onnx.ModelProto:
        """The model, its outputs dequantized."""
        reals = [self.real(output) for output in outputs]
        infos = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, list(self.shapes[output]))
            for name, output in zip(reals, outputs, strict=True)
        ]
        graph = helper.make_graph(
            self.nodes, "qdq", self.inputs, infos,
            [numpy_helper.from_array(array, name) for name, array in self.weights.items()],
        )  # fmt: skip
        imports = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, opset_imports=imports, ir_version=8)


def run_onnx(
    proto: onnx.ModelProto, feeds: Sequence[dict[str, Array]], *, optimise: bool
) -> list[list[Array]]:
    """ONNX Runtime's outputs for each of the inputs; with integer kernels where `optimise`."""
    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimise else level.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [[np.asarray(array) for array in session.run(None, feed)] for feed in feeds]
