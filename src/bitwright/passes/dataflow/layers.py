"""What each kind of layer accumulates, before its output stage."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from torch_mlir import ir

from bitwright.errors import BitwrightError
from bitwright.ir import graph
from bitwright.ir.checks import ints
from bitwright.ir.dataflow import (
    AddStage,
    Array,
    ChannelOp,
    ChannelwiseStage,
    Fold,
    MatrixStage,
    Output,
    Stage,
    Tensor,
    Window,
)  # fmt: skip
from bitwright.ir.types import shape_of, value_params
from bitwright.passes.dataflow.views import View
from bitwright.passes.widths import signed_bits, value_range, weighted_range

ONE = Fold(lanes=1)
Interval = tuple[int, int]


class UnsupportedInDataflow(BitwrightError):
    """A layer, input or output that no stage of a pipeline can be."""

    exit_code = 55


def refuse(operation: Any, reason: str) -> NoReturn:
    """Raise `UnsupportedInDataflow` for `operation`."""
    raise UnsupportedInDataflow(
        f"{operation.operation.name} ({graph.location_name(operation)}) with operands "
        f"{', '.join(str(list(shape_of(v))) for v in operation.operands)}: {reason}; compile "
        "with --style overlay, or change the model there"
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """A stage but for its output.

    Attributes:
        bias: [channels], what the zero points of the inputs add with it.
        sums: least and greatest of a channel's sums, the bias not yet added.
        make: the stage of a result, an accumulator's width and an output.
    """

    bias: Array
    sums: Interval
    make: Callable[[Tensor, int, Output], Stage]

    @property
    def span(self) -> Interval:
        """Least and greatest sum, with the bias and without it."""
        low, high = self.sums
        return (
            min(low, low + int(self.bias.min())),
            max(high, high + int(self.bias.max())),
        )


def plain(operation: Any, view: View, value: ir.Value) -> None:
    """Refuse an operand that is not, element by element, the result of a stage."""
    if not view.direct or shape_of(value)[1:] != view.shape[: len(shape_of(value)) - 1]:
        refuse(operation, "its operand is a tensor whose elements were moved")


def codes(value: ir.Value, padded: bool = False) -> Interval:
    """Least and greatest integer that a stage reads; with padding the zero point is one of them."""
    low, high = value_range(value)
    zero_point = value_params(value).zero_point
    return (min(low, zero_point), max(high, zero_point)) if padded else (low, high)


def weight_bits(weight: Array) -> int:
    """Storage of a weight: 1 bit where all are -1 or 1."""
    if (np.abs(weight) == 1).all():
        return 1
    return max(2, signed_bits(int(weight.min()), int(weight.max())))


def conv2d(operation: Any, view: View) -> Layer:
    """Dense, grouped (as dense weights with zeros) or depthwise."""
    plain(operation, view, operation.input)
    weight, bias = _constants(operation)
    top, left, _, _ = ints(operation.padding)
    window = Window(
        kernel=(weight.shape[2], weight.shape[3]), stride=_pair(operation.stride),
        padding=(top, left), dilation=_pair(operation.dilation),
    )  # fmt: skip
    groups, channels = operation.groups.value, view.shape[0]
    padded = any(ints(operation.padding))
    if groups == channels == len(weight) and groups > 1:
        return _depthwise(operation, view, window, weight, bias, padded)
    dense = np.zeros((len(weight), channels, *weight.shape[2:]), np.int64)
    per_group, outputs = channels // groups, len(weight) // groups
    for group in range(groups):
        inputs = slice(group * per_group, (group + 1) * per_group)
        rows = slice(group * outputs, (group + 1) * outputs)
        dense[rows, inputs] = weight[rows]
    return _matrix(operation, view, window, dense, bias, padded)


def linear(operation: Any, view: View) -> Layer:
    """Of a vector, or of a map, however it was flattened: a vector of its pixels, one by one."""
    if view.index.ndim != 2:
        refuse(operation, "it is applied along the last axis of a larger tensor")
    weight, bias = _constants(operation)
    channels, height, width = view.shape
    dense = np.zeros_like(weight)
    dense[:, view.index[0]] = weight
    pixels = dense.reshape(-1, channels, height * width).transpose(0, 2, 1)
    vector = pixels.reshape(len(weight), -1, 1, 1)
    return _matrix(operation, view, Window(), vector, bias, False)


def _constants(operation: Any) -> tuple[Array, Array]:
    weight, bias = graph.constant_of(operation.weight), graph.constant_of(operation.bias)
    if weight is None or bias is None:
        refuse(operation, "its weight or bias is computed at run time")
    return weight.astype(np.int64), bias.astype(np.int64)


def _pair(attribute: Any) -> tuple[int, int]:
    first, second = ints(attribute)
    return first, second


def _matrix(
    operation: Any, view: View, window: Window, dense: Array, bias: Array, padded: bool
) -> Layer:
    """Dense weights [O, C, KH, KW]."""
    low, high = weighted_range(dense, *codes(operation.input, padded))
    zero_point = value_params(operation.input).zero_point

    def make(result: Tensor, acc_bits: int, output: Output) -> Stage:
        return MatrixStage(
            sources=(view.tensor,), result=result, window=window,
            weights=np.ascontiguousarray(dense.transpose(0, 2, 3, 1)),
            weight_bits=weight_bits(dense), acc_bits=acc_bits, output=output, fold=ONE,
        )  # fmt: skip

    return Layer(
        bias=bias - zero_point * dense.sum(axis=(1, 2, 3)),
        sums=(int(low.min()), int(high.max())), make=make,
    )  # fmt: skip


def _depthwise(
    operation: Any, view: View, window: Window, weight: Array, bias: Array, padded: bool
) -> Layer:
    low, high = weighted_range(weight, *codes(operation.input, padded))
    zero_point = value_params(operation.input).zero_point
    return _channelwise(
        view, "mac", window, bias=bias - zero_point * weight.sum(axis=(1, 2, 3)),
        sums=(int(low.min()), int(high.max())), pad_value=zero_point,
        weights=weight[:, 0].transpose(1, 2, 0),
    )  # fmt: skip


def _channelwise(
    view: View, op: ChannelOp, window: Window, *, bias: Array, sums: Interval, pad_value: int,
    weights: Array | None = None,
) -> Layer:  # fmt: skip
    def make(result: Tensor, acc_bits: int, output: Output) -> Stage:
        return ChannelwiseStage(
            sources=(view.tensor,), result=result, window=window, op=op,
            weights=None if weights is None else np.ascontiguousarray(weights),
            weight_bits=1 if weights is None else weight_bits(weights), pad_value=pad_value,
            acc_bits=acc_bits, output=output, fold=ONE,
        )  # fmt: skip

    return Layer(bias=bias, sums=sums, make=make)


def summed(
    view: View, value: ir.Value, window: Window, *, pad_value: int, bias: int = 0
) -> Layer:
    """The sum of the integers of a window."""
    low, high = value_range(value)
    count = window.kernel[0] * window.kernel[1]
    sums = (count * min(low, pad_value), count * max(high, pad_value))
    return _channelwise(
        view, "sum", window, bias=np.full(view.shape[0], bias), sums=sums, pad_value=pad_value
    )


def sum_pool2d(operation: Any, view: View) -> Layer:
    """Integers less their zero point."""
    plain(operation, view, operation.input)
    top, left, _, _ = ints(operation.padding)
    window = Window(
        kernel=_pair(operation.kernel), stride=_pair(operation.stride), padding=(top, left)
    )
    return _centred_sum(operation, view, window)


def reduce_sum(operation: Any, view: View) -> Layer:
    """Over the whole map."""
    if view.index.ndim != 4 or sorted(ints(operation.axes)) != [2, 3]:
        refuse(operation, f"it sums over the axes {list(ints(operation.axes))}, not over all pixels")
    plain(operation, view, operation.input)
    return _centred_sum(operation, view, Window(kernel=view.shape[1:]))


def _centred_sum(operation: Any, view: View, window: Window) -> Layer:
    zero_point = value_params(operation.input).zero_point
    count = window.kernel[0] * window.kernel[1]
    return summed(
        view, operation.input, window, pad_value=zero_point, bias=-zero_point * count
    )


def max_pool2d(operation: Any, view: View) -> Layer:
    """Padding reads the least integer there is, which never wins."""
    plain(operation, view, operation.input)
    (top, left, _, _), kernel = ints(operation.padding), _pair(operation.kernel)
    window = Window(
        kernel=kernel, stride=_pair(operation.stride), padding=(top, left),
        dilation=_pair(operation.dilation),
    )  # fmt: skip
    if not _reach_inside(window, view.shape[1:], shape_of(operation.result)[2:]):
        refuse(operation, "one of its windows holds nothing but padding")
    low, high = value_range(operation.input)
    return _channelwise(
        view, "max", window, bias=np.zeros(view.shape[0], np.int64), sums=(low, high), pad_value=low
    )


def _reach_inside(window: Window, size: Sequence[int], results: Sequence[int]) -> bool:
    """Whether every window reads one element of the image at least."""
    for kernel, stride, padding, dilation, extent, count in zip(
        window.kernel, window.stride, window.padding, window.dilation, size, results, strict=True
    ):
        taps = np.arange(count)[:, None] * stride - padding + np.arange(kernel) * dilation
        if not ((taps >= 0) & (taps < extent)).any(axis=1).all():
            return False
    return True


def weighted_sum(
    operation: Any, lhs: View, rhs: View, factors: tuple[int, int], offset: int = 0
) -> Layer:
    """lhs * factors[0] + rhs * factors[1] + offset, of integers less their zero points."""
    operands = (operation.lhs, operation.rhs)
    if any(shape_of(value) != shape_of(operation.result) for value in operands):
        refuse(operation, "it broadcasts")
    for view, value in zip((lhs, rhs), operands, strict=True):
        plain(operation, view, value)
    ends = [
        sorted((factor * code for code in value_range(value)))
        for factor, value in zip(factors, operands, strict=True)
    ]
    centre = sum(
        factor * value_params(value).zero_point
        for factor, value in zip(factors, operands, strict=True)
    )

    def make(result: Tensor, acc_bits: int, output: Output) -> Stage:
        return AddStage(
            sources=(lhs.tensor, rhs.tensor), result=result, factors=factors, acc_bits=acc_bits,
            output=output, fold=ONE,
        )  # fmt: skip

    return Layer(
        bias=np.full(lhs.shape[0], offset - centre),
        sums=(ends[0][0] + ends[1][0], ends[0][1] + ends[1][1]), make=make,
    )  # fmt: skip
