"""Slices and resizing of float models."""

import numpy as np

from bitwright.frontend.common.checks import checked_size
from bitwright.frontend.tflite import shape
from bitwright.frontend.tflite.node import Array, Handler, Node, Value
from bitwright.ir.types import shape_of

MAX_MATRIX = 1 << 24


def strided_slice(node: Node) -> Value:
    """STRIDED_SLICE; masks for the begin and the end, and axes that fall away."""
    shape, options = node.tensor(0).shape, node.operator.options
    begin, end, steps = (
        node.integers(index, role) for index, role in ((1, "begin"), (2, "end"), (3, "strides"))
    )
    for name in ("EllipsisMask", "NewAxisMask", "Offset"):
        if options[name]:
            node.fail_option(name, options[name], "0")
    if not len(begin) == len(end) == len(steps) <= len(shape) or 0 in steps:
        node.fail_operand(
            3, f"is {steps}, beside begin {begin} and end {end}",
            f"as many of each, at most {len(shape)}, and no stride of 0",
        )  # fmt: skip
    starts, sizes, kept = [0] * len(shape), list(shape), list(range(len(shape)))
    for axis, (low, high, step) in enumerate(zip(begin, end, steps, strict=True)):
        if options["ShrinkAxisMask"] >> axis & 1:
            kept.remove(axis)
            if not -shape[axis] <= low < shape[axis]:
                node.fail_operand(1, f"is {begin}", f"places inside of {list(shape)}")
            starts[axis], sizes[axis], steps[axis] = low % shape[axis], 1, 1
            continue
        bounds = slice(
            None if options["BeginMask"] >> axis & 1 else low,
            None if options["EndMask"] >> axis & 1 else high,
            step,
        )
        found = range(*bounds.indices(shape[axis]))
        starts[axis], sizes[axis] = found.start, len(found)
    checked_size(sizes, f"{node.describe()}: its result")
    steps += [1] * (len(shape) - len(steps))
    made = node.builder.slice(node.value(0).last(), starts, sizes, steps)
    if len(kept) < len(shape):
        made = node.builder.reshape(made, [sizes[axis] for axis in kept])
    return node.last(made)


def slice_(node: Node) -> Value:
    """SLICE; a size of -1 is the rest."""
    shape = node.tensor(0).shape
    begin, sizes = node.integers(1, "begin"), node.integers(2, "size")
    if len(begin) != len(shape) or len(sizes) != len(shape):
        node.fail_operand(2, f"is {sizes}, beside begin {begin}", f"{len(shape)} numbers each")
    wanted = [n - low if size == -1 else size
              for n, low, size in zip(shape, begin, sizes, strict=True)]  # fmt: skip
    for n, low, size in zip(shape, begin, wanted, strict=True):
        if low < 0 or size < 1 or low + size > n:
            node.fail_operand(2, f"is {sizes}, from {begin} on", f"a part of {list(shape)}")
    return node.last(node.builder.slice(node.value(0).last(), begin, wanted, [1] * len(shape)))


def resize_nearest_neighbor(node: Node) -> Value:
    """RESIZE_NEAREST_NEIGHBOR: rows and columns are picked (GetNearestNeighbor)."""
    (corners, half), sizes = _alignment(node), _sizes(node)
    x = node.value(0).first()
    for axis, size in zip((2, 3), sizes, strict=True):
        extent = shape_of(x)[axis]
        places = (np.arange(size, dtype=np.float32) + np.float32(0.5 if half else 0)) * _scale(
            extent, size, corners
        )
        picks = np.floor(places + np.float32(0.5)) if corners else np.floor(places)
        picks = np.clip(picks, 0, extent - 1).astype(np.int64)
        x = node.builder.gather(x, node.builder.plain(picks), axis)
    return node.first(x)


def resize_bilinear(node: Node) -> Value:
    """RESIZE_BILINEAR: a product with an interpolation matrix along rows, then along columns."""
    (corners, half), sizes = _alignment(node), _sizes(node)
    build, x = node.builder, node.value(0).first()
    # The last axis is multiplied and the last two change places, twice.
    for size in reversed(sizes):
        matrix = _interpolation(node, shape_of(x)[3], size, corners, half)
        zeros = np.zeros(size, np.float32)
        x = build.linear(x, build.constant(matrix), build.constant(zeros))
        x = build.transpose(x, (0, 1, 3, 2))
    return node.first(x)


def _interpolation(node: Node, extent: int, size: int, corners: bool, half: bool) -> Array:
    """[size, extent], two entries a row (ComputeInterpolationValues)."""
    checked_size((size, extent), f"{node.describe()}: its matrix", MAX_MATRIX)
    scale, shift = _scale(extent, size, corners), np.float32(0.5 if half else 0)
    places = (np.arange(size, dtype=np.float32) + shift) * scale - shift
    low = np.maximum(np.floor(places), 0).astype(np.int64)
    high = np.minimum(np.ceil(places), extent - 1).astype(np.int64)
    rows, share = np.arange(size), places - low.astype(np.float32)
    matrix = np.zeros((size, extent), np.float32)
    np.add.at(matrix, (rows, low), 1 - share)
    np.add.at(matrix, (rows, high), share)
    return matrix


def _alignment(node: Node) -> tuple[bool, bool]:
    options = node.operator.options
    corners, half = bool(options["AlignCorners"]), bool(options["HalfPixelCenters"])
    if corners and half:
        node.fail_option("HalfPixelCenters", half, "False where AlignCorners is True")
    return corners, half


def _sizes(node: Node) -> tuple[int, int]:
    node.rank(0, 4)
    sizes = node.integers(1, "size")
    if len(sizes) != 2:
        node.fail_operand(1, f"is {sizes}", "rows and columns")
    channels = node.tensor(0).shape[3]
    checked_size((*sizes, channels), f"{node.describe()}: its result")
    return sizes[0], sizes[1]


def _scale(extent: int, size: int, corners: bool) -> np.float32:
    if corners and size > 1:
        return np.float32(extent - 1) / np.float32(size - 1)
    return np.float32(extent) / np.float32(size)


HANDLERS: dict[str, Handler] = {
    **shape.HANDLERS,
    "RESIZE_BILINEAR": resize_bilinear,
    "RESIZE_NEAREST_NEIGHBOR": resize_nearest_neighbor,
    "SLICE": slice_,
    "STRIDED_SLICE": strided_slice,
}
