"""Memory that compiled code works in."""

import numpy as np
from numpy.typing import NDArray


def aligned(size: int, alignment: int = 64) -> NDArray[np.uint8]:
    """`size` bytes that begin at a multiple of `alignment`, not initialised."""
    block = np.empty(size + alignment, np.uint8)
    start = -block.ctypes.data % alignment
    return block[start : start + size]
