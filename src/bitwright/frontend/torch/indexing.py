"""Operators that pick elements by index."""

from typing import Any

import numpy as np
import torch
from torch_mlir import ir

from bitwright.frontend.torch.node import Handler, Node, Operand, shape
from bitwright.ir.types import dtype_of


def embedding(node: Node) -> Operand:
    """embedding: rows of a table."""
    node.read.update(("padding_idx", "scale_grad_by_freq", "sparse"))  # of training
    return node.builder.gather(node.tensor("weight"), node.tensor("indices"), 0)


def index_select(node: Node) -> Operand:
    """index_select along one axis."""
    x = node.tensor("self")
    return node.builder.gather(x, node.tensor("index"), node.axis("dim", len(shape(x))))


def gather(node: Node) -> Operand:
    """gather: one element for each index, which may be fewer than those of self."""
    build, x, indices = node.builder, node.tensor("self"), node.tensor("index")
    axis = node.axis("dim", len(shape(x)))
    for other, (have, want) in enumerate(zip(shape(x), shape(indices), strict=True)):
        if other != axis and have != want:
            sizes = [want if n == other else extent for n, extent in enumerate(shape(x))]
            x = build.slice(x, [0] * len(sizes), sizes, [1] * len(sizes))
    return build.gather_elements(x, indices, axis)


def index(node: Node) -> Operand:
    """index by integer tensors: any one, or several constant ones in adjacent axes."""
    build, x = node.builder, node.tensor("self")
    indices: list[Any] = list(node.argument("indices"))
    axes = [axis for axis, item in enumerate(indices) if item is not None]
    if not axes:
        return x
    for axis in axes:
        item = indices[axis]
        is_mask = (
            dtype_of(item) == np.bool_ if isinstance(item, ir.Value) else item.dtype == torch.bool
        )
        if is_mask:
            node.fail("indices", "has a mask, which makes a shape of data", "integers")
    if len(axes) == 1:
        return build.gather(x, node.as_value(indices[axes[0]], "indices"), axes[0])
    first, last = axes[0], axes[-1]
    if last - first + 1 != len(axes) or any(isinstance(indices[a], ir.Value) for a in axes):
        node.fail("indices", f"picks from axes {axes}", "one axis, or constants of adjacent axes")
    extents = shape(x)
    arrays = np.broadcast_arrays(*(node.to_array(indices[axis], "indices") for axis in axes))
    positions = [
        np.where(a < 0, a + extents[axis], a) for a, axis in zip(arrays, axes, strict=True)
    ]
    picked = extents[first : last + 1]
    flat = np.ravel_multi_index(positions, picked)
    joined = (*extents[:first], int(np.prod(picked)), *extents[last + 1 :])
    return build.gather(build.reshape(x, joined), build.plain(np.asarray(flat)), first)


HANDLERS: dict[str, Handler] = {
    "aten.embedding": embedding,
    "aten.gather": gather,
    "aten.index": index,
    "aten.index_select": index_select,
}
