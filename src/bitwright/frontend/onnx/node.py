"""What the operator handlers see: a node with typed attributes, and the values made so far."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import onnx
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.frontend.common.checks import checked_size
from bitwright.frontend.onnx.errors import (
    InvalidModelError,
    NonFiniteWeightError,
    UnsupportedAttributeError,
    UnsupportedOperandError,
    UnsupportedTypeError,
)  # fmt: skip
from bitwright.ir.builder import Builder
from bitwright.ir.reference import constant_value
from bitwright.ir.types import dtype_of, is_float, shape_of

Array = NDArray[Any]
Operand = ir.Value | Array
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Node:
    """One ONNX node in a model of opset `opset`; `operands` are None where left out."""

    proto: onnx.NodeProto
    opset: int
    operands: tuple[Operand | None, ...]
    builder: Builder

    @property
    def kind(self) -> str:
        """The operator's name."""
        return self.proto.op_type

    def describe(self) -> str:
        """`Node 'n' (Conv, domain ai.onnx, opset 17)`."""
        return describe(self.proto, self.opset)

    def attribute(self, name: str, default: Any = None) -> Any:
        """The value of an attribute (text decoded), or `default`."""
        for item in self.proto.attribute:
            if item.name == name:
                value = onnx.helper.get_attribute_value(item)
                return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        return default

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        value = self.attribute(name, default)
        return value if isinstance(value, int) else self.fail_attribute(name, value, "an integer")

    def number(self, name: str, default: float) -> float:
        """A float attribute."""
        value = self.attribute(name, default)
        if not isinstance(value, (int, float)):
            self.fail_attribute(name, value, "a number")
        return float(value)

    def integers(self, name: str, default: Sequence[int]) -> list[int]:
        """An integer list attribute."""
        values = self.attribute(name, default)
        if isinstance(values, (int, float, str)) or any(isinstance(v, float) for v in values):
            self.fail_attribute(name, values, "a list of integers")
        return [int(value) for value in values]

    def operand(self, index: int) -> Operand | None:
        """An operand, None where left out."""
        return self.operands[index] if index < len(self.operands) else None

    def required(self, index: int) -> Operand:
        """An operand that the operator needs."""
        operand = self.operand(index)
        if operand is None:
            raise InvalidModelError(f"{self.describe()}: input {index} is missing")
        return operand

    def value(self, index: int) -> ir.Value:
        """An operand as a float32 tensor of the module; constants become `bw.constant`."""
        operand = self.required(index)
        if isinstance(operand, ir.Value):
            if not is_float(operand):
                self.fail_operand(index, f"has element type {dtype_of(operand)}", "float32")
            return operand
        return self.constant(operand, self.proto.input[index])

    def tensor(self, index: int) -> ir.Value:
        """An operand of any plain type; constants become `bw.constant` as they are."""
        operand = self.required(index)
        if isinstance(operand, ir.Value):
            return operand
        if operand.dtype.kind not in "fiubV":
            raise UnsupportedTypeError(
                f"{self.describe()}: tensor {self.proto.input[index]!r} has element type "
                f"{operand.dtype}; supported: numbers and booleans"
            )
        checked_size(operand.shape, f"{self.describe()}: tensor {self.proto.input[index]!r}")
        return self.builder.plain(operand)

    def all_float(self) -> bool:
        """Whether every operand is float32."""
        return all(
            is_float(operand) if isinstance(operand, ir.Value) else operand.dtype == np.float32
            for operand in self.operands if operand is not None
        )  # fmt: skip

    def array(self, index: int, role: str) -> Array:
        """A constant operand; `role` says in an error what it is."""
        operand = self.required(index)
        if not isinstance(operand, ir.Value):
            return operand
        array = constant_value(operand)  # such as dequantized integers
        if array is None:
            self.fail_operand(
                index, f"is the {role} and is computed at run time", f"a constant {role}"
            )
        return array

    def weight(self, index: int, role: str) -> ir.Value:
        """A constant float operand as a value, so that the integers of a dequantized one stay."""
        operand = self.required(index)
        if isinstance(operand, ir.Value) and constant_value(operand) is not None:
            return operand
        return self.builder.constant(self.float_array(index, role))

    def float_array(self, index: int, role: str) -> Array:
        """A constant float operand with only finite values."""
        array = self.array(index, role)
        return checked_weight(array, self.proto.input[index], self.describe())

    def integer_list(self, index: int, role: str) -> list[int]:
        """A constant operand that lists integers, such as a shape or axes."""
        array = self.array(index, role)
        if array.dtype.kind not in "iu":
            self.fail_operand(index, f"is the {role} of type {array.dtype}", "int64")
        return [int(value) for value in array.reshape(-1)]

    def constant(self, array: Array, name: str) -> ir.Value:
        """A `bw.constant` of a float array; a lone number has rank 1 unless all operands have 0."""
        weight = checked_weight(array, name, self.describe())
        if weight.ndim == 0 and all(shape(o) == () for o in self.operands if o is not None):
            return self.builder.plain(weight)
        return self.builder.constant(weight)

    def fail_attribute(self, name: str, value: Any, supported: str) -> NoReturn:
        """Raise `UnsupportedAttributeError`."""
        raise UnsupportedAttributeError(
            f"{self.describe()}: attribute {name} is {value!r}; supported: {supported}"
        )

    def fail_operand(self, index: int, found: str, supported: str) -> NoReturn:
        """Raise `UnsupportedOperandError`."""
        raise UnsupportedOperandError(
            f"{self.describe()}: input {index} ({self.proto.input[index]!r}) {found}; "
            f"supported: {supported}"
        )

    def axis(self, axis: int, rank: int) -> int:
        """`axis` counted from the front."""
        if not -rank <= axis < rank:
            raise InvalidModelError(f"{self.describe()}: axis {axis} is outside of rank {rank}")
        return axis % rank

    def rank(self, index: int) -> int:
        """Rank of an operand."""
        return len(shape(self.required(index)))


Handler = Callable[[Node], Operand | Sequence[Operand]]


def describe(proto: onnx.NodeProto, opset: int) -> str:
    """`Node 'n' (Conv, domain ai.onnx, opset 17)`; an unnamed node goes by its first output.

    The opset is that of ai.onnx; other domains hardly use theirs.
    """
    name = proto.name or (proto.output[0] if proto.output else "")
    version = f", opset {opset}" if proto.domain in ("", "ai.onnx") else ""
    return f"Node {name!r} ({proto.op_type}, domain {proto.domain or 'ai.onnx'}{version})"


def shape(operand: Operand) -> tuple[int, ...]:
    """Shape of a value or constant."""
    return shape_of(operand) if isinstance(operand, ir.Value) else operand.shape


def operand_dtype(operand: Operand) -> np.dtype[Any]:
    """Element type of a value or constant."""
    return dtype_of(operand) if isinstance(operand, ir.Value) else operand.dtype


def checked_weight(array: Array, name: str, where: str) -> Array:
    """`array` as float32, itself where it is that.

    Raises:
        UnsupportedTypeError: where it is not float.
        NonFiniteWeightError: where values are NaN or infinite.
    """
    check_finite(array, name, where)
    return array.astype(np.float32, copy=False)


def check_finite(array: Array, name: str, where: str) -> None:
    """Raise what `checked_weight` raises; takes little memory beside the array."""
    if array.dtype.kind != "f":
        raise UnsupportedTypeError(
            f"{where}: tensor {name!r} has element type {array.dtype}; supported: float32"
        )
    nans = infinite = 0
    flat = array.ravel(order="K")  # a view where nothing lies between the elements
    for start in range(0, flat.size, _CHUNK):
        with np.errstate(over="ignore"):
            chunk = flat[start : start + _CHUNK].astype(np.float32, copy=False)
        if not np.isfinite(chunk).all():
            nans += int(np.isnan(chunk).sum())
            infinite += int(np.isinf(chunk).sum())
    if nans or infinite:
        raise NonFiniteWeightError(
            f"{where}: tensor {name!r} of shape {list(array.shape)} holds {nans} NaN and "
            f"{infinite} infinite values among {array.size}; expected finite weights. "
            "Train or export the model again"
        )
