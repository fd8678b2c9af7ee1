"""The roundings of models that were imported quantized, brought to the overlay's where possible."""

from typing import Any

from bitwright.ir.bw import SCALE_LIMITS
from bitwright.ir.checks import ints
from bitwright.ir.fixed_point import HALF_BITS
from bitwright.passes.tile_program import unsupported
from bitwright.passes.widths import ACCUMULATOR_BITS, accumulator_range, signed_bits

ROUNDING = "half_up"


def half_up(operation: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Multipliers and shifts with which `half_up` computes what this `bw.requantize` does.

    The rounding `tflite` is `half_up` where its high multiply alone divides (a shift of at most
    31), its left shift does not wrap, and the multiplier ends in so many zeros that it fits.

    Raises:
        UnsupportedOnOverlay: naming the rounding, where there are none for sure.
    """
    rounding = operation.rounding.value
    pairs = list(zip(ints(operation.multiplier), ints(operation.shift), strict=True))
    if rounding != ROUNDING:
        low, high = accumulator_range(operation.input.owner.opview)
        bits = signed_bits(low, high)
        pairs = [_converted(operation, rounding, bits, *pair) for pair in pairs]
    return tuple(multiplier for multiplier, _ in pairs), tuple(shift for _, shift in pairs)


def _converted(
    operation: Any, rounding: str, bits: int, multiplier: int, shift: int
) -> tuple[int, int]:
    if multiplier == 0:
        return 0, 1
    largest, furthest = SCALE_LIMITS[ROUNDING]
    places = HALF_BITS - shift
    exact = rounding == "tflite" and places >= 0 and bits + places <= ACCUMULATOR_BITS
    while multiplier > largest and multiplier % 2 == 0 and shift > 1:
        multiplier, shift = multiplier // 2, shift - 1
    if not exact or multiplier > largest or shift > furthest:
        unsupported(
            operation,
            f"its rounding is {rounding!r}, and the overlay's output stage has {ROUNDING!r} with "
            f"multipliers of {largest.bit_length()} bits",
        )
    return multiplier, shift
