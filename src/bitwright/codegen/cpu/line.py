"""A requantization with one rounding: clamp(((sums << left) * multiplier + offset) >> 32 >> shift).

Divisions that round down may be joined, (x >> a) + b >> c equals x + (b << a) >> (a + c). So the
two roundings of the `tflite` arithmetic are one for sums from 0 on. Below, the second rounds ties
away from 0, which takes 2^31 off the offset; where the clamp cuts all of these results, it may
stay. The other kinds of rounding differ at ties only, which small sums never hit. A channel whose
result is always the same is an offset alone.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.ir import fixed_point
from bitwright.ir.checks import ints
from bitwright.ir.fixed_point import HALF_BITS
from bitwright.ir.types import value_params

WORD = 32
_MOST = 22
"""Of the shift: so that 32 bits hold results with their zero point before it."""


@dataclass(frozen=True)
class Line:
    """Of each output: int32 multiplier, int64 offset, int32 shifts.

    `below` is what is added to the offset where a product is negative.
    """

    left: NDArray[np.int32]
    multiplier: NDArray[np.int32]
    offset: NDArray[np.int64]
    shift: NDArray[np.int32]
    below: int


def line(requantize: Any, ranges: NDArray[np.int64]) -> Line | None:
    """The line of a `bw.requantize` of sums in `ranges` [outputs, 2], where it has one."""
    given, shifts = (
        np.broadcast_to(np.asarray(ints(field), np.int64), len(ranges))
        for field in (requantize.multiplier, requantize.shift)
    )
    zero, rounding = value_params(requantize.result).zero_point, requantize.rounding.value
    low, high = requantize.clamp_min.value, requantize.clamp_max.value
    ends = fixed_point.SCALES[rounding](ranges, given[:, None], shifts[:, None])
    fixed = np.clip(ends + zero, low, high)
    varies = fixed[:, 0] != fixed[:, 1]
    given, shifts = np.where(varies, given, 0), np.where(varies, shifts, 1)
    most = np.abs(ranges).max(axis=1)
    half, below = np.int64(1) << (shifts - 1), 0
    if rounding == "tflite":
        half += np.where(shifts > HALF_BITS, 1 << (HALF_BITS - 1), 0)
        if low < zero:
            below = -1 << HALF_BITS
            small = (given < 1 << (HALF_BITS - 1)) | (shifts <= HALF_BITS)
            if (varies & small).any():
                return None
    elif rounding == "half_even" or (rounding == "half_away" and low < zero):
        factor = given & -given  # the power of two in it
        if (varies & (most * factor >= half)).any():
            return None
    raised = np.array([HALF_BITS - int(m).bit_length() for m in given])
    left = np.where(varies, np.maximum(WORD - shifts - raised, 0), 0)
    whole = np.where(varies, shifts + raised + left, WORD)
    if (whole > WORD + _MOST).any() or (most[varies] << left[varies] >= 1 << HALF_BITS).any():
        return None
    offset = np.where(
        varies, (half << raised + left) + (np.int64(zero) << whole), fixed[:, 0] << WORD
    )
    return Line(
        left.astype(np.int32), (given << raised).astype(np.int32), offset,
        (whole - WORD).astype(np.int32), below,
    )  # fmt: skip
