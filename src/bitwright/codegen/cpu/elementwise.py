"""Kernels of single elements: `add`, `scaled_add`, `mul`, `requantize`, `table`."""

from typing import Any

import numpy as np
from torch_mlir import ir

from bitwright.codegen.cpu.fixed_point import tflite_scaled
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


def scaled_add(kernel: Kernel, values: Values, op: Any) -> None:
    """Each operand shifted left, scaled in 64 bits, and added."""
    sides: list[str] = []
    for side, name in (("l", "lhs"), ("r", "rhs")):
        sides.append(
            f"""
            %{side}c = arith.extsi %{"x" if side == "l" else "y"} : i32 to i64
            %{side}left = arith.constant {op.left_shift.value} : i64
            %{side}a = arith.shli %{side}c, %{side}left : i64
            %{side}m = arith.constant {op.attributes[f"{name}_multiplier"].value} : i64
            %{side}s = arith.constant {op.attributes[f"{name}_shift"].value} : i64
            {tflite_scaled(f"{side}a", f"{side}m", f"{side}s", f"{side}t")}
            """
        )
    sum_ = """
        %total = arith.addi %lt, %rt : i64
        %r = arith.trunci %total : i64 to i32
    """
    _binary(kernel, values, op, "%one = arith.constant 1 : i64\n" + "".join(sides) + sum_)


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


ROUNDED = {
    "half_up": """
        %before = arith.subi %s, %one : i64
        %half = arith.shli %one, %before : i64
        %p = arith.muli %a, %m : i64
        %q = arith.addi %p, %half : i64
        %t = arith.shrsi %q, %s : i64
    """,
    "half_away": """
        %before = arith.subi %s, %one : i64
        %half = arith.shli %one, %before : i64
        %p = arith.muli %a, %m : i64
        %bits = arith.constant 63 : i64
        %away = arith.shrsi %p, %bits : i64
        %p0 = arith.addi %p, %half : i64
        %q = arith.addi %p0, %away : i64
        %t = arith.shrsi %q, %s : i64
    """,
    "half_even": """
        %before = arith.subi %s, %one : i64
        %half = arith.shli %one, %before : i64
        %p = arith.muli %a, %m : i64
        %below = arith.subi %half, %one : i64
        %floor = arith.shrsi %p, %s : i64
        %odd = arith.andi %floor, %one : i64
        %p0 = arith.addi %p, %below : i64
        %q = arith.addi %p0, %odd : i64
        %t = arith.shrsi %q, %s : i64
    """,
    "tflite": tflite_scaled("a", "m", "s", "t"),
}
"""Lines that make %t of the accumulator %a, the multiplier %m and the shift %s, all i64."""


def requantize(kernel: Kernel, values: Values, op: Any) -> None:
    """clamp(acc * m / 2^s + zero_point), in 64 bits, rounded as the operation says."""
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
        {ROUNDED[op.rounding.value]}
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
