"""Where each value of a module lives, and how its elements are read inside a kernel."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch_mlir import ir

from bitwright.codegen.cpu.errors import NotIntegerError
from bitwright.codegen.cpu.program import BYTES, Kernel, Memory, Program, View, count
from bitwright.ir import graph
from bitwright.ir.types import is_accumulator, quant_params, shape_of


def element_of(value: ir.Value) -> str:
    """`i8` for a quantized value, `i32` for an accumulator.

    Raises:
        NotIntegerError: for a float.
    """
    if quant_params(value.type) is not None:
        return "i8"
    if is_accumulator(value):
        return "i32"
    raise NotIntegerError(
        f"A value of type {value.type} is not quantized; the CPU library is made from integers, "
        "so run the pass `quantize` first"
    )


def zero_point(value: ir.Value) -> int:
    """Of a quantized value; an accumulator has 0."""
    params = quant_params(value.type)
    return 0 if params is None else params.zero_point


def weight_of(operation: Any, name: str) -> np.ndarray[Any, Any]:
    """Data of an operand that has to be a constant.

    Raises:
        NotIntegerError: where another operation computes it.
    """
    value = getattr(operation, name)
    array = graph.constant_of(value)
    if array is None:
        raise NotIntegerError(
            f"{graph.location_name(operation)} ({operation.operation.name}) has a {name} that is "
            "computed; expected a bw.constant. Use bw.matmul for two computed operands"
        )
    return np.array(array).reshape(shape_of(value))


@dataclass
class _Lifetime:
    first: int
    last: int


class Values:
    """The memory of every value: reshapes share, outputs are written in place, others are placed.

    Steps are the positions of the operations in the function.
    """

    def __init__(self, module: ir.Module, program: Program) -> None:
        self._memories: dict[ir.Value, Memory] = {}
        self._root: dict[ir.Value, ir.Value] = {}
        self._lifetimes: dict[ir.Value, _Lifetime] = {}
        self.copies: list[tuple[ir.Value, Memory]] = []
        operations = list(graph.operations(module))
        self._measure(operations)
        for index, item in enumerate(graph.inputs(module)):
            self._memories[item.value] = program.argument(f"in{index}", self._size(item.value))
        for operation in operations:
            if operation.operation.name == "bw.constant":
                array = np.array(graph.constant_of(operation.result))
                dense = array.reshape(shape_of(operation.result))
                if self._is_read(operation.result):
                    self._memories[operation.result] = program.constant(dense)
        for index, item in enumerate(graph.outputs(module)):
            memory = program.argument(f"out{index}", self._size(item.value))
            root = self._root.get(item.value, item.value)
            if root in self._memories:
                self.copies.append((item.value, memory))
            else:
                self._memories[root] = memory
        for value, lifetime in self._lifetimes.items():
            if value not in self._memories:
                self._memories[value] = program.allocate(
                    self._size(value), lifetime.first, lifetime.last
                )

    @staticmethod
    def _size(value: ir.Value) -> int:
        return count(shape_of(value)) * BYTES[element_of(value)]

    @staticmethod
    def _is_read(constant: ir.Value) -> bool:
        """Whether a kernel reads it as it is, not as weights that are stored in another order."""
        return any(
            use.owner.name not in ("bw.conv2d", "bw.linear") or use.operand_number == 0
            for use in constant.uses
        )

    def _measure(self, operations: Sequence[Any]) -> None:
        for step, operation in enumerate(operations):
            for operand in operation.operands:
                root = self._root.get(operand, operand)
                if root in self._lifetimes:
                    self._lifetimes[root].last = step
            if operation.operation.name == "bw.reshape":
                operand = operation.operands[0]
                self._root[operation.result] = self._root.get(operand, operand)
            elif operation.operation.name != "bw.constant":
                self._lifetimes[operation.result] = _Lifetime(step, step)

    def memory(self, value: ir.Value) -> Memory:
        """The memory of a value."""
        return self._memories[self._root.get(value, value)]

    def view(self, kernel: Kernel, value: ir.Value, shape: Sequence[int] | None = None) -> View:
        """The value inside a kernel, under its own shape or another of as many elements."""
        wanted = shape_of(value) if shape is None else shape
        return kernel.access(self.memory(value), element_of(value), wanted)


def centred(name: str, element: str, zero: int, to: str) -> str:
    """Body lines: `%<name>` is `%i<n>` widened to i32, minus the zero point."""
    lines = [f"%{to}_w = arith.extsi {name} : {element} to i32"] if element == "i8" else []
    wide = f"%{to}_w" if element == "i8" else name
    return "\n".join(
        [
            *lines,
            f"%{to}_z = arith.constant {zero} : i32",
            f"%{to} = arith.subi {wide}, %{to}_z : i32",
        ]
    )
