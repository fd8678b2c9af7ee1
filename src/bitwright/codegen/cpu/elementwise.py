"""Kernels of single elements: `add`, `scaled_add`, `mul`, `requantize`, `table`."""

from typing import Any

import numpy as np
from torch_mlir import ir

from bitwright.codegen.cpu.program import Kernel, View, count
from bitwright.codegen.cpu.rounding import ROUNDED, tflite_scaled
from bitwright.codegen.cpu.values import Values, centred, zero_point
from bitwright.ir.checks import ints
from bitwright.ir.types import shape_of, value_params
from bitwright.passes.linear_add import LinearAdd, word_add


def add(kernel: Kernel, values: Values, op: Any, requantize: Any | None = None) -> None:
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
        requantize,
    )  # fmt: skip


def scaled_add(kernel: Kernel, values: Values, op: Any, requantize: Any | None = None) -> None:
    """Each operand shifted left, scaled in 64 bits, and added; or a sum that is proved equal."""
    word = None if requantize is None else word_add(op, requantize)
    if word is not None:
        _binary(kernel, values, op, _word_sum(word), requantize, _word_clamp(requantize))
        return
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
    _binary(kernel, values, op, "".join(sides) + sum_, requantize)


def _word_sum(word: LinearAdd) -> str:
    """Lines that make the rounded %r of %x and %y in 32 bits."""
    return f"""
        %p = arith.constant {word.lhs} : i32
        %q = arith.constant {word.rhs} : i32
        %rest = arith.constant {word.offset + (1 << word.shift - 1)} : i32
        %s = arith.constant {word.shift} : i32
        %l = arith.muli %x, %p : i32
        %h = arith.muli %y, %q : i32
        %lh = arith.addi %l, %h : i32
        %sum = arith.addi %lh, %rest : i32
        %r = arith.shrsi %sum, %s : i32
    """


def _word_clamp(requantize: Any) -> str:
    """Lines that make the i8 %q8 of %r."""
    return f"""
        %z = arith.constant {value_params(requantize.result).zero_point} : i32
        %low = arith.constant {requantize.clamp_min.value} : i32
        %high = arith.constant {requantize.clamp_max.value} : i32
        %v = arith.addi %r, %z : i32
        %v0 = arith.maxsi %v, %low : i32
        %v1 = arith.minsi %v0, %high : i32
        %q8 = arith.trunci %v1 : i32 to i8
    """


def mul(kernel: Kernel, values: Values, op: Any, requantize: Any | None = None) -> None:
    """The product of the operands minus their zero points."""
    _binary(kernel, values, op, "%r = arith.muli %x, %y : i32", requantize)


def _binary(
    kernel: Kernel, values: Values, op: Any, combine: str, requantize: Any | None = None,
    narrow: str | None = None,
) -> None:  # fmt: skip
    """The sum that `combine` makes as %r of %x and %y; with `requantize`, the integer of it.

    `narrow` are the lines that make the i8 %q8 of %r, where they are not those of `requantize`.
    """
    target = op.result if requantize is None else requantize.result
    shape = shape_of(target)
    layouts = {values.is_channels_last(value) for value in (op.lhs, op.rhs, target)}
    lines = [
        centred("%i0", "i8", zero_point(op.lhs), "x"),
        centred("%i1", "i8", zero_point(op.rhs), "y"),
        combine,
    ]
    if requantize is not None:
        usual = _single_scale(requantize) + _rescaled(requantize, "%r", "%q8")
        lines.append(usual if narrow is None else narrow)
    body, result = "\n".join(lines), "%r" if requantize is None else "%q8"
    if shape_of(op.lhs) == shape_of(op.rhs) and len(layouts) == 1:
        left, right, out = (values.flat(kernel, value) for value in (op.lhs, op.rhs, target))
        kernel.shared_generic([left, right], out, body, result=result)
        return
    names = [f"d{axis}" for axis in range(len(shape))]
    out = values.view(kernel, target)
    ins = [_broadcast(kernel, values, value, shape, names) for value in (op.lhs, op.rhs)]
    at = ", ".join(names)
    kernel.generic(values.order(target, names), ins, (out, at), body, result=result)


def _broadcast(
    kernel: Kernel, values: Values, value: ir.Value, out: tuple[int, ...], names: list[str]
) -> tuple[View, str]:
    """A view without the axes of extent 1, and the loops that index the others."""
    own = shape_of(value)
    if own == out:
        return values.view(kernel, value), ", ".join(names)
    if count(own) == count(out):
        return values.view(kernel, value, out), ", ".join(names)
    aligned = names[len(names) - len(own) :]
    kept = [(name, n) for name, n in zip(aligned, own, strict=True) if n != 1]
    view = values.view(kernel, value, [n for _, n in kept])
    return view, ", ".join(name for name, _ in kept)


def requantize(kernel: Kernel, values: Values, op: Any) -> None:
    """clamp(acc * m / 2^s + zero_point), in 64 bits, rounded as the operation says."""
    shape = shape_of(op.input)
    multipliers = np.asarray(ints(op.multiplier), dtype=np.int32)
    shifts = np.asarray(ints(op.shift), dtype=np.int32)
    parameters: list[tuple[View, str]] = []
    if len(set(zip(multipliers.tolist(), shifts.tolist(), strict=True))) == 1:
        given = _single_scale(op)
    else:
        axis = "c" if not values.is_channels_last(op.result) else "d1"
        parameters = [(kernel.constant(multipliers), axis), (kernel.constant(shifts), axis)]
        given = """
            %m = arith.extui %i1 : i32 to i64
            %s = arith.extui %i2 : i32 to i64
        """
    body = given + _rescaled(op, "%i0", "%r")
    if values.is_channels_last(op.result):
        names = [f"d{axis}" for axis in range(4)]
        at, dims = ", ".join(names), values.order(op.result, names)
        acc, out = values.view(kernel, op.input), values.view(kernel, op.result)
    else:
        axis = op.axis.value
        split = (count(shape[:axis]), shape[axis], count(shape[axis + 1 :]))
        at, dims = "a, c, b", "a c b"
        acc, out = values.view(kernel, op.input, split), values.view(kernel, op.result, split)
    kernel.generic(dims, [(acc, at), *parameters], (out, at), body)


def _single_scale(op: Any) -> str:
    """Lines that make %m and %s of a requantize with one scale."""
    return f"""
        %m = arith.constant {ints(op.multiplier)[0]} : i64
        %s = arith.constant {ints(op.shift)[0]} : i64
    """


def _rescaled(op: Any, sums: str, to: str) -> str:
    """Lines that make the i8 `to` of the i32 `sums`, of %m and %s."""
    return f"""
        %a = arith.extsi {sums} : i32 to i64
        %one = arith.constant 1 : i64
        {ROUNDED[op.rounding.value]}
        %z = arith.constant {value_params(op.result).zero_point} : i64
        %v = arith.addi %t, %z : i64
        %low = arith.constant {op.clamp_min.value} : i64
        %high = arith.constant {op.clamp_max.value} : i64
        %v0 = arith.maxsi %v, %low : i64
        %v1 = arith.minsi %v0, %high : i64
        {to} = arith.trunci %v1 : i64 to i8
    """


def table(kernel: Kernel, values: Values, op: Any) -> None:
    """table[x + 128]."""
    entries = kernel.constant(np.asarray(ints(op.table), dtype=np.int8))
    body = f"""
        %x = arith.extsi %i0 : i8 to i64
        %c128 = arith.constant 128 : i64
        %d = arith.addi %x, %c128 : i64
        %at = arith.index_cast %d : i64 to index
        %r = memref.load {entries.name}[%at] : {entries.type}
    """
    if values.is_channels_last(op.input) == values.is_channels_last(op.result):
        x, y = values.flat(kernel, op.input), values.flat(kernel, op.result)
        kernel.shared_generic([x], y, body)
        return
    names = [f"d{axis}" for axis in range(len(shape_of(op.input)))]
    x, y = values.view(kernel, op.input), values.view(kernel, op.result)
    at = ", ".join(names)
    kernel.generic(" ".join(names), [(x, at)], (y, at), body)
