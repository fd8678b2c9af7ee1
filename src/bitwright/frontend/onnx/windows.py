"""Sliding windows as ONNX describes them: auto_pad, ceil_mode, and one spatial axis as a row."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bitwright.frontend.common.windows import overhang as overhang_of
from bitwright.frontend.onnx.node import Node

AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


@dataclass(frozen=True)
class Window:
    """A 2-D window; padding is top, left, bottom, right.

    `overhang` is what `ceil_mode` adds below and to the right, beyond `padding`, so that the last
    window fits.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int, int, int]
    overhang: tuple[int, int] = (0, 0)

    @property
    def extended_padding(self) -> tuple[int, int, int, int]:
        """Padding and overhang together."""
        top, left, bottom, right = self.padding
        return top, left, bottom + self.overhang[0], right + self.overhang[1]


def window(node: Node, spatial: Sequence[int], kernel: Sequence[int]) -> Window:
    """The window of a convolution or pooling node over `spatial` (one or two extents)."""
    rank = len(spatial)
    stride = _per_axis(node, "strides", [1] * rank, rank, lowest=1)
    dilation = _per_axis(node, "dilations", [1] * rank, rank, lowest=1)
    if len(kernel) != rank or any(not 1 <= k <= 1 << 16 for k in kernel):
        node.fail_attribute("kernel_shape", list(kernel), f"{rank} positive extents")
    low, high = _pads(node, spatial, kernel, stride, dilation)
    overhang = [0] * rank
    if node.integer("ceil_mode", 0):
        overhang = [
            overhang_of(size + a + b, k, s, d, size + a)
            for size, a, b, k, s, d in zip(
                spatial, low, high, kernel, stride, dilation, strict=True
            )
        ]
    if rank == 1:
        return Window(
            (1, kernel[0]), (1, stride[0]), (1, dilation[0]), (0, low[0], 0, high[0]),
            (0, overhang[0]),
        )  # fmt: skip
    return Window(
        (kernel[0], kernel[1]), (stride[0], stride[1]), (dilation[0], dilation[1]),
        (low[0], low[1], high[0], high[1]), (overhang[0], overhang[1]),
    )  # fmt: skip


def transposed_window(node: Node, spatial: Sequence[int], kernel: Sequence[int]) -> Window:
    """The window of a transposed convolution: what is cut off the result, and what is added."""
    rank = len(spatial)
    stride = _per_axis(node, "strides", [1] * rank, rank, lowest=1)
    dilation = _per_axis(node, "dilations", [1] * rank, rank, lowest=1)
    extra = _per_axis(node, "output_padding", [0] * rank, rank, lowest=0)
    full = [
        (size - 1) * s + d * (k - 1) + 1 + more
        for size, s, d, k, more in zip(spatial, stride, dilation, kernel, extra, strict=True)
    ]
    mode, wanted = node.attribute("auto_pad", "NOTSET"), node.attribute("output_shape")
    if wanted is not None:
        wanted = [int(n) for n in wanted][-rank:]
    elif mode in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [size * s for size, s in zip(spatial, stride, strict=True)]
    if wanted is None:
        low, high = _pads(node, spatial, kernel, stride, dilation)
    else:
        total = [have - want for have, want in zip(full, wanted, strict=True)]
        extra = [more + max(-n, 0) for more, n in zip(extra, total, strict=True)]
        total = [max(n, 0) for n in total]
        half = [n // 2 for n in total]
        rest = [n - m for n, m in zip(total, half, strict=True)]
        low, high = (rest, half) if mode != "SAME_UPPER" else (half, rest)
    one = rank == 1
    return Window(
        (1, kernel[0]) if one else (kernel[0], kernel[1]),
        (1, stride[0]) if one else (stride[0], stride[1]),
        (1, dilation[0]) if one else (dilation[0], dilation[1]),
        (0, low[0], 0, high[0]) if one else (low[0], low[1], high[0], high[1]),
        (0, extra[0]) if one else (extra[0], extra[1]),
    )


def _per_axis(
    node: Node, name: str, default: list[int], rank: int, lowest: int, times: int = 1
) -> list[int]:
    values = node.integers(name, default)
    if len(values) != rank * times or any(not lowest <= value <= 1 << 16 for value in values):
        node.fail_attribute(name, values, f"{rank * times} integers from {lowest} to {1 << 16}")
    return values


def _pads(
    node: Node, spatial: Sequence[int], kernel: Sequence[int], stride: Sequence[int],
    dilation: Sequence[int],
) -> tuple[list[int], list[int]]:  # fmt: skip
    rank = len(spatial)
    mode = node.attribute("auto_pad", "NOTSET")
    if mode == "NOTSET":
        pads = _per_axis(node, "pads", [0] * 2 * rank, rank, lowest=0, times=2)
        return pads[:rank], pads[rank:]
    if mode == "VALID":
        return [0] * rank, [0] * rank
    if mode not in AUTO_PADS:
        node.fail_attribute("auto_pad", mode, ", ".join(AUTO_PADS))
    low: list[int] = []
    high: list[int] = []
    for size, k, s, d in zip(spatial, kernel, stride, dilation, strict=True):
        total = max((math.ceil(size / s) - 1) * s + d * (k - 1) + 1 - size, 0)
        less, more = total // 2, total - total // 2
        low.append(less if mode == "SAME_UPPER" else more)
        high.append(more if mode == "SAME_UPPER" else less)
    return low, high
