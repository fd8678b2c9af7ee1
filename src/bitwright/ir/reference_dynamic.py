"""What `bw.dynamic_linear` computes, with NumPy; every rounding is part of the definition.

A row x of float32 becomes integers q with one scale s:

    m = max |x|
    q = x * (127 / m) to the nearest integer, ties to even; 0 where m < 2^-100 or is not finite
    s = m / 127

The integer sums are exact, the rest is float32, one rounding for each operator, from left to right:

    y[n] = (a[n, 0] * scale[n, 0] + a[n, 1] * scale[n, 1] + ...) * s + bias[n]

where a[n, g] is the sum of weight * q over group g, rounded to float32. A row that is not finite
gives NaN.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LARGEST_CODE = 127
SMALLEST = 2.0**-100
"""Magnitude below which a row is zero; far above where its reciprocal overflows."""


def quantize_rows(x: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Integers of the shape of x, and the scales of its rows."""
    most = np.abs(x).max(axis=-1)
    with np.errstate(all="ignore"):
        inverse = np.float32(LARGEST_CODE) / most
        usable = (most >= np.float32(SMALLEST)) & np.isfinite(most)
        real = np.rint(x * inverse[..., None])
    codes = np.where(usable[..., None], real, np.float32(0)).astype(np.int8)
    return codes, most / np.float32(LARGEST_CODE)


def _dynamic_linear(op: Any, x: Array, weight: Array, scale: Array, bias: Array) -> Array:
    codes, row_scale = quantize_rows(x)
    outputs, groups = scale.shape
    grouped = (*x.shape[:-1], groups, -1)
    left = codes.reshape(grouped).astype(np.float64)
    right = weight.reshape(outputs, groups, -1).astype(np.float64)  # exact: sums below 2^30
    total = np.zeros((*x.shape[:-1], outputs), np.float32)
    with np.errstate(all="ignore"):
        for group in range(groups):
            sums = (left[..., group, :] @ right[:, group].T).astype(np.float32)
            term = sums * scale[:, group]
            total = term if group == 0 else total + term
        return total * row_scale[..., None] + bias


INTERPRETERS: dict[str, Callable[..., Array]] = {"bw.dynamic_linear": _dynamic_linear}
