"""Operators that move, repeat or relabel elements."""

from collections.abc import Sequence

from torch_mlir import ir

from bitwright.frontend.torch.node import Handler, Node, Operand, shape


def reshaped(node: Node) -> Operand:
    """view, unsqueeze, squeeze: the same elements under the result's shape."""
    for name in ("size", "shape", "dim"):
        node.read.add(name)
    return node.builder.reshape(node.tensor("self"), node.shape)


def permute(node: Node) -> Operand:
    """permute."""
    x = node.tensor("self")
    return node.builder.transpose(x, [axis % len(shape(x)) for axis in node.integers("dims")])


def transpose(node: Node) -> Operand:
    """transpose of two axes."""
    x = node.tensor("self")
    perm = list(range(len(shape(x))))
    if perm:
        first, second = node.axis("dim0", len(perm)), node.axis("dim1", len(perm))
        perm[first], perm[second] = perm[second], perm[first]
    return node.builder.transpose(x, perm)


def expand(node: Node) -> Operand:
    """expand to the result's shape."""
    node.read.update(("size", "implicit"))
    x = node.tensor("self")
    return x if shape(x) == node.shape else node.builder.expand(x, node.shape)


def repeat(node: Node) -> Operand:
    """repeat, as a broadcast over an axis before each."""
    build, x, repeats = node.builder, node.tensor("self"), node.integers("repeats")
    extents = (*[1] * (len(repeats) - len(shape(x))), *shape(x))
    inner = [n for extent in extents for n in (1, extent)]
    outer = [n for pair in zip(repeats, extents, strict=True) for n in pair]
    return build.reshape(build.expand(build.reshape(x, inner), outer), node.shape)


def cat(node: Node) -> Operand:
    """cat."""
    values = [node.as_value(item, "tensors", node.dtype) for item in node.argument("tensors")]
    return node.builder.concat(values, node.axis("dim", len(shape(values[0]))))


def part(node: Node, x: ir.Value, axis: int, start: int, size: int, step: int = 1) -> ir.Value:
    """`size` entries of one axis from `start` on."""
    extents = shape(x)
    if (start, size, step) == (0, extents[axis], 1):
        return x
    starts, sizes, steps = [0] * len(extents), list(extents), [1] * len(extents)
    starts[axis], sizes[axis], steps[axis] = start, size, step if size > 1 else 1
    return node.builder.slice(x, starts, sizes, steps)


def slice_(node: Node) -> Operand:
    """slice of one axis."""
    x = node.tensor("self")
    axis = node.axis("dim", len(shape(x)))
    bounds = [node.integer(name) if node.has(name) else None for name in ("start", "end", "step")]
    picked = range(shape(x)[axis])[slice(*bounds)]
    if not picked:
        node.fail_value("end", "a slice with elements in it")
    return part(node, x, axis, picked[0], len(picked), picked.step)


def select(node: Node) -> Operand:
    """select: one entry of an axis, which vanishes."""
    x = node.tensor("self")
    axis = node.axis("dim", len(shape(x)))
    index = node.integer("index") % shape(x)[axis]
    return node.builder.reshape(part(node, x, axis, index, 1), node.shape)


def split(node: Node) -> Sequence[Operand]:
    """split and split_with_sizes."""
    x = node.tensor("self")
    axis = node.axis("dim", len(shape(x)))
    node.read.update(("split_sizes", "split_size"))  # seen in the shapes of the results
    sizes = [int(value.shape[axis]) for value in node.proto.meta["val"]]
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    return [part(node, x, axis, a, n) for a, n in zip(starts, sizes, strict=True)]


def unbind(node: Node) -> Sequence[Operand]:
    """unbind: every entry of an axis by itself."""
    x = node.tensor("self")
    axis = node.axis("dim", len(shape(x)))
    return [
        node.builder.reshape(part(node, x, axis, index, 1), node.shape)
        for index in range(shape(x)[axis])
    ]


def pad(node: Node) -> Operand:
    """constant_pad_nd; negative amounts cut off."""
    x, amounts = node.tensor("self"), node.integers("pad")
    low, high = [0] * len(shape(x)), [0] * len(shape(x))
    for index in range(len(amounts) // 2):
        axis = len(shape(x)) - 1 - index
        before, after = amounts[2 * index], amounts[2 * index + 1]
        start, size = max(-before, 0), shape(x)[axis] + min(before, 0) + min(after, 0)
        x = part(node, x, axis, start, size)
        low[axis], high[axis] = max(before, 0), max(after, 0)
    if not any((*low, *high)):
        return x
    return node.builder.pad(x, low, high, node.number("value"))


def flip(node: Node) -> Operand:
    """flip, as slices that go backwards."""
    x = node.tensor("self")
    for axis in node.integers("dims"):
        axis %= len(shape(x))
        x = part(node, x, axis, shape(x)[axis] - 1, shape(x)[axis], -1)
    return x


def pixel_shuffle(node: Node) -> Operand:
    """pixel_shuffle: blocks of channels to blocks of pixels."""
    build, x, r = node.builder, node.tensor("self"), node.integer("upscale_factor")
    *outer, channels, rows, columns = shape(x)
    rank = len(outer)
    split_ = build.reshape(x, (*outer, channels // (r * r), r, r, rows, columns))
    order = [rank + n for n in (0, 3, 1, 4, 2)]
    return build.reshape(build.transpose(split_, [*range(rank), *order]), node.shape)


HANDLERS: dict[str, Handler] = {
    "aten._unsafe_view": reshaped,
    "aten.cat": cat,
    "aten.constant_pad_nd": pad,
    "aten.expand": expand,
    "aten.flip": flip,
    "aten.permute": permute,
    "aten.pixel_shuffle": pixel_shuffle,
    "aten.repeat": repeat,
    "aten.select": select,
    "aten.slice": slice_,
    "aten.split": split,
    "aten.split_with_sizes": split,
    "aten.squeeze": reshaped,
    "aten.transpose": transpose,
    "aten.unbind": unbind,
    "aten.unsqueeze": reshaped,
    "aten.view": reshaped,
}
