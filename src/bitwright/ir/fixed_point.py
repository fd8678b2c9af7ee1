"""LiteRT's fixed-point arithmetic in NumPy: 32-bit multipliers, and gemmlowp's exponential.

Every function takes and returns int64 arrays whose values fit 32 bits. Multipliers are never
negative, so that the one case in which gemmlowp's high multiply saturates (both operands the least
integer) cannot occur.

A fixed-point number of `b` integer bits is its raw integer over 2^(31-b).
Source: gemmlowp, fixedpoint/fixedpoint.h; LiteRT, kernels/internal/common.h.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

HALF_BITS = 31
"""Shift at which the high multiply alone divides: a multiplier of Q31."""

_INT32 = np.iinfo(np.int32)


def high_multiply(value: Any, multiplier: Any) -> Ints:
    """value * multiplier / 2^31, nearest, ties up (SaturatingRoundingDoublingHighMul)."""
    product = np.asarray(value, np.int64) * np.asarray(multiplier, np.int64)
    return (product + (1 << 30)) >> 31


def divide_by_power(value: Any, exponent: Any) -> Ints:
    """value / 2^exponent, the nearest integer, ties away from zero (RoundingDivideByPOT)."""
    value, exponent = np.asarray(value, np.int64), np.asarray(exponent, np.int64)
    half = (np.int64(1) << exponent) >> 1
    away = ((value < 0) & (exponent > 0)).astype(np.int64)
    return (value + half - away) >> exponent


def scale(value: Any, multiplier: Any, shift: Any) -> Ints:
    """value * multiplier / 2^shift, rounded twice (MultiplyByQuantizedMultiplier).

    Below a shift of 31 the value is shifted left first and wraps to 32 bits, as LiteRT's does;
    above, the high multiply is followed by a rounding right shift.
    """
    shift = np.asarray(shift, np.int64)
    left, right = np.maximum(HALF_BITS - shift, 0), np.maximum(shift - HALF_BITS, 0)
    shifted = (np.asarray(value, np.int64) << left).astype(np.int32).astype(np.int64)
    return divide_by_power(high_multiply(shifted, multiplier), right)


def scale_once(value: Any, multiplier: Any, shift: Any) -> Ints:
    """value * multiplier / 2^shift, the nearest integer, ties away from zero."""
    return divide_by_power(np.asarray(value, np.int64) * np.asarray(multiplier, np.int64), shift)


def scale_to_even(value: Any, multiplier: Any, shift: Any) -> Ints:
    """value * multiplier / 2^shift, the nearest integer, ties to even."""
    product = np.asarray(value, np.int64) * np.asarray(multiplier, np.int64)
    shift = np.asarray(shift, np.int64)
    half = (np.int64(1) << shift) >> 1
    return (product + half - 1 + ((product >> shift) & 1)) >> shift


def scale_up(value: Any, multiplier: Any, shift: Any) -> Ints:
    """value * multiplier / 2^shift, the nearest integer, ties up."""
    product = np.asarray(value, np.int64) * np.asarray(multiplier, np.int64)
    return (product + (np.int64(1) << (np.asarray(shift, np.int64) - 1))) >> shift


SCALES: Mapping[str, Callable[[Any, Any, Any], Ints]] = {
    "half_up": scale_up,
    "half_away": scale_once,
    "half_even": scale_to_even,
    "tflite": scale,
}
"""The roundings of `bw.requantize`: functions of sums, multipliers and shifts (from 1 on)."""


def _saturating_left(value: Ints, places: int) -> Ints:
    return np.clip(value << places, _INT32.min, _INT32.max)


def exponential(value: Any) -> Ints:
    """exp of numbers <= 0 with 5 integer bits, with 0 integer bits (exp_on_negative_values)."""
    value = np.asarray(value, np.int64)
    quarter = 1 << 24
    within = (value & (quarter - 1)) - quarter
    result = _exponential_of_last_quarter(_saturating_left(within, 5))
    remainder = within - value
    for exponent, factor in zip(range(-2, 5), _EXPONENTIALS, strict=True):
        applies = (remainder & (1 << (26 + exponent))) != 0
        result = np.where(applies, high_multiply(result, factor), result)
    return np.where(value == 0, _INT32.max, result)


# exp(-2^e) for e from -2 to 4, with 0 integer bits
_EXPONENTIALS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)


def _exponential_of_last_quarter(value: Ints) -> Ints:
    """exp on [-1/4, 0): Taylor's series around -1/8."""
    x = value + (1 << 28)
    x2 = high_multiply(x, x)
    x3 = high_multiply(x2, x)
    x4_over_4 = divide_by_power(high_multiply(x2, x2), 2)
    third = high_multiply(x4_over_4 + x3, 715827883)
    polynomial = divide_by_power(third + x2, 1)
    at_centre = 1895147668  # exp(-1/8)
    return at_centre + high_multiply(x + polynomial, at_centre)


ACCUMULATOR_INTEGER_BITS = 12
NEWTON_STEPS = 3
NEWTON_START = 1515870810
"""48/17 with 2 integer bits."""
NEWTON_SLOPE = -1010580540
"""-32/17 with 2 integer bits."""


def reciprocal(total: Any) -> tuple[Ints, Ints]:
    """1 / total as (raw, bits): raw over 2^31 is the reciprocal of total over 2^bits.

    `total` > 0 has 12 integer bits (GetReciprocal, by Newton's method on [1/2, 1)).
    """
    total = np.asarray(total, np.int64)
    headroom = 32 - np.frexp(total.astype(np.float64))[1].astype(np.int64)
    minus_one = (total << headroom) - (1 << 31)
    half_denominator = (minus_one + _INT32.max + 1) >> 1
    x = NEWTON_START + high_multiply(half_denominator, NEWTON_SLOPE)
    for _ in range(NEWTON_STEPS):
        rest = (1 << 29) - high_multiply(half_denominator, x)
        x = x + _saturating_left(high_multiply(x, rest), 2)
    return _saturating_left(x, 1), ACCUMULATOR_INTEGER_BITS - headroom


def softmax(exponentials: Any, axis: int) -> NDArray[np.int8]:
    """Exponentials with 0 integer bits to int8 probabilities of scale 1/256, zero point -128."""
    exponentials = np.asarray(exponentials, np.int64)
    terms = divide_by_power(exponentials, ACCUMULATOR_INTEGER_BITS)
    raw, bits = reciprocal(terms.sum(axis=axis, keepdims=True))
    shares = divide_by_power(high_multiply(raw, exponentials), bits + 31 - 8)
    return np.clip(shares - 128, -128, 127).astype(np.int8)
