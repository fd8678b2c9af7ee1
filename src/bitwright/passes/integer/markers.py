"""Quantized types out of the operands of `bw.quantize` and `bw.dequantize`."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch_mlir import ir

from bitwright.ir import graph
from bitwright.ir.bw_quantize import DequantizeOp, QuantizeOp, integer_range
from bitwright.ir.bw_threshold import MultiThresholdOp
from bitwright.ir.reference import constant_value
from bitwright.ir.types import QuantParams, dtype_of, is_float, shape_of
from bitwright.passes.integer.errors import FloatBetweenMarkers, UnsupportedMarker

QUANTIZE = QuantizeOp.OPERATION_NAME
DEQUANTIZE = DequantizeOp.OPERATION_NAME
MULTI_THRESHOLD = MultiThresholdOp.OPERATION_NAME
RELU = "bw.relu"
MOVES = frozenset(
    f"bw.{name}" for name in ("reshape", "transpose", "slice", "max_pool2d", "pad", "concat")
)
_ADVICE = "Quantize activations per tensor to at most 8 bits, with constant scales"


@dataclass(frozen=True)
class Marker:
    """A quantized type and what its codes are less than the model's integers."""

    params: QuantParams
    offset: int


def describe(operation: Any) -> str:
    """`'name' (bw.kind)`."""
    return f"{graph.location_name(operation)!r} ({operation.operation.name})"


def marker_of(operation: Any) -> Marker:
    """The type that a `bw.quantize` gives or a `bw.dequantize` reads.

    Unsigned integers are shifted by half of their range, so that codes are signed.

    Raises:
        UnsupportedMarker: more than 8 bits, scales per axis or computed at run time.
    """
    quantizes = operation.operation.name == QUANTIZE
    integers = operation.result if quantizes else operation.input
    dtype = dtype_of(integers)
    low, high = integer_range(dtype)
    if quantizes:
        low, high = operation.minimum.value, operation.maximum.value
    scale, zero_point = grid_of(operation)
    return marker(describe(operation), scale, zero_point, low, high)


def grid_of(operation: Any) -> tuple[float, int]:
    """Scale and zero point of a marker.

    Raises:
        UnsupportedMarker: scales per axis or computed at run time.
    """
    scale, zero_point = constant_value(operation.scale), constant_value(operation.zero_point)
    if scale is None or zero_point is None:
        raise UnsupportedMarker(
            f"{describe(operation)}: its scale is computed at run time (dynamic quantization), "
            f"which integers of a fixed scale cannot follow. {_ADVICE}"
        )
    if scale.size != 1:
        raise UnsupportedMarker(
            f"{describe(operation)} has {scale.size} scales of shape {list(scale.shape)} for an "
            f"activation; expected one. {_ADVICE}"
        )
    return float(scale.item()), int(zero_point.item())


def marker(where: str, scale: float, zero_point: int, low: int, high: int) -> Marker:
    """The type of integers from `low` to `high`; see `marker_of`."""
    bits = max((-low - 1).bit_length(), high.bit_length()) + 1 if low < 0 else high.bit_length()
    if bits > 8:
        raise UnsupportedMarker(
            f"{where} has integers from {low} to {high}; expected at most 8 bits. {_ADVICE}"
        )
    if not (np.isfinite(scale) and scale > 0):
        raise UnsupportedMarker(
            f"{where} has a scale of {scale:g}; expected a positive number. Export it again"
        )
    bits = max(bits, 2)
    offset = 0 if low < 0 else 1 << (bits - 1)
    params = QuantParams((scale,), zero_point - offset, bits, low - offset, high - offset)
    check_zero_point(where, params)
    return Marker(params, offset)


def check_zero_point(where: str, params: QuantParams) -> None:
    """Raise `UnsupportedMarker` where the real zero is not one of the integers."""
    if not params.qmin <= params.zero_point <= params.qmax:
        raise UnsupportedMarker(
            f"{where} has the zero point {params.zero_point} outside of its integers, "
            f"{params.qmin} to {params.qmax}; the real zero has to be one of them. Export it again "
            "with a range that covers zero"
        )


def same_grid(left: QuantParams, right: QuantParams) -> bool:
    """Whether two types give a code the same real value."""
    return left.scale == right.scale and left.zero_point == right.zero_point


def input_marker(item: graph.NamedValue) -> Marker:
    """The type of a model input, from the marker that reads it (moves of elements between).

    Raises:
        FloatBetweenMarkers: where anything else reads it.
    """
    found: Marker | None = None
    for reader in _past_relu(list(_readers(item.value))):
        kind = reader.operation.name
        shifted = _added_before(reader)
        if shifted is not None:
            found = found or shifted
            continue
        if kind not in (QUANTIZE, DEQUANTIZE):
            what = "float" if is_float(item.value) else str(dtype_of(item.value))
            raise FloatBetweenMarkers(
                f"Input {item.name!r} of shape {list(shape_of(item.value))} is {what}, and "
                f"{describe(reader)} reads it before it is quantized. Quantize the input, or "
                "leave that operation out of the exported model"
            )
        found = found or marker_of(reader)
    if found is None:
        raise FloatBetweenMarkers(
            f"Input {item.name!r} is read by no quantize or dequantize, so that its scale is not "
            "known. Leave it out of the exported model"
        )
    return found


def _past_relu(readers: list[Any]) -> list[Any]:
    """The quantizes behind an only reader that is a relu, where they clamp at zero themselves, as
    those of QKeras's `quantized_relu` do; else `readers`."""
    if len(readers) != 1 or readers[0].operation.name != RELU:
        return readers
    behind = list(_readers(readers[0].result))
    for reader in behind:
        if reader.operation.name != QUANTIZE:
            return readers
        params = marker_of(reader).params
        if params.qmin != params.zero_point:
            return readers
    return behind


def _added_before(div: Any) -> Marker | None:
    """quantize(x / s + z) of scale 1, QONNX's order of things, as a quantize of scale s and zero
    point z: an input's integers are given, and how they were rounded is the giver's."""
    quantize = div
    constants: list[float] = []
    for kind in ("bw.div", "bw.add"):
        if quantize.operation.name != kind:
            return None
        constant = constant_value(quantize.operands[1])
        users = graph.users(quantize.result)
        if constant is None or constant.size != 1 or len(users) != 1:
            return None
        constants.append(float(constant.item()))
        quantize = users[0].opview if hasattr(users[0], "opview") else users[0]
    if quantize.operation.name != QUANTIZE or not constants[1].is_integer():
        return None
    found, (scale, zero_point) = marker_of(quantize), constants
    if found.params.scale != 1:
        return None
    params = replace(
        found.params, scales=(scale,), zero_point=found.params.zero_point + int(zero_point)
    )
    return Marker(params, found.offset)


def _readers(value: ir.Value) -> Iterator[Any]:
    for user in graph.users(value):
        if user.operation.name == "func.return":
            continue
        operation = user.opview if hasattr(user, "opview") else user
        if operation.operation.name in MOVES:
            yield from _readers(operation.result)
        else:
            yield operation
