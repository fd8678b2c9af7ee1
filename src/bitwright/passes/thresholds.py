"""`bw.multi_threshold` as the overlay's output stage: one line a channel whose steps are the same.

    multi_threshold(conv2d(x, w, b))   -->  table(requantize(conv2d(x, w, b + B)))
                                       or requantize(conv2d(x, w, b)), to even
    multi_threshold(codes), one row    -->  table(codes)
    multi_threshold(codes)             -->  multi_threshold(depthwise conv2d 1x1 (codes))
    multi_threshold(reshape of sums)   -->  reshape(multi_threshold(sums))

The output stage computes ((a + B)·m + 2^(s-1)) >> s for each channel, clamps, and looks the code up
in a table. Where level k begins at the code j + g·k, it has the steps t_1..t_n if

    (t_k + B)·r >= j + g·k - 1/2 > (t_k - 1 + B)·r,   r = m / 2^s.

For each j, g (one for the tensor) and B (one for each channel) that is an interval for r. Trying
many j and g moves the lines by fractions of a sum, which an integer B alone cannot. What is found
is checked in integers at both sides of every step, which proves it for the whole range, as a line
rises.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.ir import dyadic, graph
from bitwright.ir.bw import MAX_MULTIPLIER, MAX_SHIFT, SCALE_LIMITS
from bitwright.ir.bw_threshold import count_reached
from bitwright.ir.types import QuantParams, is_accumulator, quant_params, shape_of, value_params
from bitwright.passes.rewrite import Match, Rewriter, Rule, producer
from bitwright.passes.tile_program import unsupported
from bitwright.passes.widths import channel_ranges

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LOWEST, HIGHEST = -128, 127
_CODES = np.arange(LOWEST, HIGHEST + 1)
SLOPES = 65
"""Slopes that are looked at for each channel, of those that reach its steps at all."""
STEEPEST = 1 << 14
INT32 = np.iinfo(np.int32)


@dataclass(frozen=True)
class Line:
    """((a + bias)·multiplier + 2^(shift-1)) >> shift, of one channel."""

    bias: int
    multiplier: int
    shift: int

    def codes(self, a: Ints) -> Ints:
        """The codes of sums."""
        return ((a + self.bias) * self.multiplier + (1 << (self.shift - 1))) >> self.shift


@dataclass(frozen=True)
class Codes:
    """Which codes of the output stage are level k: from base + gap·k to the next level's first."""

    base: int
    gap: int


@dataclass(frozen=True)
class Lines:
    """What the codes mean, and a line for each channel."""

    codes: Codes
    channels: tuple[Line, ...]


def fit(
    thresholds: Ints,
    ranges: Ints,
    *,
    first: Codes | None = None,
    biased: bool = True,
    gain: int = 1,
) -> Lines | None:
    """Lines that step where the thresholds of each channel do, or None where none were found.

    Args:
        thresholds: [C, n], ascending rows.
        ranges: [C, 2], the least and greatest sum of each channel.
        first: what is tried first; then all codes, those near the middle of the steps first.
        biased: whether a bias may be added to the sums.
        gain: what the sums are multiplied by before the bias is added, for finer biases.
    """
    choices = [*([first] if first else []), *_all_codes(thresholds.shape[1])]
    rows = [
        _Row(row, int(low), int(high), gain)
        for row, (low, high) in zip(thresholds.astype(np.int64), ranges.tolist(), strict=True)
    ]
    biases = [row.biases(choices, biased) for row in rows]
    order = sorted(range(len(rows)), key=lambda index: len(biases[index]))
    for number, codes in enumerate(choices):
        lines: dict[int, Line] = {}
        for index in order:
            line = rows[index].line(codes, biases[index].get(number, ()))
            if line is None:
                order.remove(index)
                order.insert(0, index)  # the next choice has to please this channel first
                break
            lines[index] = line
        else:
            return Lines(codes, tuple(lines[index] for index in range(len(rows))))
    return None


def _all_codes(levels: int) -> list[Codes]:
    gaps = [1 << bits for bits in range(8) if levels << bits <= HIGHEST - LOWEST]
    found = {
        Fraction(base, gap): Codes(base, gap)
        for gap in reversed(gaps) for base in range(LOWEST, HIGHEST + 1 - gap * levels)
    }  # fmt: skip
    return [found[offset] for offset in sorted(found, key=lambda at: abs(at + levels / 2))]


class _Row:
    """The steps of one channel as sums that have to reach a level, and sums that must not."""

    def __init__(self, thresholds: Ints, low: int, high: int, gain: int) -> None:
        self._low, self._high, self._levels = low * gain, high * gain, len(thresholds)
        start, end = np.searchsorted(thresholds, [low, high], side="right").tolist()
        inside, steps = thresholds[start:end], np.arange(start + 1, end + 1)
        # below the first level and above the last one the clamp decides
        lowest, highest = [low] * (start > 0), [high] * (end < self._levels)
        self._reach = gain * np.concatenate((lowest, inside)).astype(np.float64)
        self._reached = np.concatenate(([start] * len(lowest), steps))
        self._stay = gain * np.concatenate((inside - 1, highest)).astype(np.float64)
        self._stayed = np.concatenate((steps, [end + 1] * len(highest)))
        points = np.concatenate(([low, high], inside - 1, inside)).clip(low, high)
        self._points = gain * points
        self._wanted = np.searchsorted(thresholds, points, side="right")

    def biases(self, choices: Sequence[Codes], biased: bool) -> dict[int, list[int]]:
        """For each index of `choices` for which there are any: biases that some slope allows."""
        widths = self._widths()
        if widths is None:
            return {}
        # (a + B) >= v·width of all sums that reach v, and < of all that stay below
        starts = np.array([(codes.base - 0.5) / codes.gap for codes in choices])
        moved = starts[:, None] * widths
        least = np.full(len(widths), -np.inf)
        most = np.full(len(widths), np.inf)
        if len(self._reach):
            least = (self._reached * widths[:, None] - self._reach).max(axis=1)
        if len(self._stay):
            most = (self._stayed * widths[:, None] - self._stay).min(axis=1)
        chosen = np.zeros_like(moved)
        if biased:
            if not len(self._reach):
                least = most - 2  # the clamp alone decides below
            chosen = np.ceil(least + moved)
        allowed = (chosen >= least + moved) & (chosen < most + moved)
        allowed &= (chosen + self._low >= INT32.min) & (chosen + self._high <= INT32.max)
        return {
            int(index): np.unique(chosen[index][allowed[index]]).astype(np.int64).tolist()
            for index in np.flatnonzero(allowed.any(axis=1))
        }

    def _widths(self) -> Floats | None:
        """Sums per level of the lines that can make all steps; None where there is no such line."""
        rise = self._reached[:, None] - self._stayed
        run = self._reach[:, None] - self._stay
        if (run[rise == 0] <= 0).any():
            return None
        least = max((run[rise < 0] / rise[rise < 0]).max(initial=0.0), 1 / STEEPEST)
        most = (run[rise > 0] / rise[rise > 0]).min(initial=np.inf)
        most = min(most, 4.0 * max(least, self._high - self._low + 1))
        return None if least >= most else np.linspace(least, most, SLOPES + 2)[1:-1]

    def line(self, codes: Codes, biases: Sequence[int]) -> Line | None:
        """The first of these biases with which a multiplier and a shift make every step."""
        for bias in biases:
            line = self._with_bias(codes, bias)
            if line is not None and self._is_exact(line, codes):
                return line
        return None

    def _with_bias(self, codes: Codes, bias: int) -> Line | None:
        least, most = 0.0, MAX_MULTIPLIER / 2
        for sums, levels, reach in (
            (self._reach, self._reached, True), (self._stay, self._stayed, False),
        ):  # fmt: skip
            x, v = sums + bias, codes.base + codes.gap * levels - 0.5
            bounds = np.divide(v, x, out=np.zeros_like(x), where=x != 0)
            rising = (x > 0) == reach
            least = max(least, bounds[rising & (x != 0)].max(initial=0.0))
            most = min(most, bounds[~rising & (x != 0)].min(initial=np.inf))
        if not least < most:
            return None
        middle = (least + most) / 2
        shift = min(max(int(np.log2(MAX_MULTIPLIER / middle)), 1), MAX_SHIFT)
        multiplier = round(middle * 2.0**shift)
        return Line(bias, multiplier, shift) if 1 <= multiplier <= MAX_MULTIPLIER else None

    def _is_exact(self, line: Line, codes: Codes) -> bool:
        found = (line.codes(self._points) - codes.base) // codes.gap
        return np.array_equal(np.clip(found, 0, self._levels), self._wanted)


def _of_sums(rewriter: Rewriter, match: Match) -> ir.Value | None:
    operation, sums = match.operation, match.operands[0]
    if not is_accumulator(sums):
        return None
    reshape = producer(sums, "bw.reshape")
    if reshape is not None:
        return _before_reshape(rewriter, match, reshape.operands[0])
    if operation.axis.value != 1:
        unsupported(operation, f"its thresholds go along axis {operation.axis.value}, not 1")
    result, channels = value_params(operation.result), match.shape[1]
    levels = shape_of(match.operands[1])[1]
    thresholds = np.broadcast_to(_rows(match), (channels, levels))
    first = Codes(result.qmin - result.zero_point, 1)
    ranges = channel_ranges(sums.owner.opview, channels)
    conv = producer(sums, "bw.conv2d")
    for gain in _gains(conv):
        lines = fit(thresholds, ranges, first=first, biased=conv is not None, gain=gain)
        if lines is not None:
            if conv is not None:
                sums = _scaled(rewriter, conv.opview, gain, lines)
            return _stage(rewriter, sums, result, lines, levels, lines.codes == first)
    even = _to_even(thresholds, ranges, result)
    if even is not None:
        return rewriter.builder.requantize(
            sums, result, multiplier=[m for m, _ in even], shift=[s for _, s in even],
            clamp_min=result.qmin, clamp_max=result.qmin + levels, rounding="half_even",
        )  # fmt: skip
    unsupported(
        operation,
        f"no multipliers, shifts and biases were found that make its {levels} steps in all of "
        f"{channels} channels, and the overlay's output stage makes equal steps with multipliers "
        f"of {MAX_MULTIPLIER.bit_length()} bits; quantize to fewer levels",
    )
    return None


def _to_even(thresholds: Ints, ranges: Ints, result: QuantParams) -> list[dyadic.Scale] | None:
    """A scale for each channel with which rounding to even makes every step, None without one.

    Where all scales of a model are powers of two, sums are ties, and every other step begins at
    one: steps of two widths in turn, which no line makes.
    """
    steps = np.arange(1, thresholds.shape[1] + 1) + result.qmin - result.zero_point
    scales = [
        dyadic.solve(
            np.clip(row, low, high + 1), int(low), int(high), steps, "half_even",
            SCALE_LIMITS["half_even"],
        )
        for row, (low, high) in zip(thresholds, ranges, strict=True)
    ]  # fmt: skip
    found = [scale for scale in scales if scale is not None]
    return found if len(found) == len(scales) else None


def _gains(conv: Any | None) -> list[int]:
    """Powers of two that the weights can be multiplied by and stay 8-bit integers."""
    weight = None if conv is None else graph.constant_of(conv.operands[1])
    if weight is None:
        return [1]
    largest = max(int(np.abs(weight.astype(np.int64)).max()), 1)
    return [1 << bits for bits in range(7) if largest << bits <= HIGHEST]


def _scaled(rewriter: Rewriter, conv: Any, gain: int, lines: Lines) -> ir.Value:
    """The convolution with `gain` times its weights, and the biases of the lines."""
    weight, bias = graph.constant_of(conv.operands[1]), graph.constant_of(conv.operands[2])
    if weight is None or bias is None:
        unsupported(conv, "its weight or bias is computed at run time")
    params = value_params(conv.operands[1])
    wide = QuantParams(
        tuple(scale / gain for scale in params.scales), 0, 8, LOWEST, HIGHEST, params.axis
    )
    build, biases = rewriter.builder, np.array([line.bias for line in lines.channels])
    return build.copy(
        conv,
        [
            conv.operands[0],
            conv.operands[1] if gain == 1 else build.constant(weight * np.int8(gain), wide),
            build.constant(bias.astype(np.int64) * gain + biases),
        ],
    )


def _stage(
    rewriter: Rewriter, sums: ir.Value, result: QuantParams, lines: Lines, levels: int, direct: bool
) -> ir.Value:
    """The output stage: a requantize, and a table unless its codes are those of the result."""
    base, gap = lines.codes.base, lines.codes.gap
    low = result.qmin if direct else base
    steps = rewriter.builder.requantize(
        sums, result if direct else QuantParams((result.scale,), 0, 8, LOWEST, HIGHEST),
        multiplier=[line.multiplier for line in lines.channels],
        shift=[line.shift for line in lines.channels], clamp_min=low, clamp_max=low + gap * levels,
    )  # fmt: skip
    if direct:
        return steps
    reached = np.clip((_CODES - base) // gap, 0, levels)
    return rewriter.builder.table(steps, result, (result.qmin + reached).tolist())


def _rows(match: Match) -> Ints:
    thresholds = graph.constant_of(match.operands[1])
    assert thresholds is not None, "verified: thresholds are constant"
    return thresholds.reshape(shape_of(match.operands[1])).astype(np.int64)


def _before_reshape(rewriter: Rewriter, match: Match, sums: ir.Value) -> ir.Value | None:
    rows = _rows(match)
    if len(rows) > 1 and shape_of(sums)[:2] != match.shape[:2]:
        return None
    steps = rewriter.builder.multi_threshold(sums, value_params(match.operation.result), rows)
    return rewriter.builder.reshape(steps, match.shape)


def _of_codes(rewriter: Rewriter, match: Match) -> ir.Value | None:
    x, build = match.operands[0], rewriter.builder
    params = quant_params(x.type)
    if params is None:
        return None
    result, rows, channels = value_params(match.operation.result), _rows(match), match.shape[1]
    if len(rows) == 1:
        return build.table(x, result, (result.qmin + count_reached(_CODES, rows, 0)).tolist())
    if len(match.shape) != 4 or match.operation.axis.value != 1:
        return None
    one = build.constant(np.ones((channels, 1, 1, 1), np.int8), QuantParams((1.0,), 0, 2, -1, 1))
    # a convolution takes the zero point off the codes
    sums = build.conv2d(x, one, build.constant(np.zeros(channels, np.int32)), groups=channels)
    return build.multi_threshold(sums, result, rows - params.zero_point)


RULES: tuple[Rule, ...] = (_of_codes, _of_sums)
