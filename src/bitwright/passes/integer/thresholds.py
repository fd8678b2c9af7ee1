"""Sum -> monotone float function -> at most 4 bits, as thresholds of the sum.

The function is the model's own, operation by operation in float32, of a sum that is taken exactly
and rounded to float32 once. Where each of its steps begins is found by bisection over the proved
range of the sum (by looking at every sum, where the operations alone do not show that it is
monotone). So the integers are those of the float model, except where the float model's own sums
are inexact: it rounds after each addition.

    quantize(relu(batch_norm(linear(x))))     -->  multi_threshold(linear(x))
    quantize(relu(linear(x)))                 -->  requantize(linear(x)), where that is the same
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bitwright.ir import dyadic
from bitwright.ir.bw import SCALE_LIMITS
from bitwright.ir.reference_quantize import ROUND
from bitwright.ir.types import QuantParams, value_params
from bitwright.passes.integer.products import ranges
from bitwright.passes.integer.values import Array, Chain, Product

Ints = NDArray[np.int64]
Function = Callable[[Ints], Ints]
MAX_LEVELS = 15
MAX_LOOKED_AT = 1 << 20
"""Sums of one channel that are looked at one by one."""
_CHUNK = 1 << 12


class NotMonotone(ValueError):
    """A function of a sum that rises and falls."""


@dataclass(frozen=True)
class Steps:
    """A rising staircase of the sums of `product`.

    Attributes:
        product: with the weights and biases of falling channels negated.
        thresholds: [channels, levels], the least sum of each level above the lowest code.
        scales: multipliers and shifts of a `half_up` requantize that is equal, None without one.
    """

    product: Product
    thresholds: Ints
    scales: tuple[dyadic.Scale, ...] | None


def is_narrow(params: QuantParams) -> bool:
    """Whether a result is narrow enough for thresholds."""
    return params.qmax - params.qmin <= MAX_LEVELS


def steps_of(chain: Chain, product: Product, params: QuantParams, rounding: str) -> Steps:
    """Where the codes of `params` begin.

    Raises:
        NotMonotone: where `chain` is not monotone on the range of the sums, or the range too wide
            to tell.
    """
    low, high = ranges(product)
    plain = _function(chain, product, params, rounding)
    sign = np.where(plain(high[None])[0] < plain(low[None])[0], -1, 1)
    low, high = np.where(sign < 0, -high, low), np.where(sign < 0, -low, high)
    rising = replace(
        product, weight=product.weight * sign.reshape(-1, *[1] * (product.weight.ndim - 1)),
        bias=product.bias * sign,
    )  # fmt: skip
    steps = np.arange(params.qmin + 1, params.qmax + 1)

    def function(sums: Ints) -> Ints:
        return plain(sums * sign)

    if not chain.monotone:
        _check_monotone(function, low, high)
    begin = dyadic.starts(function, low, high, steps)
    scales = [
        dyadic.solve(
            begin[:, channel], int(low[channel]), int(high[channel]), steps - params.zero_point,
            "half_up", SCALE_LIMITS["half_up"],
        )
        for channel in range(len(low))
    ]  # fmt: skip
    exact = tuple(scale for scale in scales if scale is not None)
    return Steps(rising, begin.T, exact if len(exact) == len(scales) else None)


def _function(chain: Chain, product: Product, params: QuantParams, rounding: str) -> Function:
    unit = value_params(product.x).scale * np.asarray(product.weight_scales)
    step, bias = np.float32(params.scale), product.real_bias

    def codes(sums: Ints) -> Ints:
        with np.errstate(all="ignore"):
            if bias is None:
                real: Array = (sums * unit).astype(np.float32)
            else:
                real = ((sums - product.bias) * unit).astype(np.float32) + bias
            real = chain.function(real)
            whole = ROUND[rounding](real / step).astype(np.float64)
        return np.clip(whole + params.zero_point, params.qmin, params.qmax).astype(np.int64)

    return lambda sums: np.broadcast_to(codes(sums), sums.shape)


def _check_monotone(function: Function, low: Ints, high: Ints) -> None:
    if int((high - low).max()) > MAX_LOOKED_AT:
        raise NotMonotone
    before = function(low[None])
    for start in range(0, int((high - low).max()) + 1, _CHUNK):
        sums = np.minimum(low + np.arange(start, start + _CHUNK)[:, None], high)
        made = np.concatenate((before, function(sums)))
        if (made[1:] < made[:-1]).any():
            raise NotMonotone
        before = made[-1:]
