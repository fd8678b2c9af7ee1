"""Kernels of sums of products: `conv2d`, `linear`, `matmul`.

Zero points of constant weights' inputs are folded into the bias: sum w*(a - z) + b equals
sum w*a + (b - z*sum w), and both agree modulo 2^32, so the 32-bit sums are exact wherever the
result fits. Padding is written as the zero point.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.codegen.cpu.program import Kernel, View, count, row_major
from bitwright.codegen.cpu.values import Values, centred, weight_of, zero_point
from bitwright.ir.checks import ints
from bitwright.ir.types import shape_of

DEPTH_STEP = 32
"""Dot products run over a multiple of this many int8 pairs, so that no scalar tail is left."""

_SHORT_ROW = 8

_MULTIPLY_ADD = """
%x = arith.extsi %i0 : i8 to i32
%y = arith.extsi %i1 : i8 to i32
%p = arith.muli %x, %y : i32
%r = arith.addi %o, %p : i32
"""


def _folded_bias(bias: NDArray[Any], weight: NDArray[Any], zero: int) -> NDArray[np.int32]:
    sums = weight.reshape(len(weight), -1).astype(np.int64).sum(axis=1)
    return (bias.astype(np.int64) - zero * sums).astype(np.int32)  # modulo 2^32


def _deep(depth: int) -> int:
    return -(-depth // DEPTH_STEP) * DEPTH_STEP


def _deepened(weight: NDArray[Any]) -> NDArray[np.int8]:
    """Zeros behind the last axis."""
    extra = _deep(weight.shape[-1]) - weight.shape[-1]
    widths = [(0, 0)] * (weight.ndim - 1) + [(0, extra)]
    return np.pad(weight.astype(np.int8), widths)


def padded(
    kernel: Kernel, values: Values, value: ir.Value, padding: tuple[int, ...], fill: int
) -> View:
    """An image with `fill` around it, in its own layout; itself where there is no padding."""
    x = values.view(kernel, value)
    if not any(padding):
        return x
    top, left, bottom, right = padding
    samples, channels, rows, columns = x.shape
    shape = (samples, channels, rows + top + bottom, columns + left + right)
    target = kernel.scratch("i8", (count(shape),))
    kernel.fill(target, fill)
    names = ("n", "c", "y", "x")
    strides = values.strides_of(value, shape)
    offset = top * strides[2] + left * strides[3]
    inner = kernel.strided(target, x.shape, strides, offset)
    at = ", ".join(names)
    kernel.copy(values.order(value, names), (x, at), (inner, at))
    return kernel.strided(target, shape, strides)


def conv2d(kernel: Kernel, values: Values, op: Any) -> None:
    """Depthwise and wide single-channel convolutions run on the image itself, others on im2col."""
    weight = weight_of(op, "weight")
    bias = _folded_bias(weight_of(op, "bias"), weight, zero_point(op.input))
    out = shape_of(op.result)
    acc = values.view(kernel, op.result)
    bias_view = kernel.constant(bias)
    kernel.generic("n o y x", [(bias_view, "o")], (acc, "n, o, y, x"), "", result="%i0")
    if weight.shape[1] == 1 and (op.groups.value > 1 or out[3] >= _SHORT_ROW):
        _direct(kernel, values, op, weight)
    else:
        _im2col(kernel, values, op, weight)


def _direct(kernel: Kernel, values: Values, op: Any, weight: NDArray[Any]) -> None:
    """One input channel for each output channel."""
    samples, outputs, rows, columns = shape_of(op.result)
    groups = op.groups.value
    (sy, sx), (dy, dx) = ints(op.stride), ints(op.dilation)
    x = padded(kernel, values, op.input, ints(op.padding), zero_point(op.input))
    taps = kernel.constant(weight.astype(np.int8).reshape(groups, -1, *weight.shape[2:]))
    acc = values.view(kernel, op.result, (samples, groups, outputs // groups, rows, columns))
    kernel.generic(
        "n g m y x i j",
        [(x, f"n, g, y * {sy} + i * {dy}, x * {sx} + j * {dx}"), (taps, "g, m, i, j")],
        (acc, "n, g, m, y, x"), _MULTIPLY_ADD, reduced="i j",
    )  # fmt: skip


def _im2col(kernel: Kernel, values: Values, op: Any, weight: NDArray[Any]) -> None:
    """Dot products of patches, channels last, with rows of the weight in the same order."""
    samples, outputs, rows, columns = shape_of(op.result)
    groups = op.groups.value
    per_group, taps = weight.shape[1], weight.shape[2] * weight.shape[3]
    depth = _deep(taps * per_group)
    patches = kernel.scratch("i8", (samples, rows, columns, groups, depth))
    _gather(kernel, _channels_last(kernel, values, op), patches, op, per_group)
    ordered = weight.transpose(0, 2, 3, 1).reshape(groups, outputs // groups, -1)
    flat = rows * columns
    a = kernel.strided(
        patches, (samples, flat, groups, depth), row_major((samples, flat, groups, depth))
    )
    acc = values.view(kernel, op.result, (samples, groups, outputs // groups, flat))
    kernel.generic(
        "n g p o k", [(a, "n, p, g, k"), (kernel.constant(_deepened(ordered)), "g, o, k")],
        (acc, "n, g, o, p"), _MULTIPLY_ADD, reduced="k",
    )  # fmt: skip


def _channels_last(kernel: Kernel, values: Values, op: Any) -> View:
    """The input as [N, H, W, C], padded."""
    samples, channels, rows, columns = shape_of(op.input)
    top, left, bottom, right = ints(op.padding)
    shape = (samples, rows + top + bottom, columns + left + right, channels)
    target = kernel.scratch("i8", shape)
    if top or left or bottom or right:
        kernel.fill(target, zero_point(op.input))
    strides = row_major(shape)
    inner = kernel.strided(
        target, (samples, rows, columns, channels), strides, top * strides[1] + left * strides[2]
    )
    x = values.view(kernel, op.input)
    kernel.copy("n y x c", (x, "n, c, y, x"), (inner, "n, y, x, c"))
    return target


def _gather(kernel: Kernel, image: View, patches: View, op: Any, per_group: int) -> None:
    """Copy each window of `image` to one row of `patches`; zeros behind it."""
    samples, rows, columns, groups, depth = patches.shape
    kernel_rows, kernel_columns = shape_of(op.weight)[2:]
    (sy, sx), (dy, dx) = ints(op.stride), ints(op.dilation)
    sample, row, column, group, _ = row_major(patches.shape)
    used = kernel_rows * kernel_columns * per_group
    if used < depth:
        tail = kernel.strided(
            patches, (samples, rows, columns, groups, depth - used), row_major(patches.shape), used
        )
        kernel.fill(tail, 0)
    if groups == 1 and dx == 1:
        run = kernel_columns * per_group
        height, width = image.shape[1], image.shape[2] * image.shape[3]
        flat = kernel.strided(image, (samples, height, width), row_major((samples, height, width)))
        target = kernel.strided(
            patches, (samples, rows, columns, kernel_rows, run), (sample, row, column, run, 1)
        )
        kernel.copy(
            "n y x i r", (flat, f"n, y * {sy} + i * {dy}, x * {sx * per_group} + r"),
            (target, "n, y, x, i, r"),
        )  # fmt: skip
        return
    shape = (samples, rows, columns, groups, kernel_rows, kernel_columns, per_group)
    steps = (sample, row, column, group, kernel_columns * per_group, per_group, 1)
    source = f"n, y * {sy} + i * {dy}, x * {sx} + j * {dx}, g * {per_group} + c"
    kernel.copy(
        "n y x g i j c",
        (image, source),
        (kernel.strided(patches, shape, steps), "n, y, x, g, i, j, c"),
    )


def linear(kernel: Kernel, values: Values, op: Any) -> None:
    """Dot products of the rows of the input with those of the weight."""
    weight = weight_of(op, "weight")
    bias = _folded_bias(weight_of(op, "bias"), weight, zero_point(op.input))
    outputs, depth = weight.shape
    rows = count(shape_of(op.input)) // depth
    x = values.view(kernel, op.input, (rows, depth))
    if depth != _deep(depth):
        longer = kernel.scratch("i8", (rows, _deep(depth)))
        kernel.fill(longer, 0)
        start = kernel.strided(longer, (rows, depth), (_deep(depth), 1))
        kernel.copy("m k", (x, "m, k"), (start, "m, k"))
        x = longer
    acc = values.view(kernel, op.result, (rows, outputs))
    kernel.generic("m o", [(kernel.constant(bias), "o")], (acc, "m, o"), "", result="%i0")
    kernel.generic(
        "m o k", [(x, "m, k"), (kernel.constant(_deepened(weight)), "o, k")], (acc, "m, o"),
        _MULTIPLY_ADD, reduced="k",
    )  # fmt: skip


def matmul(kernel: Kernel, values: Values, op: Any) -> None:
    """Both operands computed: rows of the right one are scaled and added up."""
    left, right, out = shape_of(op.lhs), shape_of(op.rhs), shape_of(op.result)
    batch = [f"b{axis}" for axis in range(len(out) - 2)]
    acc = values.view(kernel, op.result)
    kernel.fill(acc, 0)
    a, a_batch = _batched(kernel, values, op.lhs, left, batch)
    b, b_batch = _batched(kernel, values, op.rhs, right, batch)
    body = "\n".join(
        [
            centred("%i0", "i8", zero_point(op.lhs), "x"),
            centred("%i1", "i8", zero_point(op.rhs), "y"),
            "%p = arith.muli %x, %y : i32",
            "%r = arith.addi %o, %p : i32",
        ]
    )
    kernel.generic(
        " ".join([*batch, "m k n"]),
        [(a, ", ".join([*a_batch, "m, k"])), (b, ", ".join([*b_batch, "k, n"]))],
        (acc, ", ".join([*batch, "m, n"])), body, reduced="k",
    )  # fmt: skip


def _batched(
    kernel: Kernel, values: Values, value: Any, shape: tuple[int, ...], batch: list[str]
) -> tuple[View, list[str]]:
    """A view without leading axes of extent 1, and the batch loops that index it."""
    own = batch[len(batch) - (len(shape) - 2) :]
    kept = [(name, extent) for name, extent in zip(own, shape[:-2], strict=True) if extent != 1]
    view = values.view(kernel, value, (*(extent for _, extent in kept), *shape[-2:]))
    return view, [name for name, _ in kept]
