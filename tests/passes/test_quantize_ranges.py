"""Histograms and the ranges chosen from them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.passes.quantize.histogram import Histogram
from bitwright.passes.quantize.ranges import RANGES


def histogram(data: np.ndarray, pieces: int = 1) -> Histogram:
    made = Histogram()
    for piece in np.array_split(data, pieces):
        made.add(piece)
    return made


@given(seed=st.integers(0, 1 << 30), pieces=st.integers(1, 9), exponent=st.integers(-30, 30))
@settings(max_examples=50, deadline=None)
def test_counts_do_not_depend_on_how_the_data_are_cut(
    seed: int, pieces: int, exponent: int
) -> None:
    random = np.random.default_rng(seed)
    spread = 2.0 ** random.integers(exponent, exponent + 6, 1000)
    data = (random.standard_normal(1000) * spread).astype(np.float32)
    whole, parts = histogram(data), histogram(data, pieces)
    assert whole.extent == parts.extent
    assert (whole.counts == parts.counts).all()
    assert (whole.minimum, whole.maximum) == (data.min(), data.max())
    assert whole.total == 1000


def test_zeros_alone_and_zeros_first() -> None:
    zeros = histogram(np.zeros(5, np.float32))
    assert (zeros.extent, zeros.total, zeros.quantile(0.5)) == (0.0, 5, 0.0)
    zeros.add(np.asarray([3.0], np.float32))
    assert zeros.counts[4096] == 5
    assert zeros.total == 6


def test_quantiles_are_numpys_to_the_resolution_of_a_bin() -> None:
    data = np.random.default_rng(1).standard_normal(20000)
    made = histogram(data)
    for share in (0.001, 0.25, 0.5, 0.999):
        assert made.quantile(share) == pytest.approx(np.quantile(data, share), abs=3e-3)
    assert made.fraction_outside(-1, 1) == pytest.approx((np.abs(data) > 1).mean(), abs=1e-3)


def test_minmax_keeps_everything_and_percentile_drops_outliers() -> None:
    data = np.append(np.linspace(-1, 1, 99999), 50.0)
    made = histogram(data)
    assert RANGES["minmax"](made, 8, 99.99) == (-1.0, 50.0)
    low, high = RANGES["percentile"](made, 8, 99.99)
    assert low == pytest.approx(-1, abs=0.02)
    assert high == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_mse_is_at_least_as_good_as_minmax(bits: int) -> None:
    data = np.random.default_rng(bits).laplace(size=20000)
    made = histogram(data)

    def error(bounds: tuple[float, float]) -> float:
        low, high = bounds
        scale = (high - low) / ((1 << bits) - 1)
        zero = round(low / scale)
        codes = np.clip(np.rint(data / scale), zero, zero + (1 << bits) - 1)
        return float(np.square(data - codes * scale).mean())

    best = RANGES["mse"](made, bits, 99.99)
    assert error(best) < error(RANGES["minmax"](made, bits, 99.99))
    symmetric = [error((made.minimum * f, made.maximum * f)) for f in np.linspace(0.05, 1, 39)]
    assert error(best) <= min(symmetric) * 1.02


def test_mse_of_a_value_that_is_always_zero() -> None:
    assert RANGES["mse"](histogram(np.zeros(4)), 8, 99.99) == (0.0, 0.0)
