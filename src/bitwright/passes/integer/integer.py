"""Float modules with `bw.quantize` and `bw.dequantize` to integer modules; see `Integer`."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch_mlir import ir

from bitwright.ir import graph
from bitwright.ir.builder import Builder
from bitwright.ir.checks import ints
from bitwright.ir.reference import constant_value
from bitwright.ir.types import QuantParams, is_float, shape_of, value_params
from bitwright.passes.integer import elementwise, movement, products
from bitwright.passes.integer.codes import SOFTMAX, Deviation, Quantizer
from bitwright.passes.integer.errors import FloatBetweenMarkers
from bitwright.passes.integer.markers import (
    DEQUANTIZE,
    QUANTIZE,
    Marker,
    check_zero_point,
    describe,
    grid_of,
    input_marker,
    marker_of,
    same_grid,
)  # fmt: skip
from bitwright.passes.integer.values import (
    Added,
    Array,
    Codes,
    FloatInput,
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


@dataclass(frozen=True)
class Integral:
    """An integer module, and where it is not the model's own arithmetic to the last integer."""

    module: ir.Module
    deviations: tuple[Deviation, ...]


@dataclass(frozen=True)
class Integer:
    """Turn what stands between markers into integers.

        quantize(relu(conv2d(dequantize(x), dequantize(constant), bias)))
                                              -->  requantize(conv2d(x, constant, bias))
        quantize(sigmoid(dequantize(x)))      -->  table(x)
        quantize(add(dequantize(x), dequantize(y)))
                                              -->  requantize(scaled_add(x, y))
        quantize(input), dequantize(output)   -->  input and output of the quantized type

    Sums are scaled as ONNX Runtime's integer kernels scale them: one float32 factor, to the
    nearest integer, ties to even. Each `bw.requantize` is proved equal to that on the whole range
    of its accumulator, or is among the deviations of `convert`.

    Requires: a float module with markers. What cannot become integer is an error.
    """

    def run(self, module: ir.Module) -> ir.Module:
        """Return the integer module, in the same context."""
        return self.convert(module).module

    def convert(self, module: ir.Module) -> Integral:
        """The integer module and its deviations.

        Raises:
            NotIntegerModel: a subclass that names the operation, and what to do about it.
        """
        for operation in markers(module):
            grid_of(operation)  # dynamic quantization is named before what computes its scale
        return _Conversion(module).run()


def markers(module: ir.Module) -> Iterator[Any]:
    """The quantize and dequantize operations of what is not constant."""
    computed = {item.value for item in graph.inputs(module)}
    for operation in graph.operations(module):
        if any(operand in computed for operand in operation.operands):
            computed.add(operation.result)
            if operation.operation.name in (QUANTIZE, DEQUANTIZE):
                yield operation


def has_markers(module: ir.Module) -> bool:
    """Whether activations are quantized."""
    return next(markers(module), None) is not None


class _Conversion:
    """One walk over the operations of a module."""

    def __init__(self, module: ir.Module) -> None:
        self._module = module
        items = graph.inputs(module)
        markers = [input_marker(item) for item in items]
        self.builder = Builder(
            [
                (item.name, shape_of(item.value), marker.params)
                for item, marker in zip(items, markers, strict=True)
            ],
            context=module.context,
        )
        self._quantizer = Quantizer(self.builder)
        self._values: dict[ir.Value, Value] = {
            item.value: _input(item, value, marker)
            for item, value, marker in zip(items, self.builder.inputs, markers, strict=True)
        }

    def run(self) -> Integral:
        """Convert everything and verify."""
        for operation in graph.operations(self._module):
            computed = {
                index: self._values[operand]
                for index, operand in enumerate(operation.operands)
                if operand in self._values
            }
            if not computed:
                continue  # depends on constants only, and is read where it is used
            name = graph.location_name(operation)
            self.builder.named(None if name == operation.operation.name else name)
            self._quantizer.where, self._quantizer.layer = describe(operation), name
            self._values[operation.result] = self._convert(operation, computed)
        outputs = [(item.name, self._output(item)) for item in graph.outputs(self._module)]
        return Integral(self.builder.finish(outputs), tuple(self._quantizer.deviations))

    def deviates(self, reason: str) -> None:
        """Record that the layer at hand is not the model's own arithmetic."""
        self._quantizer.deviates(0, 0, reason)

    def _output(self, item: graph.NamedValue) -> ir.Value:
        value = self._values.get(item.value)
        if isinstance(value, Real) and isinstance(value.source, Softmax) and value.plain:
            self._quantizer.where = self._quantizer.layer = f"output {item.name!r}"
            return self._quantizer.codes(value, SOFTMAX, "half_even")
        if isinstance(value, Codes):
            return value.value
        if isinstance(value, Real) and isinstance(value.source, Codes) and value.plain:
            return value.source.value
        raise FloatBetweenMarkers(
            f"Output {item.name!r} of shape {list(shape_of(item.value))} is float and not "
            "quantized; expected integers, or integers that are dequantized. Quantize the result "
            "of the last layer as well"
        )

    def _convert(self, op: Any, computed: Mapping[int, Value]) -> Value:
        kind = op.operation.name
        if kind == QUANTIZE:
            return self._quantize(op, computed[0])
        if kind == DEQUANTIZE:
            return self._dequantize(op, computed[0])
        if kind in movement.KINDS:
            return movement.move(self.builder, op, computed)
        handler = _HANDLERS.get(kind)
        if handler is not None:
            found = handler(self, op, computed)
            if found is not None:
                return found
        if kind in elementwise.KINDS:
            return self._elementwise(op, computed)
        raise FloatBetweenMarkers(
            f"{describe(op)} has no integer form here. Integer operations are convolutions and "
            "matrix products with quantized weights, sums and products of two quantized tensors, "
            "pooling, means, softmax, elementwise functions, and moves of elements"
        )

    def _quantize(self, op: Any, x: Value) -> Codes:
        found = marker_of(op)
        assert not isinstance(x, Codes), "verified: the input of bw.quantize is float"
        return Codes(self._codes(x, found.params, op.rounding.value), found.offset)

    def _codes(self, x: Real | Joined, params: QuantParams, rounding: str) -> ir.Value:
        if isinstance(x, Real):
            return self._quantizer.codes(x, params, rounding)
        made = self.builder.concat([self._codes(p, params, rounding) for p in x.parts], x.axis)
        for move in x.moves:
            made = move(made)
        return made

    def _dequantize(self, op: Any, x: Value) -> Real:
        assert isinstance(x, Codes), "verified: the input of bw.dequantize is integer"
        held, (scale, zero_point) = x.params, grid_of(op)
        params = replace(held, scales=(scale,), zero_point=zero_point - x.offset)
        if same_grid(held, params):
            return real(x)
        check_zero_point(describe(op), params)
        codes = np.clip(np.arange(-128, 128), held.qmin, held.qmax)
        return real(Codes(self.builder.table(x.value, params, codes.tolist()), x.offset))

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

    def _elementwise(self, op: Any, computed: Mapping[int, Value]) -> Value:
        constants: dict[int, Array] = {}
        for index, operand in enumerate(op.operands):
            if index not in computed:
                array = constant_value(operand)
                assert array is not None, "every value is computed or constant"
                constants[index] = array
        values = list(computed.values())
        if len(values) == 1 and not isinstance(values[0], Codes):
            return elementwise.unary(op, values[0], constants)
        if len(values) == 2 and not constants:
            lhs, rhs = values
            if (
                isinstance(lhs, Real) and isinstance(rhs, Real) and lhs.source == rhs.source
                and not lhs.moves and not rhs.moves
            ):  # fmt: skip
                return elementwise.binary(op, lhs, rhs)
        raise FloatBetweenMarkers(
            f"{describe(op)} has no integer form for {len(values)} tensors computed at run time. "
            "Quantize what it reads and its result, or leave it out of the exported model"
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


def _input(item: graph.NamedValue, value: ir.Value, marker: Marker) -> Value:
    return real(FloatInput(value)) if is_float(item.value) else Codes(value, marker.offset)


Handler = Callable[[_Conversion, Any, Mapping[int, Value]], Value | None]


def _weighted(product: Callable[[Any, ir.Value], Real]) -> Handler:
    def handle(state: _Conversion, op: Any, computed: Mapping[int, Value]) -> Value:
        if set(computed) != {0}:
            raise FloatBetweenMarkers(
                f"{describe(op)} has a weight or a bias that is computed at run time; expected "
                "constants"
            )
        return product(op, state.operand(op, computed[0]).value)

    return handle


def _matmul(state: _Conversion, op: Any, computed: Mapping[int, Value]) -> Value:
    if set(computed) == {0}:
        found = products.matmul_constant(op, state.operand(op, computed[0]).value)
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


def _side(state: _Conversion, op: Any, computed: Mapping[int, Value], index: int) -> Codes | None:
    """An operand of an operation on two tensors, one of them perhaps a quantized constant."""
    if index in computed:
        return state.operand(op, computed[index])
    return state.constant_codes(op.operands[index])


def _pair(state: _Conversion, op: Any, computed: Mapping[int, Value]) -> tuple[Codes, Codes] | None:
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


def _add(state: _Conversion, op: Any, computed: Mapping[int, Value]) -> Value | None:
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


def _mul(state: _Conversion, op: Any, computed: Mapping[int, Value]) -> Value | None:
    pair = _pair(state, op, computed)
    if pair is None:
        return None
    lhs, rhs = (codes.value for codes in pair)
    unit = np.float32(pair[0].params.scale) * np.float32(pair[1].params.scale)
    return real(Sums(state.builder.mul(lhs, rhs), unit, *products_range(lhs, rhs, 1)))


def _avg_pool2d(state: _Conversion, op: Any, computed: Mapping[int, Value]) -> Value:
    x = state.operand(op, computed[0]).value
    kernel, stride, padding = ints(op.kernel), ints(op.stride), ints(op.padding)
    if any(padding) and not op.count_include_pad.value:
        state.deviates("windows of different size are averaged in integers, ties away from zero")
        made = state.builder.integer_avg_pool2d(x, kernel=kernel, stride=stride, padding=padding)
        return real(Codes(made))
    acc = state.builder.sum_pool2d(x, kernel=kernel, stride=stride, padding=padding)
    return _mean(x, acc, math.prod(kernel), any(padding))


def _mean(x: ir.Value, acc: ir.Value, count: int, padded: bool) -> Real:
    unit = np.float32(value_params(x).scale / count)
    return real(Sums(acc, unit, *summed_range(x, count, padded)))


def _reduce(state: _Conversion, op: Any, computed: Mapping[int, Value]) -> Value:
    x = state.operand(op, computed[0]).value
    shape, axes = shape_of(x), ints(op.axes)
    count = math.prod(shape[axis] for axis in axes)
    acc = state.builder.reduce_sum(x, axes, op.keepdims.value)
    found = _mean(x, acc, count, padded=False)
    if op.operation.name == "bw.reduce_mean":
        return found
    assert isinstance(found.source, Sums), "made just before"
    return replace(found, source=replace(found.source, unit=np.float32(value_params(x).scale)))


def _softmax(state: _Conversion, op: Any, computed: Mapping[int, Value]) -> Value:
    return real(Softmax(state.operand(op, computed[0]), op.axis.value))


_HANDLERS: dict[str, Handler] = {
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
