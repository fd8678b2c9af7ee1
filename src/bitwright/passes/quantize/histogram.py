"""A histogram that takes data piece by piece, in bounded memory, of any range."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BINS = 8192


def _zeros() -> NDArray[np.int64]:
    return np.zeros(BINS, dtype=np.int64)


@dataclass
class Histogram:
    """Counts over `BINS` equal bins of [-extent, extent), with the exact minimum and maximum.

    The extent is a power of two and doubles when data leave it: pairs of bins merge, so that the
    counts do not depend on how the data were cut into pieces.
    """

    extent: float = 0.0
    counts: NDArray[np.int64] = field(default_factory=_zeros)
    minimum: float = math.inf
    maximum: float = -math.inf

    @property
    def total(self) -> int:
        """Number of values seen."""
        return int(self.counts.sum())

    @property
    def centres(self) -> NDArray[np.float64]:
        """Middle of each bin."""
        width = 2 * self.extent / BINS
        return (np.arange(BINS, dtype=np.float64) + 0.5) * width - self.extent

    def add(self, data: NDArray[np.floating]) -> None:
        """Count finite `data`."""
        if not data.size:
            return
        low, high = float(data.min()), float(data.max())
        self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)
        self._reach(max(abs(low), abs(high)))
        if self.extent == 0.0:
            self.counts[BINS // 2] += data.size
            return
        scaled = data.astype(np.float64).ravel() * (BINS / 2 / self.extent)
        index = np.floor(scaled).astype(np.int64) + BINS // 2
        self.counts += np.bincount(np.clip(index, 0, BINS - 1), minlength=BINS)

    def _reach(self, magnitude: float) -> None:
        if magnitude == 0.0 or magnitude < self.extent:
            return
        wanted = math.ldexp(1.0, math.frexp(magnitude)[1])
        if self.extent == 0.0:
            self.extent = wanted
            return
        while self.extent < wanted:
            merged = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = _zeros()
            self.counts[BINS // 4 : BINS // 4 + BINS // 2] = merged
            self.extent *= 2

    def fraction_outside(self, low: float, high: float) -> float:
        """Share of the values below `low` or above `high`, to the resolution of the bins."""
        if self.minimum >= low and self.maximum <= high:
            return 0.0
        centres = self.centres
        outside = int(self.counts[(centres < low) | (centres > high)].sum())
        return outside / max(self.total, 1)

    def quantile(self, share: float) -> float:
        """The value below which `share` of the data lie, linear within a bin."""
        cumulative = np.cumsum(self.counts)
        target = share * cumulative[-1]
        index = int(np.searchsorted(cumulative, target))
        index = min(index, BINS - 1)
        before = cumulative[index] - self.counts[index]
        inside = (target - before) / max(int(self.counts[index]), 1)
        width = 2 * self.extent / BINS
        value = (index + float(np.clip(inside, 0.0, 1.0))) * width - self.extent
        return float(np.clip(value, self.minimum, self.maximum))
