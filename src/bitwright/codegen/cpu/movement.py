"""Kernels that only move elements: `transpose`, `slice`, `concat`, `pad`, copies to an output."""

from typing import Any

from torch_mlir import ir

from bitwright.codegen.cpu.program import Kernel, Memory, count, row_major
from bitwright.codegen.cpu.values import Values, element_of
from bitwright.ir.checks import ints
from bitwright.ir.types import shape_of


def transpose(kernel: Kernel, values: Values, op: Any) -> None:
    """Axis i of the result is axis perm[i] of the input."""
    perm = ints(op.perm)
    names = [f"d{axis}" for axis in range(len(perm))]
    source = ", ".join(names[perm.index(axis)] for axis in range(len(perm)))
    x, y = values.view(kernel, op.input), values.view(kernel, op.result)
    kernel.copy(" ".join(names), (x, source), (y, ", ".join(names)))


def slice_(kernel: Kernel, values: Values, op: Any) -> None:
    """The elements that a view with other strides sees."""
    x, y = values.view(kernel, op.input), values.view(kernel, op.result)
    strides = row_major(x.shape)
    offset = sum(start * stride for start, stride in zip(ints(op.starts), strides, strict=True))
    steps = [step * stride for step, stride in zip(ints(op.steps), strides, strict=True)]
    indices = ", ".join(names := [f"d{axis}" for axis in range(len(steps))])
    source = kernel.strided(x, y.shape, steps, offset)
    kernel.copy(" ".join(names), (source, indices), (y, indices))


def concat(kernel: Kernel, values: Values, op: Any) -> None:
    """Each input to its place along the axis."""
    shape, axis = shape_of(op.result), op.axis.value
    outer, inner = count(shape[:axis]), count(shape[axis + 1 :])
    row = shape[axis] * inner
    result = values.view(kernel, op.result)
    offset = 0
    for operand in op.operands:
        width = shape_of(operand)[axis] * inner
        x = values.view(kernel, operand, (outer, width))
        part = kernel.strided(result, (outer, width), (row, 1), offset)
        kernel.copy("a b", (x, "a, b"), (part, "a, b"))
        offset += width


def pad(kernel: Kernel, values: Values, op: Any) -> None:
    """A constant around the input."""
    x, y = values.view(kernel, op.input), values.view(kernel, op.result)
    kernel.fill(y, op.value.value)
    strides = row_major(y.shape)
    offset = sum(low * stride for low, stride in zip(ints(op.low), strides, strict=True))
    inner = kernel.strided(y, x.shape, strides, offset)
    names = [f"d{axis}" for axis in range(len(x.shape))]
    kernel.copy(" ".join(names), (x, ", ".join(names)), (inner, ", ".join(names)))


def copy_out(kernel: Kernel, values: Values, value: ir.Value, target: Memory) -> None:
    """An output that is also an input, a constant or another output."""
    size = (count(shape_of(value)),)
    x = values.view(kernel, value, size)
    kernel.copy("e", (x, "e"), (kernel.access(target, element_of(value), size), "e"))
