"""Reductions over axes, apart from the mean."""

from collections.abc import Callable, Sequence

from torch_mlir import ir

from bitwright.frontend.onnx.functions import scalar
from bitwright.frontend.onnx.node import Handler, Node, Operand, shape

Reduce = Callable[[Node, ir.Value, Sequence[int], bool], ir.Value]


def axes_of(node: Node) -> list[int] | None:
    """The axes of a reduction, an attribute at first and an operand later; None for none."""
    rank = node.rank(0)
    if node.operand(1) is not None:
        axes = node.integer_list(1, "axes")
    else:
        axes = node.integers("axes", ())
    if not axes and node.integer("noop_with_empty_axes", 0):
        return None
    return sorted({node.axis(axis, rank) for axis in axes}) or list(range(rank))


def _reduction(reduce: Reduce, before: Callable[[Node, ir.Value], ir.Value] | None = None,
               after: str = "") -> Handler:  # fmt: skip
    """`before` every element, then `reduce`, then the function `after`."""

    def handle(node: Node) -> Operand:
        x, axes = node.tensor(0), axes_of(node)
        if before is not None:
            x = before(node, x)
        if axes is not None:
            x = reduce(node, x, axes, bool(node.integer("keepdims", 1)))
        return node.builder.function(after, x) if after else x

    return handle


def sum_(node: Node, x: ir.Value, axes: Sequence[int], keepdims: bool) -> ir.Value:
    """The sum."""
    return node.builder.reduce_sum(x, axes, keepdims)


def _maximum(node: Node, x: ir.Value, axes: Sequence[int], keepdims: bool) -> ir.Value:
    return _extreme("reduce_max", node, x, axes, keepdims)


def _minimum(node: Node, x: ir.Value, axes: Sequence[int], keepdims: bool) -> ir.Value:
    return _extreme("reduce_min", node, x, axes, keepdims)


def _extreme(kind: str, node: Node, x: ir.Value, axes: Sequence[int], keepdims: bool) -> ir.Value:
    return node.builder.reduce(kind, x, axes, keepdims)


def _product(node: Node, x: ir.Value, axes: Sequence[int], keepdims: bool) -> ir.Value:
    return node.builder.reduce("reduce_prod", x, axes, keepdims)


def log_sum_exp(node: Node, x: ir.Value, axes: Sequence[int], keepdims: bool) -> ir.Value:
    """log(sum(exp(x))), from the maximum on."""
    build = node.builder
    top = build.reduce("reduce_max", x, axes, True)
    top = build.select(build.function("is_inf", top, negative=1, positive=1),
                       scalar(node, 0, x), top)  # fmt: skip
    total = build.function("log", sum_(node, _exp(node, build.add(x, top, 1, -1)), axes, True))
    total = build.add(total, top)
    if keepdims:
        return total
    return build.reshape(total, [n for i, n in enumerate(shape(total)) if i not in axes])


def _exp(node: Node, x: ir.Value) -> ir.Value:
    return node.builder.function("exp", x)


def _square(node: Node, x: ir.Value) -> ir.Value:
    return node.builder.mul(x, x)


def _absolute(node: Node, x: ir.Value) -> ir.Value:
    return node.builder.function("abs", x)


HANDLERS: dict[str, Handler] = {
    "ReduceL1": _reduction(sum_, _absolute),
    "ReduceL2": _reduction(sum_, _square, "sqrt"),
    "ReduceLogSum": _reduction(sum_, after="log"),
    "ReduceLogSumExp": _reduction(log_sum_exp),
    "ReduceMax": _reduction(_maximum),
    "ReduceMin": _reduction(_minimum),
    "ReduceProd": _reduction(_product),
    "ReduceSum": _reduction(sum_),
    "ReduceSumSquare": _reduction(sum_, _square),
}
