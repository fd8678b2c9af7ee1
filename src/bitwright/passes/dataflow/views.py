"""Where the elements of a value of the module lie in the tensor of a stage.

Reshapes and transposes move nothing in a pipeline: they only say which element of a stage's
result [channels, height, width] is which element of the value.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.ir.types import shape_of

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class View:
    """A value of the module in the tensor of a stage.

    Attributes:
        tensor: name of the stage's result, or of the input.
        shape: its channels, height, width.
        index: [...], of the value's shape: which element of the flattened tensor each one is.
    """

    tensor: str
    shape: tuple[int, int, int]
    index: Ints

    @property
    def direct(self) -> bool:
        """Whether the value's elements are the tensor's in their order."""
        return bool((self.index.ravel() == np.arange(self.index.size)).all())

    def channelwise(self, per_element: Ints) -> Ints | None:
        """Per-element numbers of the value as [channels, ...]; None where a channel has several.

        Args:
            per_element: [*index.shape, ...].
        """
        channels, pixels = self.shape[0], self.shape[1] * self.shape[2]
        rest = per_element.shape[self.index.ndim :]
        flat = np.empty((channels * pixels, *rest), np.int64)
        flat[self.index.ravel()] = per_element.reshape(-1, *rest)
        grid = flat.reshape(channels, pixels, *rest)
        return grid[:, 0] if (grid == grid[:, :1]).all() else None


def view_of(value: ir.Value, tensor: str) -> View | None:
    """`value` [1, ...] as a tensor of its own; None for a batch or a rank that has no form."""
    shape = shape_of(value)
    if not 2 <= len(shape) <= 4 or shape[0] != 1:
        return None
    channels, height, width = (*shape[1:], 1, 1)[:3]
    index = np.arange(channels * height * width).reshape(shape)
    return View(tensor, (channels, height, width), index)
