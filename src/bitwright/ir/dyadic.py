"""Dyadic multipliers: m / 2^s instead of a real scale, nearest or proved equal.

A layer that scales its sums and rounds them computes a staircase: monotone integers over the
integers of the accumulator. `starts` finds where each of its steps begins, whatever arithmetic
makes it; `solve` finds the shortest m and s with which `bw.requantize` begins every step at the
same accumulator, so that the two are equal on the whole range.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.ir import fixed_point

Ints = NDArray[np.int64]
Scale = tuple[int, int]
"""Multiplier and shift: real = multiplier / 2^shift."""

LARGEST = 1 << 31


def round_away(real: float) -> int:
    """Nearest integer, ties away from zero (C's round)."""
    whole = math.floor(abs(real))
    return int(math.copysign(whole + (abs(real) - whole >= 0.5), real))


def multiplier(real: float) -> Scale:
    """`real` >= 0 as a Q31 multiplier and a shift (LiteRT's QuantizeMultiplier).

    Raises:
        ValueError: for 2^30 and more, which no layer scales by.
    """
    if not 0 <= real < 1 << 30:
        raise ValueError(f"scales by {real:g}; expected a factor from 0 to below 2^30")
    fraction, exponent = math.frexp(real)
    fixed = round_away(fraction * LARGEST)
    if fixed == LARGEST:
        fixed, exponent = fixed // 2, exponent + 1
    if exponent < -31:
        return 0, fixed_point.HALF_BITS
    return fixed, fixed_point.HALF_BITS - exponent


def starts(function: Callable[[Ints], Any], low: Ints, high: Ints, steps: Ints) -> Ints:
    """The least accumulator at which each channel's monotone `function` reaches each step.

    Args:
        function: of accumulators [steps, channels].
        low: least accumulator of each channel; `high` the greatest.
        steps: results to be reached, ascending.

    Returns:
        [steps, channels]; `high` + 1 where a step is never reached.
    """
    shape = (len(steps), len(low))
    below = np.broadcast_to(low - 1, shape).copy()
    reached = np.broadcast_to(high + 1, shape).copy()
    while ((gap := reached - below) > 1).any():
        middle = np.clip(below + gap // 2, low, high)
        above = np.asarray(function(middle)) >= steps[:, None]
        reached = np.where((gap > 1) & above, middle, reached)
        below = np.where((gap > 1) & ~above, middle, below)
    return reached


def solve(
    begin: Ints, low: int, high: int, steps: Ints, rounding: str, limits: tuple[int, int]
) -> Scale | None:
    """The shortest m and s whose rounded acc * m / 2^s reaches each step where `begin` says.

    Exact on every accumulator from `low` to `high`. Each start bounds the ratio from both sides:
    at `begin` it has to round to the step or more, and just before it to less.

    Args:
        begin: of one channel, as `starts` gives them.
        low: least accumulator, as for `starts`; `high` the greatest.
        steps: rounded quotients (codes minus the zero point), ascending.
        rounding: `half_up`, `half_away` or `half_even`, as in `bw.requantize`.
        limits: greatest multiplier and greatest shift.
    """
    upwards = _TIES[rounding](steps)
    inside, before = begin <= high, begin > low
    # acc * ratio >= edge at each start, and -acc * ratio >= -edge just before it
    accumulators = np.concatenate((begin[inside], -(begin[before] - 1)))
    edges = np.concatenate((2 * steps[inside] - 1, 1 - 2 * steps[before]))
    closed = np.concatenate((upwards[inside], ~upwards[before]))
    if (edges[accumulators == 0] > 0).any():
        return None
    positive, negative = accumulators > 0, accumulators < 0
    if (edges[negative] > 0).any():
        return None
    least = _bound(edges[positive], accumulators[positive], closed[positive], np.argmax)
    most = _bound(-edges[negative], -accumulators[negative], closed[negative], np.argmin)
    for shift in range(1, limits[1] + 1):
        first, last = 1, limits[0]
        if least is not None:
            edge, twice, tie = least
            first = max(
                first, (-(-(edge << shift) // twice)) if tie else (edge << shift) // twice + 1
            )
        if most is not None:
            edge, twice, tie = most
            whole, rest = divmod(edge << shift, twice)
            last = min(last, whole - (rest == 0 and not tie))
        if first <= last:
            return (first + last) // 2, shift
    return None


def _bound(
    edges: Ints, accumulators: Ints, closed: NDArray[np.bool_], best: Callable[[Any], Any]
) -> tuple[int, int, bool] | None:
    """The tightest of the ratios edge / (2 * accumulator), and whether it may be met.

    Distinct ratios of these differ by more than float64 rounds: edges have at most 10 bits and
    accumulators 33.
    """
    if not len(edges):
        return None
    ratios = edges / (2.0 * accumulators)
    index = int(best(ratios))
    tie = bool(closed[ratios == ratios[index]].all())
    return int(edges[index]), 2 * int(accumulators[index]), tie


_TIES: dict[str, Callable[[Ints], NDArray[np.bool_]]] = {
    "half_up": lambda steps: np.ones(len(steps), bool),
    "half_away": lambda steps: steps > 0,
    "half_even": lambda steps: steps % 2 == 0,
}
"""Whether a tie just below each step rounds up to it."""


def rounded(accumulator: Any, scale: Scale, rounding: str) -> Ints:
    """The rounded quotient of `bw.requantize`, before the zero point and the clamp."""
    return fixed_point.SCALES[rounding](accumulator, *scale)


def nearest(ratio: float, limits: tuple[int, int]) -> Scale:
    """m and s next to `ratio` > 0, with as many bits as `limits` allow.

    Raises:
        ValueError: for a ratio that is out of their reach.
    """
    _, exponent = math.frexp(ratio)
    bits = limits[0].bit_length()
    shift = min(bits - exponent, limits[1])
    while shift > 1 and round(math.ldexp(ratio, shift)) > limits[0]:
        shift -= 1
    factor = round(math.ldexp(ratio, shift)) if shift >= 1 else limits[0] + 1
    if not 1 <= factor <= limits[0]:
        raise ValueError(f"scales by {ratio:g}, out of reach of multipliers up to {limits[0]}")
    return factor, shift
