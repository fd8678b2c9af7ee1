"""What the operations of `bitwright.ir.bw_order` compute, with NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_COMBINE: dict[str, Callable[..., None]] = {
    "add": np.add.at,
    "mul": np.multiply.at,
    "max": np.maximum.at,
    "min": np.minimum.at,
}


def _argsort(op: Any, x: Array) -> Array:
    axis = op.axis.value
    if not op.descending.value:
        return np.argsort(x, axis=axis, kind="stable").astype(np.int64)
    backwards = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
    return (x.shape[axis] - 1 - np.flip(backwards, axis)).astype(np.int64)


def _scatter_elements(op: Any, x: Array, indices: Array, updates: Array) -> Array:
    result = x.copy()
    places = list(np.indices(indices.shape, sparse=True))
    places[op.axis.value] = indices.astype(np.int64)
    if op.reduction.value == "none":
        result[tuple(places)] = updates
    else:
        _COMBINE[op.reduction.value](result, tuple(places), updates)
    return result


INTERPRETERS: dict[str, Callable[..., Array]] = {
    "bw.argsort": _argsort,
    "bw.scatter_elements": _scatter_elements,
}
