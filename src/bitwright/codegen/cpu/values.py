"""Where each value of a module lives, and how its elements are read inside a kernel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.codegen.cpu.errors import NotIntegerError
from bitwright.codegen.cpu.program import (
    BYTES,
    Kernel,
    Memory,
    Program,
    View,
    count,
    row_major,
)
from bitwright.codegen.cpu.tiles import Choose, by_model
from bitwright.ir import graph
from bitwright.ir.checks import ints
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


def folded_bias(operation: Any, weight: NDArray[Any], zero: int) -> NDArray[np.int32]:
    """The bias minus what the inputs' zero point adds to each sum, modulo 2^32.

    `weight` has the outputs on axis 0.
    """
    sums = weight.reshape(len(weight), -1).astype(np.int64).sum(axis=1)
    return (weight_of(operation, "bias").astype(np.int64) - zero * sums).astype(np.int32)


CHANNELS_LAST = (0, 2, 3, 1)
_STRIDED = frozenset({
    "bw.requantize", "bw.table", "bw.max_pool2d", "bw.integer_avg_pool2d", "bw.concat", "bw.pad",
    "bw.slice", "bw.transpose",
})  # fmt: skip
"""Operations whose kernels write results of any layout."""


@dataclass
class _Lifetime:
    first: int
    last: int


class Values:
    """The memory of every value: reshapes share, outputs are written in place, others are placed.

    Steps are the positions of the operations in the function. A value is row-major, or, with
    `channels_last`, images between operations are [N, H, W, C] in memory.

    Args:
        fused: sums that a requantize takes over in registers; they have no memory.
        choose: the tiles of its dot products.
    """

    def __init__(
        self, module: ir.Module, program: Program, *, channels_last: bool = False,
        fused: Mapping[ir.Value, Any] | None = None, choose: Choose = by_model,
    ) -> None:  # fmt: skip
        self._memories: dict[ir.Value, Memory] = {}
        self._root: dict[ir.Value, ir.Value] = {}
        self._lifetimes: dict[ir.Value, _Lifetime] = {}
        self._channels_last: set[ir.Value] = set()
        self._fused = fused or {}
        self.choose = choose
        self.copies: list[tuple[ir.Value, Memory]] = []
        operations = list(graph.operations(module))
        if channels_last:
            results = {item.value for item in graph.outputs(module)}
            self._channels_last = {
                op.result
                for op in operations
                if op.result not in results and op.operation.name in _STRIDED and _is_image(op)
            }
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
            for operand in self._read(operation):
                root = self._root.get(operand, operand)
                if root in self._lifetimes:
                    self._lifetimes[root].last = step
            if self.is_view(operation):
                operand = operation.operands[0]
                self._root[operation.result] = self._root.get(operand, operand)
            elif operation.operation.name != "bw.constant" and operation.result not in self._fused:
                self._lifetimes[operation.result] = _Lifetime(step, step)

    def _read(self, operation: Any) -> list[ir.Value]:
        """What the kernel of `operation` reads: in place of a fused sum, what it is made of."""
        read: list[ir.Value] = []
        for operand in operation.operands:
            read += list(operand.owner.operands) if operand in self._fused else [operand]
        return read

    def is_view(self, operation: Any) -> bool:
        """Whether the result of `operation` is its operand's memory, byte for byte."""
        kind = operation.operation.name
        if kind not in ("bw.reshape", "bw.transpose") or self.is_channels_last(operation.input):
            return False
        to_images = self.is_channels_last(operation.result)
        return kind == "bw.reshape" or (to_images and ints(operation.perm) == (0, 3, 1, 2))

    def is_channels_last(self, value: ir.Value) -> bool:
        """Whether an image is [N, H, W, C] in memory."""
        return value in self._channels_last

    def memory(self, value: ir.Value) -> Memory:
        """The memory of a value."""
        return self._memories[self._root.get(value, value)]

    def strides(self, value: ir.Value) -> list[int]:
        """Of its own axes."""
        return self.strides_of(value, shape_of(value))

    def strides_of(self, value: ir.Value, shape: Sequence[int]) -> list[int]:
        """Of an image of another size in the layout of `value`."""
        if not self.is_channels_last(value):
            return row_major(shape)
        last = row_major([shape[axis] for axis in CHANNELS_LAST])
        return [last[CHANNELS_LAST.index(axis)] for axis in range(4)]

    def order(self, value: ir.Value, names: Sequence[str]) -> str:
        """The loops over its axes, in the order of its memory."""
        return " ".join(
            [names[a] for a in CHANNELS_LAST] if self.is_channels_last(value) else names
        )

    def flat(self, kernel: Kernel, value: ir.Value) -> View:
        """All elements in the order of the memory."""
        return kernel.access(self.memory(value), element_of(value), (count(shape_of(value)),))

    def view(self, kernel: Kernel, value: ir.Value, shape: Sequence[int] | None = None) -> View:
        """The value inside a kernel under its own shape, or row-major under another.

        Under another shape, an image with its channels last is copied first, so that such a view is
        for reading only.
        """
        own = shape_of(value)
        if not self.is_channels_last(value):
            wanted = own if shape is None else shape
            return kernel.access(self.memory(value), element_of(value), wanted)
        image = kernel.strided(self.flat(kernel, value), own, self.strides(value))
        if shape is None:
            return image
        dense = kernel.scratch(element_of(value), own)
        names = ("n", "c", "y", "x")
        kernel.copy(" ".join(names), (image, ", ".join(names)), (dense, ", ".join(names)))
        return kernel.strided(dense, shape, row_major(shape))


def _is_image(operation: Any) -> bool:
    """Whether the layout of the result matters, and its kernel can write any."""
    shape = shape_of(operation.result)
    if len(shape) != 4 or shape[1] == 1 or shape[2] * shape[3] == 1:
        return False
    single = operation.operation.name != "bw.requantize" or len(ints(operation.multiplier)) == 1
    return single or operation.axis.value == 1


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
