"""QONNX: `FloatQuant`, numbers with an exponent and a mantissa of a few bits.

A constant is rounded at import. A computed tensor is cast, where the format is one of those that
have a type of their own; others are refused.
"""

import ml_dtypes
import numpy as np
from torch_mlir import ir

from bitwright.frontend.onnx.node import Array, Handler, Node, Operand
from bitwright.frontend.onnx.qonnx import brief, flag, grid_of, number, rounded, rounding_of

FORMATS = {
    (4, 3, 7.0, 448.0): np.dtype(ml_dtypes.float8_e4m3fn),
    (5, 2, 15.0, 57344.0): np.dtype(ml_dtypes.float8_e5m2),
    (2, 1, 1.0, 6.0): np.dtype(ml_dtypes.float4_e2m1fn),
}
"""Exponent bits, mantissa bits, exponent bias and greatest value of the types that there are."""


def float_quant(node: Node) -> Operand:
    """FloatQuant: the nearest number of the format times scale, saturated at max_val."""
    rounding = rounding_of(node, "ROUND")
    for name, most in (("has_inf", 1), ("has_nan", 1), ("has_subnormal", 1)):
        flag(node, name, most)  # they inform, and change nothing
    if not flag(node, "saturation", 1):
        node.fail_attribute("saturation", 0, "1")
    scale, _ = grid_of(node, 1, None)
    exponent, mantissa = (_width(node, i, r) for i, r in ((2, "exponent"), (3, "mantissa")))
    bias = number(node, 4, "exponent bias") if node.operand(4) is not None else (
        2.0 ** (exponent - 1) - 1
    )  # fmt: skip
    if not bias.is_integer() or abs(bias) > 126:
        node.fail_operand(4, f"is the exponent bias {bias:g}", "a whole number of at most 126")
    most = (2 - 2.0**-mantissa) * 2.0 ** (2.0**exponent - 1 - bias)
    if node.operand(5) is not None:
        most = min(most, number(node, 5, "greatest value"))
    if not 0 < most < np.finfo(np.float32).max:
        node.fail_operand(5, f"is the greatest value {most:g}", "a positive float32")
    if not isinstance(node.required(0), ir.Value):
        x = node.float_array(0, "tensor") / scale
        return _nearest(x, mantissa, bias, most, rounding) * scale
    dtype = FORMATS.get((exponent, mantissa, bias, most))
    if dtype is None or rounding != "half_even":
        known = "; ".join(f"E{e}M{m}, bias {b:g}, greatest {v:g}" for e, m, b, v in FORMATS)
        node.fail_operand(
            0, f"is computed, and its format is E{exponent}M{mantissa}, bias {bias:g}, greatest "
            f"{most:g}, rounding {rounding}", f"constants, and with rounding half_even {known}",
        )  # fmt: skip
    build, step = node.builder, node.builder.plain(scale)
    small = build.cast(build.binary("div", node.value(0), step), dtype)
    return build.mul(build.cast(small, np.dtype(np.float32)), step)


def _width(node: Node, index: int, role: str) -> int:
    bits = number(node, index, f"{role} width")
    limits = (1, 8) if role == "exponent" else (0, 23)
    if not bits.is_integer() or not limits[0] <= bits <= limits[1]:
        shown = brief(node.array(index, role))
        node.fail_operand(index, f"is the {role} width {shown}", f"{limits[0]} to {limits[1]} bits")
    return int(bits)


def _nearest(x: Array, mantissa: int, bias: float, most: float, rounding: str) -> Array:
    exponent = np.floor(np.log2(np.abs(x) + np.finfo(np.float32).tiny)).astype(np.float32)
    step = np.exp2(np.maximum(exponent, np.float32(1 - bias)) - np.float32(mantissa))
    return np.clip(step * rounded(x / step, rounding), -most, most).astype(np.float32)


HANDLERS: dict[str, Handler] = {"FloatQuant": float_quant}
