"""LiteRT's fixed-point arithmetic as MLIR: see `bitwright.ir.fixed_point`."""

from typing import Any

import numpy as np

from bitwright.codegen.cpu.program import Kernel, count
from bitwright.codegen.cpu.values import Values
from bitwright.ir import fixed_point
from bitwright.ir.checks import ints
from bitwright.ir.types import shape_of


def tflite_scaled(value: str, multiplier: str, shift: str, to: str) -> str:
    """Body lines: `%<to>` is `fixed_point.scale`; all are i64."""
    n = f"%{to}_"
    return f"""
        {n}1 = arith.constant 1 : i64
        {n}31 = arith.constant 31 : i64
        {n}0 = arith.constant 0 : i64
        {n}63 = arith.constant 63 : i64
        {n}up = arith.subi {n}31, %{shift} : i64
        {n}left = arith.maxsi {n}up, {n}0 : i64
        {n}down = arith.subi %{shift}, {n}31 : i64
        {n}right = arith.maxsi {n}down, {n}0 : i64
        {n}wide = arith.shli %{value}, {n}left : i64
        {n}word = arith.trunci {n}wide : i64 to i32
        {n}a = arith.extsi {n}word : i32 to i64
        {n}p = arith.muli {n}a, %{multiplier} : i64
        {n}nudge = arith.constant {1 << 30} : i64
        {n}q = arith.addi {n}p, {n}nudge : i64
        {n}h = arith.shrsi {n}q, {n}31 : i64
        {n}power = arith.shli {n}1, {n}right : i64
        {n}half = arith.shrui {n}power, {n}1 : i64
        {n}sign = arith.shrsi {n}h, {n}63 : i64
        {n}divides = arith.cmpi sgt, {n}right, {n}0 : i64
        {n}away = arith.select {n}divides, {n}sign, {n}0 : i64
        {n}v0 = arith.addi {n}h, {n}half : i64
        {n}v1 = arith.addi {n}v0, {n}away : i64
        %{to} = arith.shrsi {n}v1, {n}right : i64
    """


class _Body:
    """Lines on i64 values, one for each call; operands are names or integers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def name(self) -> str:
        return f"%f{len(self.lines)}"

    def constant(self, value: int) -> str:
        name = self.name()
        self.lines.append(f"{name} = arith.constant {value} : i64")
        return name

    def apply(self, operation: str, left: str | int, right: str | int) -> str:
        operands = [
            self.constant(item) if isinstance(item, int) else item for item in (left, right)
        ]
        name = self.name()
        self.lines.append(f"{name} = arith.{operation} {', '.join(operands)} : i64")
        return name

    def high_multiply(self, left: str, right: str | int) -> str:
        product = self.apply("muli", left, right)
        return self.apply("shrsi", self.apply("addi", product, 1 << 30), 31)

    def saturating_left(self, value: str, places: int) -> str:
        limits = np.iinfo(np.int32)
        shifted = self.apply("shli", value, places)
        low = self.apply("maxsi", shifted, int(limits.min))
        return self.apply("minsi", low, int(limits.max))

    def text(self) -> str:
        return "\n".join(self.lines)


def _reciprocal() -> str:
    """Lines that make of the sum %i0 (i64) its reciprocal, and %r: its raw bits, packed.

    %r = raw * 64 + 32 - headroom, since a kernel has one result.
    """
    body = _Body()
    body.lines += [
        "%narrow = arith.trunci %i0 : i64 to i32",
        '%zeros = "llvm.intr.ctlz"(%narrow) <{is_zero_poison = false}> : (i32) -> i32',
        "%headroom = arith.extui %zeros : i32 to i64",
    ]
    shifted = body.apply("shli", "%i0", "%headroom")
    minus_one = body.apply("subi", shifted, 1 << 31)
    half = body.apply("shrsi", body.apply("addi", minus_one, 1 << 31), 1)
    slope = body.high_multiply(half, fixed_point.NEWTON_SLOPE)
    x = body.apply("addi", slope, fixed_point.NEWTON_START)
    for _ in range(fixed_point.NEWTON_STEPS):
        rest = body.apply("subi", 1 << 29, body.high_multiply(half, x))
        x = body.apply("addi", x, body.saturating_left(body.high_multiply(x, rest), 2))
    raw = body.saturating_left(x, 1)
    packed = body.apply("muli", raw, 64)
    bits = body.apply("subi", 32, "%headroom")
    body.lines.append(f"%r = arith.addi {packed}, {bits} : i64")
    return body.text()


def softmax(kernel: Kernel, values: Values, op: Any) -> None:
    """Maximum, sum of exponentials, reciprocal, products; see `fixed_point.softmax`."""
    shape, axis = shape_of(op.input), op.axis.value
    outer, extent, inner = count(shape[:axis]), shape[axis], count(shape[axis + 1 :])
    x = values.view(kernel, op.input, (outer, extent, inner))
    y = values.view(kernel, op.result, (outer, extent, inner))
    table = kernel.constant(np.asarray(ints(op.table), dtype=np.int32))
    largest = kernel.scratch("i8", (outer, inner))
    total = kernel.scratch("i64", (outer, inner))
    inverse = kernel.scratch("i64", (outer, inner))
    kernel.fill(largest, -128)
    kernel.fill(total, 0)
    kernel.generic(
        "a k b", [(x, "a, k, b")], (largest, "a, b"), "%r = arith.maxsi %o, %i0 : i8", reduced="k"
    )
    exponential = f"""
        %x = arith.extsi %i0 : i8 to i64
        %m = arith.extsi %i1 : i8 to i64
        %d = arith.subi %m, %x : i64
        %at = arith.index_cast %d : i64 to index
        %t = memref.load {table.name}[%at] : {table.type}
        %e = arith.extsi %t : i32 to i64
    """
    places = fixed_point.ACCUMULATOR_INTEGER_BITS
    kernel.generic(
        "a k b", [(x, "a, k, b"), (largest, "a, b")], (total, "a, b"),
        exponential + f"""
        %half = arith.constant {1 << (places - 1)} : i64
        %places = arith.constant {places} : i64
        %n = arith.addi %e, %half : i64
        %term = arith.shrui %n, %places : i64
        %r = arith.addi %o, %term : i64
        """, reduced="k",
    )  # fmt: skip
    kernel.generic("a b", [(total, "a, b")], (inverse, "a, b"), _reciprocal())
    # The exponent is 12 - headroom + 31 - 8, which is 3 more than the 32 - headroom packed.
    kernel.generic(
        "a k b", [(x, "a, k, b"), (largest, "a, b"), (inverse, "a, b")], (y, "a, k, b"),
        exponential + """
        %six = arith.constant 6 : i64
        %three = arith.constant 3 : i64
        %one = arith.constant 1 : i64
        %low = arith.constant 63 : i64
        %raw = arith.shrui %i2, %six : i64
        %packed = arith.andi %i2, %low : i64
        %exponent = arith.addi %packed, %three : i64
        %p = arith.muli %raw, %e : i64
        %nudge = arith.constant 1073741824 : i64
        %q = arith.addi %p, %nudge : i64
        %bits = arith.constant 31 : i64
        %h = arith.shrui %q, %bits : i64
        %before = arith.subi %exponent, %one : i64
        %half = arith.shli %one, %before : i64
        %n = arith.addi %h, %half : i64
        %share = arith.shrui %n, %exponent : i64
        %c128 = arith.constant 128 : i64
        %c127 = arith.constant 127 : i64
        %z = arith.subi %share, %c128 : i64
        %v = arith.minsi %z, %c127 : i64
        %r = arith.trunci %v : i64 to i8
        """,
    )  # fmt: skip
