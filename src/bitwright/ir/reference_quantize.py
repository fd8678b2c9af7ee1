"""What `bw.quantize` and `bw.dequantize` compute, with NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.ir.types import dtype_of

Array = NDArray[Any]


def round_half_away(x: Array) -> Array:
    """Nearest integers, ties away from zero; exact, unlike floor(|x| + 1/2)."""
    whole = np.trunc(x)
    return whole + np.where(np.abs(x - whole) >= 0.5, np.sign(x), x.dtype.type(0))


def round_half_up(x: Array) -> Array:
    """Nearest integers, ties towards plus infinity."""
    below = np.floor(x)
    return below + np.where(x - below >= 0.5, x.dtype.type(1), x.dtype.type(0))


ROUND: dict[str, Callable[[Array], Array]] = {
    "half_even": np.rint,
    "half_away": round_half_away,
    "half_up": round_half_up,
    "floor": np.floor,
    "ceil": np.ceil,
    "zero": np.trunc,
}


def spread(grid: Array, shape: tuple[int, ...]) -> Array:
    """A scale or zero point, repeated so that it broadcasts with a tensor of `shape`."""
    for axis, (blocks, extent) in enumerate(zip(grid.shape, shape, strict=True)):
        if 1 < blocks < extent:
            grid = np.repeat(grid, extent // blocks, axis=axis)
    return grid


def _quantize(op: Any, x: Array, scale: Array, zero_point: Array) -> Array:
    with np.errstate(all="ignore"):
        real = ROUND[op.rounding.value](x / spread(scale, x.shape))
    integers = real.astype(np.float64) + spread(zero_point.astype(np.float64), x.shape)
    return np.clip(integers, op.minimum.value, op.maximum.value).astype(dtype_of(op.result))


def _dequantize(op: Any, x: Array, scale: Array, zero_point: Array) -> Array:
    wide = x.astype(np.int64) - spread(zero_point.astype(np.int64), x.shape)
    return wide.astype(scale.dtype) * spread(scale, x.shape)


INTERPRETERS: dict[str, Callable[..., Array]] = {
    "bw.quantize": _quantize,
    "bw.dequantize": _dequantize,
}
