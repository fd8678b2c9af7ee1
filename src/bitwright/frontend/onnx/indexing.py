"""Operators that pick, repeat and rearrange elements."""

from collections.abc import Sequence

import numpy as np
from torch_mlir import ir

from bitwright.frontend.common.checks import checked_size
from bitwright.frontend.onnx.errors import InvalidModelError
from bitwright.frontend.onnx.node import Handler, Node, Operand, shape


def part(node: Node, x: ir.Value, axis: int, start: int, size: int) -> ir.Value:
    """`size` entries of one axis from `start` on."""
    extents = list(shape(x))
    starts, sizes = [0] * len(extents), list(extents)
    starts[axis], sizes[axis] = start, size
    checked_size(sizes, node.describe())
    return node.builder.slice(x, starts, sizes, [1] * len(extents))


def slice_(node: Node) -> Operand:
    """Slice with constant bounds."""
    x = node.tensor(0)
    extents = shape(x)
    begins, ends = node.integer_list(1, "list of starts"), node.integer_list(2, "list of ends")
    axes = list(range(len(begins)))
    if node.operand(3) is not None:
        axes = [node.axis(axis, len(extents)) for axis in node.integer_list(3, "list of axes")]
    strides = [1] * len(begins)
    if node.operand(4) is not None:
        strides = node.integer_list(4, "list of steps")
    if not len(begins) == len(ends) == len(axes) == len(strides) or 0 in strides:
        raise InvalidModelError(
            f"{node.describe()}: starts {begins}, ends {ends}, axes {axes} and steps {strides} do "
            "not fit each other"
        )
    starts, sizes, steps = [0] * len(extents), list(extents), [1] * len(extents)
    for axis, begin, end, step in zip(axes, begins, ends, strides, strict=True):
        picked = range(extents[axis])[begin:end:step]
        starts[axis], sizes[axis] = (picked[0] if picked else 0), len(picked)
        steps[axis] = step if len(picked) > 1 else 1
    checked_size(sizes, f"{node.describe()}: its result")
    return node.builder.slice(x, starts, sizes, steps)


def split(node: Node) -> Sequence[Operand]:
    """Split into parts of given or equal sizes."""
    x = node.tensor(0)
    axis = node.axis(node.integer("axis", 0), len(shape(x)))
    extent, count = shape(x)[axis], node.integer("num_outputs", len(node.proto.output))
    if node.operand(1) is not None:
        sizes = node.integer_list(1, "list of sizes")
    elif node.attribute("split") is not None:
        sizes = node.integers("split", ())
    else:
        size = -(-extent // count)
        sizes = [min(size, extent - index * size) for index in range(count)]
    if sum(sizes) != extent:
        raise InvalidModelError(f"{node.describe()}: parts {sizes} do not make up {extent}")
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    return [part(node, x, axis, a, n) for a, n in zip(starts, sizes, strict=True)]


def gather(node: Node) -> Operand:
    """Gather along one axis; the indices may be computed."""
    x = node.tensor(0)
    axis = node.axis(node.integer("axis", 0), len(shape(x)))
    indices = node.required(1)
    if not isinstance(indices, ir.Value):
        extent = shape(x)[axis]
        if indices.size and not -extent <= indices.min() <= indices.max() < extent:
            raise InvalidModelError(
                f"{node.describe()}: indices from {indices.min()} to {indices.max()} leave an axis "
                f"of {extent}"
            )
        checked_size(indices.shape, f"{node.describe()}: its indices")
        indices = np.where(indices < 0, indices + extent, indices)
        return node.builder.gather(x, node.builder.plain(indices), axis)
    return node.builder.gather(x, node.tensor(1), axis)


def gather_elements(node: Node) -> Operand:
    """GatherElements."""
    x = node.tensor(0)
    axis = node.axis(node.integer("axis", 0), len(shape(x)))
    return node.builder.gather_elements(x, node.tensor(1), axis)


def expand(node: Node) -> Operand:
    """Expand to a constant shape."""
    x, wanted = node.tensor(0), node.integer_list(1, "shape")
    checked_size(np.broadcast_shapes(shape(x), tuple(wanted)), f"{node.describe()}: its result")
    return node.builder.expand(x, wanted)


def tile(node: Node) -> Operand:
    """Tile, as a broadcast over an axis before each."""
    x, repeats = node.tensor(0), node.integer_list(1, "list of repeats")
    extents = shape(x)
    if len(repeats) != len(extents):
        raise InvalidModelError(f"{node.describe()}: repeats {repeats} for shape {list(extents)}")
    result = checked_size(
        [n * times for n, times in zip(extents, repeats, strict=True)],
        f"{node.describe()}: its result",
    )
    inner = [n for extent in extents for n in (1, extent)]
    outer = [n for pair in zip(repeats, extents, strict=True) for n in pair]
    build = node.builder
    return build.reshape(build.expand(build.reshape(x, inner), outer), result)


def depth_to_space(node: Node) -> Operand:
    """DepthToSpace."""
    x, size = node.tensor(0), node.integer("blocksize", 1)
    n, c, h, w = shape(x)
    if c % (size * size):
        raise InvalidModelError(f"{node.describe()}: {c} channels in blocks of {size * size}")
    build, rest = node.builder, c // (size * size)
    if node.attribute("mode", "DCR") == "DCR":
        split_, perm = (n, size, size, rest, h, w), (0, 3, 4, 1, 5, 2)
    else:
        split_, perm = (n, rest, size, size, h, w), (0, 1, 4, 2, 5, 3)
    moved = build.transpose(build.reshape(x, split_), perm)
    return build.reshape(moved, (n, rest, h * size, w * size))


def space_to_depth(node: Node) -> Operand:
    """SpaceToDepth."""
    x, size = node.tensor(0), node.integer("blocksize", 1)
    n, c, h, w = shape(x)
    if h % size or w % size:
        raise InvalidModelError(f"{node.describe()}: a plane of {h} x {w} in blocks of {size}")
    if node.attribute("mode", "DCR") != "DCR":
        node.fail_attribute("mode", node.attribute("mode"), "DCR")
    build = node.builder
    moved = build.transpose(
        build.reshape(x, (n, c, h // size, size, w // size, size)), (0, 3, 5, 1, 2, 4)
    )
    return build.reshape(moved, (n, c * size * size, h // size, w // size))


def trilu(node: Node) -> Operand:
    """Trilu: one triangle of a matrix, zeros in the other."""
    build, x = node.builder, node.tensor(0)
    rows, columns = shape(x)[-2:]
    offset = 0
    if node.operand(1) is not None:
        offset = node.integer_list(1, "diagonal")[0]
    offset = max(-rows, min(columns, offset))
    keep = np.ones((rows, columns), np.bool_)
    keep = np.triu(keep, offset) if node.integer("upper", 1) else np.tril(keep, offset)
    zero = build.cast(build.plain(np.zeros((), np.float32)), _dtype(x))
    return build.select(build.plain(keep), x, zero)


def _dtype(x: ir.Value) -> np.dtype[np.generic]:
    from bitwright.ir.types import dtype_of

    return dtype_of(x)


def cumsum(node: Node) -> Operand:
    """CumSum along a constant axis."""
    x = node.tensor(0)
    axis = node.axis(node.integer_list(1, "axis")[0], len(shape(x)))
    return node.builder.cumsum(
        x, axis, bool(node.integer("exclusive", 0)), bool(node.integer("reverse", 0))
    )


def center_crop_pad(node: Node) -> Operand:
    """CenterCropPad to a constant shape."""
    x, wanted = node.value(0), node.integer_list(1, "shape")
    extents = list(shape(x))
    axes = node.attribute("axes")
    axes = range(len(extents)) if axes is None else [node.axis(int(a), len(extents)) for a in axes]
    low, high = [0] * len(extents), [0] * len(extents)
    for axis, size in zip(axes, wanted, strict=True):
        have = extents[axis]
        if size < have:
            x = part(node, x, axis, (have - size) // 2, size)
        else:
            low[axis] = (size - have) // 2
            high[axis] = size - have - low[axis]
    return node.builder.pad(x, low, high, 0.0) if any(low) or any(high) else x


HANDLERS: dict[str, Handler] = {
    "CenterCropPad": center_crop_pad,
    "CumSum": cumsum,
    "DepthToSpace": depth_to_space,
    "Expand": expand,
    "Gather": gather,
    "GatherElements": gather_elements,
    "Slice": slice_,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Tile": tile,
    "Trilu": trilu,
}
