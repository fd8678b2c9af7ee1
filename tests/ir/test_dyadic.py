"""Multipliers proved equal to other arithmetic: every accumulator of the range is tried."""

import numpy as np
import pytest

from bitwright.ir import dyadic
from bitwright.ir.bw import SCALE_LIMITS
from bitwright.ir.reference_quantize import ROUND

ROUNDINGS = ("half_up", "half_away", "half_even")
LIMITS = SCALE_LIMITS["half_even"]


def _clipped(rounding: str, ratio: float, acc: dyadic.Ints) -> dyadic.Ints:
    return np.clip(ROUND[rounding](acc * ratio), -100, 100).astype(np.int64)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("seed", range(40))
def test_equal_on_the_whole_range(rounding: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    low, high = sorted(int(n) for n in rng.integers(-3000, 3000, 2))
    # every third ratio has ties: k / 64
    ratio = float(rng.integers(1, 200) / 64) if seed % 3 == 0 else float(np.exp(rng.normal()) / 9)
    steps = np.arange(-99, 101)
    begin = dyadic.starts(
        lambda acc: _clipped(rounding, ratio, acc), np.asarray([low]), np.asarray([high]), steps
    )
    found = dyadic.solve(begin[:, 0], low, high, steps, rounding, LIMITS)
    assert found is not None
    acc = np.arange(low, high + 1)
    made = np.clip(dyadic.rounded(acc, found, rounding), -100, 100)
    np.testing.assert_array_equal(made, _clipped(rounding, ratio, acc))


def test_starts() -> None:
    low, high = np.asarray([-5, 0]), np.asarray([10, 3])
    begin = dyadic.starts(lambda acc: acc // 2, low, high, np.asarray([-4, -2, 0, 2, 9]))
    np.testing.assert_array_equal(begin, [[-5, 0], [-4, 0], [0, 0], [4, 4], [11, 4]])


@pytest.mark.parametrize(
    ("ratio", "found"), [(1.0, (2, 1)), (0.5, (1, 1)), (2.0**-7, (1, 7)), (3.0, (6, 1))]
)
def test_the_shortest_is_found(ratio: float, found: dyadic.Scale) -> None:
    steps = np.arange(-127, 128)
    limit = int(200 / ratio)
    begin = dyadic.starts(
        lambda acc: np.rint(acc * ratio), np.asarray([-limit]), np.asarray([limit]), steps
    )
    assert dyadic.solve(begin[:, 0], -limit, limit, steps, "half_even", LIMITS) == found


@pytest.mark.parametrize("offset", [0.4, -0.4])
def test_an_offset_is_no_scale(offset: float) -> None:
    steps = np.arange(-50, 51)
    begin = dyadic.starts(
        lambda acc: np.rint(acc * 0.3 + offset), np.asarray([-200]), np.asarray([200]), steps
    )
    assert dyadic.solve(begin[:, 0], -200, 200, steps, "half_even", LIMITS) is None


def test_nearest() -> None:
    assert dyadic.nearest(0.5, LIMITS) == (1 << 30, 31)
    assert dyadic.nearest(1 - 2.0**-40, LIMITS) == (1 << 30, 30)
    assert dyadic.nearest(2.0**-50, LIMITS) == (1 << 12, 62)
    with pytest.raises(ValueError, match=r"^scales by 5\.42101e-20, out of reach of multipliers "):
        dyadic.nearest(2.0**-64, LIMITS)
