"""Functions of one integer as tables of 256 entries, with their error."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.ir.types import QuantParams

Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Table:
    """256 integers, and max |table - function| over all codes of the input, in output steps.

    The bound is 1/2 where the output range covers the function, more where it was clipped.
    """

    entries: tuple[int, ...]
    error: float


def table_of(function: Function, source: QuantParams, target: QuantParams) -> Table:
    """The nearest code of `target` for `function` of each code of `source`."""
    codes = np.clip(np.arange(-128, 128, dtype=np.float64), source.qmin, source.qmax)
    exact = function((codes - source.zero_point) * source.scale) / target.scale
    real = np.clip(np.rint(exact) + target.zero_point, target.qmin, target.qmax)
    error = np.abs(real - target.zero_point - exact).max()
    return Table(tuple(int(code) for code in real), float(error))


def exponentials(scale: float) -> tuple[int, ...]:
    """round(2^16 exp(-scale * d)) for the integer softmax, d from 0 to 255."""
    return tuple(round(65536 * math.exp(-scale * d)) for d in range(256))


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 * (1 + np.tanh(0.5 * x))


def function_of(operation: Any) -> Function | None:
    """The real function of a `bw` operation that becomes a table, else None."""
    match operation.operation.name.removeprefix("bw."):
        case "leaky_relu":
            alpha = operation.alpha.value
            return lambda x: np.where(x >= 0, x, x * alpha)
        case "hard_sigmoid":
            alpha, beta = operation.alpha.value, operation.beta.value
            return lambda x: np.clip(alpha * x + beta, 0.0, 1.0)
        case "hard_swish":
            return lambda x: x * np.clip(x / 6 + 0.5, 0.0, 1.0)
        case "sigmoid":
            return _sigmoid
        case "tanh":
            return np.tanh
        case _:
            return None
