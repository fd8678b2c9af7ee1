"""Kernels that only move elements: `transpose`, `slice`, `concat`, `pad`, copies to an output."""

from typing import Any

from torch_mlir import ir

from bitwright.codegen.cpu.program import Kernel, Memory, count
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


def reshape(kernel: Kernel, values: Values, op: Any) -> None:
    """Only where the layout of an image changes; else both are one memory."""
    shape = shape_of(op.result)
    names = ", ".join(f"d{axis}" for axis in range(len(shape)))
    x, y = values.view(kernel, op.input, shape), values.view(kernel, op.result)
    kernel.copy(names.replace(",", ""), (x, names), (y, names))


def slice_(kernel: Kernel, values: Values, op: Any) -> None:
    """The elements that a view with other strides sees."""
    x, y = values.view(kernel, op.input), values.view(kernel, op.result)
    strides = values.strides(op.input)
    offset = sum(start * stride for start, stride in zip(ints(op.starts), strides, strict=True))
    steps = [step * stride for step, stride in zip(ints(op.steps), strides, strict=True)]
    indices = ", ".join(names := [f"d{axis}" for axis in range(len(steps))])
    source = kernel.strided(x, y.shape, steps, offset)
    kernel.copy(values.order(op.result, names), (source, indices), (y, indices))


def concat(kernel: Kernel, values: Values, op: Any) -> None:
    """Each input to its place along the axis."""
    axis, strides = op.axis.value, values.strides(op.result)
    names = [f"d{axis}" for axis in range(len(strides))]
    at = ", ".join(names)
    result = values.view(kernel, op.result)
    offset = 0
    for operand in op.operands:
        shape = shape_of(operand)
        part = kernel.strided(result, shape, strides, offset * strides[axis])
        x = values.view(kernel, operand)
        kernel.copy(values.order(op.result, names), (x, at), (part, at))
        offset += shape[axis]


def pad(kernel: Kernel, values: Values, op: Any) -> None:
    """A constant around the input."""
    x, y = values.view(kernel, op.input), values.view(kernel, op.result)
    kernel.fill(values.flat(kernel, op.result), op.value.value)
    strides = values.strides(op.result)
    offset = sum(low * stride for low, stride in zip(ints(op.low), strides, strict=True))
    inner = kernel.strided(y, x.shape, strides, offset)
    names = [f"d{axis}" for axis in range(len(x.shape))]
    at = ", ".join(names)
    kernel.copy(values.order(op.result, names), (x, at), (inner, at))


def copy_out(kernel: Kernel, values: Values, value: ir.Value, target: Memory) -> None:
    """An output that is also an input, a constant or another output."""
    size = (count(shape_of(value)),)
    x = values.view(kernel, value, size)
    kernel.copy("e", (x, "e"), (kernel.access(target, element_of(value), size), "e"))
