"""Which part of a distribution the integer codes cover: all of it, a percentile, or the best."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bitwright.passes.quantize.histogram import Histogram

Range = tuple[float, float]
PERCENTILE = 99.99
_STEPS = 96
_ROUNDS = 2


def minmax(histogram: Histogram, bits: int, percentile: float) -> Range:
    """Everything that was seen."""
    del bits, percentile
    return histogram.minimum, histogram.maximum


def by_percentile(histogram: Histogram, bits: int, percentile: float) -> Range:
    """All but the outermost (100 - percentile) percent at either end."""
    del bits
    share = percentile / 100
    return histogram.quantile(1 - share), histogram.quantile(share)


def mean_squared_error(histogram: Histogram, bits: int, percentile: float) -> Range:
    """The clipping that makes the mean squared error of `bits`-bit codes least.

    The two ends are searched in turn, in steps of 1/96 of the way from the extreme value to zero,
    first together and then one by one.
    """
    del percentile
    low, high = min(histogram.minimum, 0.0), max(histogram.maximum, 0.0)
    if low == high:
        return low, high
    used = histogram.counts > 0
    values, counts = histogram.centres[used], histogram.counts[used]
    factors = 1 - np.arange(_STEPS) / _STEPS
    levels = (1 << bits) - 1

    def best(candidates: list[Range]) -> Range:
        errors = [_error(values, counts, a, b, levels) for a, b in candidates]
        return candidates[int(np.argmin(errors))]

    chosen = best([(low * f, high * f) for f in factors])
    for _ in range(_ROUNDS):
        chosen = best([chosen] + [(chosen[0], high * f) for f in factors])
        chosen = best([chosen] + [(low * f, chosen[1]) for f in factors])
    return chosen


def _error(
    values: NDArray[np.float64], counts: NDArray[np.int64], low: float, high: float, levels: int
) -> float:
    if high <= low:
        return float("inf")
    scale = (high - low) / levels
    zero = round(low / scale)
    codes = np.clip(np.rint(values / scale), zero, zero + levels)
    return float(counts @ np.square(values - codes * scale))


RANGES: dict[str, Callable[[Histogram, int, float], Range]] = {
    "minmax": minmax,
    "percentile": by_percentile,
    "mse": mean_squared_error,
}
