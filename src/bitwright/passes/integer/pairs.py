"""The sum of two quantized tensors: its accumulator, and what it is for each pair of codes."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.ir import dyadic, fixed_point
from bitwright.ir.builder import Builder
from bitwright.passes.integer.errors import UnsupportedMarker
from bitwright.passes.integer.values import Added, Codes
from bitwright.passes.widths import value_range

Ints = NDArray[np.int64]
LEFT_SHIFT = 20
MAX_FACTOR = 127


@dataclass(frozen=True)
class SumOfTwo:
    """An accumulator of two tensors, and what it is for each pair of their codes.

    Attributes:
        unit: what one of it stands for.
        exact: whether it is the sum itself, not one of operands that have been rounded.
        lhs: the codes that the left operand takes; `rhs` likewise.
        accumulators: [lhs, rhs].
    """

    value: ir.Value
    unit: float
    exact: bool
    lhs: Ints
    rhs: Ints
    accumulators: Ints


def sum_of_two(build: Builder, source: Added, where: str) -> SumOfTwo:
    """Exact where the scales are small multiples of one, else LiteRT's sum at 20 more bits.

    Raises:
        UnsupportedMarker: a difference of the second kind.
    """
    (left, lhs), (right, rhs) = (
        (codes.params.scale, reached(codes)) for codes in (source.lhs, source.rhs)
    )
    a = (lhs - source.lhs.params.zero_point)[:, None]
    b = (rhs - source.rhs.params.zero_point)[None, :]
    ratio = Fraction(left) / Fraction(right)
    if max(ratio.numerator, ratio.denominator) <= MAX_FACTOR:
        factors = ratio.numerator, source.sign * ratio.denominator
        value = build.add(source.lhs.value, source.rhs.value, *factors)
        unit = left / ratio.numerator
        return SumOfTwo(value, unit, True, lhs, rhs, a * factors[0] + b * factors[1])
    if source.sign < 0:
        raise UnsupportedMarker(
            f"{where} is preceded by the difference of tensors with the scales {left:g} and "
            f"{right:g}; expected scales of which one is a small multiple of the other. Give both "
            "one scale"
        )
    twice = 2 * max(left, right)
    scales = dyadic.multiplier(left / twice), dyadic.multiplier(right / twice)
    value = build.scaled_add(
        source.lhs.value, source.rhs.value, left_shift=LEFT_SHIFT, lhs_scale=scales[0],
        rhs_scale=scales[1],
    )  # fmt: skip
    accumulators = fixed_point.scale(a << LEFT_SHIFT, *scales[0]) + fixed_point.scale(
        b << LEFT_SHIFT, *scales[1]
    )
    return SumOfTwo(value, twice / (1 << LEFT_SHIFT), False, lhs, rhs, accumulators)


def reached(codes: Codes) -> Ints:
    """All codes that a value takes."""
    low, high = value_range(codes.value)
    return np.arange(low, high + 1, dtype=np.int64)
