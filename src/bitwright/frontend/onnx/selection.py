"""Operators that look for elements, and that write elements to places."""

import math
from collections.abc import Sequence

import numpy as np
from torch_mlir import ir

from bitwright.frontend.common.checks import checked_size
from bitwright.frontend.onnx.errors import InvalidModelError
from bitwright.frontend.onnx.indexing import part
from bitwright.frontend.onnx.node import Handler, Node, Operand, shape
from bitwright.ir.bw_order import REDUCTIONS
from bitwright.ir.types import dtype_of

INT64 = np.dtype(np.int64)


def _positions(node: Node, extents: Sequence[int], axis: int) -> ir.Value:
    """0, 1, 2, ... along one axis, int64, the others of extent 1."""
    column = [n if i == axis else 1 for i, n in enumerate(extents)]
    return node.builder.plain(np.arange(extents[axis], dtype=np.int64).reshape(column))


def _extreme_position(node: Node, reduce: str, x: ir.Value, axis: int, last: bool) -> ir.Value:
    """Index of the first (or last) extreme along `axis`, which keeps extent 1."""
    build, extent = node.builder, shape(x)[axis]
    found = build.binary("equal", x, build.reduce(reduce, x, [axis], True))
    outside = build.plain(np.asarray(-1 if last else extent, np.int64))
    places = build.select(found, _positions(node, shape(x), axis), outside)
    return build.reduce("reduce_max" if last else "reduce_min", places, [axis], True)


def _arg(reduce: str) -> Handler:
    def handle(node: Node) -> Operand:
        x = node.tensor(0)
        axis = node.axis(node.integer("axis", 0), len(shape(x)))
        last = bool(node.integer("select_last_index", 0))
        index = _extreme_position(node, reduce, x, axis, last)
        if node.integer("keepdims", 1):
            return index
        return node.builder.reshape(index, [n for i, n in enumerate(shape(x)) if i != axis])

    return handle


def hardmax(node: Node) -> Operand:
    """Hardmax: 1 at the first maximum, along one axis or (before opset 13) all from it on."""
    build, x = node.builder, node.tensor(0)
    extents, rank = shape(x), node.rank(0)
    axis = node.axis(node.integer("axis", -1 if node.opset >= 13 else 1), rank)
    if node.opset < 13:
        x = build.reshape(x, (math.prod(extents[:axis]), math.prod(extents[axis:])))
        axis = 1
    index = _extreme_position(node, "reduce_max", x, axis, False)
    hot = build.binary("equal", _positions(node, shape(x), axis), index)
    return build.reshape(build.cast(hot, dtype_of(x)), extents)


def one_hot(node: Node) -> Operand:
    """OneHot with a constant depth; indices outside of [-depth, depth) match nothing."""
    build = node.builder
    depth = node.array(1, "depth")
    if depth.size != 1 or not (count := int(depth.reshape(-1)[0])) >= 1:
        node.fail_operand(1, f"is {depth.tolist()}", "one positive number")
    indices, values = build.cast(node.tensor(0), INT64), node.tensor(2)
    if shape(values) != (2,):
        node.fail_operand(2, f"has shape {list(shape(values))}", "two values, off and on")
    rank = node.rank(0) + 1
    axis = node.axis(node.integer("axis", -1), rank)
    extents = list(shape(indices))
    extents.insert(axis, 1)
    indices = build.reshape(indices, extents)
    negative = build.binary("less", indices, build.plain(np.asarray(0, np.int64)))
    shifted = build.add(indices, build.plain(np.asarray(count, np.int64)))
    indices = build.select(negative, shifted, indices)
    extents[axis] = count
    checked_size(extents, f"{node.describe()}: its result")
    hot = build.binary("equal", _positions(node, extents, axis), indices)
    off, on = (build.reshape(part(node, values, 0, i, 1), (1,) * rank) for i in (0, 1))
    return build.select(hot, on, off)


def top_k(node: Node) -> Sequence[Operand]:
    """TopK of a constant count, sorted; of equal elements the first comes first."""
    build, x = node.builder, node.tensor(0)
    axis = node.axis(node.integer("axis", -1), node.rank(0))
    counts = node.integer_list(1, "count")
    if len(counts) != 1 or not 1 <= counts[0] <= shape(x)[axis]:
        node.fail_operand(1, f"is {counts}", f"a count from 1 to {shape(x)[axis]}")
    order = build.argsort(x, axis, bool(node.integer("largest", 1)))
    indices = part(node, order, axis, 0, counts[0])
    return build.gather_elements(x, indices, axis), indices


def _reduction(node: Node) -> str:
    reduction = str(node.attribute("reduction", "none"))
    if reduction not in REDUCTIONS:
        node.fail_attribute("reduction", reduction, ", ".join(REDUCTIONS))
    return reduction


def scatter_elements(node: Node) -> Operand:
    """ScatterElements."""
    axis = node.axis(node.integer("axis", 0), node.rank(0))
    operands = (node.tensor(0), node.tensor(1), node.tensor(2))
    return node.builder.scatter_elements(*operands, axis, _reduction(node))


def _flat_index(node: Node, index: int, extents: Sequence[int]) -> ir.Value:
    """[..., k] indices of the first k axes of `extents` as row-major positions [...]."""
    build = node.builder
    indices = build.cast(node.tensor(index), INT64)
    strides = [math.prod(extents[i + 1 :]) for i in range(len(extents))]
    sizes, steps = (build.plain(np.asarray(values, np.int64)) for values in (extents, strides))
    negative = build.binary("less", indices, build.plain(np.asarray(0, np.int64)))
    indices = build.select(negative, build.add(indices, sizes), indices)
    last = len(shape(indices)) - 1
    return build.reduce_sum(build.mul(indices, steps), [last], False)


def _indexed(node: Node, first: int = 0) -> tuple[int, ...]:
    """Extents of the axes that the last axis of operand 1 indexes, `first` axes left out."""
    extents, indices = shape(node.required(0)), shape(node.required(1))
    if not indices or not 1 <= indices[-1] <= len(extents) - first:
        raise InvalidModelError(
            f"{node.describe()}: indices of {list(indices)} do not fit a tensor of {list(extents)}"
        )
    return extents[first : first + indices[-1]]


def gather_nd(node: Node) -> Operand:
    """GatherND; batch axes are axes that the index runs along."""
    build, x = node.builder, node.tensor(0)
    batch = node.integer("batch_dims", 0)
    extents, places = shape(x), shape(node.required(1))
    if not 0 <= batch < min(len(extents), len(places)) or places[:batch] != extents[:batch]:
        node.fail_attribute("batch_dims", batch, "leading axes that data and indices share")
    picked = _indexed(node, batch)
    rest = extents[batch + len(picked) :]
    samples = math.prod(extents[:batch])
    flat = _flat_index(node, 1, picked)
    if batch:
        offsets = np.arange(samples, dtype=np.int64) * math.prod(picked)
        column = (*extents[:batch], *[1] * (len(places) - 1 - batch))
        flat = build.add(flat, build.plain(offsets.reshape(column)))
    rows = build.reshape(x, (samples * math.prod(picked), *rest))
    return build.gather(rows, flat, 0)


def scatter_nd(node: Node) -> Operand:
    """ScatterND, as a scatter of rows."""
    build, x, updates = node.builder, node.tensor(0), node.tensor(2)
    extents, picked = shape(x), _indexed(node)
    rest = math.prod(extents[len(picked) :])
    flat = _flat_index(node, 1, picked)
    count = math.prod(shape(flat))
    indices = build.expand(build.reshape(flat, (count, 1)), (count, rest))
    rows = build.reshape(x, (math.prod(picked), rest))
    if math.prod(shape(updates)) != count * rest:
        node.fail_operand(2, f"has shape {list(shape(updates))}", f"{count} updates of {rest}")
    updates = build.reshape(updates, (count, rest))
    scattered = build.scatter_elements(rows, indices, updates, 0, _reduction(node))
    return build.reshape(scattered, extents)


HANDLERS: dict[str, Handler] = {
    "ArgMax": _arg("reduce_max"),
    "ArgMin": _arg("reduce_min"),
    "GatherND": gather_nd,
    "Hardmax": hardmax,
    "OneHot": one_hot,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
    "TopK": top_k,
}
