"""Pooling over windows and over whole planes, means over axes."""

from bitwright.frontend.common.windows import as_2d, from_2d
from bitwright.frontend.onnx.node import Handler, Node, Operand, operand_dtype, shape
from bitwright.frontend.onnx.windows import window


def _spatial_rank(node: Node) -> int:
    rank = node.rank(0) - 2
    if rank not in (1, 2):
        node.fail_operand(
            0, f"has shape {list(shape(node.required(0)))}", "1-D [N, C, L] and 2-D [N, C, H, W]"
        )
    return rank


_BYTES = ("int8", "uint8")


def max_pool(node: Node) -> Operand:
    """MaxPool; ceil_mode becomes padding, which never wins."""
    spatial = _spatial_rank(node)
    x = node.tensor(0) if operand_dtype(node.required(0)).name in _BYTES else node.value(0)
    sliding = window(node, shape(x)[2:], node.integers("kernel_shape", ()))
    result = node.builder.max_pool2d(
        as_2d(node.builder, x), kernel=sliding.kernel, stride=sliding.stride,
        padding=sliding.extended_padding, dilation=sliding.dilation,
    )  # fmt: skip
    return from_2d(node.builder, result, spatial)


def average_pool(node: Node) -> Operand:
    """AveragePool; what ceil_mode adds never counts, padding counts on request."""
    spatial, x = _spatial_rank(node), node.value(0)
    sliding = window(node, shape(x)[2:], node.integers("kernel_shape", ()))
    if sliding.dilation != (1, 1):
        node.fail_attribute("dilations", node.integers("dilations", ()), "1 for every axis")
    x, padding = as_2d(node.builder, x), sliding.extended_padding
    counted = bool(node.integer("count_include_pad", 0))
    if counted and any(sliding.overhang):
        top, left, bottom, right = sliding.padding
        if any(sliding.padding):
            x = node.builder.pad(x, (0, 0, top, left), (0, 0, bottom, right), 0.0)
        padding, counted = (0, 0, *sliding.overhang), False
    result = node.builder.avg_pool2d(
        x, kernel=sliding.kernel, stride=sliding.stride, padding=padding,
        count_include_pad=counted and any(padding),
    )  # fmt: skip
    return from_2d(node.builder, result, spatial)


def global_average_pool(node: Node) -> Operand:
    """GlobalAveragePool as one window."""
    spatial = _spatial_rank(node)
    x = as_2d(node.builder, node.value(0))
    plane = shape(x)[2:]
    return from_2d(node.builder, node.builder.avg_pool2d(x, kernel=plane, stride=plane), spatial)


def global_max_pool(node: Node) -> Operand:
    """GlobalMaxPool as one window."""
    spatial = _spatial_rank(node)
    x = as_2d(node.builder, node.value(0))
    plane = shape(x)[2:]
    return from_2d(node.builder, node.builder.max_pool2d(x, kernel=plane, stride=plane), spatial)


def reduce_mean(node: Node) -> Operand:
    """ReduceMean; axes are an attribute before opset 18 and an input from then on."""
    x, rank = node.value(0), node.rank(0)
    if node.operand(1) is not None:
        axes = node.integer_list(1, "axes")
    else:
        axes = node.integers("axes", ())
    if not axes:
        if node.integer("noop_with_empty_axes", 0):
            return x
        axes = list(range(rank))
    axes = sorted({node.axis(axis, rank) for axis in axes})
    keepdims = bool(node.integer("keepdims", 1))
    if len(axes) == rank and not keepdims:
        node.fail_attribute("axes", axes, "at least one axis left, or keepdims = 1")
    return node.builder.reduce_mean(x, axes, keepdims)


HANDLERS: dict[str, Handler] = {
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
    "MaxPool": max_pool,
    "ReduceMean": reduce_mean,
}
