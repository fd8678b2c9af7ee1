"""QONNX: `Quant`, `BipolarQuant` and `Trunc`, which Brevitas, QKeras and FINN write.

All of them are floats to floats; here each is `bw.quantize` and `bw.dequantize`, and a constant is
quantized at once. QONNX adds the zero point before it rounds, in float32, which gives other
integers than ONNX's QuantizeLinear at ties and near them: with a zero point the sum is an operation
of its own, so that every rounding is the one that QONNX defines.

Source: the operator schemas of the QONNX project (arXiv 2206.07527).
"""

from dataclasses import dataclass

import numpy as np
import onnx
from torch_mlir import ir

from bitwright.frontend.onnx.node import Array, Handler, Node, Operand, shape
from bitwright.ir.reference_quantize import ROUND

DOMAINS = (
    "qonnx.custom_op.general", "qonnx.custom_op", "qonnx", "onnx.brevitas",
    "finn.custom_op.general", "finn.custom_op", "finn",
)  # fmt: skip
"""Under which the exporters of the last years have written these operators."""

KINDS = ("BipolarQuant", "FloatQuant", "IntQuant", "MultiThreshold", "Quant", "Trunc")
MAX_BITS = 32
ROUNDINGS = {
    "ROUND": "half_even", "HALF_EVEN": "half_even", "CEIL": "ceil", "FLOOR": "floor",
    "DOWN": "zero", "UP": "UP", "HALF_UP": "HALF_UP", "HALF_DOWN": "HALF_DOWN",
}  # fmt: skip
"""QONNX's names, in upper or lower case, as those of `ROUND` or `BY_MAGNITUDE`."""
BY_MAGNITUDE = {"UP": ("ceil", 0.0), "HALF_UP": ("floor", 0.5), "HALF_DOWN": ("ceil", -0.5)}
"""sign(x) * round(|x| + offset), computed in float32 as QONNX does."""


def name_domain(proto: onnx.ModelProto) -> None:
    """Give the nodes that old exporters wrote without a domain the one that they belong to."""
    for node in proto.graph.node:
        if node.op_type in KINDS and node.domain in ("", "ai.onnx"):
            node.domain = DOMAINS[0]


@dataclass(frozen=True)
class Grid:
    """The integers of a quantized tensor: [low, high], scales and zero points of its rank."""

    low: int
    high: int
    scale: Array
    zero_point: Array

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """The narrowest type that holds the integers and the zero points."""
        low = min(self.low, int(self.zero_point.min()))
        high = max(self.high, int(self.zero_point.max()))
        for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32"):
            limits = np.iinfo(name)
            if limits.min <= low and high <= limits.max:
                return np.dtype(name)
        return np.dtype("int64")


def quant(node: Node) -> Operand:
    """Quant and IntQuant: (round(clamp(x / scale + zero point)) - zero point) * scale."""
    signed, narrow = flag(node, "signed", 1), flag(node, "narrow", 0)
    bits = bit_width(node, 3)
    rounding = rounding_of(node, "ROUND")
    scale, zero_point = grid_of(node, 1, 2)
    if bits == 1 and signed:
        grid = Grid(-1, 1, scale, zero_point)
        return _signs(node, _integers(node, grid), grid)
    low, high = integer_range(node, bits, signed, narrow)
    return quantized(node, Grid(low, high, scale, zero_point), rounding)


def bipolar_quant(node: Node) -> Operand:
    """BipolarQuant: scale where x >= 0, else -scale."""
    scale, _ = grid_of(node, 1, None)
    computed = isinstance(node.required(0), ir.Value)
    x = node.value(0) if computed else node.float_array(0, "tensor")
    return _signs(node, x, Grid(-1, 1, scale, np.zeros(scale.shape, np.int64)))


def trunc(node: Node) -> Operand:
    """Trunc: the upper bits of integers, in both versions.

    Version 1 (5 inputs) drops as many bits as the widths differ by and keeps the scale; version 2
    (6 inputs) divides by the power of two nearest to the quotient of the scales, and clamps.
    """
    version = 2 if len(node.operands) > 5 else 1
    rounding = rounding_of(node, "FLOOR")
    scale, zero_point = grid_of(node, 1, 2)
    bits_in = bit_width(node, 3)
    if version == 1:
        steps, out_scale = 2.0 ** (bits_in - bit_width(node, 4)) * np.ones_like(scale), scale
        low, high = -(1 << (MAX_BITS - 1)), (1 << (MAX_BITS - 1)) - 1
        out_zero_point = zero_point
    else:
        out_scale, _ = grid_of(node, 4, None)
        low, high = integer_range(
            node, bit_width(node, 5), flag(node, "signed", 1), flag(node, "narrow", 0)
        )
        steps = 2.0 ** np.round(np.log2(out_scale / scale))
        out_zero_point = zero_point / steps
        if (out_zero_point != np.rint(out_zero_point)).any():
            node.fail_operand(
                2, f"is the zero point, {brief(out_zero_point)} after the truncation", "integers"
            )
    grid = Grid(low, high, *spread(out_scale, np.asarray(out_zero_point)))
    x = _integers(node, Grid(0, 0, scale, zero_point))
    build, divisor = node.builder, np.asarray(steps, np.float32)
    if isinstance(x, ir.Value):
        whole = build.function("round", x)
        quotient = build.binary("div", whole, build.plain(divisor))
        return _quantized_value(node, quotient, grid, rounding)
    return _quantized_array(node, np.rint(x) / divisor, grid, rounding)


def quantized(node: Node, grid: Grid, rounding: str) -> Operand:
    """Operand 0 through `grid`: a `bw.dequantize` of integers."""
    if isinstance(node.required(0), ir.Value) and rounding in ROUND and not grid.zero_point.any():
        build = node.builder
        codes = build.quantize(
            node.value(0), build.plain(grid.scale), _zeros(node, grid), grid.dtype,
            minimum=grid.low, maximum=grid.high, rounding=rounding,
        )  # fmt: skip
        return dequantized(node, codes, grid)
    x = _integers(node, grid)
    if isinstance(x, ir.Value):
        return _quantized_value(node, x, grid, rounding)
    return _quantized_array(node, x, grid, rounding)


def _integers(node: Node, grid: Grid) -> Operand:
    """x / scale + zero point in float32, not yet rounded."""
    zero_point = grid.zero_point.astype(np.float32)
    if not isinstance(node.required(0), ir.Value):
        x = node.float_array(0, "tensor")
        with np.errstate(all="ignore"):
            return x / grid.scale + zero_point
    build = node.builder
    x = build.binary("div", node.value(0), build.plain(grid.scale))
    return build.add(x, build.plain(zero_point)) if zero_point.any() else x


def _quantized_value(node: Node, x: ir.Value, grid: Grid, rounding: str) -> ir.Value:
    """Round and clamp what is in steps of 1 already."""
    build = node.builder
    if rounding in BY_MAGNITUDE:
        nearest, offset = BY_MAGNITUDE[rounding]
        size = build.function("abs", x)
        if offset:
            size = build.add(size, build.plain(np.full((1,) * len(shape(x)), offset, np.float32)))
        x = build.mul(build.function("sign", x), build.function(nearest, size))
        rounding = "half_even"  # of whole numbers
    one = build.plain(np.ones_like(grid.scale))
    codes = build.quantize(
        x, one, _zeros(node, grid), grid.dtype, minimum=grid.low, maximum=grid.high,
        rounding=rounding,
    )  # fmt: skip
    return dequantized(node, codes, grid)


def _quantized_array(node: Node, x: Array, grid: Grid, rounding: str) -> ir.Value:
    whole = rounded(x, rounding).astype(np.float64)
    codes = np.clip(whole, grid.low, grid.high).astype(grid.dtype)
    return dequantized(node, node.builder.plain(codes), grid)


def rounded(x: Array, rounding: str) -> Array:
    """Whole numbers by a rule of `ROUND` or `BY_MAGNITUDE`."""
    if rounding in ROUND:
        return ROUND[rounding](x)
    nearest, offset = BY_MAGNITUDE[rounding]
    return np.sign(x) * ROUND[nearest](np.abs(x) + x.dtype.type(offset))


def _signs(node: Node, x: Operand, grid: Grid) -> ir.Value:
    """1 where x >= 0, else -1, as integers, then scaled."""
    if not isinstance(x, ir.Value):
        return _quantized_array(node, np.where(x >= 0, 1, -1), grid, "half_even")
    build, ones = node.builder, np.ones((1,) * len(shape(x)), np.float32)
    reached = build.binary("greater_equal", x, build.plain(0 * ones))
    signs = build.select(reached, build.plain(ones), build.plain(-ones))
    return _quantized_value(node, signs, grid, "half_even")


def dequantized(node: Node, codes: ir.Value, grid: Grid) -> ir.Value:
    """(codes - zero point) * scale."""
    build = node.builder
    zero_point = build.plain(grid.zero_point.astype(grid.dtype))
    return build.dequantize(codes, build.plain(grid.scale), zero_point)


def _zeros(node: Node, grid: Grid) -> ir.Value:
    return node.builder.plain(np.zeros(grid.scale.shape, grid.dtype))


def flag(node: Node, name: str, default: int) -> bool:
    """An attribute that is 0 or 1."""
    value = node.attribute(name, default)
    if value not in (0, 1):
        node.fail_attribute(name, value, "0 and 1")
    return bool(value)


def rounding_of(node: Node, default: str) -> str:
    """The attribute `rounding_mode` in any case, as a name of `ROUND` or `BY_MAGNITUDE`."""
    value = node.attribute("rounding_mode", default)
    rounding = ROUNDINGS.get(value.upper()) if isinstance(value, str) else None
    if rounding is None:
        node.fail_attribute("rounding_mode", value, ", ".join(ROUNDINGS))
    return rounding


def number(node: Node, index: int, role: str) -> float:
    """A constant operand that is one number, or many equal ones."""
    values = node.array(index, role)
    if values.dtype.kind not in "fiu" or values.size == 0 or (values != values.flat[0]).any():
        node.fail_operand(index, f"is the {role}, {brief(values)}", "one number for the tensor")
    return float(values.flat[0])


def bit_width(node: Node, index: int) -> int:
    """A constant operand that says how many bits."""
    bits = number(node, index, "bit width")
    if not bits.is_integer():
        node.fail_operand(index, f"is the bit width {bits}", "a whole number of bits")
    if not 1 <= bits <= MAX_BITS:
        node.fail_operand(index, f"is the bit width {bits:g}", f"1 to {MAX_BITS} bits")
    return int(bits)


def integer_range(node: Node, bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    """Least and greatest integer of QONNX's formats; narrow ones give up one value."""
    low = narrow - (1 << (bits - 1)) if signed else 0
    high = (1 << (bits - 1)) - 1 if signed else (1 << bits) - 1 - narrow
    if low >= high:
        node.fail_operand(
            3, f"is the bit width {bits}, which leaves the integers from {low} to {high}",
            "at least two of them",
        )  # fmt: skip
    return low, high


def grid_of(node: Node, scale: int, zero_point: int | None) -> tuple[Array, Array]:
    """Scales (float32) and zero points (int64) of the operands with these numbers.

    Both get the rank of operand 0, along whose axes they are one or as many as it has.
    """
    scales = _aligned(node, scale, "scale")
    if (scales <= 0).any():
        node.fail_operand(scale, f"is the scale, {brief(scales)}", "positive scales")
    if zero_point is None or node.operand(zero_point) is None:
        return scales, np.zeros(scales.shape, np.int64)
    zeros = _aligned(node, zero_point, "zero point")
    if (zeros != np.rint(zeros)).any() or (np.abs(zeros) >= 1 << 24).any():
        node.fail_operand(
            zero_point, f"is the zero point, {brief(zeros)}", "integers of at most 24 bits"
        )
    return spread(scales, zeros)


def spread(scale: Array, zero_point: Array) -> tuple[Array, Array]:
    """Both with the extents of the two together."""
    extents = np.broadcast_shapes(scale.shape, zero_point.shape)
    wide = np.broadcast_to(scale, extents), np.broadcast_to(zero_point, extents)
    return wide[0].astype(np.float32), wide[1].astype(np.int64)


def _aligned(node: Node, index: int, role: str) -> Array:
    array, extents = node.array(index, role), shape(node.required(0))
    if array.dtype.kind not in "fiu":
        node.fail_operand(index, f"is the {role} of type {array.dtype}", "float32")
    if not np.isfinite(array.astype(np.float32)).all() or array.size == 0:
        node.fail_operand(index, f"is the {role}, {brief(array)}", "finite numbers")
    padded = (1,) * (len(extents) - array.ndim) + array.shape
    while len(padded) > len(extents) and padded[0] == 1:
        padded = padded[1:]
    fits = len(padded) == len(extents)
    if not fits or any(n not in (1, m) for n, m in zip(padded, extents, strict=True)):
        node.fail_operand(
            index, f"is the {role} of shape {list(array.shape)}",
            f"extents that broadcast to {list(extents)}, those of the tensor",
        )  # fmt: skip
    return array.astype(np.float32).reshape(padded)


def brief(values: Array) -> str:
    """The first numbers of an array."""
    flat = np.asarray(values).reshape(-1)
    shown = ", ".join(
        f"{value:g}" if value.dtype.kind in "fiu" else str(value) for value in flat[:4]
    )
    return f"[{shown}{', ...' if flat.size > 4 else ''}]"


HANDLERS: dict[str, Handler] = {
    "BipolarQuant": bipolar_quant,
    "IntQuant": quant,
    "Quant": quant,
    "Trunc": trunc,
}
