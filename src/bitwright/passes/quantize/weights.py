"""Weights as integers: symmetric, narrow range, one scale per output channel; their biases."""

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
    weight: NDArray[np.floating], bits: int, per_channel: bool, floor: NDArray[np.float64]
) -> QuantizedWeight:
    """Integers in [-(2^(bits-1) - 1), 2^(bits-1) - 1] along axis 0.

    8 bits cover the largest weight; below, the scale is the one of least squared error. A
    channel's scale is at least its `floor` (finer would be lost in the output's rounding, and its
    bias would need needlessly many accumulator bits).
    """
    rows = weight.astype(np.float64).reshape(len(weight), -1)
    limit = (1 << (bits - 1)) - 1
    groups = rows if per_channel else rows.reshape(1, -1)
    floors = floor if per_channel else np.asarray([floor.max()])
    scales = np.abs(groups).max(axis=1, initial=0.0) / limit
    if bits < 8:
        scales = least_squares_scales(groups, scales, limit)
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
    groups: NDArray[np.float64], largest: NDArray[np.float64], limit: int
) -> NDArray[np.float64]:
    """The scale of least squared error for each row: a search below `largest`, then refitting.

    Refitting alternates between rounding and the scale that is best for the rounded integers,
    <w, q> / <q, q>.
    """
    best = np.where(largest > 0, largest, 1.0)
    scale_error = _squared_error(groups, best, limit)
    for fraction in 1 - np.arange(1, _CANDIDATES) / (_CANDIDATES + 8):
        candidate = np.where(largest > 0, largest * fraction, 1.0)
        best, scale_error = _keep_better(groups, best, scale_error, candidate, limit)
    for _ in range(_REFITS):
        integers = np.clip(np.rint(groups / best[:, None]), -limit, limit)
        power = np.square(integers).sum(axis=1)
        fitted = (groups * integers).sum(axis=1) / np.maximum(power, 1.0)
        candidate = np.where((power > 0) & (fitted > 0), fitted, best)
        best, scale_error = _keep_better(groups, best, scale_error, candidate, limit)
    return np.where(largest > 0, best, 0.0)


def _squared_error(
    groups: NDArray[np.float64], scales: NDArray[np.float64], limit: int
) -> NDArray[np.float64]:
    integers = np.clip(np.rint(groups / scales[:, None]), -limit, limit)
    return np.square(groups - integers * scales[:, None]).sum(axis=1)


def _keep_better(
    groups: NDArray[np.float64], best: NDArray[np.float64], errors: NDArray[np.float64],
    candidate: NDArray[np.float64], limit: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    found = _squared_error(groups, candidate, limit)
    better = found < errors
    return np.where(better, candidate, best), np.where(better, found, errors)


def conv_bias_error(
    error: NDArray[np.float64], mean: NDArray[np.float64], *, stride: tuple[int, ...],
    padding: tuple[int, ...], dilation: tuple[int, ...], groups: int, output: tuple[int, ...],
) -> NDArray[np.float64]:  # fmt: skip
    """Mean over samples and pixels of the convolution of the input with the weights' error.

    The convolution is linear, so the input's mean over the samples [1, C, H, W] is enough.
    """
    top, left, bottom, right = padding
    padded = np.pad(mean[0], ((0, 0), (top, bottom), (left, right)))
    outputs, per_group, rows, columns = error.shape
    patch = np.empty((padded.shape[0], rows, columns))
    for y in range(rows):
        for x in range(columns):
            window = padded[
                :,
                y * dilation[0] :: stride[0],
                x * dilation[1] :: stride[1],
            ][:, : output[2], : output[3]]
            patch[:, y, x] = window.mean(axis=(1, 2))
    grouped = patch.reshape(groups, -1)
    flat = error.reshape(groups, outputs // groups, per_group * rows * columns)
    return np.einsum("gok,gk->go", flat, grouped).reshape(-1)


def linear_bias_error(error: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over samples and leading axes of the input times the weights' error."""
    return error @ mean.reshape(-1, mean.shape[-1]).mean(axis=0)
