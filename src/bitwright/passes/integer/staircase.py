"""Accumulator -> float function -> quantize, as one `bw.requantize`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.ir import dyadic
from bitwright.ir.bw import SCALE_LIMITS
from bitwright.ir.types import QuantParams
from bitwright.passes.integer.errors import NotAScale

Ints = NDArray[np.int64]
Function = Callable[[Ints], Ints]
ROUNDINGS = ("half_up", "half_even")
"""Tried in this order: `half_up` has multipliers of 16 bits, which cost a machine least."""


@dataclass(frozen=True)
class Staircase:
    """Codes as a function of the accumulator, channel by channel.

    Attributes:
        function: accumulators [values, channels] to codes within `params`; never falls.
        low: least accumulator of each channel.
        high: greatest accumulator of each channel.
        ratio: codes for each unit of the accumulator where the function does not clamp.
        params: the type of the codes.
    """

    function: Function
    low: Ints
    high: Ints
    ratio: NDArray[np.float64]
    params: QuantParams


@dataclass(frozen=True)
class Fit:
    """A requantize that computes a staircase.

    Attributes:
        scales: one, or one for each channel.
        clamp: least and greatest code.
        differing: accumulators, over all channels, that give another code (the next one).
        accumulators: how many there are.
    """

    scales: tuple[dyadic.Scale, ...]
    rounding: str
    clamp: tuple[int, int]
    differing: int
    accumulators: int


def fit(staircase: Staircase, where: str) -> Fit:
    """The shortest multipliers that are equal on the whole range, else the nearest.

    This is the one place where a function of accumulators becomes integers; a function that is no
    scale (one with steps of different width) ends here.

    Raises:
        NotAScale: where even the nearest is off by more than one code.
    """
    zero_point = staircase.params.zero_point
    floor = int(staircase.function(staircase.low[None]).min())
    ceiling = int(staircase.function(staircase.high[None]).max())
    steps = np.arange(floor + 1, ceiling + 1, dtype=np.int64)
    begin = dyadic.starts(staircase.function, staircase.low, staircase.high, steps)
    count = int((staircase.high - staircase.low + 1).sum())
    found: list[dyadic.Scale | None] = []
    for rounding in ROUNDINGS:
        found = [
            dyadic.solve(
                begin[:, channel], int(staircase.low[channel]), int(staircase.high[channel]),
                steps - zero_point, rounding, SCALE_LIMITS[rounding],
            )
            for channel in range(len(staircase.low))
        ]  # fmt: skip
        if None not in found:
            exact = tuple(scale for scale in found if scale is not None)
            return Fit(exact, rounding, (floor, ceiling), 0, count)
    scales, differing = _nearest(staircase, found, begin, steps, (floor, ceiling), where)
    return Fit(scales, ROUNDINGS[-1], (floor, ceiling), differing, count)


def _nearest(
    staircase: Staircase, found: Sequence[dyadic.Scale | None], begin: Ints, steps: Ints,
    clamp: tuple[int, int], where: str,
) -> tuple[tuple[dyadic.Scale, ...], int]:  # fmt: skip
    """The scale of the real ratio where there is no exact one, and how many codes it changes."""
    rounding, scales, differing = ROUNDINGS[-1], list[dyadic.Scale](), 0
    for channel, exact in enumerate(found):
        if exact is not None:
            scales.append(exact)
            continue
        try:
            scale = dyadic.nearest(float(staircase.ratio[channel]), SCALE_LIMITS[rounding])
        except ValueError as error:
            raise NotAScale(f"{where} {error}; check the scales of the model") from None
        scales.append(scale)
        low, high = staircase.low[channel], staircase.high[channel]

        def approximate(acc: Ints, scale: dyadic.Scale = scale) -> Ints:
            code = dyadic.rounded(acc, scale, rounding) + staircase.params.zero_point
            return np.clip(code, *clamp)

        wanted = begin[:, channel]
        made = dyadic.starts(approximate, np.asarray([low]), np.asarray([high]), steps)[:, 0]
        if (made[1:] < wanted[:-1]).any() or (wanted[1:] < made[:-1]).any():
            raise NotAScale(
                f"{where} is followed by a function that is no scale and offset, which one "
                "multiplier and shift do not compute. Quantize between the two, so that the "
                "function becomes a table"
            )
        differing += int(np.abs(made - wanted).sum())
    return tuple(scales), differing
