"""Float modules with `bw.quantize` and `bw.dequantize` to integer modules; see `Integer`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch_mlir import ir

from bitwright.ir import graph
from bitwright.ir.builder import Builder
from bitwright.ir.reference import constant_value
from bitwright.ir.types import SOFTMAX, QuantParams, is_float, shape_of
from bitwright.passes.integer import elementwise, movement
from bitwright.passes.integer.codes import Deviation, Quantizer
from bitwright.passes.integer.errors import FloatBetweenMarkers
from bitwright.passes.integer.markers import (
    DEQUANTIZE,
    MULTI_THRESHOLD,
    QUANTIZE,
    Marker,
    check_zero_point,
    describe,
    grid_of,
    input_marker,
    marker,
    marker_of,
    same_grid,
)  # fmt: skip
from bitwright.passes.integer.operations import HANDLERS, State, Value
from bitwright.passes.integer.values import (
    Array,
    Codes,
    FloatInput,
    Joined,
    Product,
    Real,
    Softmax,
    real,
)  # fmt: skip


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
        self._scales: dict[str, float] = {}
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
        module = self.builder.finish(outputs, self._scales)
        return Integral(module, tuple(self._quantizer.deviations))

    def _output(self, item: graph.NamedValue) -> ir.Value:
        value = self._values.get(item.value)
        if isinstance(value, Real) and isinstance(value.source, Softmax) and value.plain:
            self._quantizer.where = self._quantizer.layer = f"Output {item.name!r}"
            return self._quantizer.codes(value, SOFTMAX, "half_even")
        if isinstance(value, Codes):
            return value.value
        if isinstance(value, Real) and isinstance(value.source, Codes) and value.plain:
            return value.source.value
        if isinstance(value, Real) and isinstance(value.source, Product) and value.plain:
            self._quantizer.where = self._quantizer.layer = f"Output {item.name!r}"
            sums, self._scales[item.name] = self._quantizer.sums(value, value.source)
            return sums
        raise FloatBetweenMarkers(
            f"Output {item.name!r} of shape {list(shape_of(item.value))} is float and not "
            "quantized; expected integers, integers that are dequantized, or sums of products of "
            "integers. Quantize the result of the last layer as well"
        )

    def _convert(self, op: Any, computed: Mapping[int, Value]) -> Value:
        kind = op.operation.name
        if kind == QUANTIZE:
            return self._quantize(op, computed[0])
        if kind == DEQUANTIZE:
            return self._dequantize(op, computed[0])
        if kind == MULTI_THRESHOLD:
            return self._count(op, computed[0])
        if kind in movement.KINDS:
            return movement.move(self.builder, op, computed)
        handler = HANDLERS.get(kind)
        if handler is not None:
            found = handler(State(self._quantizer), op, computed)
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

    def _count(self, op: Any, x: Value) -> Codes:
        """Thresholds of real numbers: a monotone function, and codes that are its counts."""
        assert not isinstance(x, Codes), "verified: thresholds of floats count floats"
        thresholds = constant_value(op.thresholds)
        assert thresholds is not None, "verified: thresholds are constant"
        found = marker(describe(op), 1.0, 0, 0, thresholds.shape[1])
        counts = elementwise.unary(op, x, {1: thresholds})
        return Codes(self._codes(counts, found.params, "half_even"), found.offset)

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


def _input(item: graph.NamedValue, value: ir.Value, marker: Marker) -> Value:
    return real(FloatInput(value)) if is_float(item.value) else Codes(value, marker.offset)
