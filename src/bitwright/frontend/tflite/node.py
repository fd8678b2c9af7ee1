"""What the operator handlers see: one operator, its tensors, and the values made so far."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.frontend.common.checks import checked_size
from bitwright.frontend.tflite import arithmetic
from bitwright.frontend.tflite.errors import (
    HybridModelError,
    InvalidModelError,
    NotQuantizedError,
    UnsupportedAttributeError,
    UnsupportedOperandError,
    UnsupportedTypeError,
)
from bitwright.frontend.tflite.source import ABSENT, Operator, SourceModel, Tensor
from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams, shape_of

Array = NDArray[Any]
TO_FIRST, TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


@dataclass
class Value:
    """A computed tensor, in the file's layout, with channels first, or both.

    `last` is the tensor as the file has it. `first` has the channels of a tensor of rank 4 in
    front of its pixels; for a lower rank it is such a tensor whose elements, channels last, are
    those of the file's. Each is made from the other when first asked for.
    """

    builder: Builder
    shape: tuple[int, ...]
    last_: ir.Value | None = None
    first_: ir.Value | None = None

    def last(self) -> ir.Value:
        """The tensor as the file has it."""
        if self.last_ is None:
            assert self.first_ is not None, "a value has at least one layout"
            moved = _moved(self.builder, self.first_, TO_LAST, channels=1)
            self.last_ = shaped(self.builder, moved, self.shape)
        return self.last_

    def first(self) -> ir.Value:
        """A tensor of rank 4 with its channels first."""
        if self.first_ is None:
            assert self.last_ is not None, "a value has at least one layout"
            self.first_ = _moved(self.builder, self.last_, TO_FIRST, channels=3)
        return self.first_


def _moved(builder: Builder, value: ir.Value, perm: Sequence[int], channels: int) -> ir.Value:
    shape = shape_of(value)
    extents = [shape[axis] for axis in perm]
    if shape[channels] == 1 or np.prod(shape, dtype=np.int64) == shape[0] * shape[channels]:
        return shaped(builder, value, extents)  # no two elements change places
    return builder.transpose(value, perm)


def shaped(builder: Builder, value: ir.Value, shape: Sequence[int]) -> ir.Value:
    """`value` under another shape, itself where it has that shape."""
    return value if shape_of(value) == tuple(shape) else builder.reshape(value, shape)


@dataclass(frozen=True)
class Node:
    """One operator of a model; `values` holds what is computed before it, by tensor index."""

    model: SourceModel
    operator: Operator
    builder: Builder
    values: dict[int, Value] = field(repr=False)

    @property
    def unsigned(self) -> bool:
        """Whether it runs in LiteRT's arithmetic for UINT8, which differs in places."""
        return self.result().unsigned

    @property
    def kind(self) -> str:
        """The operator's name in the schema."""
        return self.operator.kind

    def describe(self) -> str:
        """`model.tflite: Operator 3 (CONV_2D, 'name of its output')`."""
        return describe(self.model, self.operator)

    def has(self, index: int) -> bool:
        """Whether an operand is there."""
        inputs = self.operator.inputs
        return index < len(inputs) and inputs[index] != ABSENT

    def tensor(self, index: int) -> Tensor:
        """An operand that the operator needs, as the file describes it."""
        if not self.has(index):
            raise InvalidModelError(f"{self.describe()}: input {index} is missing")
        return self.model.tensors[self.operator.inputs[index]]

    def result(self) -> Tensor:
        """The output, as the file describes it."""
        return self.model.tensors[self.operator.outputs[0]]

    def params(self, index: int) -> QuantParams:
        """Quantized type of an activation operand."""
        return activation(self.tensor(index), self.describe(), self.model.is_int16)

    def result_params(self) -> QuantParams:
        """Quantized type of the output."""
        return activation(self.result(), self.describe(), self.model.is_int16)

    def value(self, index: int) -> Value:
        """A computed operand, or a constant one made into a value."""
        tensor = self.tensor(index)
        if tensor.index in self.values:
            return self.values[tensor.index]
        if self.model.is_float:
            return self.constant(self.floats(index, "operand"))
        array = self.array(index, "operand")
        params = self.params(index)
        if self.model.is_int16:
            constant = self.builder.plain(array)
        else:
            constant = self.builder.constant(array, params)
        return Value(self.builder, tensor.shape, last_=constant)

    def constant(self, array: Array) -> Value:
        """Floats as a value."""
        return Value(self.builder, array.shape, last_=self.builder.constant(array))

    def mapped(self, function: Callable[[ir.Value], ir.Value]) -> Value:
        """A function of each element of the first operand, in the operand's layout."""
        x = self.value(0)
        if len(x.shape) == 4 and x.first_ is not None:
            return self.first(function(x.first()))
        return self.last(function(x.last()))

    def is_constant(self, index: int) -> bool:
        """Whether an operand's data stand in the file."""
        return self.tensor(index).index not in self.values

    def array(self, index: int, role: str) -> Array:
        """A constant operand; `role` says in an error what it is."""
        tensor = self.tensor(index)
        if tensor.index in self.values:
            self.fail_operand(index, f"is the {role} and is computed", f"a constant {role}")
        return constant_array(tensor, self.describe())

    def floats(self, index: int, role: str) -> Array:
        """A constant float32 operand of a float model."""
        tensor = self.tensor(index)
        if tensor.data is not None and tensor.type in ("INT4", "INT8", "UINT8"):
            raise HybridModelError(
                f"{self.describe()}: input {index} ({tensor.name!r}) is the {role} of type "
                f"{tensor.type} beside floats (dynamic range quantization), for which LiteRT "
                "quantizes the activations anew in each run; supported: FLOAT32. Convert the model "
                "without converter.optimizations, or with a representative_dataset"
            )
        array = self.array(index, role)
        if tensor.type != "FLOAT32":
            self.fail_operand(index, f"is the {role} of type {tensor.type}", "FLOAT32")
        return array

    def integers(self, index: int, role: str) -> list[int]:
        """A constant operand that lists integers, such as axes."""
        tensor, array = self.tensor(index), self.array(index, role)
        if tensor.type not in ("INT32", "INT64"):
            self.fail_operand(index, f"is the {role} of type {tensor.type}", "INT32, INT64")
        return [int(value) for value in array.reshape(-1)]

    def weight(self, index: int, axis: int) -> tuple[Array, tuple[float, ...]]:
        """A constant int8 weight and its scales: one, or one for each index of `axis`.

        That of an unsigned one has one scale, and is less its zero point, from -255 to 255.
        """
        tensor, array = self.tensor(index), self.array(index, "weight")
        if tensor.type != "INT8":
            not_int8(tensor, self.describe())
        scales = checked_scales(tensor, self.describe())
        if tensor.unsigned and len(scales) == len(tensor.zero_points) == 1:
            zero_point = int(tensor.zero_points[0])
            if not -128 <= zero_point <= 127:
                self.fail_operand(index, f"has the zero point {zero_point + 128}", "0 to 255")
            return array.astype(np.int16) - zero_point, scales
        if tensor.zero_points.any():
            self.fail_operand(index, "has zero points other than 0", "symmetric weights")
        extent = array.shape[axis] if array.ndim > axis else 0
        if len(scales) != 1 and (tensor.axis != axis or len(scales) != extent):
            self.fail_operand(
                index, f"has {len(scales)} scales along axis {tensor.axis} of {list(array.shape)}",
                f"one scale, or one for each index of axis {axis}",
            )  # fmt: skip
        return array, scales

    def bias(self, index: int, outputs: int) -> Array:
        """A constant bias, zeros where it is left out: int32, or int64 beside int16."""
        type_ = "INT64" if self.model.is_int16 else "INT32"
        if not self.has(index):
            return np.zeros(outputs, type_.lower())
        tensor, array = self.tensor(index), self.array(index, "bias")
        if tensor.type != type_ or array.size != outputs:
            self.fail_operand(
                index, f"is the bias of type {tensor.type} and shape {list(tensor.shape)}",
                f"{type_} and [{outputs}]",
            )  # fmt: skip
        return array.reshape(-1)

    def clamp(self) -> tuple[int, int]:
        """Bounds of the fused activation, in integers of the output."""
        return arithmetic.bounds(self.fused_activation(), self.result_params())

    def fused_activation(self) -> str:
        """Name of the fused activation."""
        number = self.operator.options["FusedActivationFunction"]
        if not 0 <= number < len(arithmetic.FUSED):
            self.fail_option("FusedActivationFunction", number, ", ".join(arithmetic.FUSED))
        return arithmetic.FUSED[number]

    def alpha(self) -> float:
        """Slope of a LEAKY_RELU."""
        alpha = self.operator.options["Alpha"]
        if not abs(alpha) < 1e6:
            self.fail_option("Alpha", alpha, "a finite slope")
        return alpha

    def beta(self) -> float:
        """Factor of a SOFTMAX."""
        beta = self.operator.options["Beta"]
        if not 0 < beta < 1e6:
            self.fail_option("Beta", beta, "a positive number")
        return beta

    def scaled(
        self, acc: ir.Value, factors: Sequence[float], axis: int, clamp: tuple[int, int]
    ) -> ir.Value:
        """`acc` times a factor (or one for each index of `axis`), as the output's type."""
        scales = [arithmetic.multiplier(factor) for factor in factors]
        return self.builder.requantize(
            acc, self.result_params(), multiplier=[m for m, _ in scales],
            shift=[s for _, s in scales], axis=axis, clamp_min=clamp[0], clamp_max=clamp[1],
            rounding="tflite",
        )  # fmt: skip

    def first(self, value: ir.Value) -> Value:
        """A result that has its channels first."""
        return Value(self.builder, tuple(shape_of(value)[axis] for axis in TO_LAST), first_=value)

    def last(self, value: ir.Value) -> Value:
        """A result in the file's layout."""
        return Value(self.builder, shape_of(value), last_=value)

    def same_type(self, indices: Sequence[int]) -> None:
        """Check that operands have the output's scale and zero point."""
        if self.model.is_float:
            for index in indices:
                if self.tensor(index).type != "FLOAT32":
                    self.fail_operand(index, f"is {self.tensor(index).type}", "FLOAT32")
            return
        wanted = self.result_params()
        for index in indices:
            found = self.params(index)
            if found != wanted:
                self.fail_operand(
                    index, f"has scale {found.scale:g} and zero point {found.zero_point}",
                    f"those of the output, {wanted.scale:g} and {wanted.zero_point}",
                )  # fmt: skip

    def rank(self, index: int, *ranks: int) -> tuple[int, ...]:
        """Shape of an operand that has one of these ranks."""
        shape = self.tensor(index).shape
        if len(shape) not in ranks:
            expected = " or ".join(map(str, ranks))
            self.fail_operand(index, f"has shape {list(shape)}", f"rank {expected}")
        return shape

    def fail_operand(self, index: int, found: str, supported: str) -> NoReturn:
        """Raise `UnsupportedOperandError`."""
        raise UnsupportedOperandError(
            f"{self.describe()}: input {index} ({self.tensor(index).name!r}) {found}; "
            f"supported: {supported}"
        )

    def fail_option(self, name: str, value: Any, supported: str) -> NoReturn:
        """Raise `UnsupportedAttributeError`."""
        raise UnsupportedAttributeError(
            f"{self.describe()}: option {name} is {value!r}; supported: {supported}"
        )


Handler = Callable[[Node], Value]


def describe(model: SourceModel, operator: Operator) -> str:
    """`model.tflite: Operator 3 (CONV_2D, 'name of its output')`."""
    name = model.tensors[operator.outputs[0]].title if operator.outputs else ""
    return f"{model.name}: Operator {operator.index} ({operator.kind}, {name!r})"


def activation(tensor: Tensor, where: str, wide: bool = False) -> QuantParams:
    """The per-tensor int8 type of `tensor`; its int16 type where the model is `wide`.

    Raises:
        NotQuantizedError: for floats.
        UnsupportedTypeError: for other integers than int8, or scales per channel.
    """
    if wide and tensor.type != "INT16":
        raise UnsupportedTypeError(
            f"{where}: tensor {tensor.name!r} is {tensor.type}; supported: INT16 activations in a "
            "model with INT16 inputs. Convert the model with activations of one width"
        )
    if not wide and tensor.type != "INT8":
        not_int8(tensor, where)
    scales = checked_scales(tensor, where)
    zero_point = int(tensor.zero_points[0]) if tensor.zero_points.size else 0
    if wide:
        if len(scales) != 1 or zero_point:
            raise UnsupportedTypeError(
                f"{where}: tensor {tensor.name!r} has {len(scales)} scales and the zero point "
                f"{zero_point}; supported: one scale, the zero point 0 for INT16"
            )
        return QuantParams(scales, 0, 16, -(1 << 15), (1 << 15) - 1)
    if len(scales) != 1 or not -128 <= zero_point <= 127:
        raise UnsupportedTypeError(
            f"{where}: tensor {tensor.name!r} has {len(scales)} scales and the zero point "
            f"{zero_point}; supported: one scale, a zero point from -128 to 127"
        )
    return QuantParams(scales, zero_point, 8, -128, 127)


def not_int8(tensor: Tensor, where: str) -> NoReturn:
    """Raise what fits the type of `tensor`."""
    if tensor.type in ("FLOAT32", "FLOAT16", "FLOAT64", "BFLOAT16"):
        raise NotQuantizedError(
            f"{where}: tensor {tensor.name!r} is {tensor.type} and not quantized; expected INT8. "
            "Convert the model with full integer quantization (converter.inference_input_type and "
            "inference_output_type = tf.int8), or without quantization: Bitwright quantizes float "
            "models itself"
        )
    if tensor.type == "INT16":
        raise UnsupportedTypeError(
            f"{where}: tensor {tensor.name!r} is INT16; supported: INT8 in a model with inputs of "
            "8 bits. Convert the model with activations of one width"
        )
    raise UnsupportedTypeError(
        f"{where}: tensor {tensor.name!r} is {tensor.type}; supported: INT8 or UINT8 activations "
        "and weights with a scale, INT32 biases"
    )


def checked_scales(tensor: Tensor, where: str) -> tuple[float, ...]:
    """The scales of `tensor`, each positive and finite."""
    with np.errstate(invalid="ignore"):  # a signalling NaN, which is refused below
        scales = tensor.scales.astype(np.float64)
    if not scales.size:
        raise InvalidModelError(
            f"{where}: tensor {tensor.name!r} is {tensor.type} and has no scale; convert the model "
            "again"
        )
    # A quotient of two scales stays far inside of the multiplier's range then.
    if not ((scales > 1e-30) & (scales < 1e30)).all():
        raise InvalidModelError(
            f"{where}: tensor {tensor.name!r} has a scale of {scales.min():g}; expected positive, "
            "finite scales"
        )
    return tuple(float(scale) for scale in scales)


def constant_array(tensor: Tensor, where: str) -> Array:
    """The data of a constant.

    Raises:
        UnsupportedTypeError: sparse data, or an element type that is not an integer's.
        InvalidModelError: no data, or not as many bytes as the shape needs.
    """
    if tensor.sparse:
        raise UnsupportedTypeError(
            f"{where}: tensor {tensor.name!r} is sparse; supported: dense constants"
        )
    checked_size(tensor.shape, f"{where}: tensor {tensor.name!r}")
    if tensor.data is None:
        raise InvalidModelError(
            f"{where}: tensor {tensor.name!r} is not an input, not constant, and not made by any "
            "earlier operator"
        )
    try:
        array = tensor.array()
    except ValueError:
        raise InvalidModelError(
            f"{where}: tensor {tensor.name!r} of shape {list(tensor.shape)} and type "
            f"{tensor.type} has {len(tensor.data)} bytes of data"
        ) from None
    if array is None:
        not_int8(tensor, where)
    return array
