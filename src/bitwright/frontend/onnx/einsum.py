"""Einsum: operands in pairs, each pair as one batched matrix product."""

import math
import string
from collections.abc import Mapping, Sequence

from torch_mlir import ir

from bitwright.frontend.common.checks import checked_size
from bitwright.frontend.onnx.errors import InvalidModelError
from bitwright.frontend.onnx.node import Handler, Node, Operand, shape

Labels = tuple[str, ...]


def einsum(node: Node) -> Operand:
    """Einsum with ellipses; an index that repeats within one operand (a diagonal) is refused."""
    equation = str(node.attribute("equation", ""))
    values = [node.tensor(index) for index in range(len(node.operands))]
    terms, result = _parsed(node, equation, [len(shape(value)) for value in values])
    extents = _extents(node, equation, terms, values)
    value, labels = values[0], terms[0]
    for index in range(1, len(values)):
        later = {label for term in terms[index + 1 :] for label in term} | set(result)
        value, labels = _pair(node, (value, labels), (values[index], terms[index]), later, extents)
    value, labels = _summed(node, value, labels, set(result))
    value = _ordered(node, value, labels, result)
    return node.builder.expand(value, [extents[label] for label in result])


def _parsed(node: Node, equation: str, ranks: Sequence[int]) -> tuple[list[Labels], Labels]:
    """Labels of each operand and of the result; the axes of an ellipsis are "0", "1", ..."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    texts = left.split(",")
    letters = set(string.ascii_letters + ".,")
    if len(texts) != len(ranks) or set(left + right) - letters or "," in right:
        node.fail_attribute("equation", equation, f"letters for each of {len(ranks)} operands")
    widths = [
        rank - len(text.replace("...", "")) if "..." in text else 0
        for text, rank in zip(texts, ranks, strict=True)
    ]
    most = max(widths)
    terms = [_labels(text, width, most) for text, width in zip(texts, widths, strict=True)]
    if not arrow:
        once = sorted(c for c in set(left) - set(".,") if left.count(c) == 1)
        right = ("..." if "..." in left else "") + "".join(once)
    result = _labels(right, most, most)
    known = {label for term in terms for label in term}
    fits = all(len(term) == rank for term, rank in zip(terms, ranks, strict=True))
    for labels in (*terms, result):
        if len(set(labels)) != len(labels) or not set(labels) <= known or not fits:
            node.fail_attribute(
                "equation", equation, f"one letter for each axis of {list(ranks)}, none twice"
            )
    return terms, result


def _labels(text: str, width: int, most: int) -> Labels:
    """An ellipsis of `width` axes takes the last of `most`."""
    before, dots, after = text.partition("...")
    middle = [str(most - width + index) for index in range(width)] if dots else []
    return (*before, *middle, *after)


def _extents(
    node: Node, equation: str, terms: Sequence[Labels], values: Sequence[ir.Value]
) -> dict[str, int]:
    extents: dict[str, int] = {}
    for term, value in zip(terms, values, strict=True):
        for label, extent in zip(term, shape(value), strict=True):
            if 1 not in (extent, extents.get(label, 1)) and extents[label] != extent:
                raise InvalidModelError(
                    f"{node.describe()}: index {label!r} of {equation!r} is {extents[label]} and "
                    f"{extent} long"
                )
            extents[label] = max(extent, extents.get(label, 1))
    return extents


def _ordered(node: Node, value: ir.Value, labels: Labels, order: Sequence[str]) -> ir.Value:
    perm = [labels.index(label) for label in order]
    return value if perm == sorted(perm) else node.builder.transpose(value, perm)


def _summed(node: Node, value: ir.Value, labels: Labels, kept: set[str]) -> tuple[ir.Value, Labels]:
    axes = [axis for axis, label in enumerate(labels) if label not in kept]
    if axes:
        value = node.builder.reduce_sum(value, axes, False)
    return value, tuple(label for label in labels if label in kept)


def _pair(
    node: Node, lhs: tuple[ir.Value, Labels], rhs: tuple[ir.Value, Labels], later: set[str],
    extents: Mapping[str, int],
) -> tuple[ir.Value, Labels]:  # fmt: skip
    """[batch, rows, shared] times [batch, shared, columns], summed over what nobody needs later."""
    left, left_labels = _summed(node, *lhs, later | set(rhs[1]))
    right, right_labels = _summed(node, *rhs, later | set(left_labels))
    both = [label for label in left_labels if label in right_labels]
    batch = [label for label in both if label in later]
    shared = [label for label in both if label not in later]
    rows = [label for label in left_labels if label not in both]
    columns = [label for label in right_labels if label not in both]
    product = node.builder.matmul(
        _grouped(node, left, left_labels, (batch, rows, shared), extents),
        _grouped(node, right, right_labels, (batch, shared, columns), extents),
    )
    labels = (*batch, *rows, *columns)
    whole = checked_size([extents[label] for label in labels], node.describe())
    return node.builder.reshape(product, whole), labels


def _grouped(
    node: Node, value: ir.Value, labels: Labels, groups: Sequence[Sequence[str]],
    extents: Mapping[str, int],
) -> ir.Value:  # fmt: skip
    """The axes in the order of `groups`, each group as one axis; extents of 1 are repeated."""
    order = [label for group in groups for label in group]
    value = _ordered(node, value, labels, order)
    value = node.builder.expand(value, [extents[label] for label in order])
    return node.builder.reshape(
        value, [math.prod(extents[label] for label in group) for group in groups]
    )


HANDLERS: dict[str, Handler] = {"Einsum": einsum}
