"""A `bw.requantize` on vectors of sums that are still in registers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.codegen.cpu.line import Line, line
from bitwright.codegen.cpu.program import Kernel
from bitwright.codegen.cpu.vectors import BYTES, INTS, LANES, PAIRS, RESULTS, WIDE, VectorCode
from bitwright.ir.checks import ints
from bitwright.ir.fixed_point import HALF_BITS
from bitwright.ir.types import value_params
from bitwright.passes.widths import accumulator_range, channel_ranges

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


Lanes = NDArray[np.int64]
Scales = tuple[str, ...]
"""What 16 lanes are scaled with: names of vectors."""


class Rescale:
    """clamp(sums * m / 2^s + zero_point), with the rounding and the scales of `requantize`.

    Args:
        outputs: channels, each with its scale.
        order: the channel of each lane of the tables, a whole number of vectors; by default the
            channels as they are, then nothing.
    """

    def __init__(
        self, kernel: Kernel, requantize: Any, outputs: int, order: Lanes | None = None
    ) -> None:
        found = line(requantize, channel_ranges(requantize.input.owner.opview, outputs))
        self._form: _Line | _Steps = (
            _Steps(kernel, requantize, outputs, order)
            if found is None
            else _Line(kernel, found, order)
        )
        self._clamp = requantize.clamp_min.value, requantize.clamp_max.value

    def load(self, code: VectorCode, at: str) -> Scales:
        """The scales of the outputs from `at` on, which is a multiple of 16."""
        return self._form.load(code, at)

    def apply(self, code: VectorCode, sums: str, scales: Scales) -> str:
        """16 bytes of 16 sums."""
        shifted = self._form.apply(code, sums, scales)
        low, high = self._clamp
        raised = code.apply("maxsi", shifted, code.splat(low, INTS), INTS)
        clamped = code.apply("minsi", raised, code.splat(high, INTS), INTS)
        return code.convert("arith.trunci", clamped, INTS, RESULTS)

    def apply_packed(self, code: VectorCode, sums: Sequence[str], scales: Sequence[Scales]) -> str:
        """64 bytes of four times 16 sums; see `VectorCode.pack`."""
        shifted = [
            self._form.apply(code, each, own) for each, own in zip(sums, scales, strict=True)
        ]
        result = code.pack(shifted)
        for bound, end, operation in zip(self._clamp, (-128, 127), ("maxsi", "minsi"), strict=True):
            if bound != end:
                result = code.apply(operation, result, code.splat(bound, BYTES), BYTES)
        return result


class _Line:
    """Sums of even lanes and those of odd ones apart, as products of 64 bits."""

    def __init__(self, kernel: Kernel, found: Line, order: Lanes | None) -> None:
        multiplier, offset, shift = (
            _ordered(table, order) for table in (found.multiplier, found.offset, found.shift)
        )
        self._below = found.below
        left = _ordered(found.left, order)
        self._left = kernel.constant(left) if left.any() else None
        # [vector, lane of a pair, pair], the other tables in the order of the outputs
        split = offset.reshape(-1, LANES // 2, 2).transpose(0, 2, 1).reshape(-1)
        self._multiplier, self._offset, self._shift = (
            kernel.constant(table) for table in (multiplier, split, shift)
        )

    def load(self, code: VectorCode, at: str) -> Scales:
        multiplier, shift = (code.load(t, at, INTS) for t in (self._multiplier, self._shift))
        even = code.load(self._offset, at, PAIRS)
        odd = code.load(self._offset, code.index([(at, 1)], LANES // 2), PAIRS)
        left = [] if self._left is None else [code.load(self._left, at, INTS)]
        return multiplier, shift, even, odd, *left

    def apply(self, code: VectorCode, sums: str, scales: Scales) -> str:
        multiplier, shift, *offsets = scales[:4]
        if self._left is not None:
            sums = code.apply("shli", sums, scales[4], INTS)
        made: list[str] = []
        products = pair_products(code, sums, multiplier)
        for product, offset in zip(products, offsets, strict=True):
            moved = code.apply("addi", product, offset, PAIRS)
            if self._below:
                nothing = code.splat(0, PAIRS)
                mask = f"vector<{LANES // 2}xi1>"
                negative = code.make(f"arith.cmpi slt, {product}, {nothing} : {PAIRS}")
                less = code.apply("addi", moved, code.splat(self._below, PAIRS), PAIRS)
                moved = code.make(f"arith.select {negative}, {less}, {moved} : {mask}, {PAIRS}")
            made.append(code.convert("vector.bitcast", moved, PAIRS, INTS))
        order = ", ".join(str(lane + side) for lane in range(1, LANES, 2) for side in (0, LANES))
        high = code.make(f"vector.shuffle {made[0]}, {made[1]} [{order}] : {INTS}, {INTS}")
        return code.apply("shrsi", high, shift, INTS)


class _Steps:
    """The definition, step by step."""

    def __init__(
        self, kernel: Kernel, requantize: Any, outputs: int, order: Lanes | None
    ) -> None:  # fmt: skip
        self._op = requantize
        self._rounding: str = requantize.rounding.value
        self._twice = self._rounding == "tflite"
        multipliers, shifts = (
            np.broadcast_to(np.asarray(ints(field), np.int64), outputs)
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
        self._tables = [kernel.constant(_ordered(table, order)) for table in tables]
        lefts = _ordered(left.astype(np.int32), order)
        self._left = kernel.constant(lefts) if left.any() else None

    def load(self, code: VectorCode, at: str) -> Scales:
        rest = INTS if self._twice else WIDE
        multiplier, *others = self._tables
        shift, half, away = (code.load(table, at, rest) for table in others)
        left = [] if self._left is None else [code.load(self._left, at, INTS)]
        return code.load(multiplier, at, INTS), shift, half, away, *left

    def apply(self, code: VectorCode, sums: str, scales: Scales) -> str:
        multiplier, *_, last = scales
        if self._left is not None:
            sums = code.apply("shli", sums, last, INTS)
        if self._twice:
            real = self._high(code, sums, scales)
        else:
            wide, by = (code.convert("arith.extsi", x, INTS, WIDE) for x in (sums, multiplier))
            product = code.apply("muli", wide, by, WIDE)
            real = code.convert("arith.trunci", self._once(code, product, scales), WIDE, INTS)
        zero = code.splat(value_params(self._op.result).zero_point, INTS)
        return code.apply("addi", real, zero, INTS)

    def _once(self, code: VectorCode, product: str, scales: Scales) -> str:
        """One division by 2^shift, in 64 bits."""
        _, shift, half, *_ = scales
        moved = code.apply("addi", product, half, WIDE)
        if self._rounding == "half_away":
            sign = code.apply("shrsi", product, code.splat(63, WIDE), WIDE)
            moved = code.apply("addi", moved, sign, WIDE)
        elif self._rounding == "half_even":
            one = code.splat(1, WIDE)
            floor = code.apply("shrsi", product, shift, WIDE)
            odd = code.apply("andi", floor, one, WIDE)
            moved = code.apply("addi", code.apply("subi", moved, one, WIDE), odd, WIDE)
        return code.apply("shrsi", moved, shift, WIDE)

    def _high(self, code: VectorCode, sums: str, scales: Scales) -> str:
        """The high multiply, then a division in 32 bits with ties away from zero."""
        multiplier, shift, half, divides, *_ = scales
        high = high_multiply(code, sums, multiplier)
        moved = code.apply("addi", high, half, INTS)
        sign = code.apply("shrsi", high, code.splat(31, INTS), INTS)
        away = sign if self._always_divides else code.apply("andi", sign, divides, INTS)
        return code.apply("shrsi", code.apply("addi", moved, away, INTS), shift, INTS)


def pair_products(code: VectorCode, left: str, right: str) -> tuple[str, str]:
    """Products of the even lanes, and of the odd ones, as int64."""
    places = code.splat(32, PAIRS)
    halves: list[tuple[str, str]] = []
    for value in (left, right):
        pairs = code.convert("vector.bitcast", value, INTS, PAIRS)
        raised = code.apply("shli", pairs, places, PAIRS)
        halves.append(
            (code.apply("shrsi", raised, places, PAIRS), code.apply("shrsi", pairs, places, PAIRS))
        )
    even, odd = (code.apply("muli", a, b, PAIRS) for a, b in zip(*halves, strict=True))
    return even, odd


def high_multiply(code: VectorCode, left: str, right: str) -> str:
    """(left * right + 2^30) >> 31 of vectors of int32."""
    nudge = code.splat(1 << (HALF_BITS - 1), PAIRS)
    even, odd = (
        code.apply("addi", product, nudge, PAIRS) for product in pair_products(code, left, right)
    )
    low = code.apply("shrui", even, code.splat(HALF_BITS, PAIRS), PAIRS)
    low = code.apply("andi", low, code.splat((1 << 32) - 1, PAIRS), PAIRS)
    top = code.apply("shli", odd, code.splat(1, PAIRS), PAIRS)
    top = code.apply("andi", top, code.splat(-1 << 32, PAIRS), PAIRS)
    return code.convert("vector.bitcast", code.apply("ori", low, top, PAIRS), PAIRS, INTS)


def _ordered(table: NDArray[Any], order: Lanes | None) -> NDArray[Any]:
    return in_lanes(table) if order is None else table[order]


def in_lanes(array: NDArray[Any]) -> NDArray[Any]:
    """Zeros behind, up to whole vectors."""
    return np.pad(array, (0, -len(array) % LANES))
