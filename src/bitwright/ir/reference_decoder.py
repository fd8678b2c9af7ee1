"""What the operations of `bitwright.ir.bw_decoder` compute, with NumPy in float32."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.errors import BitwrightError
from bitwright.ir.graph import location_name

Array = NDArray[Any]


class CacheTooShort(BitwrightError):
    """A position that leaves the cache."""

    exit_code = 4


def _start(op: Any, position: Array, rows: int, extent: int) -> int:
    """The position of the first row, checked.

    Raises:
        CacheTooShort: where not all rows lie in the cache.
    """
    start = int(position[0])
    if not 0 <= start <= extent - rows:
        raise CacheTooShort(
            f"{location_name(op)}: {rows} rows from position {start} leave the cache, which has "
            f"{extent}; build the module with a longer context"
        )
    return start


def _rms_norm(op: Any, x: Array, weight: Array) -> Array:
    mean = np.square(x).mean(axis=-1, keepdims=True, dtype=np.float64)
    root = np.sqrt(mean + op.epsilon.value).astype(np.float32)
    return x / root * weight


def _rope(op: Any, x: Array, frequencies: Array, position: Array) -> Array:
    positions = np.arange(x.shape[1], dtype=np.float32) + np.float32(position[0])
    angles = (positions[:, None] * frequencies).astype(np.float64)  # [T, R/2], angles in float32
    cosine, sine = (f(angles).astype(np.float32)[:, None, :] for f in (np.cos, np.sin))
    half = len(frequencies)
    if op.pairs.value == "neighbours":
        first, second = slice(0, 2 * half, 2), slice(1, 2 * half, 2)
    else:
        first, second = slice(0, half), slice(half, 2 * half)
    result = x.copy()
    result[..., first] = x[..., first] * cosine - x[..., second] * sine
    result[..., second] = x[..., first] * sine + x[..., second] * cosine
    return result


def _cache_update(op: Any, cache: Array, rows: Array, position: Array) -> Array:
    start = _start(op, position, rows.shape[1], cache.shape[1])
    result = cache.copy()
    result[:, start : start + rows.shape[1]] = rows
    return result


def _attention(op: Any, query: Array, key: Array, value: Array, position: Array) -> Array:
    samples, rows, heads, width = query.shape
    extent, groups = key.shape[1:3]
    start = _start(op, position, rows, extent)
    window, softcap = op.window.value, op.softcap.value
    low, end = max(0, start - window + 1) if window else 0, start + rows
    key = key[:, low:end].transpose(0, 2, 3, 1)[:, :, None]  # [N, G, 1, D, J]
    value = value[:, low:end].transpose(0, 2, 1, 3)[:, :, None]  # [N, G, 1, J, E]
    query = query.transpose(0, 2, 1, 3).reshape(samples, groups, heads // groups, rows, width)
    scores = np.matmul(query, key) * np.float32(op.scale.value)
    if softcap:
        scores = np.tanh(scores / np.float32(softcap)) * np.float32(softcap)
    back = np.arange(start, end)[:, None] - np.arange(low, end)  # how far back position j lies
    seen = (back >= 0) & (back < window) if window else back >= 0
    scores = np.where(seen, scores, np.float32(-np.inf))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    result = np.matmul(weights, value).reshape(samples, heads, rows, -1)
    return result.transpose(0, 2, 1, 3)


def _silu(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return x / (1 + np.exp(-x))


def _gelu_tanh(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "silu": _silu,
    "gelu_tanh": _gelu_tanh,
    "relu_squared": lambda x: np.square(np.maximum(x, np.float32(0))),
}


def _glu(op: Any, gate: Array, x: Array) -> Array:
    return _ACTIVATIONS[op.activation.value](gate) * x


INTERPRETERS: dict[str, Callable[..., Array]] = {
    "bw.rms_norm": _rms_norm,
    "bw.rope": _rope,
    "bw.cache_update": _cache_update,
    "bw.attention": _attention,
    "bw.glu": _glu,
}
