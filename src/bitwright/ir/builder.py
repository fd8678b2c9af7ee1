"""Builds `bw` modules: one method an operation, plain Python and NumPy values in, values out.

builder = Builder([("x", (1, 3, 8, 8), None)])
y = builder.relu(builder.inputs[0])
module = builder.finish([("y", y)])
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir
from torch_mlir.dialects import func

from bitwright.ir import (
    blobs,
    bw,
    bw_fixed_point,
    bw_rescale,
    bw_threshold,
    graph,
    reference_float,
    shapes,
)
from bitwright.ir.builder_float import FloatOperations, Pair
from bitwright.ir.context import new_context, verify
from bitwright.ir.types import (
    SOFTMAX,
    QuantParams,
    element_of,
    element_type,
    f32,
    i32,
    is_float,
    is_plain,
    quantized,
    shape_of,
    tensor,
)  # fmt: skip


class Builder(FloatOperations):
    """A `func.func` under construction, in a module and a context of its own.

    Args:
        inputs: name, shape and type of each argument: None for float32, quantized, or a NumPy
            type for any other.
        context: an existing module's context, so that `copy` can take its operations over.
        function: its name.
        module: an existing module that gets one function more, instead of a new one.
    """

    def __init__(
        self,
        inputs: Sequence[tuple[str, Sequence[int], QuantParams | np.dtype[Any] | None]],
        context: ir.Context | None = None,
        *,
        function: str = graph.MAIN,
        module: ir.Module | None = None,
    ) -> None:
        if module is not None:
            context = module.context
        self.context = new_context() if context is None else context
        with self.context, ir.Location.unknown():
            self.module = ir.Module.create() if module is None else module
            types = [tensor(shape, self._element(params)) for _, shape, params in inputs]
            with ir.InsertionPoint(self.module.body):
                self._function = func.FuncOp(function, (types, []))
            self._names = [name for name, _, _ in inputs]
            self._function.arg_attrs = _named(self._names, {})
            self._block = self._function.add_entry_block()
        self.inputs: list[ir.Value] = list(self._block.arguments)
        self._name: str | None = None

    def _element(self, params: QuantParams | np.dtype[Any] | None) -> ir.Type:
        if isinstance(params, np.dtype):
            return element_of(params)
        return f32() if params is None else quantized(params)

    def named(self, name: str | None) -> "Builder":
        """Give `name` (the model's own) to the operations made from here on, as their location."""
        self._name = name
        return self

    def make(
        self, operation: Any,
        result: tuple[Sequence[int], ir.Type | QuantParams | np.dtype[Any] | None],
        operands: Sequence[ir.Value | Sequence[ir.Value]], **attributes: Any,
    ) -> ir.Value:  # fmt: skip
        """Append `operation`; attributes are Python values. Prefer the named methods."""
        with self.context:
            location = (
                ir.Location.name(self._name) if self._name is not None else ir.Location.unknown()
            )
            with location, ir.InsertionPoint(self._block):
                shape, element = result
                if not isinstance(element, ir.Type):
                    element = self._element(element)
                encoded = {name: attribute(value) for name, value in attributes.items()}
                made = operation(*operands, result=tensor(shape, element), **encoded)
                return made.result

    def copy(self, operation: Any, operands: Sequence[ir.Value]) -> ir.Value:
        """Append `operation` of a module in the same context, with other operands."""
        with self.context, operation.location, ir.InsertionPoint(self._block):
            made = ir.Operation.create(
                operation.operation.name,
                results=[operation.result.type],
                operands=list(operands),
                attributes={name: operation.attributes[name] for name in operation.attributes},
            )
            return made.results[0]

    def constant(self, value: NDArray[Any], params: QuantParams | None = None) -> ir.Value:
        """float32, int32 (accumulators) or, with `params`, int8 storage of a quantized tensor.

        A large read-only array of that type, in any order, is kept and not copied (see
        `bitwright.ir.blobs`).
        """
        with self.context:
            if params is not None:
                dtype, element = np.int8, quantized(params)
            elif value.dtype.kind == "f":
                dtype, element = np.float32, f32()
            else:
                dtype, element = np.int32, i32()
        array = np.asarray(value, dtype)
        return self._constant(array if array.ndim else array.reshape(1), value, element)

    def plain(self, value: NDArray[Any]) -> ir.Value:
        """A constant of any plain type, of any rank, kept as it is.

        A large read-only array is not copied (see `bitwright.ir.blobs`).
        """
        value = np.asarray(value)
        if value.size == 0:
            raise ValueError(f"a constant of shape {list(value.shape)} has no elements")
        large = value.nbytes >= blobs.LARGE_BYTES
        if not large and not reference_float.is_native(
            value.dtype
        ):  # NumPy cannot read these out of an attribute again
            exact = np.float32 if reference_float.is_fraction(value.dtype) else np.int8
            return self.cast(self.plain(value.astype(exact)), value.dtype)
        with self.context:
            element = element_of(value.dtype)
        return self._constant(value, value, element)

    def _constant(self, array: NDArray[Any], given: NDArray[Any], element: ir.Type) -> ir.Value:
        """`array` was made from `given`, whose memory belongs to the caller."""
        if array.nbytes >= blobs.LARGE_BYTES:
            key = blobs.add(self.context, blobs.frozen(array, given))
            with self.context:
                data = bw.Blob.get(ir.StringAttr.get(key))
        else:
            with self.context, ir.Location.unknown():
                type_ = tensor(array.shape, element)
                array = np.asarray(array, order="C")
                data = ir.DenseElementsAttr.get(array, type=type_ if is_plain(type_) else None)
        return self.make(bw.ConstantOp, (array.shape, element), (), value=data)

    def conv2d(
        self, x: ir.Value, weight: ir.Value, bias: ir.Value, *, stride: Pair = (1, 1),
        padding: Pair = (0, 0, 0, 0), dilation: Pair = (1, 1), groups: int = 1,
    ) -> ir.Value:  # fmt: skip
        """See `bw.Conv2dOp`; padding is top, left, bottom, right."""
        shape = shapes.conv2d(
            shape_of(x), shape_of(weight), stride, padding, dilation, groups
        )  # fmt: skip
        return self.make(
            bw.Conv2dOp, (shape, self._accumulating(x)), (x, weight, bias), stride=list(stride),
            padding=list(padding), dilation=list(dilation), groups=groups,
        )  # fmt: skip

    def _accumulating(self, operand: ir.Value) -> ir.Type:
        with self.context:
            return element_type(operand) if is_plain(operand) else i32()

    def linear(self, x: ir.Value, weight: ir.Value, bias: ir.Value) -> ir.Value:
        """See `bw.LinearOp`."""
        shape = shapes.linear(shape_of(x), shape_of(weight))
        return self.make(bw.LinearOp, (shape, self._accumulating(x)), (x, weight, bias))

    def matmul(self, lhs: ir.Value, rhs: ir.Value) -> ir.Value:
        """See `bw.MatmulOp`."""
        shape = shapes.matmul(shape_of(lhs), shape_of(rhs))
        return self.make(bw.MatmulOp, (shape, self._accumulating(lhs)), (lhs, rhs))

    def add(
        self, lhs: ir.Value, rhs: ir.Value, lhs_multiplier: int = 1, rhs_multiplier: int = 1
    ) -> ir.Value:
        """See `bw.AddOp`; a float subtraction has multipliers 1 and -1."""
        shape = shapes.broadcast(shape_of(lhs), shape_of(rhs))
        return self.make(
            bw.AddOp, (shape, self._accumulating(lhs)), (lhs, rhs),
            lhs_multiplier=lhs_multiplier, rhs_multiplier=rhs_multiplier,
        )  # fmt: skip

    def mul(self, lhs: ir.Value, rhs: ir.Value) -> ir.Value:
        """See `bw.MulOp`."""
        shape = shapes.broadcast(shape_of(lhs), shape_of(rhs))
        return self.make(bw.MulOp, (shape, self._accumulating(lhs)), (lhs, rhs))

    def unary(self, operation: Any, x: ir.Value, **attributes: Any) -> ir.Value:
        """A float function of one tensor: `bw.ReluOp`, `bw.ClipOp`, ... with their attributes."""
        return self.make(operation, (shape_of(x), element_type(x)), (x,), **attributes)

    def relu(self, x: ir.Value) -> ir.Value:
        """See `bw.ReluOp`."""
        return self.unary(bw.ReluOp, x)

    def softmax(self, x: ir.Value, axis: int) -> ir.Value:
        """See `bw.SoftmaxOp`."""
        return self.unary(bw.SoftmaxOp, x, axis=axis)

    def batch_norm(
        self, x: ir.Value, scale: ir.Value, bias: ir.Value, mean: ir.Value, variance: ir.Value,
        epsilon: float,
    ) -> ir.Value:  # fmt: skip
        """See `bw.BatchNormOp`."""
        return self.make(
            bw.BatchNormOp, (shape_of(x), element_type(x)), (x, scale, bias, mean, variance),
            epsilon=epsilon,
        )  # fmt: skip

    def max_pool2d(
        self, x: ir.Value, *, kernel: Pair, stride: Pair, padding: Pair = (0, 0, 0, 0),
        dilation: Pair = (1, 1),
    ) -> ir.Value:  # fmt: skip
        """See `bw.MaxPool2dOp`."""
        shape = shapes.pool2d(shape_of(x), kernel, stride, padding, dilation)
        return self.make(
            bw.MaxPool2dOp, (shape, element_type(x)), (x,), kernel=list(kernel),
            stride=list(stride), padding=list(padding), dilation=list(dilation),
        )  # fmt: skip

    def avg_pool2d(
        self, x: ir.Value, *, kernel: Pair, stride: Pair, padding: Pair = (0, 0, 0, 0),
        count_include_pad: bool = False,
    ) -> ir.Value:  # fmt: skip
        """See `bw.AvgPool2dOp`."""
        shape = shapes.pool2d(shape_of(x), kernel, stride, padding)
        return self.make(
            bw.AvgPool2dOp, (shape, element_type(x)), (x,), kernel=list(kernel),
            stride=list(stride), padding=list(padding), count_include_pad=count_include_pad,
        )  # fmt: skip

    def sum_pool2d(
        self, x: ir.Value, *, kernel: Pair, stride: Pair, padding: Pair = (0, 0, 0, 0)
    ) -> ir.Value:
        """See `bw.SumPool2dOp`."""
        shape = shapes.pool2d(shape_of(x), kernel, stride, padding)
        return self.make(
            bw.SumPool2dOp, (shape, self._accumulating(x)), (x,), kernel=list(kernel),
            stride=list(stride), padding=list(padding),
        )  # fmt: skip

    def reduce_mean(self, x: ir.Value, axes: Sequence[int], keepdims: bool) -> ir.Value:
        """See `bw.ReduceMeanOp`."""
        shape = shapes.reduce(shape_of(x), axes, keepdims)
        return self.make(
            bw.ReduceMeanOp, (shape, element_type(x)), (x,), axes=list(axes), keepdims=keepdims
        )

    def reduce_sum(self, x: ir.Value, axes: Sequence[int], keepdims: bool) -> ir.Value:
        """See `bw.ReduceSumOp`."""
        shape = shapes.reduce(shape_of(x), axes, keepdims)
        return self.make(
            bw.ReduceSumOp, (shape, self._accumulating(x)), (x,), axes=list(axes),
            keepdims=keepdims,
        )  # fmt: skip

    def reshape(self, x: ir.Value, shape: Sequence[int]) -> ir.Value:
        """See `bw.ReshapeOp`; `shape` is explicit (no -1)."""
        return self.make(bw.ReshapeOp, (tuple(shape), element_type(x)), (x,))

    def transpose(self, x: ir.Value, perm: Sequence[int]) -> ir.Value:
        """See `bw.TransposeOp`."""
        shape = shapes.transpose(shape_of(x), perm)
        return self.make(bw.TransposeOp, (shape, element_type(x)), (x,), perm=list(perm))

    def concat(self, inputs: Sequence[ir.Value], axis: int) -> ir.Value:
        """See `bw.ConcatOp`; more than two inputs become a chain."""
        joined = inputs[0]
        for value in inputs[1:]:
            shape = shapes.concat([shape_of(joined), shape_of(value)], axis)
            joined = self.make(
                bw.ConcatOp, (shape, element_type(joined)), (joined, value), axis=axis
            )
        return joined

    def pad(
        self, x: ir.Value, low: Sequence[int], high: Sequence[int], value: float | int
    ) -> ir.Value:
        """See `bw.PadOp`."""
        shape = shapes.pad(shape_of(x), low, high)
        return self.make(
            bw.PadOp, (shape, element_type(x)), (x,), low=list(low), high=list(high),
            value=float(value) if is_float(x) else int(value),
        )  # fmt: skip

    def requantize(
        self, acc: ir.Value, params: QuantParams, *, multiplier: Sequence[int],
        shift: Sequence[int], axis: int = 1, clamp_min: int | None = None,
        clamp_max: int | None = None, rounding: str = "half_up",
    ) -> ir.Value:  # fmt: skip
        """See `bw.RequantizeOp`; the clamp defaults to the range of `params`."""
        return self.make(
            bw.RequantizeOp, (shape_of(acc), params), (acc,), multiplier=list(multiplier),
            shift=list(shift), axis=axis, rounding=rounding,
            clamp_min=params.qmin if clamp_min is None else clamp_min,
            clamp_max=params.qmax if clamp_max is None else clamp_max,
        )  # fmt: skip

    def rescale(
        self, x: ir.Value, result: np.dtype[Any], *, multiplier: Sequence[int],
        shift: Sequence[int], axis: int, minimum: int, maximum: int, rounding: str,
    ) -> ir.Value:  # fmt: skip
        """See `bw_rescale.RescaleOp`."""
        return self.make(
            bw_rescale.RescaleOp, (shape_of(x), result), (x,), multiplier=list(multiplier),
            shift=list(shift), axis=axis, minimum=int(minimum), maximum=int(maximum),
            rounding=rounding,
        )  # fmt: skip

    def multi_threshold(
        self, x: ir.Value, result: QuantParams | np.dtype[Any], thresholds: NDArray[Any],
        axis: int = 1,
    ) -> ir.Value:  # fmt: skip
        """See `bw_threshold.MultiThresholdOp`; thresholds are [C, n] or [1, n]."""
        return self.make(
            bw_threshold.MultiThresholdOp, (shape_of(x), result), (x, self.constant(thresholds)),
            axis=axis,
        )  # fmt: skip

    def table(self, x: ir.Value, params: QuantParams, table: Sequence[int]) -> ir.Value:
        """See `bw.TableOp`."""
        return self.make(bw.TableOp, (shape_of(x), params), (x,), table=[int(t) for t in table])

    def integer_softmax(self, x: ir.Value, axis: int, table: Sequence[int]) -> ir.Value:
        """See `bw.IntegerSoftmaxOp`."""
        return self.make(
            bw.IntegerSoftmaxOp, (shape_of(x), SOFTMAX), (x,), axis=axis,
            table=[int(t) for t in table],
        )  # fmt: skip

    def scaled_add(
        self, lhs: ir.Value, rhs: ir.Value, *, left_shift: int, lhs_scale: tuple[int, int],
        rhs_scale: tuple[int, int],
    ) -> ir.Value:  # fmt: skip
        """See `bw_fixed_point.ScaledAddOp`; a scale is a multiplier and a shift."""
        shape = shapes.broadcast(shape_of(lhs), shape_of(rhs))
        return self.make(
            bw_fixed_point.ScaledAddOp, (shape, self._accumulating(lhs)), (lhs, rhs),
            left_shift=left_shift, lhs_multiplier=lhs_scale[0], lhs_shift=lhs_scale[1],
            rhs_multiplier=rhs_scale[0], rhs_shift=rhs_scale[1],
        )  # fmt: skip

    def integer_avg_pool2d(
        self, x: ir.Value, *, kernel: Pair, stride: Pair, padding: Pair = (0, 0, 0, 0),
        clamp_min: int = -128, clamp_max: int = 127,
    ) -> ir.Value:  # fmt: skip
        """See `bw_fixed_point.IntegerAvgPool2dOp`."""
        shape = shapes.pool2d(shape_of(x), kernel, stride, padding)
        return self.make(
            bw_fixed_point.IntegerAvgPool2dOp, (shape, element_type(x)), (x,), kernel=list(kernel),
            stride=list(stride), padding=list(padding), clamp_min=clamp_min, clamp_max=clamp_max,
        )  # fmt: skip

    def fixed_point_softmax(self, x: ir.Value, axis: int, table: Sequence[int]) -> ir.Value:
        """See `bw_fixed_point.FixedPointSoftmaxOp`."""
        return self.make(
            bw_fixed_point.FixedPointSoftmaxOp, (shape_of(x), SOFTMAX), (x,), axis=axis,
            table=[int(t) for t in table],
        )  # fmt: skip

    def finish(
        self, outputs: Sequence[tuple[str, ir.Value]], scales: Mapping[str, float] | None = None
    ) -> ir.Module:
        """Return the verified module with these named results.

        Args:
            outputs: name and value of each.
            scales: by name, what one unit stands for in an output of sums (i32), or in an input
                or output of plain integers.

        Raises:
            IrError: where an operation does not verify.
        """
        scales = scales or {}
        with self.context, ir.Location.unknown():
            with ir.InsertionPoint(self._block):
                func.ReturnOp([value for _, value in outputs])
            types = [value.type for _, value in outputs]
            self._function.attributes["function_type"] = ir.TypeAttr.get(
                ir.FunctionType.get([value.type for value in self.inputs], types)
            )
            result_names = [name for name, _ in outputs]
            self._function.attributes["res_attrs"] = ir.ArrayAttr.get(_named(result_names, scales))
            if scales:
                self._function.arg_attrs = _named(self._names, scales)
        verify(self.module)
        return self.module


def _named(names: Sequence[str], scales: Mapping[str, float]) -> list[ir.Attribute]:
    """Attributes of the arguments or results of a function."""
    return [
        ir.DictAttr.get(
            {"bw.name": ir.StringAttr.get(name)}
            | ({"bw.scale": attribute(scales[name])} if name in scales else {})
        )
        for name in names
    ]


def attribute(value: Any) -> ir.Attribute:
    """The MLIR attribute of a Python value; lists are i64 arrays."""
    match value:
        case ir.Attribute():
            return value
        case bool():
            # Not BoolAttr.get: a false BoolAttr is falsy in Python, and the dialect machinery
            # takes a falsy attribute for a missing one.
            return ir.IntegerAttr.get(ir.IntegerType.get_signless(1), value)
        case int():
            return ir.IntegerAttr.get(ir.IntegerType.get_signless(64), value)
        case float():
            return ir.FloatAttr.get_f64(value)
        case str():
            return ir.StringAttr.get(value)
        case list():
            return ir.DenseI64ArrayAttr.get([int(item) for item in value])
        case _:
            raise TypeError(f"no attribute for {value!r} of type {type(value).__name__}")
