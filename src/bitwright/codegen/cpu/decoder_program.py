"""The functions of a decoder on `memref`: where its values lie, which kernels it calls.

Unlike an integer network's, its constants are arguments of the entry: a language model's weights
stay where they are, in the mapped file, and never pass through LLVM. A cache is one argument,
updated in place. Kernels with equal text (one layer's and the next one's) are one function.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.codegen.cpu.arena import ALIGNMENT, place
from bitwright.codegen.cpu.errors import NoFloatCode
from bitwright.codegen.cpu.level import CpuLevel
from bitwright.codegen.cpu.program import (
    BYTES,
    MEMBER,
    PHASES,
    Kernel,
    Memory,
    Program,
    View,
    count,
    memref,
)
from bitwright.ir import graph
from bitwright.ir.types import dtype_of, is_plain, shape_of

T = TypeVar("T")

_ELEMENTS = {"float32": "f32", "int32": "i32", "int8": "i8", "uint8": "i8"}
_CACHE_UPDATE, _RESHAPE, _DEQUANTIZE = "bw.cache_update", "bw.reshape", "bw.dequantize"


def element_of(value: ir.Value) -> str:
    """The `memref` element of a value.

    Raises:
        NoFloatCode: for a type that decoders do not have.
    """
    name = dtype_of(value).name
    if not is_plain(value) or name not in _ELEMENTS:
        known = ", ".join(_ELEMENTS)
        raise NoFloatCode(
            f"There is no CPU code for a value of type {value.type}; expected {known}"
        )
    return _ELEMENTS[name]


def refuse(op: Any, what: str) -> NoFloatCode:
    """An error that names the operation."""
    return NoFloatCode(
        f"{graph.location_name(op)} ({op.operation.name}) {what}, for which there is no CPU code; "
        "run it on the reference interpreter"
    )


def aligned_copy(array: NDArray[Any]) -> NDArray[Any]:
    """The elements in one row, from a multiple of `ALIGNMENT` bytes on."""
    memory = np.empty(array.nbytes + ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    copy = memory[first : first + array.nbytes].view(array.dtype)
    copy[:] = array.reshape(-1)
    return copy


@dataclass(frozen=True)
class Argument:
    """One argument of an entry: `kind` is input, cache, output or constant."""

    name: str
    kind: str
    shape: tuple[int, ...]
    dtype: str


def _from_table(number: int, name: str, size: int) -> list[str]:
    """Lines that define the bytes at an address of the table, as MLIR describes them."""
    made = "!llvm.struct<(ptr, ptr, i64, array<1 x i64>, array<1 x i64>)>"
    fields = (("at", "0"), ("at", "1"), ("none", "2"), ("size", "3, 0"), ("one", "4, 0"))
    lines = [
        f"{name}_slot = llvm.getelementptr %table[{number}] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr",
        f"{name}_at = llvm.load {name}_slot : !llvm.ptr -> !llvm.ptr",
        f"{name}_none = llvm.mlir.constant(0 : i64) : i64",
        f"{name}_one = llvm.mlir.constant(1 : i64) : i64",
        f"{name}_size = llvm.mlir.constant({size} : i64) : i64",
        f"{name}_0 = llvm.mlir.undef : {made}",
    ]
    for step, (value, place_) in enumerate(fields):
        lines.append(
            f"{name}_{step + 1} = llvm.insertvalue {name}_{value}, {name}_{step}[{place_}] : {made}"
        )
    whole = f"{name}_{len(fields)}"
    lines.append(
        f"{name} = builtin.unrealized_conversion_cast {whole} : {made} to {memref('i8', [size])}"
    )
    return lines


class DecoderProgram(Program):
    """The kernels of one function."""

    def emit(self, entry: str, known: dict[str, str]) -> list[str]:
        """The text of the kernels that `known` (text -> name) lacks, and of the entry."""
        self.arena_bytes = max(place(self._buffers), ALIGNMENT)
        texts: list[str] = []
        for kernel in self._kernels:
            text = kernel.text()
            body = text.replace(f"@{kernel.name}(", "@(", 1)
            if body not in known:
                known[body] = kernel.name = f"{entry}_{kernel.name}"
                texts.append(kernel.text())
            kernel.name = known[body]
        return [*texts, self._entry(entry)]

    def _entry(self, entry: str) -> str:
        """A table with the addresses of the arena and of all arguments."""
        lines: list[str] = []
        memories = [("%arena", self.arena_bytes)]
        memories += [(f"{memory.argument}", memory.size) for memory in self.arguments]
        for number, (name, size) in enumerate(memories):
            lines += _from_table(number, name, size)
        body = "\n".join(f"    {line}" for line in [*lines, *PHASES, *self._calls()])
        return f"  func.func @{entry}(%table: !llvm.ptr, {MEMBER}) {{\n{body}\n    return\n  }}"


class DecoderValues:
    """The memory of every value of a function, and the arguments of its entry.

    `stored` is what was made of constants, for all functions. `weights` counts the
    integer ones that the function reads, `steps` its operations.
    """

    def __init__(
        self, module: ir.Module, function: str, program: DecoderProgram, level: CpuLevel,
        stored: dict[Any, Any],
    ) -> None:  # fmt: skip
        self.program, self.level = program, level
        self._stored = stored
        self._made: dict[Any, Any] = {}
        self._memories: dict[ir.Value, Memory] = {}
        self._root: dict[ir.Value, ir.Value] = {}
        self.arguments: list[Argument] = []
        self.constants: list[NDArray[Any]] = []
        operations = list(graph.operations(module, function))
        caches = self._alias(operations)
        outputs = [item for item in graph.outputs(module, function) if item.value not in caches]
        for item in graph.inputs(module, function):
            kind = "cache" if item.value in caches.values() else "input"
            self._memories[item.value] = self._argument(item.name, kind, item.value)
        for item in outputs:
            root = self._root.get(item.value, item.value)
            if root in self._memories or graph.constant_of(root) is not None:
                raise NoFloatCode(
                    f"Output {item.name!r} of @{function} is an input, a constant, or returned "
                    "twice; there is no CPU code for that"
                )
            self._memories[root] = self._argument(item.name, "output", item.value)
        self.steps = len(operations)
        self.weights = sum(
            count(shape_of(operation.weight))
            for operation in operations
            if operation.operation.name == "bw.dynamic_linear"
        )
        self._last = {
            self._root.get(operand, operand): step
            for step, operation in enumerate(operations)
            for operand in operation.operands
        }
        for value, (first, last) in self._lifetimes(operations).items():
            if value not in self._memories:
                self._memories[value] = program.allocate(self._size(value), first, last)

    def _alias(self, operations: Sequence[Any]) -> Mapping[ir.Value, ir.Value]:
        """Reshapes share memory, caches are updated in place; each new cache to its old one."""
        caches: dict[ir.Value, ir.Value] = {}
        for operation in operations:
            if operation.operation.name not in (_RESHAPE, _CACHE_UPDATE):
                continue
            operand, result = operation.operands[0], operation.result
            self._root[result] = self._root.get(operand, operand)
            if operation.operation.name == _CACHE_UPDATE:
                if not isinstance(operand.owner, ir.Block) or len(list(operand.uses)) != 1:
                    raise NoFloatCode(
                        f"{graph.location_name(operation)} ({_CACHE_UPDATE}) changes a tensor that "
                        "is not an argument, or that is read elsewhere; CPU code updates in place"
                    )
                caches[result] = operand
        return caches

    def _lifetimes(self, operations: Sequence[Any]) -> dict[ir.Value, tuple[int, int]]:
        return {
            operation.result: (step, self._last.get(operation.result, step))
            for step, operation in enumerate(operations)
            if operation.operation.name not in ("bw.constant", _DEQUANTIZE)
            and operation.result not in self._root
        }

    def _argument(self, name: str, kind: str, value: ir.Value) -> Memory:
        shape, dtype = shape_of(value), dtype_of(value)
        self.arguments.append(Argument(name, kind, shape, dtype.name))
        return self.program.argument(f"arg{len(self.arguments)}", self._size(value))

    @staticmethod
    def _size(value: ir.Value) -> int:
        return count(shape_of(value)) * BYTES[element_of(value)]

    def last_read(self, value: ir.Value) -> int:
        """The last step that reads a value."""
        return self._last[self._root.get(value, value)]

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """What `make` makes for this key, once in a function."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def shared(self, key: Any, make: Callable[[], T]) -> T:
        """What `make` makes for this key, once for all functions."""
        if key not in self._stored:
            self._stored[key] = make()
        return self._stored[key]

    def stored(self, name: str, key: Any, make: Callable[[], NDArray[Any]]) -> Memory:
        """A flat array made of constants, once for all functions; one argument of this one."""

        def argument() -> Memory:
            array = self.shared((name, key), lambda: aligned_copy(make()))
            self.constants.append(array)
            label = f"constant{len(self.constants)}"
            self.arguments.append(Argument(label, "constant", array.shape, array.dtype.name))
            return self.program.argument(f"arg{len(self.arguments)}", array.nbytes)

        return self.once((name, key), argument)

    def view(self, kernel: Kernel, value: ir.Value, shape: Sequence[int] | None = None) -> View:
        """A value inside a kernel, under its own shape or another of as many elements."""
        root = self._root.get(value, value)
        if root not in self._memories:
            data = graph.constant_of(root)
            if data is None:  # `bw.dequantize` has none
                raise refuse(root.owner.opview, "is read by another operation than a product")
            dense = np.require(data, requirements=["C", "A"]).reshape(shape_of(root))
            self.constants.append(dense)
            name = f"constant{len(self.constants)}"
            self._memories[root] = self._argument(name, "constant", root)
        wanted = shape_of(value) if shape is None else shape
        return kernel.access(self._memories[root], element_of(value), wanted)
