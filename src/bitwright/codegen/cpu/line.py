"""A requantization with one rounding: clamp((sums * multiplier + offset) >> 32 >> shift).

Divisions that round down may be joined, (x >> a) + b >> c equals x + (b << a) >> (a + c). So the two
roundings of the `tflite` arithmetic are one for sums from 0 on. Below, the second rounds ties away
from 0, which takes 2^31 off the offset; where the clamp cuts all of these results, it may stay. The
other kinds of rounding differ at ties only, which small sums never hit.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.ir.checks import ints
from bitwright.ir.fixed_point import HALF_BITS
from bitwright.ir.types import value_params

_WORD = 32
_MOST = 22
"""Of the shift: so that 32 bits hold results with their zero point before it."""


@dataclass(frozen=True)
class Line:
    """Of each output: int32 multiplier, int64 offset, int32 shift.

    `below` is what is added to the offset where sum * multiplier is negative.
    """

    multiplier: NDArray[np.int32]
    offset: NDArray[np.int64]
    shift: NDArray[np.int32]
    below: int


def line(requantize: Any, most: int, outputs: int) -> Line | None:
    """The line of a `bw.requantize` of sums up to `most` in size, where it has one."""
    given, shifts = (
        np.broadcast_to(np.asarray(ints(field), np.int64), outputs)
        for field in (requantize.multiplier, requantize.shift)
    )
    zero, rounding = value_params(requantize.result).zero_point, requantize.rounding.value
    positive = requantize.clamp_min.value >= zero
    twice = rounding == "tflite"
    if twice and (shifts <= HALF_BITS).any():
        return None
    used = given > 0
    half = np.int64(1) << (shifts - 1)
    below = 0
    if twice:
        half += 1 << (HALF_BITS - 1)
        if not positive:
            below = -1 << HALF_BITS
            if (used & (given < 1 << (HALF_BITS - 1))).any():
                return None
    elif rounding == "half_even" or (rounding == "half_away" and not positive):
        factor = np.where(used, given & -given, 1)  # the power of two in it
        if (used & (most * factor >= half)).any():
            return None
    raised = np.array([HALF_BITS - int(m).bit_length() if m else 0 for m in given])
    whole = np.where(used, shifts + raised, np.maximum(shifts, _WORD))
    if (whole < _WORD).any() or (whole > _WORD + _MOST).any():
        return None
    half = np.where(used, half << raised, 0)
    return Line(
        (given << raised).astype(np.int32), half + (np.int64(zero) << whole),
        (whole - _WORD).astype(np.int32), below,
    )  # fmt: skip
