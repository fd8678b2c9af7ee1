"""Matrices of float weights to integers of 1 to 8 bits with a scale for each group of a row.

Scales are float16 numbers where these reach, kept as float32. The codes are those nearest to
weight / scale.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Levels:
    """Integers from -most to most, `step` apart."""

    most: int
    step: int = 1

    @property
    def bits(self) -> int:
        """Of a code."""
        return (2 * self.most // self.step).bit_length()


WEIGHTS: dict[str, Levels] = {
    "8": Levels(127), "7": Levels(63), "6": Levels(31), "5": Levels(15), "4": Levels(7),
    "3": Levels(3), "2": Levels(3, 2), "ternary": Levels(1), "1": Levels(1, 2),
}  # fmt: skip
"""Two bits are -3, -1, 1, 3 and one bit is -1, 1: all codes used, and symmetric."""

_SHARES = np.arange(10, 2, -1).astype(np.float32) / np.float32(10)
"""Of the greatest weight of a group: what the greatest integer may stand for."""
_SEARCHED_BITS = 5
"""Up to here clipping the greatest weights can pay."""
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Grouped:
    """weight = values * scales, each scale repeated over its group.

    `values` is [N, K] int8, `scales` [N, G] float32.
    """

    values: NDArray[np.int8]
    scales: NDArray[np.float32]


def group_length(depth: int, wanted: int, longest: int) -> int:
    """The length of the groups of a row: the divisor of `depth` nearest to `wanted`, by ratio.

    The whole row where `wanted` is 0; never more than `longest`.
    """
    divisors = [n for n in range(1, min(depth, longest) + 1) if depth % n == 0]
    return min(divisors, key=lambda n: abs(math.log(n / (wanted or depth))))


def quantize_matrix(weight: NDArray[Any], levels: Levels, length: int) -> Grouped:
    """Groups of `length` weights, each at the scale of least squared error.

    Args:
        weight: [N, K] float.
        length: a divisor of K.
    """
    outputs, depth = weight.shape
    values = np.empty((outputs, depth), np.int8)
    scales = np.empty((outputs, depth // length), np.float32)
    rows = max(1, _CHUNK // depth)
    for first in range(0, outputs, rows):
        part = slice(first, first + rows)
        groups = np.asarray(weight[part], np.float32).reshape(-1, depth // length, length)
        scales[part] = _scales(groups, levels)
        values[part] = _codes(groups, scales[part], levels).reshape(-1, depth)
    return Grouped(values, scales)


def _scales(groups: NDArray[np.float32], levels: Levels) -> NDArray[np.float32]:
    greatest = np.abs(groups).max(axis=-1) / np.float32(levels.most)
    shares = _SHARES if levels.bits <= _SEARCHED_BITS else _SHARES[:1]
    best, least = _halved(greatest), np.full(greatest.shape, np.inf, np.float32)
    for share in shares:
        scale = _halved(greatest * share)
        real = _codes(groups, scale, levels) * scale[..., None]
        error = np.square(real - groups).sum(axis=-1)
        best = np.where(error < least, scale, best)
        least = np.minimum(error, least)
    return best


def _halved(scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """To float16 and back, where all of them are normal numbers of it (or 0)."""
    limits = np.finfo(np.float16)
    within = (scale <= limits.max) & (scale >= limits.smallest_normal) | (scale == 0)
    return scale.astype(np.float16).astype(np.float32) if within.all() else scale


def _codes(
    groups: NDArray[np.float32], scales: NDArray[np.float32], levels: Levels
) -> NDArray[np.int8]:
    with np.errstate(all="ignore"):
        real = np.nan_to_num(groups / scales[..., None], posinf=0, neginf=0)
    if levels.step == 1:
        codes = np.rint(real)
    else:
        codes = 2 * np.floor(real / 2) + 1
    return np.clip(codes, -levels.most, levels.most).astype(np.int8)
