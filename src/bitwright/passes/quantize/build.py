"""The integer module of a plan."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.ir import graph
from bitwright.ir.builder import Builder
from bitwright.ir.checks import ints
from bitwright.ir.types import QuantParams, shape_of, value_params
from bitwright.passes.quantize.calibrate import Statistics
from bitwright.passes.quantize.moments import at_weights
from bitwright.passes.quantize.plan import Plan
from bitwright.passes.quantize.scales import dyadic
from bitwright.passes.quantize.tables import (
    Table,
    exponentials,
    function_of,
    table_of,
)  # fmt: skip
from bitwright.passes.quantize.ties import bounds, kind_of
from bitwright.passes.quantize.weights import QuantizedWeight, quantize_weight  # fmt: skip

_FINEST = 2.0**-14
"""Accumulator units finer than this part of an output step are not worth their bits."""
_BIAS_LIMIT = 2.0**22
_LEAST_VARIANCE = 1e-6


@dataclass(frozen=True)
class WeightOptions:
    """How weights are quantized; `bits` by the operation's result."""

    bits: dict[ir.Value, int]
    per_channel: bool
    bias_correction: bool


@dataclass
class Built:
    """The module under construction and what the report wants to know of it.

    `weights` has the bits and the signal-to-noise ratio in dB of the weights of each operation.
    """

    builder: Builder
    values: dict[ir.Value, ir.Value] = field(default_factory=dict)
    weights: dict[ir.Value, tuple[int, float]] = field(default_factory=dict)
    table_errors: dict[ir.Value, float] = field(default_factory=dict)
    accumulators: dict[ir.Value, ir.Value] = field(default_factory=dict)


class IntegerBuilder:
    """Rebuilds a float module in integers, one operation after the other."""

    def __init__(self, module: ir.Module, plan: Plan, statistics: Statistics, o: WeightOptions):
        self.module, self.plan, self.statistics, self.options = module, plan, statistics, o
        inputs = [
            (item.name, shape_of(item.value), plan.params(item.value))
            for item in graph.inputs(module)
        ]
        self.built = Built(Builder(inputs, context=module.context))
        for item, value in zip(graph.inputs(module), self.built.builder.inputs, strict=True):
            self.built.values[item.value] = value

    def run(self) -> ir.Module:
        """Build and verify."""
        builder, values = self.built.builder, self.built.values
        for operation in graph.operations(self.module):
            if kind_of(operation) == "constant":
                continue
            name = graph.location_name(operation)
            builder.named(None if name == operation.operation.name else name)
            values[operation.result] = self._rebuild(operation)
        outputs = [(item.name, values[item.value]) for item in graph.outputs(self.module)]
        return builder.finish(outputs)

    def _rebuild(self, op: Any) -> ir.Value:
        builder = self.built.builder
        match kind_of(op):
            case "conv2d":
                return self._conv2d(op)
            case "linear":
                return self._linear(op)
            case "matmul":
                lhs, rhs = self._operand(op, 0), self._operand(op, 1)
                return self._requantize(op, builder.matmul(lhs, rhs), _product(lhs, rhs))
            case "mul":
                lhs, rhs = self._operand(op, 0), self._operand(op, 1)
                return self._requantize(op, builder.mul(lhs, rhs), _product(lhs, rhs))
            case "add":
                return self._add(op)
            case "avg_pool2d":
                x, kernel = self._operand(op, 0), ints(op.kernel)
                acc = builder.sum_pool2d(
                    x, kernel=kernel, stride=ints(op.stride), padding=ints(op.padding)
                )
                return self._requantize(op, acc, [value_params(x).scale / math.prod(kernel)])
            case "reduce_mean":
                x, axes = self._operand(op, 0), ints(op.axes)
                count = math.prod(shape_of(x)[axis] for axis in axes)
                acc = builder.reduce_sum(x, axes, op.keepdims.value)
                return self._requantize(op, acc, [value_params(x).scale / count])
            case "relu" | "clip":
                return self._clamp(op)
            case "max_pool2d":
                return builder.max_pool2d(
                    self._operand(op, 0), kernel=ints(op.kernel), stride=ints(op.stride),
                    padding=ints(op.padding), dilation=ints(op.dilation),
                )  # fmt: skip
            case "reshape":
                return builder.reshape(self._operand(op, 0), shape_of(op.result))
            case "transpose":
                return builder.transpose(self._operand(op, 0), ints(op.perm))
            case "pad":
                return self._pad(op)
            case "concat":
                operands = [self._operand(op, index) for index in range(len(op.operands))]
                return builder.concat(operands, op.axis.value)
            case "softmax":
                x = self._operand(op, 0)
                return builder.integer_softmax(
                    x, op.axis.value, exponentials(value_params(x).scale)
                )
            case _:
                function, x = function_of(op), self._operand(op, 0)
                assert function is not None, f"checked by the plan: {op.operation.name}"
                params = self.plan.params(op.result)
                return self._table(op, x, params, table_of(function, value_params(x), params))

    def _operand(self, op: Any, index: int) -> ir.Value:
        """An operand in the type in which the operation reads it."""
        value = op.operands[index]
        params = self.plan.operand(op, index).params
        constant = graph.constant_of(value)
        if constant is not None:
            return self.built.builder.constant(params.quantize(constant), params)
        x = self.built.values[value]
        if (op.result, index) in self.plan.slots:
            return self._table(op, x, params, table_of(lambda r: r, value_params(x), params))
        return x

    def _table(self, op: Any, x: ir.Value, params: QuantParams, table: Table) -> ir.Value:
        errors = self.built.table_errors
        errors[op.result] = max(errors.get(op.result, 0.0), table.error)
        return self.built.builder.table(x, params, table.entries)

    def _clamp(self, op: Any) -> ir.Value:
        x = self._operand(op, 0)
        if op.result in self.plan.ties.vanished:
            return x
        params, (low, high) = self.plan.params(op.result), bounds(op)
        table = table_of(lambda real: np.clip(real, low, high), value_params(x), params)
        return self._table(op, x, params, table)

    def _pad(self, op: Any) -> ir.Value:
        x = self._operand(op, 0)
        params = value_params(x)
        code = int(params.quantize(np.asarray(op.value.value, dtype=np.float64)))
        return self.built.builder.pad(x, ints(op.low), ints(op.high), code)

    def _add(self, op: Any) -> ir.Value:
        lhs, rhs = self._operand(op, 0), self._operand(op, 1)
        left, right = self.plan.multipliers[op.result]
        acc = self.built.builder.add(
            lhs, rhs, left * op.lhs_multiplier.value, right * op.rhs_multiplier.value
        )
        return self._requantize(op, acc, [value_params(lhs).scale / left])

    def _conv2d(self, op: Any) -> ir.Value:
        x, weight = self._operand(op, 0), self._weight(op)
        acc = self.built.builder.conv2d(
            x, *self._weight_operands(op, weight), stride=ints(op.stride),
            padding=ints(op.padding), dilation=ints(op.dilation), groups=op.groups.value,
        )  # fmt: skip
        return self._requantize(op, acc, _weighted_scales(x, weight))

    def _linear(self, op: Any) -> ir.Value:
        x, weight = self._operand(op, 0), self._weight(op)
        acc = self.built.builder.linear(x, *self._weight_operands(op, weight))
        axis = len(shape_of(op.result)) - 1
        return self._requantize(op, acc, _weighted_scales(x, weight), axis)

    def _weight(self, op: Any) -> QuantizedWeight:
        array, bias = graph.constant_of(op.weight), graph.constant_of(op.bias)
        assert array is not None, "checked by the plan"
        assert bias is not None, "checked by the plan"
        scale = value_params(self.built.values[op.input]).scale
        finest = self.plan.params(op.result).scale * _FINEST
        floor = np.maximum(finest, np.abs(bias.astype(np.float64)) / _BIAS_LIMIT) / scale
        weight = quantize_weight(
            array, self.options.bits[op.result], self.options.per_channel, floor,
            self._importance(op),
        )  # fmt: skip
        self.built.weights[op.result] = (weight.params.bits, weight.sqnr_db)
        return weight

    def _importance(self, op: Any) -> NDArray[np.float64]:
        """Power of the input at each weight, less its mean where the bias takes that over."""
        moments = self.statistics.moments[op.input]
        power = at_weights(op, moments.mean_square())
        if not self.options.bias_correction:
            return power
        variance = power - np.square(at_weights(op, moments.mean()))
        return np.maximum(variance, _LEAST_VARIANCE * power.mean())

    def _weight_operands(self, op: Any, weight: QuantizedWeight) -> tuple[ir.Value, ir.Value]:
        """The constants of weight and bias; the bias counts accumulator units."""
        bias = np.asarray(graph.constant_of(op.bias), dtype=np.float64)
        if self.options.bias_correction:
            met = at_weights(op, self.statistics.moments[op.input].mean())
            bias = bias + (weight.error * met).reshape(len(bias), -1).sum(axis=1)
        units = np.asarray(_weighted_scales(self.built.values[op.input], weight))
        integers = np.rint(bias / np.broadcast_to(units, bias.shape))
        builder = self.built.builder
        return (
            builder.constant(weight.integers, weight.params),
            builder.constant(integers.astype(np.int32)),
        )

    def _requantize(
        self, op: Any, acc: ir.Value, units: Sequence[float], axis: int = 1
    ) -> ir.Value:
        """Bring an accumulator with these real values per unit to the planned type."""
        params = self.plan.params(op.result)
        name = graph.location_name(op)
        pairs = [dyadic(unit / params.scale, name) for unit in units]
        low, high = self.plan.ties.clamps.get(op.result, (-math.inf, math.inf))
        result = self.built.builder.requantize(
            acc, params, multiplier=[m for m, _ in pairs], shift=[s for _, s in pairs],
            axis=axis, clamp_min=_code(params, low),
            clamp_max=_code(params, high),
        )  # fmt: skip
        self.built.accumulators[op.result] = acc
        return result


def _code(params: QuantParams, real: float) -> int:
    code = real / params.scale + params.zero_point
    return round(min(max(code, params.qmin), params.qmax))


def _product(lhs: ir.Value, rhs: ir.Value) -> list[float]:
    return [value_params(lhs).scale * value_params(rhs).scale]


def _weighted_scales(x: ir.Value, weight: QuantizedWeight) -> list[float]:
    scale = value_params(x).scale
    return [scale * float(s) for s in weight.params.scales]
