"""Kernels over windows and axes: pooling, `reduce_sum`."""

from typing import Any

import numpy as np

from bitwright.codegen.cpu.products import padded
from bitwright.codegen.cpu.program import Kernel, View
from bitwright.codegen.cpu.values import Values, centred, zero_point
from bitwright.codegen.cpu.vectors import BYTES, VECTOR, VectorCode
from bitwright.ir.checks import ints
from bitwright.ir.reference import pooled_elements
from bitwright.ir.types import shape_of


def max_pool2d(kernel: Kernel, values: Values, op: Any) -> None:
    """Padding is the least int8, which never wins."""
    if _fits_vectors(values, op):
        _max_vectors(kernel, values, op)
        return
    _pool(kernel, values, op, ints(op.dilation), -128, "%r = arith.maxsi %o, %i0 : i8")


def _fits_vectors(values: Values, op: Any) -> bool:
    """Whether 64 neighbours in memory are channels, and no window lies outside of the image."""
    top, left, bottom, right = ints(op.padding)
    tall, wide = ints(op.kernel)
    samples, channels = shape_of(op.input)[:2]
    return (
        values.is_channels_last(op.input) and values.is_channels_last(op.result)
        and samples == 1 and channels % VECTOR == 0 and ints(op.dilation) == (1, 1)
        and max(top, bottom) < tall and max(left, right) < wide
    )  # fmt: skip


def _max_vectors(kernel: Kernel, values: Values, op: Any) -> None:
    """The nearest pixel of the image in place of one outside: the window has it too."""
    code = VectorCode(kernel)
    _, channels, height, width = shape_of(op.input)
    _, _, rows, columns = shape_of(op.result)
    x, out = values.flat(kernel, op.input), values.flat(kernel, op.result)
    top, left, _, _ = ints(op.padding)

    def inside(index: str, step: int, offset: int, extent: int) -> str:
        at = code.index([(index, step)], offset)
        at = code.apply("maxsi", at, code.index_constant(0), "index")
        return code.apply("minsi", at, code.index_constant(extent - 1), "index")

    (down, across), (tall, wide) = ints(op.stride), ints(op.kernel)
    with code.loop(rows, shared=True) as row:
        ys = [inside(row, down, i - top, height) for i in range(tall)]
        with code.loop(columns) as column:
            xs = [inside(column, across, j - left, width) for j in range(wide)]
            with code.loop(channels // VECTOR) as block:
                most = ""
                for y in ys:
                    for at in xs:
                        terms = [(y, width * channels), (at, channels), (block, VECTOR)]
                        pixel = code.load(x, code.index(terms), BYTES)
                        most = code.apply("maxsi", most, pixel, BYTES) if most else pixel
                terms = [(row, columns * channels), (column, channels), (block, VECTOR)]
                code.store(most, out, code.index(terms), BYTES)


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
