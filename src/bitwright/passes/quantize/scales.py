"""Scales, zero points and dyadic multipliers: real numbers as the integers that stand for them.

Scales of activations have 16 significant bits, so that a scale times an add's multiplier (7 bits)
is still exact in float32; they are rounded up, so that the range is covered.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from bitwright.ir.bw import MAX_MULTIPLIER, MAX_SHIFT
from bitwright.ir.types import QuantParams
from bitwright.passes.quantize.errors import ScaleNotRepresentable

SCALE_BITS = 16
MAX_FACTOR = 127
_SMALLEST, _LARGEST = 2.0**-100, 2.0**100
_EXACT_OVERHEAD = 0.02


def round_scale(scale: float) -> float:
    """The next scale of 16 significant bits that is not smaller."""
    mantissa, exponent = math.frexp(scale)
    return math.ldexp(math.ceil(math.ldexp(mantissa, SCALE_BITS)), exponent - SCALE_BITS)


def float32(value: float) -> float:
    """The nearest float32."""
    return float(np.float32(value))


def scale_of(low: float, high: float, bits: int, name: str) -> float:
    """The scale with which `bits`-bit codes cover [low, high] and zero.

    Raises:
        ScaleNotRepresentable: a range so narrow or so wide that float32 scales do not reach.
    """
    span = max(high, 0.0) - min(low, 0.0)
    if span == 0.0:
        return 1.0
    scale = round_scale(span / ((1 << bits) - 1))
    if not _SMALLEST <= scale <= _LARGEST:
        raise ScaleNotRepresentable(
            f"The values of {name!r} span [{low:g}, {high:g}], which needs a scale of {scale:g}; "
            "expected 2^-100 to 2^100, rescale the model's weights or inputs"
        )
    return scale


def params_of(low: float, scale: float, bits: int) -> QuantParams:
    """Codes of `bits` bits at `scale`; the zero point puts `low` (or zero) at the smallest code."""
    qmin, qmax = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    zero_point = int(np.clip(round(qmin - min(low, 0.0) / scale), qmin, qmax))
    return QuantParams((scale,), zero_point, bits, qmin, qmax)


def dyadic(ratio: float, name: str) -> tuple[int, int]:
    """m and s with m / 2^s next to `ratio`, m in [2^15, 2^16) wherever s in [1, 46] allows.

    Raises:
        ScaleNotRepresentable: a ratio too large for s = 1 or too small for s = 46.
    """
    mantissa, exponent = math.frexp(ratio)
    multiplier, shift = round(math.ldexp(mantissa, 16)), 16 - exponent
    if multiplier > MAX_MULTIPLIER:
        multiplier, shift = multiplier // 2, shift - 1
    if shift > MAX_SHIFT:
        multiplier, shift = round(math.ldexp(ratio, MAX_SHIFT)), MAX_SHIFT
    if shift < 1:
        multiplier, shift = round(math.ldexp(ratio, 1)), 1
    if not 1 <= multiplier <= MAX_MULTIPLIER:
        raise ScaleNotRepresentable(
            f"The accumulator of {name!r} is {ratio:g} output steps per unit; a multiplier of "
            f"1 to {MAX_MULTIPLIER} with a shift of 1 to {MAX_SHIFT} does not reach it, so check "
            "the calibration samples and the scaling of that layer"
        )
    return multiplier, shift


@dataclass(frozen=True)
class Matched:
    """Integers with fixed_scale / fixed == scale / free, and the free operand's scale."""

    fixed: int
    free: int
    scale: float


def match(fixed_scale: float, wanted: float) -> Matched | None:
    """Raise the scale `wanted` to the least one in an integer ratio to `fixed_scale`.

    A ratio with a power of two for the fixed operand is exact in float32 and taken where it costs
    at most 2 % of the step. None where the ratio exceeds 127.
    """
    ratio = Fraction(wanted) / Fraction(fixed_scale)
    candidates = [
        (Fraction(free, fixed), fixed, free)
        for fixed in range(1, MAX_FACTOR + 1)
        if (free := max(math.ceil(ratio * fixed), 1)) <= MAX_FACTOR
    ]
    if not candidates:
        return None
    exact = [item for item in candidates if item[1] & (item[1] - 1) == 0]
    overhead = 1 + Fraction(_EXACT_OVERHEAD)
    near = [item for item in exact if item[0] <= ratio * overhead]
    quotient, fixed, free = min(near or candidates)
    return Matched(fixed, free, float32(fixed_scale * float(quotient)))


def approximate(lhs_scale: float, rhs_scale: float, tolerance: float) -> tuple[int, int] | None:
    """Multipliers (lhs, rhs) with lhs_scale / lhs next to rhs_scale / rhs, or None."""
    ratio = lhs_scale / rhs_scale
    error, lhs, rhs = min(
        (abs(lhs / rhs / ratio - 1), lhs, rhs)
        for rhs in range(1, MAX_FACTOR + 1)
        for lhs in (min(max(round(ratio * rhs), 1), MAX_FACTOR),)
    )
    return (lhs, rhs) if error <= tolerance else None
