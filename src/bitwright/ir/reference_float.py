"""What the operations of `bitwright.ir.bw_float` compute, with NumPy."""

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from bitwright.ir import reference_order
from bitwright.ir.checks import ints
from bitwright.ir.types import dtype_of, shape_of

Array = NDArray[Any]
_SATURATING = (
    ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e4m3fnuz, ml_dtypes.float8_e5m2,
    ml_dtypes.float8_e5m2fnuz,
)  # fmt: skip
_ERF = np.vectorize(math.erf, otypes=[np.float64])


def _softplus(x: Array) -> Array:
    return np.logaddexp(x, np.zeros_like(x))


def _gelu(op: Any, x: Array) -> Array:
    if op.approximate.value == "tanh":
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return 0.5 * x * (1 + np.tanh(inner))
    return 0.5 * x * (1 + _ERF(x / math.sqrt(2)))


def _is_inf(op: Any, x: Array) -> Array:
    return (np.isneginf(x) & bool(op.negative.value)) | (np.isposinf(x) & bool(op.positive.value))


def _shrink(op: Any, x: Array) -> Array:
    lambd, bias = op.lambd.value, op.bias.value
    return np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, np.zeros_like(x)))


# Functions of one tensor; floats come in float64, so that each result is rounded once.
_FUNCTIONS: dict[str, Callable[[Any, Array], Array]] = {
    "exp": lambda op, x: np.exp(x),
    "log": lambda op, x: np.log(x),
    "sqrt": lambda op, x: np.sqrt(x),
    "erf": lambda op, x: _ERF(x),
    "reciprocal": lambda op, x: 1 / x,
    "sin": lambda op, x: np.sin(x),
    "cos": lambda op, x: np.cos(x),
    "tan": lambda op, x: np.tan(x),
    "asin": lambda op, x: np.arcsin(x),
    "acos": lambda op, x: np.arccos(x),
    "atan": lambda op, x: np.arctan(x),
    "sinh": lambda op, x: np.sinh(x),
    "cosh": lambda op, x: np.cosh(x),
    "asinh": lambda op, x: np.arcsinh(x),
    "acosh": lambda op, x: np.arccosh(x),
    "atanh": lambda op, x: np.arctanh(x),
    "softplus": lambda op, x: _softplus(x),
    "softsign": lambda op, x: x / (1 + np.abs(x)),
    "floor": lambda op, x: np.floor(x),
    "ceil": lambda op, x: np.ceil(x),
    "round": lambda op, x: np.rint(x),
    "abs": lambda op, x: np.abs(x),
    "neg": lambda op, x: -x,
    "sign": lambda op, x: np.sign(x),
    "bitwise_not": lambda op, x: ~x,
    "logical_not": lambda op, x: ~x,
    "isnan": lambda op, x: np.isnan(x),
    "is_inf": _is_inf,
    "elu": lambda op, x: np.where(x > 0, x, op.alpha.value * np.expm1(np.minimum(x, 0))),
    "celu": lambda op, x: np.maximum(x, 0)
    + np.minimum(0, op.alpha.value * np.expm1(np.minimum(x, 0) / op.alpha.value)),
    "selu": lambda op, x: op.gamma.value
    * np.where(x > 0, x, op.alpha.value * np.expm1(np.minimum(x, 0))),
    "gelu": _gelu,
    "thresholded_relu": lambda op, x: np.where(x > op.alpha.value, x, 0),
    "shrink": _shrink,
}  # fmt: skip


def is_fraction(dtype: np.dtype[Any]) -> bool:
    """Whether it is a float type, ml_dtypes' among them."""
    return "float" in dtype.name


def is_native(dtype: np.dtype[Any]) -> bool:
    """Whether it is NumPy's own, not ml_dtypes'."""
    return dtype.isbuiltin == 1


def _function(name: str) -> Callable[..., Array]:
    compute = _FUNCTIONS[name]

    def run(op: Any, x: Array) -> Array:
        wide = x.astype(np.float64) if is_fraction(x.dtype) else x
        with np.errstate(all="ignore"):
            return np.asarray(compute(op, wide)).astype(dtype_of(op.result))

    return run


def _div(a: Array, b: Array) -> Array:
    if is_fraction(a.dtype):
        return a / b
    quotient = np.abs(a) // np.abs(b)
    return np.where((a < 0) == (b < 0), quotient, -quotient) if a.dtype.kind == "i" else a // b


_BINARIES: dict[str, Callable[[Array, Array], Array]] = {
    "div": _div,
    "mod": np.mod,
    "fmod": np.fmod,
    "pow": lambda a, b: np.power(a, b.astype(np.float64) if b.dtype.kind == "f" else b),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
    "shift_left": np.left_shift,
    "shift_right": np.right_shift,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "equal": np.equal,
}


def _binary(name: str) -> Callable[..., Array]:
    compute = _BINARIES[name]

    def run(op: Any, a: Array, b: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(compute(a, b)).astype(dtype_of(op.result))

    return run


def _reduction(function: Callable[..., Any]) -> Callable[..., Array]:
    def run(op: Any, x: Array) -> Array:
        reduced = function(x, axis=ints(op.axes), keepdims=bool(op.keepdims.value))
        return np.asarray(reduced).astype(x.dtype)

    return run


def cast(x: Array, dtype: np.dtype[Any], saturate: bool) -> Array:
    """`x` as `dtype`: floats to the nearest (ties to even), to integers towards zero."""
    if dtype.kind == "b":
        return x != 0
    with np.errstate(all="ignore"):
        if saturate and dtype in tuple(np.dtype(item) for item in _SATURATING):
            most = float(ml_dtypes.finfo(dtype).max)
            wide = x.astype(np.float32)
            x = np.where(np.isnan(wide), wide, np.clip(wide, -most, most))
        if not (is_native(dtype) and is_native(x.dtype)) and x.dtype != np.float64:
            fraction = is_fraction(dtype) or is_fraction(x.dtype)
            x = x.astype(np.float32 if fraction else np.int64)
        return x.astype(dtype)


def _slice(op: Any, x: Array) -> Array:
    fields = zip(ints(op.starts), ints(op.sizes), ints(op.steps), strict=True)
    for axis, (start, size, step) in enumerate(fields):
        x = np.take(x, range(start, start + size * step, step), axis=axis)
    return x


def _cumsum(op: Any, x: Array) -> Array:
    axis = op.axis.value
    if op.reverse.value:
        x = np.flip(x, axis)
    total = np.cumsum(x, axis=axis, dtype=x.dtype)
    if op.exclusive.value:
        total = total - x
    return np.flip(total, axis) if op.reverse.value else total


def _conv_transpose2d(op: Any, x: Array, weight: Array) -> Array:
    samples, _, height, width = x.shape
    outputs, kernel = weight.shape[1] * op.groups.value, weight.shape[2:]
    (down, right), (tall, wide) = ints(op.stride), ints(op.dilation)
    top, left, _, _ = ints(op.padding)
    rows, columns = shape_of(op.result)[2:]
    full = np.zeros(
        (samples, outputs, max((height - 1) * down + tall * (kernel[0] - 1) + 1, top + rows),
         max((width - 1) * right + wide * (kernel[1] - 1) + 1, left + columns))
    )  # fmt: skip
    groups = op.groups.value
    data = x.astype(np.float64).reshape(samples, groups, -1, height, width)
    filters = weight.astype(np.float64).reshape(groups, -1, *weight.shape[1:])
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            part = np.einsum("ngchw,gco->ngohw", data, filters[..., row, column])
            full[
                :, :,
                row * tall : row * tall + (height - 1) * down + 1 : down,
                column * wide : column * wide + (width - 1) * right + 1 : right,
            ] += part.reshape(samples, outputs, height, width)  # fmt: skip
    return full[:, :, top : top + rows, left : left + columns].astype(np.float32)


INTERPRETERS: dict[str, Callable[..., Array]] = {
    **reference_order.INTERPRETERS,
    **{f"bw.{name}": _function(name) for name in _FUNCTIONS},
    **{f"bw.{name}": _binary(name) for name in _BINARIES},
    "bw.reduce_max": _reduction(np.max),
    "bw.reduce_min": _reduction(np.min),
    "bw.reduce_prod": _reduction(np.prod),
    "bw.select": lambda op, condition, a, b: np.where(condition, a, b),
    "bw.cast": lambda op, x: cast(x, dtype_of(op.result), bool(op.saturate.value)),
    "bw.slice": _slice,
    "bw.gather": lambda op, x, indices: np.take(x, indices, axis=op.axis.value),
    "bw.gather_elements": lambda op, x, indices: np.take_along_axis(
        x, indices.astype(np.int64), axis=op.axis.value
    ),
    "bw.expand": lambda op, x: np.broadcast_to(x, shape_of(op.result)),
    "bw.cumsum": _cumsum,
    "bw.conv_transpose2d": _conv_transpose2d,
}
# What treats each element on its own, so that any number of samples may go through.
ELEMENTWISE = frozenset((
    *(f"bw.{name}" for name in (*_FUNCTIONS, *_BINARIES)), "bw.select", "bw.cast",
))  # fmt: skip
