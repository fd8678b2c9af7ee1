"""Reading views of a `bw` module: its named inputs and outputs, its operations in order."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir
from torch_mlir.dialects import func

from bitwright.ir import blobs, bw
from bitwright.ir.context import IrError
from bitwright.ir.types import QuantParams, is_accumulator, value_params


@dataclass(frozen=True)
class NamedValue:
    """An input or output of a module: the model's tensor name and the SSA value.

    `scale` is what one unit of an output of sums (i32), or of an input or output of plain
    integers, stands for.
    MLIR's values and operations do not keep their module alive: hold it as long as them.
    """

    name: str
    value: ir.Value
    scale: float = 1.0

    @property
    def params(self) -> QuantParams:
        """The integers of a quantized value, or of sums.

        Raises:
            ValueError: for floats.
        """
        if not is_accumulator(self.value):
            return value_params(self.value)
        limits = np.iinfo(np.int32)
        return QuantParams((self.scale,), 0, limits.bits, int(limits.min), int(limits.max))


MAIN = "main"
"""The entry function of a module that has one; language models have `prefill` and `decode`."""


def main_function(module: ir.Module, name: str = MAIN) -> func.FuncOp:
    """The `func.func` of this name.

    Raises:
        IrError: where there is none.
    """
    for operation in module.body.operations:
        if isinstance(operation, func.FuncOp) and operation.name.value == name:
            return operation
    raise IrError(f"The module has no func.func @{name}; expected one, as the importers make it")


def inputs(module: ir.Module, function: str = MAIN) -> list[NamedValue]:
    """Named arguments of a function."""
    entry = main_function(module, function)
    return [
        NamedValue(_name(attrs, f"input{i}"), value, _scale(attrs))
        for i, (attrs, value) in enumerate(
            zip(_attribute_list(entry, "arg_attrs"), entry.arguments, strict=True)
        )
    ]


def outputs(module: ir.Module, function: str = MAIN) -> list[NamedValue]:
    """Named operands of the return of a function."""
    entry = main_function(module, function)
    values = _block(entry).operations[-1].operands
    return [
        NamedValue(_name(attrs, f"output{i}"), value, _scale(attrs))
        for i, (attrs, value) in enumerate(
            zip(_attribute_list(entry, "res_attrs"), values, strict=True)
        )
    ]


def _attribute_list(function: func.FuncOp, name: str) -> list[Any]:
    if name in function.attributes:
        return list(function.attributes[name])
    kind = function.type.inputs if name == "arg_attrs" else function.type.results
    return [None] * len(kind)


def _name(attributes: Any, default: str) -> str:
    return attributes["bw.name"].value if attributes and "bw.name" in attributes else default


def _scale(attributes: Any) -> float:
    return attributes["bw.scale"].value if attributes and "bw.scale" in attributes else 1.0


def _block(function: func.FuncOp) -> ir.Block:
    return function.regions[0].blocks[0]


def operations(module: ir.Module, function: str = MAIN) -> Iterator[Any]:
    """The `bw` operations of a function in order, without the return."""
    yield from list(_block(main_function(module, function)).operations)[:-1]


def constant_of(value: ir.Value) -> NDArray[Any] | None:
    """Data of a value that a `bw.constant` makes, else None. Shared memory: do not write.

    Raises:
        IrError: a large constant of a text that was parsed without its data.
    """
    owner = value.owner
    if isinstance(owner, ir.Block) or owner.name != bw.ConstantOp.OPERATION_NAME:
        return None
    data = owner.attributes["value"]
    if not isinstance(data, bw.Blob):
        return np.array(data, copy=False)
    key = bw.blob_key(data)
    array = blobs.find(owner.context, key)
    if array is None:
        raise IrError(
            f"The data of the constant {key!r} is not in memory; read the module from a file that "
            "has its .npz beside it (`bitwright opt -o` writes both)"
        )
    return array


def location_name(operation: Any) -> str:
    """The model's own name of an operation, or its kind where it has none."""
    name: str | None = getattr(operation.location, "name_str", None)
    return operation.operation.name if name is None else name


def users(value: ir.Value) -> list[Any]:
    """Operations that read `value`, each once for each use."""
    return [use.owner for use in value.uses]
