"""How the overlay's output stage does what a `bw.requantize` says."""

from dataclasses import dataclass
from typing import Any

from bitwright.ir.bw import SCALE_LIMITS
from bitwright.ir.checks import ints
from bitwright.ir.fixed_point import HALF_BITS
from bitwright.ir.instructions import Rounding
from bitwright.passes.tile_program import unsupported
from bitwright.passes.widths import ACCUMULATOR_BITS, accumulator_range, signed_bits

_LARGEST, _FURTHEST = SCALE_LIMITS["half_up"]


@dataclass(frozen=True)
class Scaling:
    """Multipliers and shifts, one of each or one per channel, and how they round."""

    multiplier: tuple[int, ...]
    shift: tuple[int, ...]
    rounding: Rounding


def scaling(operation: Any) -> Scaling:
    """What the output stage needs for a `bw.requantize`.

    The rounding `tflite` is `half_up` where its high multiply alone divides (a shift of at most
    31) and its left shift does not wrap. Where all multipliers of such a layer end in so many
    zeros that 16 bits hold them, the machine needs no wide multiplier for it.

    Raises:
        UnsupportedOnOverlay: a left shift that may wrap.
    """
    rounding = operation.rounding.value
    pairs = list(zip(ints(operation.multiplier), ints(operation.shift), strict=True))
    if rounding == "tflite":
        _check_left_shift(operation, min(shift for _, shift in pairs))
        narrow = [_narrowed(*pair) for pair in pairs]
        if all(shift <= HALF_BITS for _, shift in pairs) and all(map(_is_narrow, narrow)):
            rounding, pairs = "half_up", narrow
    return Scaling(
        tuple(multiplier for multiplier, _ in pairs),
        tuple(shift for _, shift in pairs),
        Rounding[rounding.upper()],
    )


def _check_left_shift(operation: Any, shift: int) -> None:
    low, high = accumulator_range(operation.input.owner.opview)
    bits, places = signed_bits(low, high), HALF_BITS - shift
    if places > 0 and bits + places > ACCUMULATOR_BITS:
        unsupported(
            operation,
            f"its shift of {shift} moves sums of up to {bits} bits left by {places}, which may "
            f"leave {ACCUMULATOR_BITS} bits",
        )


def _narrowed(multiplier: int, shift: int) -> tuple[int, int]:
    """The same scale with the smallest multiplier."""
    if multiplier == 0:
        return 0, 1
    while multiplier > _LARGEST and multiplier % 2 == 0 and shift > 1:
        multiplier, shift = multiplier // 2, shift - 1
    return multiplier, shift


def _is_narrow(pair: tuple[int, int]) -> bool:
    return pair[0] <= _LARGEST and pair[1] <= _FURTHEST
