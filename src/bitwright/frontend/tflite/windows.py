"""Strides and padding of sliding windows."""

from collections.abc import Sequence
from dataclasses import dataclass

from bitwright.frontend.common.checks import checked_size
from bitwright.frontend.tflite.node import Node

SAME, VALID = 0, 1


@dataclass(frozen=True)
class Window:
    """Padding is top, left, bottom, right."""

    stride: tuple[int, int]
    padding: tuple[int, int, int, int]


def window(
    node: Node, extents: Sequence[int], kernel: Sequence[int], dilation: Sequence[int] = (1, 1)
) -> Window:
    """The options of `node` for an image of `extents` (rows, columns).

    SAME padding makes ceil(extent / stride) outputs, the odd row or column behind.
    """
    options = node.operator.options
    stride = (options["StrideH"], options["StrideW"])
    if min(*stride, *dilation, *kernel) < 1:
        node.fail_option(
            "Stride", list(stride),
            f"positive strides, dilations and kernels (here {list(dilation)} and {list(kernel)})",
        )  # fmt: skip
    if options["Padding"] not in (SAME, VALID):
        node.fail_option("Padding", options["Padding"], "0 (SAME), 1 (VALID)")
    if options["Padding"] == VALID:
        return Window(stride, (0, 0, 0, 0))
    before: list[int] = []
    after: list[int] = []
    for size, taps, step, spread in zip(extents, kernel, stride, dilation, strict=True):
        outputs = -(-size // step)
        total = max(0, (outputs - 1) * step + spread * (taps - 1) + 1 - size)
        before.append(total // 2)
        after.append(total - total // 2)
    padded = [a + n + b for a, n, b in zip(before, extents, after, strict=True)]
    checked_size(padded, f"{node.describe()}: its padded input")
    return Window(stride, (before[0], before[1], after[0], after[1]))
