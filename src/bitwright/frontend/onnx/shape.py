"""Operators that move or relabel elements, and those that do nothing at inference."""

import math
from collections.abc import Sequence

import numpy as np
from torch_mlir import ir

from bitwright.frontend.common.checks import checked_size
from bitwright.frontend.onnx.errors import InvalidModelError
from bitwright.frontend.onnx.node import Handler, Node, Operand, shape
from bitwright.ir.types import dtype_of, is_float


def _reshaped(node: Node, extents: list[int]) -> ir.Value:
    """Reshape to these extents."""
    x = node.tensor(0)
    if math.prod(extents) != math.prod(shape(x)):
        raise InvalidModelError(
            f"{node.describe()}: {list(shape(x))} does not reshape to {extents}"
        )
    return node.builder.reshape(x, checked_size(extents, node.describe()))


def reshape(node: Node) -> Operand:
    """Reshape to a constant shape; 0 keeps an extent, -1 takes the rest."""
    source = shape(node.tensor(0))
    wanted = node.integer_list(1, "shape")
    if not node.integer("allowzero", 0):
        for index, extent in enumerate(wanted):
            if extent == 0 and index >= len(source):
                raise InvalidModelError(
                    f"{node.describe()}: shape {wanted} keeps axis {index} of {list(source)}"
                )
        wanted = [source[i] if extent == 0 else extent for i, extent in enumerate(wanted)]
    if wanted.count(-1) == 1:
        rest = -math.prod(wanted)
        if rest <= 0 or math.prod(source) % rest:
            raise InvalidModelError(
                f"{node.describe()}: {list(source)} does not reshape to {wanted}"
            )
        wanted = [math.prod(source) // rest if extent == -1 else extent for extent in wanted]
    return _reshaped(node, wanted)


def flatten(node: Node) -> Operand:
    """Flatten to two axes."""
    source = shape(node.tensor(0))
    axis = node.integer("axis", 1)
    axis = axis if axis == len(source) else node.axis(axis, len(source))
    return _reshaped(node, [math.prod(source[:axis]), math.prod(source[axis:])])


def _axes(node: Node) -> list[int] | None:
    """Axes of Squeeze and Unsqueeze: an attribute before opset 13, an input from then on."""
    if node.operand(1) is not None:
        return node.integer_list(1, "axes")
    axes = node.attribute("axes")
    return None if axes is None else [int(axis) for axis in axes]


def squeeze(node: Node) -> Operand:
    """Squeeze."""
    source = shape(node.tensor(0))
    axes = _axes(node)
    if axes is None:
        drop = {axis for axis, extent in enumerate(source) if extent == 1}
    else:
        drop = {node.axis(axis, len(source)) for axis in axes}
    if any(source[axis] != 1 for axis in drop):
        raise InvalidModelError(
            f"{node.describe()}: axes {sorted(drop)} of {list(source)} are not all of extent 1"
        )
    return _reshaped(node, [n for axis, n in enumerate(source) if axis not in drop])


def unsqueeze(node: Node) -> Operand:
    """Unsqueeze."""
    source = list(shape(node.tensor(0)))
    axes = _axes(node)
    if axes is None:
        raise InvalidModelError(f"{node.describe()}: axes are missing")
    rank = len(source) + len(axes)
    added = {node.axis(axis, rank) for axis in axes}
    if len(added) != len(axes):
        raise InvalidModelError(f"{node.describe()}: axes {axes} repeat")
    rest = iter(source)
    return _reshaped(node, [1 if axis in added else next(rest) for axis in range(rank)])


def transpose(node: Node) -> Operand:
    """Transpose; the default reverses the axes."""
    rank = node.rank(0)
    return node.builder.transpose(node.tensor(0), node.integers("perm", range(rank)[::-1]))


def concat(node: Node) -> Operand:
    """Concat; constants among the operands become `bw.constant`."""
    values = [node.tensor(index) for index in range(len(node.operands))]
    return node.builder.concat(values, node.axis(node.integer("axis", 0), len(shape(values[0]))))


_COPYING = ("edge", "reflect", "wrap")


def pad(node: Node) -> Operand:
    """Pad with a number, -inf or copies; the axes are an operand since opset 18."""
    mode = node.attribute("mode", "constant")
    if mode not in ("constant", *_COPYING):
        node.fail_attribute("mode", mode, ", ".join(("constant", *_COPYING)))
    x, rank = node.tensor(0), node.rank(0)
    amounts = node.integer_list(1, "amount of padding")
    axes = list(range(rank))
    if node.operand(3) is not None:
        axes = [node.axis(axis, rank) for axis in node.integer_list(3, "axes")]
    if len(amounts) != 2 * len(axes) or min(amounts, default=0) < 0:
        node.fail_operand(1, f"is {amounts}", f"{2 * len(axes)} amounts that are not negative")
    low, high = [0] * rank, [0] * rank
    for index, axis in enumerate(axes):
        low[axis], high[axis] = amounts[index], amounts[index + len(axes)]
    checked_size([a + n + b for a, n, b in zip(low, shape(x), high, strict=True)], node.describe())
    if mode == "constant":
        return node.builder.pad(x, low, high, _padding_value(node, x))
    for axis, extent in enumerate(shape(x)):
        most = {"edge": extent + max(low[axis], high[axis]), "reflect": extent - 1}.get(
            mode, extent
        )
        if max(low[axis], high[axis]) > most:
            node.fail_operand(1, f"pads axis {axis} of {extent} by {amounts}", f"at most {most}")
        if low[axis] or high[axis]:
            places = np.pad(np.arange(extent), (low[axis], high[axis]), mode=mode)
            x = node.builder.gather(x, node.builder.plain(places), axis)
    return x


def _padding_value(node: Node, x: ir.Value) -> float | int:
    if not is_float(x) and dtype_of(x).kind not in "iu":
        node.fail_operand(0, f"has element type {dtype_of(x)}", "float32, integers")
    if node.operand(2) is None:
        return 0
    fill = node.array(2, "padding value")
    if fill.size != 1:
        node.fail_operand(2, f"has {fill.size} elements", "one number")
    if is_float(x) and not np.isneginf(fill).all():  # which stands before a maximum
        fill = node.float_array(2, "padding value")
    return fill.reshape(-1)[0].item()


def identity(node: Node) -> Operand:
    """Identity, and Dropout at inference."""
    return node.required(0)


def dropout(node: Node) -> Sequence[Operand]:
    """Dropout does nothing unless its training_mode operand is true; its mask is all true."""
    training = node.operand(2)
    if training is not None and bool(node.array(2, "training mode").any()):
        node.fail_operand(2, "is true", "false; export the model for inference")
    x = node.required(0)
    return x, np.ones(shape(x), np.bool_)


HANDLERS: dict[str, Handler] = {
    "Concat": concat,
    "Dropout": dropout,
    "Flatten": flatten,
    "Identity": identity,
    "Pad": pad,
    "Reshape": reshape,
    "Squeeze": squeeze,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
