"""QONNX nodes in small models, and what QONNX says that they compute, in NumPy.

The formulas are those of the operator schemas: float32, the zero point added before rounding, the
clamp before it as well.
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
DOMAIN = "qonnx.custom_op.general"


def model(
    kind: str, shape: tuple[int, ...], operands: list[Array | float], domain: str = DOMAIN,
    **attributes: Any,
) -> bytes:  # fmt: skip
    """y = kind(x, operands...)."""
    constants = [
        numpy_helper.from_array(np.asarray(value, np.float32), f"c{i}")
        for i, value in enumerate(operands)
    ]
    node = helper.make_node(
        kind, ["x", *(c.name for c in constants)], ["y"], name="n", domain=domain, **attributes
    )
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], constants,
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return proto.SerializeToString()


def constant_model(kind: str, x: Array, operands: list[Array | float], **attributes: Any) -> bytes:
    """y = z + kind(x, operands...) where x is an initializer."""
    proto = onnx.load_from_string(model(kind, x.shape, operands, **attributes))
    graph = proto.graph
    graph.initializer.append(numpy_helper.from_array(x.astype(np.float32), "x"))
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, x.shape))
    graph.node.append(helper.make_node("Add", ["z", "y"], ["sum"]))
    graph.output[0].name = "sum"
    return proto.SerializeToString()


def _half_up(x: Array) -> Array:
    return np.sign(x) * np.floor(np.abs(x) + np.float32(0.5))


def _half_down(x: Array) -> Array:
    return np.sign(x) * np.ceil(np.abs(x) - np.float32(0.5))


ROUND = {
    "ROUND": np.round, "HALF_EVEN": np.round, "CEIL": np.ceil, "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)), "DOWN": np.fix, "HALF_UP": _half_up,
    "HALF_DOWN": _half_down,
}  # fmt: skip


def quant(
    x: Array, scale: Array, zero_point: Array, bits: int, *, signed: bool, narrow: bool, mode: str
) -> Array:
    """Quant."""
    steps = x / np.float32(scale) + np.float32(zero_point)
    if bits == 1 and signed:
        whole = np.where(steps >= 0, np.float32(1), np.float32(-1))
    else:
        low = -(2 ** (bits - 1)) + narrow if signed else 0
        high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - narrow
        whole = ROUND[mode](np.clip(steps, np.float32(low), np.float32(high)))
    return (whole - np.float32(zero_point)) * np.float32(scale)


def trunc(x: Array, scale: float, zero_point: float, dropped: int, mode: str) -> Array:
    """Trunc of version 1."""
    steps = np.round(x / np.float32(scale) + np.float32(zero_point)) / np.float32(2**dropped)
    return (ROUND[mode](steps) - np.float32(zero_point)) * np.float32(scale)


def trunc_to(
    x: Array, scale: float, zero_point: float, out_scale: float, low: int, high: int, mode: str
) -> Array:
    """Trunc of version 2."""
    power = np.float32(2 ** round(np.log2(out_scale / scale)))
    steps = np.round(x / np.float32(scale) + np.float32(zero_point)) / power
    whole = ROUND[mode](np.clip(steps, np.float32(low), np.float32(high)))
    return (whole - np.float32(zero_point) / power) * np.float32(out_scale)


def multi_threshold(x: Array, thresholds: Array, scale: float, bias: float, axis: int) -> Array:
    """MultiThreshold."""
    moved = np.moveaxis(x, axis, -1)[..., None]
    count = np.moveaxis((moved >= thresholds).sum(axis=-1), -1, axis).astype(np.float32)
    return np.float32(scale) * count + np.float32(bias)


def float_quant(
    x: Array, scale: float, exponent: int, mantissa: int, bias: float, most: float, mode: str
) -> Array:
    """FloatQuant."""
    x = x / np.float32(scale)
    step = np.floor(np.log2(np.abs(x) + np.finfo(np.float32).tiny)) - np.float32(mantissa)
    step = np.exp2(np.maximum(step, np.float32(1 - bias - mantissa)))
    greatest = min(most, float((2 - 2.0**-mantissa) * 2.0 ** (2.0**exponent - 1 - bias)))
    return np.clip(step * ROUND[mode](x / step), -greatest, greatest) * np.float32(scale)
