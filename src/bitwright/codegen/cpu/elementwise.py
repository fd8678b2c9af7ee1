"""Kernels of single elements: `add`, `mul`, `requantize`, `table`."""

from typing import Any

import numpy as np
from torch_mlir import ir

from bitwright.codegen.cpu.program import Kernel, View, count
from bitwright.codegen.cpu.values import Values, centred, zero_point
from bitwright.ir.checks import ints
from bitwright.ir.types import shape_of, value_params


def add(kernel: Kernel, values: Values, op: Any) -> None:
    """Each operand minus its zero point, times its multiplier."""
    _binary(
        kernel, values, op,
        f"""
        %ml = arith.constant {op.lhs_multiplier.value} : i32
        %mr = arith.constant {op.rhs_multiplier.value} : i32
        %l = arith.muli %x, %ml : i32
        %h = arith.muli %y, %mr : i32
        %r = arith.addi %l, %h : i32
        """,
    )  # fmt: skip


def mul(kernel: Kernel, values: Values, op: Any) -> None:
    """The product of the operands minus their zero points."""
    _binary(kernel, values, op, "%r = arith.muli %x, %y : i32")


def _binary(kernel: Kernel, values: Values, op: Any, combine: str) -> None:
    shape = shape_of(op.result)
    if shape_of(op.lhs) == shape_of(op.rhs):
        shape = (count(shape),)
    names = [f"d{axis}" for axis in range(len(shape))]
    left, left_at = _broadcast(kernel, values, op.lhs, shape, names)
    right, right_at = _broadcast(kernel, values, op.rhs, shape, names)
    body = "\n".join(
        [
            centred("%i0", "i8", zero_point(op.lhs), "x"),
            centred("%i1", "i8", zero_point(op.rhs), "y"),
            combine,
        ]
    )
    out = values.view(kernel, op.result, shape)
    kernel.generic(
        " ".join(names), [(left, left_at), (right, right_at)], (out, ", ".join(names)), body
    )


def _broadcast(
    kernel: Kernel, values: Values, value: ir.Value, out: tuple[int, ...], names: list[str]
) -> tuple[View, str]:
    """A view without the axes of extent 1, and the loops that index the others."""
    own = shape_of(value)
    if count(own) == count(out):
        return values.view(kernel, value, out), ", ".join(names)
    aligned = names[len(names) - len(own) :]
    kept = [(name, n) for name, n in zip(aligned, own, strict=True) if n != 1]
    view = values.view(kernel, value, [n for _, n in kept])
    return view, ", ".join(name for name, _ in kept)


def requantize(kernel: Kernel, values: Values, op: Any) -> None:
    """clamp(((acc * m + 2^(s-1)) >> s) + zero_point), in 64 bits."""
    shape = shape_of(op.input)
    multipliers = np.asarray(ints(op.multiplier), dtype=np.int32)
    shifts = np.asarray(ints(op.shift), dtype=np.int32)
    if len(set(zip(multipliers.tolist(), shifts.tolist(), strict=True))) == 1:
        split = (1, 1, count(shape))
        parameters: list[tuple[View, str]] = []
        given = f"""
            %m = arith.constant {multipliers[0]} : i64
            %s = arith.constant {shifts[0]} : i64
        """
    else:
        axis = op.axis.value
        split = (count(shape[:axis]), shape[axis], count(shape[axis + 1 :]))
        parameters = [(kernel.constant(multipliers), "c"), (kernel.constant(shifts), "c")]
        given = """
            %m = arith.extui %i1 : i32 to i64
            %s = arith.extui %i2 : i32 to i64
        """
    acc = values.view(kernel, op.input, split)
    out = values.view(kernel, op.result, split)
    zero = value_params(op.result).zero_point
    body = f"""
        %a = arith.extsi %i0 : i32 to i64
        %one = arith.constant 1 : i64
        %before = arith.subi %s, %one : i64
        %half = arith.shli %one, %before : i64
        %p = arith.muli %a, %m : i64
        %q = arith.addi %p, %half : i64
        %t = arith.shrsi %q, %s : i64
        %z = arith.constant {zero} : i64
        %v = arith.addi %t, %z : i64
        %low = arith.constant {op.clamp_min.value} : i64
        %high = arith.constant {op.clamp_max.value} : i64
        %v0 = arith.maxsi %v, %low : i64
        %v1 = arith.minsi %v0, %high : i64
        %r = arith.trunci %v1 : i64 to i8
    """
    kernel.generic("a c b", [(acc, "a, c, b"), *parameters], (out, "a, c, b"), given + body)


def table(kernel: Kernel, values: Values, op: Any) -> None:
    """table[x + 128]."""
    size = (count(shape_of(op.input)),)
    entries = kernel.constant(np.asarray(ints(op.table), dtype=np.int8))
    x, y = values.view(kernel, op.input, size), values.view(kernel, op.result, size)
    kernel.generic(
        "e", [(x, "e")], (y, "e"),
        f"""
        %x = arith.extsi %i0 : i8 to i64
        %c128 = arith.constant 128 : i64
        %d = arith.addi %x, %c128 : i64
        %at = arith.index_cast %d : i64 to index
        %r = memref.load {entries.name}[%at] : {entries.type}
        """,
    )  # fmt: skip
