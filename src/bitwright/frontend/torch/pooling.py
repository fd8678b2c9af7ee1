"""Pooling over windows, of fixed and of adapted size."""

from collections.abc import Sequence

import numpy as np
from torch_mlir import ir

from bitwright.frontend.common.resample import along
from bitwright.frontend.common.windows import as_2d, from_2d, overhang
from bitwright.frontend.torch.node import Handler, Node, Operand, shape


def _spatial(node: Node, x: ir.Value) -> int:
    rank = 1 if "1d" in str(node.proto.target) else 2
    if len(shape(x)) != rank + 2:
        node.fail(
            "self", f"has shape {list(shape(x))}", "a batch: 1-D [N, C, L] and 2-D [N, C, H, W]"
        )
    return rank


class _Window:
    """Kernel, stride and padding in two axes; `extra` is what ceil_mode adds at the ends."""

    def __init__(self, node: Node, x: ir.Value, spatial: int) -> None:
        self.kernel = node.pair("kernel_size", spatial, 1)
        given = bool(node.argument("stride"))
        self.stride = node.pair("stride" if given else "kernel_size", spatial, 1)
        self.low = node.pair("padding", spatial, 0)
        dilated = "dilation" in node.given
        self.dilation = node.pair("dilation", spatial, 1) if dilated else (1, 1)
        self.extra = (0, 0)
        if node.flag("ceil_mode"):
            rows, columns = (
                overhang(size + 2 * low, kernel, stride, dilation, size + low)
                for size, low, kernel, stride, dilation in zip(
                    shape(x)[2:], self.low, self.kernel, self.stride, self.dilation, strict=True
                )
            )
            self.extra = (rows, columns)

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Top, left, bottom, right, with what ceil_mode adds."""
        (top, left), (rows, columns) = self.low, self.extra
        return top, left, top + rows, left + columns


def max_pool(node: Node) -> Operand:
    """max_pool; what ceil_mode adds never wins."""
    build, x = node.builder, node.value("self")
    spatial = _spatial(node, x)
    x = as_2d(build, x)
    window = _Window(node, x, spatial)
    result = build.max_pool2d(
        x, kernel=window.kernel, stride=window.stride, padding=window.padding,
        dilation=window.dilation,
    )  # fmt: skip
    return from_2d(build, result, spatial)


def max_pool_first(node: Node) -> Sequence[Operand]:
    """The form of core ATen; the indices are not computed."""
    return [max_pool(node), None]


def average_pool(node: Node) -> Operand:
    """avg_pool; what ceil_mode adds never counts, padding counts on request."""
    build, x = node.builder, node.value("self")
    spatial = _spatial(node, x)
    x = as_2d(build, x)
    window = _Window(node, x, spatial)
    divisor = "divisor_override" in node.given and node.has("divisor_override")
    padding, counted = window.padding, node.flag("count_include_pad") or divisor
    if counted and any(window.extra) and not divisor:
        (top, left), (rows, columns) = window.low, window.extra
        if any(window.low):
            x = build.pad(x, (0, 0, top, left), (0, 0, top, left), 0.0)
        padding, counted = (0, 0, rows, columns), False
    result = build.avg_pool2d(
        x, kernel=window.kernel, stride=window.stride, padding=padding,
        count_include_pad=counted and any(padding),
    )  # fmt: skip
    if divisor:
        factor = window.kernel[0] * window.kernel[1] / node.integer("divisor_override")
        result = build.mul(result, build.constant(np.array([factor], np.float32)))
    return from_2d(build, result, spatial)


def adaptive_average_pool(node: Node) -> Operand:
    """adaptive_avg_pool; windows of unequal size are a product with constants along each axis."""
    build, x = node.builder, node.value("self")
    spatial = _spatial(node, x)
    x = as_2d(build, x)
    plane, wanted = shape(x)[2:], node.pair("output_size", spatial, 1)
    if all(size % out == 0 for size, out in zip(plane, wanted, strict=True)):
        kernel = [size // out for size, out in zip(plane, wanted, strict=True)]
        return from_2d(build, build.avg_pool2d(x, kernel=kernel, stride=kernel), spatial)
    for axis, (size, out) in enumerate(zip(plane, wanted, strict=True), start=2):
        if size != out:
            x = along(build, x, axis, _means(size, out))
    return from_2d(build, x, spatial)


def _means(size: int, out: int) -> np.ndarray:
    """[out, size]: window i is from floor(i * size / out) to ceil((i + 1) * size / out)."""
    matrix = np.zeros((out, size), np.float64)
    for index in range(out):
        begin, end = index * size // out, -(-(index + 1) * size // out)
        matrix[index, begin:end] = 1 / (end - begin)
    return matrix.astype(np.float32)


def adaptive_max_pool(node: Node) -> Sequence[Operand]:
    """adaptive_max_pool where the windows are of equal size; the indices are not computed."""
    build, x = node.builder, node.value("self")
    spatial = _spatial(node, x)
    x = as_2d(build, x)
    wanted = node.pair("output_size", spatial, 1)
    if any(size % out for size, out in zip(shape(x)[2:], wanted, strict=True)):
        node.fail_value("output_size", f"divisors of the extents {list(shape(x)[2:])}")
    kernel = [size // out for size, out in zip(shape(x)[2:], wanted, strict=True)]
    return [from_2d(build, build.max_pool2d(x, kernel=kernel, stride=kernel), spatial), None]


HANDLERS: dict[str, Handler] = {
    "aten._adaptive_avg_pool2d": adaptive_average_pool,
    "aten.adaptive_avg_pool1d": adaptive_average_pool,
    "aten.adaptive_avg_pool2d": adaptive_average_pool,
    "aten.adaptive_max_pool1d": adaptive_max_pool,
    "aten.adaptive_max_pool2d": adaptive_max_pool,
    "aten.avg_pool1d": average_pool,
    "aten.avg_pool2d": average_pool,
    "aten.max_pool1d": max_pool,
    "aten.max_pool2d": max_pool,
    "aten.max_pool2d_with_indices": max_pool_first,
}
