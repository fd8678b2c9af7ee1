"""How many bits each accumulator needs: a proof from the actual weights and input ranges.

Every quantized value lies in the interval of its codes, narrowed by the clamp of the requantize,
the table or the constant that makes it. From there the range of a sum of products is exact per
output channel: each weight takes its worst input (padding is a real zero and lies inside).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.errors import BitwrightError
from bitwright.ir import fixed_point, graph
from bitwright.ir.checks import ints
from bitwright.ir.types import shape_of, value_params

Interval = tuple[int, int]
ACCUMULATOR_BITS = 32


class AccumulatorTooWide(BitwrightError):
    """A layer whose sums can leave 32 bits."""

    exit_code = 5


class NotAnAccumulator(ValueError):
    """Asked for the accumulator of an operation that has none; a mistake in a pass."""


def accumulator_range(operation: Any) -> Interval:
    """Least and greatest accumulator of `operation`, its bias included.

    For `conv2d`, `linear`, `matmul`, `add`, `scaled_add`, `mul`, `sum_pool2d` and `reduce_sum` on
    integers.
    """
    handler = _RANGES.get(operation.operation.name)
    if handler is None:
        raise NotAnAccumulator(f"{operation.operation.name} has no accumulator")
    return handler(operation)


def accumulator_bits(operation: Any) -> int:
    """Width of a signed accumulator that holds the biased sum of `operation` exactly.

    Partial sums may wrap: only this final value has to fit, since the machine adds in the ring of
    integers modulo 2^bits.
    """
    return signed_bits(*accumulator_range(operation))


def signed_bits(low: int, high: int) -> int:
    """Bits of the two's complement numbers from `low` to `high`."""
    return max((-low - 1).bit_length() if low < 0 else 0, high.bit_length() if high > 0 else 0) + 1


def prove(module: ir.Module, limit: int = ACCUMULATOR_BITS) -> dict[str, int]:
    """Bits of every accumulator of the integer `module`, in order, by the operations' names.

    Raises:
        AccumulatorTooWide: naming the first operation that needs more than `limit` bits.
    """
    found: dict[str, int] = {}
    for operation in graph.operations(module):
        if operation.operation.name not in _RANGES:
            continue
        name = graph.location_name(operation)
        low, high = accumulator_range(operation)
        bits = signed_bits(low, high)
        if bits > limit:
            raise AccumulatorTooWide(
                f"{name!r} ({operation.operation.name}) accumulates from {low} to {high}, which "
                f"needs {bits} bits, more than {limit}; quantize weights or activations to fewer "
                "bits, or split the layer"
            )
        found[name] = max(bits, found.get(name, 0))
    return found


def value_range(value: ir.Value) -> Interval:
    """Least and greatest code that a quantized value can take."""
    params = value_params(value)
    constant = graph.constant_of(value)
    if constant is not None:
        return int(constant.min()), int(constant.max())
    if isinstance(value.owner, ir.Block):
        return params.qmin, params.qmax
    operation = value.owner.opview
    match operation.operation.name:
        case "bw.requantize" | "bw.integer_avg_pool2d":
            return operation.clamp_min.value, operation.clamp_max.value
        case "bw.multi_threshold":
            return params.qmin, params.qmin + shape_of(operation.thresholds)[1]
        case "bw.table":
            low, high = value_range(operation.input)
            reached = ints(operation.table)[low + 128 : high + 129]
            return min(reached), max(reached)
        case "bw.max_pool2d" | "bw.reshape" | "bw.slice" | "bw.transpose":
            return value_range(operation.input)
        case "bw.pad":
            low, high = value_range(operation.input)
            return min(low, operation.value.value), max(high, operation.value.value)
        case "bw.concat":
            ranges = [value_range(operand) for operand in operation.operands]
            return min(low for low, _ in ranges), max(high for _, high in ranges)
        case _:
            return params.qmin, params.qmax


def _centred(value: ir.Value) -> Interval:
    low, high = value_range(value)
    zero_point = value_params(value).zero_point
    return low - zero_point, high - zero_point


def channel_ranges(operation: Any, channels: int) -> NDArray[np.int64]:
    """Least and greatest accumulator of each channel, [channels, 2]; see `accumulator_range`."""
    if operation.operation.name in ("bw.conv2d", "bw.linear"):
        return np.broadcast_to(_weighted_channels(operation), (channels, 2))
    return np.tile(np.asarray(accumulator_range(operation), np.int64), (channels, 1))


def _weighted(operation: Any) -> Interval:
    ranges = _weighted_channels(operation)
    return int(ranges[:, 0].min()), int(ranges[:, 1].max())


def _weighted_channels(operation: Any) -> NDArray[np.int64]:
    weight, bias = graph.constant_of(operation.weight), graph.constant_of(operation.bias)
    low, high = _centred(operation.input)
    if operation.operation.name == "bw.conv2d" and any(ints(operation.padding)):
        low, high = min(low, 0), max(high, 0)
    if weight is None:
        params, fan_in = value_params(operation.weight), _fan_in(operation.weight)
        products = [w * a * fan_in for w in (params.qmin, params.qmax) for a in (low, high)]
        least, greatest = np.asarray([min(products)]), np.asarray([max(products)])
    else:
        least, greatest = weighted_range(weight, low, high)
    offset = _bias(bias)
    return np.stack((least + offset, greatest + offset), axis=1)


def weighted_range(
    weight: NDArray[Any], low: int, high: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Least and greatest sum of each output (axis 0), every input between `low` and `high`."""
    rows = weight.astype(np.int64).reshape(len(weight), -1)
    positive, negative = np.maximum(rows, 0).sum(axis=1), np.minimum(rows, 0).sum(axis=1)
    return positive * low + negative * high, positive * high + negative * low


def _fan_in(weight: ir.Value) -> int:
    return int(np.prod(shape_of(weight)[1:]))


def _bias(bias: NDArray[Any] | None) -> NDArray[np.int64]:
    if bias is None:
        limits = np.iinfo(np.int32)
        return np.asarray([limits.min, limits.max], dtype=np.int64)
    return bias.astype(np.int64)


def _add(operation: Any) -> Interval:
    least = greatest = 0
    for value, multiplier in (
        (operation.lhs, operation.lhs_multiplier.value),
        (operation.rhs, operation.rhs_multiplier.value),
    ):
        ends = [code * multiplier for code in _centred(value)]
        least, greatest = least + min(ends), greatest + max(ends)
    return least, greatest


def _scaled_add(operation: Any) -> Interval:
    least = greatest = 0
    for side in ("lhs", "rhs"):
        ends = [code << operation.left_shift.value for code in _centred(getattr(operation, side))]
        multiplier = operation.attributes[f"{side}_multiplier"].value
        scaled = fixed_point.scale(ends, multiplier, operation.attributes[f"{side}_shift"].value)
        least, greatest = least + int(scaled.min()), greatest + int(scaled.max())
    return least, greatest


def products_range(lhs: ir.Value, rhs: ir.Value, count: int) -> Interval:
    """Least and greatest sum of `count` products of two quantized values."""
    ends = [a * b * count for a in _centred(lhs) for b in _centred(rhs)]
    return min(ends), max(ends)


def summed_range(value: ir.Value, count: int, padded: bool) -> Interval:
    """Least and greatest sum of `count` elements, with zeros among them where `padded`."""
    low, high = _centred(value)
    if padded:
        low, high = min(low, 0), max(high, 0)
    return low * count, high * count


def _reduce_sum(operation: Any) -> Interval:
    shape = shape_of(operation.input)
    count = int(np.prod([shape[axis] for axis in ints(operation.axes)]))
    return summed_range(operation.input, count, False)


_RANGES: dict[str, Callable[[Any], Interval]] = {
    "bw.conv2d": _weighted,
    "bw.linear": _weighted,
    "bw.matmul": lambda op: products_range(op.lhs, op.rhs, shape_of(op.lhs)[-1]),
    "bw.add": _add,
    "bw.scaled_add": _scaled_add,
    "bw.mul": lambda op: products_range(op.lhs, op.rhs, 1),
    "bw.sum_pool2d": lambda op: summed_range(
        op.input, int(np.prod(ints(op.kernel))), any(ints(op.padding))
    ),
    "bw.reduce_sum": _reduce_sum,
}
