"""First and second moments of a layer's input, as each of its weights meets it.

A layer is linear, so its mean error is the weights' error times the mean input, and the variance
of its error is, correlations aside, the squared error times the input's variance.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.ir.checks import ints
from bitwright.ir.types import shape_of


@dataclass
class Moments:
    """Sums over samples of one value and of its square, in float64."""

    sums: NDArray[np.float64] | None = None
    squares: NDArray[np.float64] | None = None
    samples: int = 0

    def add(self, array: NDArray[Any], shape: tuple[int, ...]) -> None:
        """Add `array` [N, ...] or, where the value has no sample axis, one array of `shape`."""
        wide = array.astype(np.float64)
        batched = shape[:1] == (1,)
        if not batched:
            wide = wide[None]
        first = wide.sum(axis=0, keepdims=batched)
        second = np.square(wide).sum(axis=0, keepdims=batched)
        self.sums = first if self.sums is None else self.sums + first
        self.squares = second if self.squares is None else self.squares + second
        self.samples += len(wide)

    def mean(self) -> NDArray[np.float64]:
        """Mean over the samples, in the shape of the module's value."""
        if self.sums is None:
            raise ValueError("a mean of no samples")
        return self.sums / self.samples

    def mean_square(self) -> NDArray[np.float64]:
        """Mean square over the samples, in the shape of the module's value."""
        if self.squares is None:
            raise ValueError("a mean of no samples")
        return self.squares / self.samples


def at_weights(operation: Any, value: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each weight of a `conv2d` or `linear` is multiplied with, averaged over the outputs.

    Args:
        value: a statistic of the operation's input, in its shape.

    Returns:
        An array in the shape of the weight (a view where rows repeat).
    """
    shape = shape_of(operation.weight)
    if operation.operation.name == "bw.linear":
        return np.broadcast_to(value.reshape(-1, shape[1]).mean(axis=0), shape)
    top, left, bottom, right = ints(operation.padding)
    stride, dilation = ints(operation.stride), ints(operation.dilation)
    padded = np.pad(value[0], ((0, 0), (top, bottom), (left, right)))
    height, width = shape_of(operation.result)[2:]
    outputs, per_group, rows, columns = shape
    met = np.empty((len(padded), rows, columns))
    for y in range(rows):
        for x in range(columns):
            seen = padded[:, y * dilation[0] :: stride[0], x * dilation[1] :: stride[1]]
            met[:, y, x] = seen[:, :height, :width].mean(axis=(1, 2))
    groups = operation.groups.value
    grouped = met.reshape(groups, 1, per_group, rows, columns)
    repeated = np.broadcast_to(grouped, (groups, outputs // groups, per_group, rows, columns))
    return repeated.reshape(shape)
