"""Output stages as thresholds of the sum, and thresholds as logic: a binary search."""

from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Array, Cat, Const, Mux, Value

from bitwright.errors import BitwrightError
from bitwright.hwgen.dataflow.golden import finish
from bitwright.ir.dataflow import Requantize, Tensor, Thresholds

_SIDE_BY_SIDE = 3  # last steps of a search whose comparisons are made at once


class NotMonotone(BitwrightError):
    """An output stage whose result falls somewhere as the sum rises, so it has no thresholds."""

    exit_code = 5


def levels(
    output: Requantize | Thresholds, result: Tensor, row: int, low: int, high: int
) -> tuple[int, list[int]]:
    """(least result, ascending levels) of one row, for sums in low ... high before the bias.

    The result of a sum is the least result and the number of levels it has reached; a level
    stands as often as the result rises there.

    Raises:
        NotMonotone: more than the thresholds cannot say.
    """
    if isinstance(output, Thresholds):
        own = [int(level) for level in output.levels[row] - output.bias[row]]
        always = sum(level <= low for level in own)
        return output.least + always, [level for level in own if low < level <= high]
    sums = np.arange(low, high + 1)
    results = finish(_row(output, row), sums[:, None], result)[:, 0]
    rises = np.diff(results)
    if (rises < 0).any():
        place = int(np.argmax(rises < 0))
        raise NotMonotone(
            f"Row {row} of {result.name} gives {results[place]} for the sum {sums[place]} and "
            f"{results[place + 1]} for {sums[place + 1]}; an unrolled layer needs results that "
            f"never fall as the sum rises; fold the layer instead"
        )
    return int(results[0]), [int(level) for level in np.repeat(sums[1:], rises)]


def _row(output: Requantize, row: int) -> Requantize:
    return Requantize(
        bias=output.bias[[row]],
        multiplier=output.multiplier[[row]],
        shift=output.shift[[row]],
        zero_point=output.zero_point,
        clamp=output.clamp,
        rounding=output.rounding,
        table=output.table,
    )


def luts(bits: int, count: int) -> int:
    """Look-up tables, about, of a search among `count` levels of a word of `bits`."""
    return count * -(-max(bits - 1, 1) // 3) + count // 2


def search(word: Value, ascending: Sequence[int]) -> Value:
    """How many of these levels, each at least 1, the word has reached."""
    if not ascending:
        return Const(0, 1)
    bits = len(ascending).bit_length()
    never = 1 << len(word)
    padded = [*ascending, *[never] * ((1 << bits) - 1 - len(ascending))]
    found: list[Value] = []  # the result's bits, the highest first
    for step in range(bits - 1, -1, -1):
        choices = padded[(1 << step) - 1 :: 2 << step]
        if len(choices) < 1 << _SIDE_BY_SIDE:
            reached = [_reaches(word, level) for level in choices]
            for bit in reversed(found):
                pairs = zip(reached[::2], reached[1::2], strict=True)
                reached = [Mux(bit, high, low) for low, high in pairs]
            found.append(reached[0])
        else:
            constants = Array(Const(level, len(word) + 1) for level in choices)
            found.append(word >= constants[Cat(*reversed(found))])
    return Cat(*reversed(found))


def _reaches(word: Value, level: int) -> Value:
    """word >= level >= 1, from the lowest bit that the level has upwards."""
    if level >= 1 << len(word):
        return Const(0, 1)
    lowest = (level & -level).bit_length() - 1
    reached: Value = word[lowest]
    for place in range(lowest + 1, len(word)):
        reached = reached & word[place] if level >> place & 1 else reached | word[place]
    return reached
