"""A `bw.requantize` on vectors of sums that are still in registers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.codegen.cpu.program import Kernel
from bitwright.codegen.cpu.vectors import INTS, LANES, PAIRS, RESULTS, WIDE, VectorCode
from bitwright.ir.checks import ints
from bitwright.ir.fixed_point import HALF_BITS
from bitwright.ir.types import value_params
from bitwright.passes.widths import accumulator_range

_ROOM = (1 << 31) - (1 << 9)
"""What every number stays below in size, so that 32 bits hold it with a zero point."""


def is_narrow(op: Any, requantize: Any) -> bool:
    """Whether 32 bits hold the sums of `op` on every step of their way through `requantize`."""
    most = max(abs(end) for end in accumulator_range(op))
    pairs = zip(ints(requantize.multiplier), ints(requantize.shift), strict=True)
    if requantize.rounding.value != "tflite":
        return all(most * multiplier >> shift < _ROOM for multiplier, shift in pairs)
    for multiplier, shift in pairs:
        raised = most << max(HALF_BITS - shift, 0)
        half = 1 << max(shift - HALF_BITS, 0) >> 1
        if max(raised, (raised * multiplier >> HALF_BITS) + half) >= _ROOM:
            return False
    return True


@dataclass(frozen=True)
class Scales:
    """What 16 lanes are scaled with: names of vectors."""

    multiplier: str
    shift: str
    half: str
    away: str
    left: str | None


class Rescale:
    """clamp(sums * m / 2^s + zero_point), with the rounding and the scales of `requantize`.

    Args:
        outputs: channels, each with its scale.
        lanes: of the tables; the channels are repeated until there are so many.
    """

    def __init__(self, kernel: Kernel, requantize: Any, outputs: int, lanes: int) -> None:
        self._op = requantize
        self._rounding: str = requantize.rounding.value
        self._twice = self._rounding == "tflite"
        multipliers, shifts = (
            np.resize(np.broadcast_to(np.asarray(ints(field), np.int64), outputs), lanes)
            for field in (requantize.multiplier, requantize.shift)
        )
        left = np.zeros_like(shifts)
        if self._twice:  # what is left to divide by after the high multiply
            left, shifts = np.maximum(HALF_BITS - shifts, 0), np.maximum(shifts - HALF_BITS, 0)
        self._always_divides = bool((shifts > 0).all())
        type_ = np.int32 if self._twice else np.int64
        tables = (
            multipliers.astype(np.int32), shifts.astype(type_),
            ((np.int64(1) << shifts) >> 1).astype(type_), np.where(shifts > 0, -1, 0).astype(type_),
        )  # fmt: skip
        self._tables = [kernel.constant(in_lanes(table)) for table in tables]
        self._left = kernel.constant(in_lanes(left.astype(np.int32))) if left.any() else None

    def load(self, code: VectorCode, at: str) -> Scales:
        """The scales of the outputs from `at` on."""
        rest = INTS if self._twice else WIDE
        multiplier, *others = self._tables
        shift, half, away = (code.load(table, at, rest) for table in others)
        left = None if self._left is None else code.load(self._left, at, INTS)
        return Scales(code.load(multiplier, at, INTS), shift, half, away, left)

    def apply(self, code: VectorCode, sums: str, scales: Scales) -> str:
        """16 bytes of 16 sums."""
        if scales.left is not None:
            sums = code.apply("shli", sums, scales.left, INTS)
        if self._twice:
            real = self._high(code, sums, scales)
        else:
            wide, by = (
                code.convert("arith.extsi", x, INTS, WIDE) for x in (sums, scales.multiplier)
            )
            product = code.apply("muli", wide, by, WIDE)
            real = code.convert("arith.trunci", self._once(code, product, scales), WIDE, INTS)
        low, high = self._op.clamp_min.value, self._op.clamp_max.value
        zero = code.splat(value_params(self._op.result).zero_point, INTS)
        shifted = code.apply("addi", real, zero, INTS)
        raised = code.apply("maxsi", shifted, code.splat(low, INTS), INTS)
        clamped = code.apply("minsi", raised, code.splat(high, INTS), INTS)
        return code.convert("arith.trunci", clamped, INTS, RESULTS)

    def _once(self, code: VectorCode, product: str, scales: Scales) -> str:
        """One division by 2^shift, in 64 bits."""
        moved = code.apply("addi", product, scales.half, WIDE)
        if self._rounding == "half_away":
            sign = code.apply("shrsi", product, code.splat(63, WIDE), WIDE)
            moved = code.apply("addi", moved, sign, WIDE)
        elif self._rounding == "half_even":
            one = code.splat(1, WIDE)
            floor = code.apply("shrsi", product, scales.shift, WIDE)
            odd = code.apply("andi", floor, one, WIDE)
            moved = code.apply("addi", code.apply("subi", moved, one, WIDE), odd, WIDE)
        return code.apply("shrsi", moved, scales.shift, WIDE)

    def _high(self, code: VectorCode, sums: str, scales: Scales) -> str:
        """The high multiply, then a division in 32 bits with ties away from zero."""
        high = high_multiply(code, sums, scales.multiplier)
        moved = code.apply("addi", high, scales.half, INTS)
        sign = code.apply("shrsi", high, code.splat(31, INTS), INTS)
        away = sign if self._always_divides else code.apply("andi", sign, scales.away, INTS)
        return code.apply("shrsi", code.apply("addi", moved, away, INTS), scales.shift, INTS)


def high_multiply(code: VectorCode, left: str, right: str) -> str:
    """(left * right + 2^30) >> 31 of vectors of int32: the even lanes and the odd ones apart."""
    places = code.splat(32, PAIRS)
    halves: list[tuple[str, str]] = []
    for value in (left, right):
        pairs = code.convert("vector.bitcast", value, INTS, PAIRS)
        raised = code.apply("shli", pairs, places, PAIRS)
        halves.append(
            (code.apply("shrsi", raised, places, PAIRS), code.apply("shrsi", pairs, places, PAIRS))
        )
    nudge = code.splat(1 << (HALF_BITS - 1), PAIRS)
    even, odd = (
        code.apply("addi", code.apply("muli", a, b, PAIRS), nudge, PAIRS)
        for a, b in zip(*halves, strict=True)
    )
    low = code.apply("shrui", even, code.splat(HALF_BITS, PAIRS), PAIRS)
    low = code.apply("andi", low, code.splat((1 << 32) - 1, PAIRS), PAIRS)
    top = code.apply("shli", odd, code.splat(1, PAIRS), PAIRS)
    top = code.apply("andi", top, code.splat(-1 << 32, PAIRS), PAIRS)
    return code.convert("vector.bitcast", code.apply("ori", low, top, PAIRS), PAIRS, INTS)


def in_lanes(array: NDArray[Any]) -> NDArray[Any]:
    """Zeros behind, up to whole vectors."""
    return np.pad(array, (0, -len(array) % LANES))
