"""What the operator handlers see: a node with its arguments by name, and the values made so far."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import ml_dtypes
import numpy as np
import torch
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.frontend.onnx.errors import TensorTooLargeError
from bitwright.frontend.torch.errors import (
    NonFiniteWeightError,
    UnsupportedAttributeError,
    UnsupportedOperandError,
    UnsupportedTypeError,
)
from bitwright.ir.builder import Builder
from bitwright.ir.types import dtype_of, is_float, shape_of

Array = NDArray[Any]
# A constant is a tensor; None stands for a result that is not computed.
Operand = ir.Value | torch.Tensor | None
FLOAT = np.dtype(np.float32)
MAX_ELEMENTS = 1 << 28

_DTYPES: dict[torch.dtype, Any] = {
    torch.float32: np.float32, torch.float64: np.float64, torch.float16: np.float16,
    torch.bfloat16: ml_dtypes.bfloat16, torch.int8: np.int8, torch.uint8: np.uint8,
    torch.int16: np.int16, torch.int32: np.int32, torch.int64: np.int64, torch.bool: np.bool_,
}  # fmt: skip


@dataclass(frozen=True)
class Node:
    """One call of an operator.

    Attributes:
        given: the arguments by their names in the operator's schema, defaults included; tensors
            are values of the module or constants.
        read: names of the arguments that the handler looked at.
    """

    proto: torch.fx.Node
    given: dict[str, Any]
    builder: Builder
    read: set[str] = field(default_factory=set[str])

    def describe(self) -> str:
        """`Node 'conv2d' (aten.conv2d.default, in layer1.conv)`."""
        return describe(self.proto)

    def has(self, name: str) -> bool:
        """Whether there is such an argument, and it is not None."""
        self.read.add(name)
        return self.given.get(name) is not None

    def argument(self, name: str) -> Any:
        """An argument as it is."""
        self.read.add(name)
        return self.given[name]

    def integer(self, name: str) -> int:
        """An integer argument."""
        return int(self.argument(name))

    def number(self, name: str) -> float:
        """A number, also where it is a constant tensor of one element."""
        return float(self.argument(name))

    def flag(self, name: str) -> bool:
        """A boolean argument."""
        return bool(self.argument(name))

    def integers(self, name: str, count: int | None = None) -> list[int]:
        """A list of integers; a lone one stands for `count` of them."""
        value = self.argument(name)
        items = [int(n) for n in value] if isinstance(value, (list, tuple)) else [int(value)]
        return items * count if count is not None and len(items) == 1 else items

    def pair(self, name: str, spatial: int, fill: int) -> tuple[int, int]:
        """A list for one or two spatial axes as rows and columns; one alone is the columns."""
        values = self.integers(name, spatial)
        return (fill, values[0]) if spatial == 1 else (values[0], values[1])

    def axis(self, name: str, rank: int) -> int:
        """An axis, counted from the front."""
        return self.integer(name) % max(rank, 1)

    def axes(self, name: str, rank: int) -> list[int]:
        """Distinct axes in order; all of them for None or an empty list."""
        axes = self.integers(name) if self.has(name) else []
        return sorted({axis % max(rank, 1) for axis in axes}) or list(range(rank))

    def tensor(self, name: str, dtype: np.dtype[Any] | None = None) -> ir.Value:
        """A tensor or number as a value of the module, converted to `dtype` where one is given.

        A lone number has rank 1, unless the result of the node has rank 0.
        """
        return self.as_value(self.argument(name), name, dtype)

    def as_value(self, operand: Any, name: str, dtype: np.dtype[Any] | None = None) -> ir.Value:
        """A tensor or number that is argument `name` or part of it; see `tensor`."""
        if isinstance(operand, ir.Value):
            return operand if dtype is None else self.builder.cast(operand, dtype)
        if isinstance(operand, torch.Tensor):
            array = self.to_array(operand, name)
        elif isinstance(operand, (bool, int, float)):
            array = np.asarray(operand)
            array = array.astype(np.float32) if array.dtype.kind == "f" else array
        else:
            raise UnsupportedOperandError(
                f"{self.describe()}: argument {name} is {operand!r}; supported: tensors, numbers"
            )
        if array.ndim == 0 and self.shape:
            array = array.reshape(1)
        checked_size(array.shape, f"{self.describe()}: argument {name}")
        with np.errstate(all="ignore"):
            return self.builder.plain(array if dtype is None else array.astype(dtype))

    def value(self, name: str) -> ir.Value:
        """A float32 tensor."""
        value = self.tensor(name)
        if not is_float(value):
            raise UnsupportedTypeError(
                f"{self.describe()}: argument {name} has element type {dtype_of(value)}; "
                "supported: float32. Call model.float() before the export"
            )
        return value

    def array(self, name: str, role: str) -> Array:
        """A constant tensor; `role` says in an error what it is."""
        operand = self.argument(name)
        if isinstance(operand, ir.Value):
            self.fail(name, f"is the {role} and is computed at run time", f"a constant {role}")
        if isinstance(operand, torch.Tensor):
            return self.to_array(operand, name)
        return np.asarray(operand)

    def to_array(self, tensor: torch.Tensor, name: str) -> Array:
        """The data of a constant that is argument `name` or part of it."""
        return to_array(tensor, f"{self.describe()}: argument {name}")

    def vector(self, name: str, count: int, default: float) -> ir.Value:
        """A constant or computed float32 vector; `count` times `default` where left out."""
        if not self.has(name):
            return self.builder.constant(np.full(count, default, np.float32))
        return self.value(name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result (of the first, where there are several)."""
        return tuple(int(extent) for extent in _first(self.proto.meta["val"]).shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of the result (of the first, where there are several)."""
        return numpy_type(_first(self.proto.meta["val"]).dtype, self.describe())

    def common_dtype(self, *names: str) -> np.dtype[Any]:
        """What torch converts these operands to before it compares them."""
        operands = [self._meta(name) for name in names]
        return numpy_type(torch.result_type(operands[0], operands[1]), self.describe())

    def _meta(self, name: str) -> Any:
        schema: Any = self.proto.target
        for position, argument in enumerate(schema._schema.arguments):
            if argument.name == name:
                args = self.proto.args
                given = args[position] if position < len(args) else self.proto.kwargs[name]
                return given.meta["val"] if isinstance(given, torch.fx.Node) else given
        raise KeyError(name)

    def fail(self, name: str, found: str, supported: str) -> NoReturn:
        """Raise `UnsupportedOperandError` for a tensor argument."""
        raise UnsupportedOperandError(
            f"{self.describe()}: argument {name} {found}; supported: {supported}"
        )

    def fail_value(self, name: str, supported: str) -> NoReturn:
        """Raise `UnsupportedAttributeError` for any other argument."""
        raise UnsupportedAttributeError(
            f"{self.describe()}: argument {name} is {self.given.get(name)!r}; "
            f"supported: {supported}"
        )


Handler = Callable[[Node], Operand | Sequence[Operand]]


def describe(node: torch.fx.Node) -> str:
    """`Node 'conv2d' (aten.conv2d.default, in layer1.conv)`."""
    module = module_path(node)
    where = f", in {module}" if module else ""
    return f"Node {node.name!r} ({node.target}{where})"


def module_path(node: torch.fx.Node) -> str:
    """The innermost module that called the operator, `` for the outermost."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ""


def operator_name(node: torch.fx.Node) -> str:
    """`aten.conv2d`, without the overload; the name of any other target."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return str(getattr(node.target, "__name__", node.target))
    return str(schema.name).replace("::", ".")


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (list, tuple)) else value


def numpy_type(dtype: torch.dtype, where: str) -> np.dtype[Any]:
    """The NumPy type of a torch type.

    Raises:
        UnsupportedTypeError: a type that has none here, such as complex numbers.
    """
    if dtype not in _DTYPES:
        known = ", ".join(str(item).removeprefix("torch.") for item in _DTYPES)
        raise UnsupportedTypeError(
            f"{where} has element type {str(dtype).removeprefix('torch.')}; supported: {known}"
        )
    return np.dtype(_DTYPES[dtype])


def to_array(tensor: torch.Tensor, where: str) -> Array:
    """The data of a constant."""
    dtype = numpy_type(tensor.dtype, where)
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.float().numpy().astype(dtype)
    return tensor.numpy()


def checked_finite(tensor: torch.Tensor, where: str) -> None:
    """Raise `NonFiniteWeightError` for a float tensor with NaN or infinite values."""
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        nans = int(torch.isnan(tensor).sum())
        infinite = int(torch.isinf(tensor).sum())
        raise NonFiniteWeightError(
            f"{where} of shape {list(tensor.shape)} holds {nans} NaN and {infinite} infinite "
            f"values among {tensor.numel()}; expected finite weights. Train or load the model again"
        )


def checked_size(extents: Sequence[int], where: str) -> tuple[int, ...]:
    """`extents` as a shape.

    Raises:
        TensorTooLargeError: for too many elements, or an empty extent.
    """
    if math.prod(extents) > MAX_ELEMENTS or any(extent < 1 for extent in extents):
        raise TensorTooLargeError(
            f"{where} has shape {list(extents)}; expected positive extents and at most "
            f"{MAX_ELEMENTS} elements"
        )
    return tuple(extents)


def shape(operand: Any) -> tuple[int, ...]:
    """Shape of a value or constant."""
    return shape_of(operand) if isinstance(operand, ir.Value) else tuple(operand.shape)
