"""Weights as integers: symmetric, narrow range, one scale per output channel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.ir.types import QuantParams

_CANDIDATES = 64
_REFITS = 2


@dataclass(frozen=True)
class QuantizedWeight:
    """Storage integers with their type, and how far they are from the float weights."""

    integers: NDArray[np.int8]
    params: QuantParams
    error: NDArray[np.float64]
    sqnr_db: float

    @property
    def scales(self) -> NDArray[np.float64]:
        """One scale per output channel, also where all are the same."""
        return np.broadcast_to(np.asarray(self.params.scales), (len(self.integers),))


def quantize_weight(
    weight: NDArray[np.floating], bits: int, per_channel: bool, floor: NDArray[np.float64],
    importance: NDArray[np.float64],
) -> QuantizedWeight:  # fmt: skip
    """Integers in [-(2^(bits-1) - 1), 2^(bits-1) - 1] along axis 0.

    8 bits cover the largest weight; below, the scale is the one of least squared error, each
    weight's error counted by its `importance` (the power of the input that it meets). A channel's
    scale is at least its `floor` (finer would be lost in the output's rounding, and its bias would
    need needlessly many accumulator bits).
    """
    rows = weight.astype(np.float64).reshape(len(weight), -1)
    limit = (1 << (bits - 1)) - 1
    groups = rows if per_channel else rows.reshape(1, -1)
    floors = floor if per_channel else np.asarray([floor.max()])
    scales = np.abs(groups).max(axis=1, initial=0.0) / limit
    if bits < 8:
        scales = least_squares_scales(groups, scales, limit, importance.reshape(groups.shape))
    scales = np.maximum(scales, floors).astype(np.float32).astype(np.float64)
    integers = np.clip(np.rint(groups / scales[:, None]), -limit, limit)
    error = (groups - integers * scales[:, None]).reshape(weight.shape)
    params = QuantParams(
        tuple(float(s) for s in scales), 0, bits, -limit, limit, 0 if per_channel else None
    )
    noise = max(float(np.square(error).sum()), np.finfo(np.float64).tiny)
    sqnr = 10 * np.log10(max(float(np.square(rows).sum()), np.finfo(np.float64).tiny) / noise)
    return QuantizedWeight(
        integers.reshape(weight.shape).astype(np.int8), params, error, float(sqnr)
    )


def least_squares_scales(
    groups: NDArray[np.float64], largest: NDArray[np.float64], limit: int,
    importance: NDArray[np.float64],
) -> NDArray[np.float64]:  # fmt: skip
    """The scale of least weighted squared error for each row: a search below `largest`, a refit.

    Refitting alternates between rounding and the scale that is best for the rounded integers,
    <w, q> / <q, q> in the inner product weighted by `importance`.
    """
    mean = importance.mean(axis=1, keepdims=True)
    importance = np.where(mean > 0, importance / np.where(mean > 0, mean, 1.0), 1.0)
    best = np.where(largest > 0, largest, 1.0)
    scale_error = _squared_error(groups, best, limit, importance)
    for fraction in 1 - np.arange(1, _CANDIDATES) / (_CANDIDATES + 8):
        candidate = np.where(largest > 0, largest * fraction, 1.0)
        best, scale_error = _keep_better(groups, best, scale_error, candidate, limit, importance)
    for _ in range(_REFITS):
        integers = np.clip(np.rint(groups / best[:, None]), -limit, limit)
        power = (importance * np.square(integers)).sum(axis=1)
        fitted = (importance * groups * integers).sum(axis=1) / np.where(power > 0, power, 1.0)
        candidate = np.where((power > 0) & (fitted > 0), fitted, best)
        best, scale_error = _keep_better(groups, best, scale_error, candidate, limit, importance)
    return np.where(largest > 0, best, 0.0)


def _squared_error(
    groups: NDArray[np.float64], scales: NDArray[np.float64], limit: int,
    importance: NDArray[np.float64],
) -> NDArray[np.float64]:  # fmt: skip
    integers = np.clip(np.rint(groups / scales[:, None]), -limit, limit)
    return (importance * np.square(groups - integers * scales[:, None])).sum(axis=1)


def _keep_better(
    groups: NDArray[np.float64], best: NDArray[np.float64], errors: NDArray[np.float64],
    candidate: NDArray[np.float64], limit: int, importance: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    found = _squared_error(groups, candidate, limit, importance)
    better = found < errors
    return np.where(better, candidate, best), np.where(better, found, errors)
