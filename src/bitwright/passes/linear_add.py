"""The scaled add of LiteRT as one weighted sum, proved on every pair of operands.

    requantize(scale(a << 20, m_a) + scale(b << 20, m_b))
    -->  half_up((a * p + b * q + offset) * m >> s)

An operand has at most 256 codes, so both sides are tables of at most 65,536 results. Small integers
p and q whose ratio is near enough to that of the scales order the pairs alike; they are searched
for among the approximations of that ratio by continued fractions, each kept only if a multiplier
and an offset put every step of the result between the right two pairs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product, takewhile
from math import floor, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.ir import reference
from bitwright.ir.checks import ints
from bitwright.ir.instructions import ADD_BITS, ADD_SHIFT
from bitwright.ir.types import value_params
from bitwright.passes import pack
from bitwright.passes.widths import signed_bits, value_range

Ints = NDArray[np.int64]
MULTIPLIER_BITS = 31
MAX_SHIFT = 62
WORD_BITS = 31


@dataclass(frozen=True)
class LinearAdd:
    """clamp((((a * lhs + b * rhs + offset) * multiplier + 2^(shift-1)) >> shift) + zero_point).

    a and b without their zero points; `acc_bits` is the width of what is multiplied.
    """

    lhs: int
    rhs: int
    offset: int
    multiplier: int
    shift: int
    acc_bits: int


_NEAR = range(-3, 4)  # around a factor
_answers: dict[str, LinearAdd | None] = {}


def linear_add(add: Any, requantize: Any) -> LinearAdd | None:
    """What computes the same as a `bw.scaled_add` and its `bw.requantize`; None if nothing found.

    `requantize` has one multiplier and shift for all channels. Answers are kept: the same sum is
    asked about for every machine that is looked at.
    """
    return _kept(_linear_add, add, requantize)


def fused_add(add: Any, requantize: Any) -> LinearAdd | None:
    """Like `linear_add`, as the machine's fused add has it: factors below 2^ADD_BITS, a multiplier
    of 1, a shift of ADD_SHIFT. `add` may be a `bw.add`, too."""
    return _kept(_fused_add, add, requantize)


def _kept(
    find: Callable[[Any, Any], LinearAdd | None], add: Any, requantize: Any
) -> LinearAdd | None:
    ranges = [value_range(value) for value in (add.lhs, add.rhs)]
    types = [value_params(value) for value in (add.lhs, add.rhs, requantize.result)]
    attributes = [
        {name: str(operation.attributes[name]) for name in operation.attributes}
        for operation in (add, requantize)
    ]
    question = f"{find.__name__} {ranges} {types} {attributes}"
    if question not in _answers:
        _answers[question] = find(add, requantize)
    return _answers[question]


def _linear_add(add: Any, requantize: Any) -> LinearAdd | None:
    pairs, lhs_scale, rhs_scale = _tabulated(add, requantize)
    if not lhs_scale + rhs_scale:
        return None
    small = takewhile(
        lambda pair: max(pair) <= pack.LARGEST_DIGITS, _approximations(lhs_scale, rhs_scale)
    )
    for lhs, rhs in small:
        found = pairs.proved(lhs, rhs, *_fixed_point((lhs_scale + rhs_scale) / (lhs + rhs)))
        if found is not None:
            return found
    return None


def _fused_add(add: Any, requantize: Any) -> LinearAdd | None:
    pairs, *scales = _tabulated(add, requantize)
    lhs, rhs = (round(scale * 2**ADD_SHIFT) for scale in scales)
    for left, right in sorted(product(_NEAR, _NEAR), key=lambda near: abs(near[0]) + abs(near[1])):
        factors = lhs + left, rhs + right
        if all(0 < factor < 1 << ADD_BITS for factor in factors):
            found = pairs.proved(*factors, 1, ADD_SHIFT)
            if found is not None:
                return found
    return None


def word_add(add: Any, requantize: Any) -> LinearAdd | None:
    """Like `linear_add`, with a multiplier of 1 and sums of 32 bits: wider weights instead."""
    pairs, *scales = _tabulated(add, requantize)
    for shift in range(WORD_BITS, 0, -1):
        lhs, rhs = (round(scale * 2**shift) for scale in scales)
        most = int(np.abs(pairs.left).max()) * lhs + int(np.abs(pairs.right).max()) * rhs
        if most + (1 << shift) < 1 << WORD_BITS:
            found = pairs.proved(lhs, rhs, 1, shift)
            if found is not None and found.acc_bits <= WORD_BITS:
                return found
    return None


def _tabulated(add: Any, requantize: Any) -> tuple["_Pairs", Fraction, Fraction]:
    """All pairs of operands, and what each operand is scaled by in all."""
    codes = [np.arange(low, high + 1) for low, high in map(value_range, (add.lhs, add.rhs))]
    left, right = np.meshgrid(*codes, indexing="ij")
    wanted = reference.apply(requantize, reference.apply(add, left, right)).ravel()
    order = np.argsort(wanted, kind="stable")
    zero_point = value_params(requantize.result).zero_point
    pairs = _Pairs(
        left.ravel()[order] - value_params(add.lhs).zero_point,
        right.ravel()[order] - value_params(add.rhs).zero_point,
        wanted[order].astype(np.int64) - zero_point,
        (requantize.clamp_min.value - zero_point, requantize.clamp_max.value - zero_point),
    )
    end = Fraction(ints(requantize.multiplier)[0], 1 << ints(requantize.shift)[0])
    lhs_scale, rhs_scale = (end * _scale(add, side) for side in ("lhs", "rhs"))
    return pairs, lhs_scale, rhs_scale


def _scale(add: Any, side: str) -> Fraction:
    """What an operand is scaled by in a sum."""
    multiplier = add.attributes[f"{side}_multiplier"].value
    if add.operation.name == "bw.add":
        return Fraction(multiplier)
    shift = add.attributes[f"{side}_shift"].value
    return Fraction(multiplier << add.left_shift.value, 1 << shift)


@dataclass(frozen=True)
class _Pairs:
    """All pairs of operands in the order of their results, which are clamped."""

    left: Ints
    right: Ints
    wanted: Ints
    clamps: tuple[int, int]

    def proved(self, lhs: int, rhs: int, multiplier: int, shift: int) -> LinearAdd | None:
        """A weighted sum with an offset that makes all results, if there is one."""
        if multiplier == 0:
            return None
        codes, starts = np.unique(self.wanted, return_index=True)
        sums = self.left * lhs + self.right * rhs

        def least_of(code: int) -> int:
            """The least sum, offset included, that makes the code."""
            return -(-(2 * code - 1 << shift - 1) // multiplier)

        # Sums of each code reach it, and not the code after it; the clamps see to the ends.
        ends = zip(
            map(int, codes), np.minimum.reduceat(sums, starts).tolist(),
            np.maximum.reduceat(sums, starts).tolist(), strict=True,
        )  # fmt: skip
        least, most = -1 << WORD_BITS, 1 << WORD_BITS  # of the offset
        for code, smallest, largest in ends:
            if code != self.clamps[0]:
                least = max(least, least_of(code) - smallest)
            if code != self.clamps[1]:
                most = min(most, least_of(code + 1) - 1 - largest)
        if least > most:
            return None
        offset = min(max(0, least), most)
        low, high = int(sums.min()) + offset, int(sums.max()) + offset
        result = (sums + offset) * multiplier + (1 << shift - 1) >> shift
        assert (np.clip(result, *self.clamps) == self.wanted).all()
        return LinearAdd(lhs, rhs, offset, multiplier, shift, signed_bits(low, high))


def _approximations(lhs: Fraction, rhs: Fraction) -> Iterator[tuple[int, int]]:
    """Fractions ever nearer to lhs / rhs, as (numerator, denominator).

    Convergents, and between two of them those after 1, 2, 4, ... mediants; at last multiples.
    """
    older, newer = (0, 1), (1, 0)
    while rhs:
        quotient = lhs // rhs
        for count in (*(1 << bit for bit in range(quotient.bit_length())), quotient):
            yield (older[0] + count * newer[0], older[1] + count * newer[1])
        older, newer = newer, (older[0] + quotient * newer[0], older[1] + quotient * newer[1])
        lhs, rhs = rhs, lhs % rhs
    while True:
        yield newer
        newer = (newer[0] * 2, newer[1] * 2)


def _fixed_point(scale: Fraction) -> tuple[int, int]:
    """Multiplier of up to 31 bits and shift of a scale from 2^-62 up."""
    shift = min(MULTIPLIER_BITS - 1 - floor(log2(scale)), MAX_SHIFT)
    multiplier = round(scale * 2**shift)
    if multiplier >> MULTIPLIER_BITS:
        return multiplier >> 1, shift - 1
    return multiplier, shift
