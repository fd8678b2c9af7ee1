"""Operators that only move elements."""

import numpy as np

from bitwright.frontend.common.checks import checked_size
from bitwright.frontend.tflite.errors import InvalidModelError
from bitwright.frontend.tflite.node import TO_FIRST, Handler, Node, Value, shaped
from bitwright.ir.types import shape_of


def reshape(node: Node) -> Value:
    """RESHAPE and its relatives: the shape of the result stands in the file."""
    node.same_type([0])
    x, wanted = node.value(0), node.result().shape
    checked_size(wanted, f"{node.describe()}: its result")
    if np.prod(x.shape, dtype=np.int64) != np.prod(wanted, dtype=np.int64):
        raise InvalidModelError(
            f"{node.describe()}: {list(x.shape)} does not reshape to {list(wanted)}"
        )
    if x.last_ is None and len(wanted) < 4 and wanted[:1] == x.shape[:1]:
        return Value(node.builder, wanted, first_=x.first_)  # flattened when somebody asks
    return node.last(shaped(node.builder, x.last(), wanted))


def pad(node: Node) -> Value:
    """PAD and PADV2: with the zero point, or a constant of the same type."""
    node.same_type([0])
    shape = node.tensor(0).shape
    counts = node.integers(1, "padding")
    if len(counts) != 2 * len(shape) or min(counts, default=0) < 0:
        node.fail_operand(1, f"is {counts}", f"two counts >= 0 for each axis of {list(shape)}")
    low, high = counts[::2], counts[1::2]
    checked_size(
        [a + n + b for a, n, b in zip(low, shape, high, strict=True)],
        f"{node.describe()}: its result",
    )
    fill = 0.0 if node.model.is_float else node.params(0).zero_point
    if node.has(2):
        node.same_type([2])
        fill = node.array(2, "value of the padding").reshape(-1)[0]
    x = node.value(0)
    if len(shape) == 4 and x.first_ is not None:
        low, high = ([side[axis] for axis in TO_FIRST] for side in (low, high))
        return node.first(node.builder.pad(x.first(), low, high, fill))
    return node.last(node.builder.pad(x.last(), low, high, fill))


def concatenation(node: Node) -> Value:
    """CONCATENATION of tensors of one scale."""
    indices = range(len(node.operator.inputs))
    node.same_type(indices)
    rank = len(node.tensor(0).shape)
    axis = node.operator.options["Axis"]
    if not -rank <= axis < rank or node.operator.options["FusedActivationFunction"]:
        node.fail_option("Axis", axis, f"an axis of rank {rank}, and no fused activation")
    values = [node.value(index) for index in indices]
    if rank == 4 and any(value.first_ is not None for value in values):
        place = TO_FIRST.index(axis % rank)
        return node.first(node.builder.concat([value.first() for value in values], place))
    return node.last(node.builder.concat([value.last() for value in values], axis % rank))


def transpose(node: Node) -> Value:
    """TRANSPOSE."""
    node.same_type([0])
    perm = node.integers(1, "permutation")
    x = node.value(0).last()
    if sorted(perm) != list(range(len(shape_of(x)))):
        node.fail_operand(1, f"is {perm}", f"a permutation of the axes of {list(shape_of(x))}")
    return node.last(node.builder.transpose(x, perm))


HANDLERS: dict[str, Handler] = {
    "CONCATENATION": concatenation,
    "EXPAND_DIMS": reshape,
    "PAD": pad,
    "PADV2": pad,
    "RESHAPE": reshape,
    "SQUEEZE": reshape,
    "TRANSPOSE": transpose,
}
