"""LiteRT's fixed-point arithmetic against its definition, one integer at a time."""

import math
from fractions import Fraction

import numpy as np
import pytest

from bitwright.ir import fixed_point

INT32 = (-(2**31), 2**31 - 1)


def _truncated(numerator: int, denominator: int) -> int:
    """C's division."""
    quotient = abs(numerator) // denominator
    return quotient if numerator >= 0 else -quotient


def _high_multiply(a: int, b: int) -> int:
    """gemmlowp's SaturatingRoundingDoublingHighMul, line by line."""
    product = a * b
    nudge = 1 << 30 if product >= 0 else 1 - (1 << 30)
    return _truncated(product + nudge, 1 << 31)


def _divide_by_power(x: int, exponent: int) -> int:
    """gemmlowp's RoundingDivideByPOT, line by line."""
    mask = (1 << exponent) - 1
    threshold = (mask >> 1) + (1 if x < 0 else 0)
    return (x >> exponent) + (1 if (x & mask) > threshold else 0)


def _values(rng: np.random.Generator, count: int) -> list[int]:
    corners = [*INT32, 0, 1, -1, 2, -2, 3, -3, 1 << 30, -(1 << 30), 6, -6, 10, -10]
    sizes = rng.integers(1, 32, count)
    return corners + [int(rng.integers(-(1 << int(n)), 1 << int(n))) for n in sizes]


def test_high_multiply() -> None:
    rng = np.random.default_rng(1)
    values = _values(rng, 300)
    for multiplier in (0, 1, 3, 1 << 30, (1 << 30) + 1, 2**31 - 1, 1515870810):
        found = fixed_point.high_multiply(values, multiplier).tolist()
        assert found == [_high_multiply(value, multiplier) for value in values]


def test_divide_by_power() -> None:
    values = _values(np.random.default_rng(2), 300)
    for exponent in range(32):
        found = fixed_point.divide_by_power(values, exponent).tolist()
        assert found == [_divide_by_power(value, exponent) for value in values]


@pytest.mark.parametrize("shift", [1, 9, 30, 31, 32, 40, 62])
def test_scale(shift: int) -> None:
    rng = np.random.default_rng(shift)
    values = _values(rng, 200)
    multipliers = rng.integers(1 << 30, 1 << 31, len(values)).tolist()
    left, right = max(31 - shift, 0), max(shift - 31, 0)
    expected = [
        _divide_by_power(
            _high_multiply(((value << left) + 2**31) % 2**32 - 2**31, multiplier), right
        )
        for value, multiplier in zip(values, multipliers, strict=True)
    ]
    assert fixed_point.scale(values, multipliers, shift).tolist() == expected


@pytest.mark.parametrize("shift", [1, 9, 30, 31, 32, 40, 62])
def test_scale_once(shift: int) -> None:
    rng = np.random.default_rng(shift)
    values = _values(rng, 200)
    multipliers = rng.integers(0, 1 << 31, len(values)).tolist()
    expected: list[int] = []
    for value, multiplier in zip(values, multipliers, strict=True):
        size = math.floor(Fraction(abs(value) * multiplier, 1 << shift) + Fraction(1, 2))
        expected.append(size if value >= 0 else -size)
    assert fixed_point.scale_once(values, multipliers, shift).tolist() == expected


def test_exponential_is_close_to_the_real_one() -> None:
    raw = -np.concatenate([np.arange(0, 1 << 12), np.geomspace(1, 2**31, 5000)]).astype(np.int64)
    found = fixed_point.exponential(raw) / 2.0**31
    np.testing.assert_allclose(found, np.exp(raw / 2.0**26), atol=2e-7)
    assert fixed_point.exponential(0) == 2**31 - 1


def test_reciprocal_is_close_to_the_real_one() -> None:
    total = np.geomspace(2**19, 2**31 - 1, 4000).astype(np.int64)
    raw, bits = fixed_point.reciprocal(total)
    real = (raw / 2.0**31) / 2.0 ** bits.astype(np.float64)
    np.testing.assert_allclose(real, 1 / (total / 2.0**19), rtol=2e-8)


def test_softmax_of_equal_logits_and_of_one_that_wins() -> None:
    same = np.full((1, 4), 2**31 - 1)
    assert fixed_point.softmax(same, 1).tolist() == [[-64, -64, -64, -64]]
    winner = np.array([[2**31 - 1, 0, 0]])
    assert fixed_point.softmax(winner, 1).tolist() == [[127, -128, -128]]
