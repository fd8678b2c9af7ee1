"""Operations between markers that have an integer form of their own, one handler each."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch_mlir import ir

from bitwright.ir.builder import Builder
from bitwright.ir.checks import ints
from bitwright.ir.reference import constant_value
from bitwright.ir.types import shape_of, value_params
from bitwright.passes.integer import elementwise, products
from bitwright.passes.integer.codes import Quantizer
from bitwright.passes.integer.errors import FloatBetweenMarkers
from bitwright.passes.integer.markers import describe
from bitwright.passes.integer.values import (
    Added,
    Codes,
    Joined,
    Product,
    Real,
    Softmax,
    Sums,
    real,
)  # fmt: skip
from bitwright.passes.integer.weights import weight_of, weight_params
from bitwright.passes.widths import products_range, summed_range

Value = Codes | Real | Joined
_UNEVEN_WINDOWS = "windows of different size are averaged in integers, ties away from zero"


@dataclass(frozen=True)
class State:
    """What handlers build with."""

    quantizer: Quantizer

    @property
    def builder(self) -> Builder:
        """Of the integer module."""
        return self.quantizer.builder

    def operand(self, op: Any, x: Value) -> Codes:
        """A float operand that is dequantized integers, nothing else done to it."""
        if isinstance(x, Joined):
            raise FloatBetweenMarkers(
                f"{describe(op)} reads a concatenation of different scales that is not quantized. "
                "Quantize the concatenation"
            )
        if isinstance(x, Real) and isinstance(x.source, Codes) and x.plain and not x.moves:
            return x.source
        raise FloatBetweenMarkers(
            f"{describe(op)} reads a float that is not dequantized integers. Quantize the result "
            "of the operation before it"
        )

    def constant_codes(self, value: ir.Value) -> Codes | None:
        """A constant that the model holds as integers of one scale."""
        weight = weight_of(value)
        if weight is None or weight.scale.size != 1 or weight.integers.size == 1:
            return None
        params = weight_params(weight.integers, (float(weight.scale.item()),))
        if params.bits > 8:
            return None
        return Codes(self.builder.constant(weight.integers, params))


Handler = Callable[[State, Any, Mapping[int, Value]], Value | None]


def _weighted(product: Callable[[Any, ir.Value, Builder], Real]) -> Handler:
    def handle(state: State, op: Any, computed: Mapping[int, Value]) -> Value:
        if set(computed) != {0}:
            raise FloatBetweenMarkers(
                f"{describe(op)} has a weight or a bias that is computed at run time; expected "
                "constants"
            )
        return product(op, state.operand(op, computed[0]).value, state.builder)

    return handle


def _matmul(state: State, op: Any, computed: Mapping[int, Value]) -> Value:
    if set(computed) == {0}:
        found = products.matmul_constant(op, state.operand(op, computed[0]).value, state.builder)
        if found is not None:
            return found
    sides = [_side(state, op, computed, index) for index in (0, 1)]
    if None in sides:
        raise FloatBetweenMarkers(
            f"{describe(op)} has a constant operand that is not quantized per tensor; expected "
            "integers of one scale. Quantize it"
        )
    lhs, rhs = (side.value for side in sides if side is not None)
    return products.matmul(op, lhs, rhs, state.builder)


def _side(state: State, op: Any, computed: Mapping[int, Value], index: int) -> Codes | None:
    """An operand of an operation on two tensors, one of them perhaps a quantized constant."""
    if index in computed:
        return state.operand(op, computed[index])
    return state.constant_codes(op.operands[index])


def _pair(state: State, op: Any, computed: Mapping[int, Value]) -> tuple[Codes, Codes] | None:
    """Both operands as integers; None where the operation is a chain of one of them."""
    values = [computed.get(index) for index in (0, 1)]
    if any(
        isinstance(v, Joined) or (isinstance(v, Real) and not (
            isinstance(v.source, Codes) and v.plain and not v.moves))
        for v in values
    ):  # fmt: skip
        return None
    lhs, rhs = (_side(state, op, computed, index) for index in (0, 1))
    return None if lhs is None or rhs is None else (lhs, rhs)


def _add(state: State, op: Any, computed: Mapping[int, Value]) -> Value | None:
    signs = (op.lhs_multiplier.value, op.rhs_multiplier.value)
    pair = _pair(state, op, computed)
    if pair is not None and signs[0] == 1:
        return real(Added(*pair, signs[1], shape_of(op.result)))
    if len(computed) == 1 and signs == (1, 1):
        ((index, x),) = computed.items()
        constant = op.operands[1 - index]
        if isinstance(x, Real) and isinstance(x.source, Product) and x.plain and not x.moves:
            values = constant_value(constant)
            assert values is not None, "every value is computed or constant"
            axis = elementwise.channel_axis(op, {1 - index: values}, x.shape)
            if axis in (None, x.axis):
                return replace(x, source=products.biased(x.source, constant, values))
    return None


def _mul(state: State, op: Any, computed: Mapping[int, Value]) -> Value | None:
    pair = _pair(state, op, computed)
    if pair is None:
        return None
    lhs, rhs = (codes.value for codes in pair)
    unit = np.float32(pair[0].params.scale) * np.float32(pair[1].params.scale)
    return real(Sums(state.builder.mul(lhs, rhs), unit, *products_range(lhs, rhs, 1)))


def _avg_pool2d(state: State, op: Any, computed: Mapping[int, Value]) -> Value:
    x = state.operand(op, computed[0]).value
    kernel, stride, padding = ints(op.kernel), ints(op.stride), ints(op.padding)
    if any(padding) and not op.count_include_pad.value:
        state.quantizer.deviates(
            0, 0, "windows of different size are averaged in integers, ties away from zero"
        )
        made = state.builder.integer_avg_pool2d(x, kernel=kernel, stride=stride, padding=padding)
        return real(Codes(made))
    acc = state.builder.sum_pool2d(x, kernel=kernel, stride=stride, padding=padding)
    return _mean(x, acc, math.prod(kernel), any(padding))


def _mean(x: ir.Value, acc: ir.Value, count: int, padded: bool) -> Real:
    unit = np.float32(value_params(x).scale / count)
    return real(Sums(acc, unit, *summed_range(x, count, padded)))


def _reduce(state: State, op: Any, computed: Mapping[int, Value]) -> Value:
    x = state.operand(op, computed[0]).value
    shape, axes = shape_of(x), ints(op.axes)
    count = math.prod(shape[axis] for axis in axes)
    acc = state.builder.reduce_sum(x, axes, op.keepdims.value)
    found = _mean(x, acc, count, padded=False)
    if op.operation.name == "bw.reduce_mean":
        return found
    assert isinstance(found.source, Sums), "made just before"
    return replace(found, source=replace(found.source, unit=np.float32(value_params(x).scale)))


def _softmax(state: State, op: Any, computed: Mapping[int, Value]) -> Value:
    return real(Softmax(state.operand(op, computed[0]), op.axis.value))


HANDLERS: dict[str, Handler] = {
    "bw.add": _add,
    "bw.avg_pool2d": _avg_pool2d,
    "bw.conv2d": _weighted(products.conv2d),
    "bw.linear": _weighted(products.linear),
    "bw.matmul": _matmul,
    "bw.mul": _mul,
    "bw.reduce_mean": _reduce,
    "bw.reduce_sum": _reduce,
    "bw.softmax": _softmax,
}
