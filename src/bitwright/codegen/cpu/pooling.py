"""Kernels over windows and axes: pooling, `reduce_sum`, `integer_softmax`."""

from typing import Any

import numpy as np

from bitwright.codegen.cpu.products import padded
from bitwright.codegen.cpu.program import Kernel, View, count
from bitwright.codegen.cpu.values import Values, centred, zero_point
from bitwright.ir.checks import ints
from bitwright.ir.reference import pooled_elements
from bitwright.ir.types import shape_of


def max_pool2d(kernel: Kernel, values: Values, op: Any) -> None:
    """Padding is the least int8, which never wins."""
    _pool(kernel, values, op, ints(op.dilation), -128, "%r = arith.maxsi %o, %i0 : i8")


def sum_pool2d(kernel: Kernel, values: Values, op: Any) -> None:
    """Padding is the zero point, which adds nothing."""
    zero = zero_point(op.input)
    body = centred("%i0", "i8", zero, "x") + "\n%r = arith.addi %o, %x : i32"
    _pool(kernel, values, op, (1, 1), zero, body)


def integer_avg_pool2d(kernel: Kernel, values: Values, op: Any) -> None:
    """Sums of the integers, then quotients by the number of elements in each window."""
    samples, channels, rows, columns = shape_of(op.result)
    strides = values.strides(op.result)
    flat = kernel.scratch("i32", (samples * channels * rows * columns,))
    total = kernel.strided(flat, (samples, channels, rows, columns), strides)
    x = padded(kernel, values, op.input, ints(op.padding), 0)
    body = "%x = arith.extsi %i0 : i8 to i32\n%r = arith.addi %o, %x : i32"
    _windows(kernel, op, x, total, (1, 1), body, values.is_channels_last(op.input))
    counts = pooled_elements(
        shape_of(op.input)[2:], ints(op.kernel), ints(op.stride), ints(op.padding)
    )
    # Half of the count moves the quotient away from zero before it is cut off.
    divisor = kernel.constant(counts.astype(np.int32))
    kernel.generic(
        values.order(op.result, ("n", "c", "y", "x")),
        [(total, "n, c, y, x"), (divisor, "y, x")],
        (values.view(kernel, op.result), "n, c, y, x"),
        f"""
        %two = arith.constant 2 : i32
        %zero = arith.constant 0 : i32
        %half = arith.divui %i1, %two : i32
        %minus = arith.subi %zero, %half : i32
        %negative = arith.cmpi slt, %i0, %zero : i32
        %offset = arith.select %negative, %minus, %half : i32
        %n = arith.addi %i0, %offset : i32
        %q = arith.divsi %n, %i1 : i32
        %low = arith.constant {op.clamp_min.value} : i32
        %high = arith.constant {op.clamp_max.value} : i32
        %v0 = arith.maxsi %q, %low : i32
        %v1 = arith.minsi %v0, %high : i32
        %r = arith.trunci %v1 : i32 to i8
        """,
    )  # fmt: skip


def _pool(
    kernel: Kernel, values: Values, op: Any, dilation: tuple[int, ...], fill: int, body: str
) -> None:
    x = padded(kernel, values, op.input, ints(op.padding), fill)
    last = values.is_channels_last(op.input)
    _windows(kernel, op, x, values.view(kernel, op.result), dilation, body, last)


def _windows(
    kernel: Kernel, op: Any, x: View, out: View, dilation: tuple[int, ...], body: str,
    channels_last: bool,
) -> None:  # fmt: skip
    """Reduce each window of `x` to an element of `out` by `body`."""
    (sy, sx), (dy, dx) = ints(op.stride), dilation
    kernel.fill(out, -128 if out.element == "i8" else 0)
    # linalg takes the extents of the window loops from an operand; nothing reads this one
    rows, columns = ints(op.kernel)
    window = kernel.strided(x, (rows, columns), (columns, 1))
    kernel.generic(
        "n y x i j c" if channels_last else "n c y x i j",
        [(x, f"n, c, y * {sy} + i * {dy}, x * {sx} + j * {dx}"), (window, "i, j")],
        (out, "n, c, y, x"), body, reduced="i j",
    )  # fmt: skip


def reduce_sum(kernel: Kernel, values: Values, op: Any) -> None:
    """Sums of integers minus their zero point."""
    shape, axes = shape_of(op.input), ints(op.axes)
    names = [f"d{axis}" for axis in range(len(shape))]
    kept = [name for axis, name in enumerate(names) if axis not in axes]
    x = values.view(kernel, op.input)
    extents = [extent for axis, extent in enumerate(shape) if axis not in axes]
    out = values.view(kernel, op.result, extents)
    kernel.fill(out, 0)
    body = centred("%i0", "i8", zero_point(op.input), "x") + "\n%r = arith.addi %o, %x : i32"
    kernel.generic(
        " ".join(names), [(x, ", ".join(names))], (out, ", ".join(kept)), body,
        reduced=" ".join(names[axis] for axis in axes),
    )  # fmt: skip


def integer_softmax(kernel: Kernel, values: Values, op: Any) -> None:
    """Maximum, sum of exponentials, quotient; see `bw.IntegerSoftmaxOp`."""
    shape, axis = shape_of(op.input), op.axis.value
    outer, extent, inner = count(shape[:axis]), shape[axis], count(shape[axis + 1 :])
    x = values.view(kernel, op.input, (outer, extent, inner))
    y = values.view(kernel, op.result, (outer, extent, inner))
    table = kernel.constant(np.asarray(ints(op.table), dtype=np.int32))
    largest = kernel.scratch("i8", (outer, inner))
    total = kernel.scratch("i64", (outer, inner))
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
    kernel.generic(
        "a k b", [(x, "a, k, b"), (largest, "a, b")], (total, "a, b"),
        exponential + "%r = arith.addi %o, %e : i64", reduced="k",
    )  # fmt: skip
    quotient = """
        %c512 = arith.constant 512 : i64
        %c2 = arith.constant 2 : i64
        %c128 = arith.constant 128 : i64
        %c127 = arith.constant 127 : i64
        %n0 = arith.muli %e, %c512 : i64
        %n = arith.addi %n0, %i2 : i64
        %s = arith.muli %i2, %c2 : i64
        %q = arith.divui %n, %s : i64
        %z = arith.subi %q, %c128 : i64
        %l = arith.minsi %z, %c127 : i64
        %r = arith.trunci %l : i64 to i8
    """
    kernel.generic(
        "a k b", [(x, "a, k, b"), (largest, "a, b"), (total, "a, b")], (y, "a, k, b"),
        exponential + quotient,
    )  # fmt: skip
