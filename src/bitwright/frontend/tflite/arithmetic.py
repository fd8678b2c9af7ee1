"""How LiteRT turns scales into integers: multipliers, bounds of activations, tables of functions.

Source: LiteRT, kernels/internal/quantization_util.cc and kernels/kernel_util.cc.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.ir import fixed_point
from bitwright.ir.bw import SCALE_LIMITS
from bitwright.ir.dyadic import LARGEST, Scale, multiplier, round_away, solve, starts
from bitwright.ir.reference_quantize import round_half_away
from bitwright.ir.types import QuantParams

SCALED_DIFFERENCE_BITS = 5
LEAST, GREATEST = -128, 127


def bounds(activation: str, params: QuantParams) -> tuple[int, int]:
    """Least and greatest integer of a fused activation (CalculateActivationRangeQuantized)."""
    low, high = ACTIVATIONS[activation]

    def quantized(real: float) -> int:
        return params.zero_point + round_away(float(np.float32(real) / np.float32(params.scale)))

    least = params.qmin if low is None else max(params.qmin, quantized(low))
    greatest = params.qmax if high is None else min(params.qmax, quantized(high))
    return least, max(least, greatest)


ACTIVATIONS: dict[str, tuple[float | None, float | None]] = {
    "NONE": (None, None),
    "RELU": (0.0, None),
    "RELU_N1_TO_1": (-1.0, 1.0),
    "RELU6": (0.0, 6.0),
    "RELU_0_TO_1": (0.0, 1.0),
}
FUSED = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6")


def exact_multiplier(real: float, limit: int, greatest: int) -> Scale:
    """A `half_away` multiplier and shift that give round(acc * real) as float64 computes it.

    LiteRT's FULLY_CONNECTED scales its sums in float64 and rounds ties away from zero. That is
    odd in acc, so steps up to `greatest` and sums up to `limit` (both in size) settle it.

    Raises:
        ValueError: where no multiplier of 31 bits does; none is then close enough.
    """
    if multiplier(real)[0] == 0:
        raise ValueError(f"scales by {real:g}; expected at least 2^-31")
    steps, high = np.arange(1, greatest + 1, dtype=np.int64), np.asarray([limit])
    begin = starts(lambda acc: round_half_away(acc * real), np.zeros(1, np.int64), high, steps)
    found = solve(begin[:, 0], 0, limit, steps, "half_away", SCALE_LIMITS["half_away"])
    if found is None:
        raise ValueError(
            f"scales sums of up to {limit} by {real:g}, which no multiplier of 31 bits does as "
            "float64 does"
        )
    return found


def average_multiplier(count: int) -> Scale:
    """A `half_away` multiplier and shift that divide sums of `count` unsigned bytes.

    Raises:
        ValueError: where no multiplier of 31 bits does.
    """
    steps, limit = np.arange(1, 256, dtype=np.int64), 255 * count
    low, high = np.zeros(1, np.int64), np.asarray([limit])
    begin = starts(lambda acc: (2 * acc + count) // (2 * count), low, high, steps)
    found = solve(begin[:, 0], 0, limit, steps, "half_away", SCALE_LIMITS["half_away"])
    if found is None:
        raise ValueError(f"averages over {count} elements, which no multiplier of 31 bits does")
    return found


def requantized_table(source: QuantParams, result: QuantParams) -> NDArray[np.int64]:
    """A change of scale for each of the 256 integers (Requantize), in float64."""
    centred = codes() - source.zero_point
    return _scaled(centred, source.scale / result.scale, result, (LEAST, GREATEST))


def activation_table(
    source: QuantParams, result: QuantParams, activation: str
) -> NDArray[np.int64]:
    """An activation and a change of scale, in float32 (QuantizedReluX)."""
    factor = float(np.float32(source.scale) / np.float32(result.scale))
    return _scaled(codes() - source.zero_point, factor, result, bounds(activation, result))


def leaky_table(source: QuantParams, result: QuantParams, alpha: float) -> NDArray[np.int64]:
    """x where positive, else alpha * x (QuantizeLeakyRelu)."""
    centred = codes() - source.zero_point
    limits = (LEAST, GREATEST)
    same = float(np.float32(source.scale) / np.float32(result.scale))
    slope = float(np.float32(source.scale) * np.float32(alpha) / np.float32(result.scale))
    positive = _scaled(centred, same, result, limits)
    # A negative slope has a negative multiplier; the sign changes sides.
    scaled = fixed_point.scale(centred, *multiplier(abs(slope)))
    negative = np.clip(scaled * (1 if slope >= 0 else -1) + result.zero_point, *limits)
    return np.where(centred >= 0, positive, negative)


def _scaled(
    centred: NDArray[np.int64], factor: float, result: QuantParams, limits: tuple[int, int]
) -> NDArray[np.int64]:
    return np.clip(fixed_point.scale(centred, *multiplier(factor)) + result.zero_point, *limits)


def function_table(
    source: QuantParams, result: QuantParams, function: Callable[[Any], Any]
) -> NDArray[np.int64]:
    """A function in float32 for each of the 256 integers (PopulateLookupTable)."""
    real = np.float32(source.scale) * (codes() - source.zero_point).astype(np.float32)
    inverse = np.float32(1) / np.float32(result.scale)
    with np.errstate(over="ignore"):
        scaled = function(real).astype(np.float32) * inverse
    rounded = np.copysign(np.floor(np.abs(scaled) + np.float32(0.5)), scaled)
    return np.clip(rounded + result.zero_point, LEAST, GREATEST).astype(np.int64)


def softmax_table(scale: float, beta: float) -> NDArray[np.int64]:
    """exp(-beta * scale * d) over 2^31 for d from 0 to 255; 0 where LiteRT leaves it out."""
    real = min(beta * scale * (1 << (31 - SCALED_DIFFERENCE_BITS)), LARGEST - 1.0)
    fixed, shift = multiplier(real) if real < 1 << 30 else (LARGEST - 1, 0)
    left = fixed_point.HALF_BITS - shift
    if left < 0:
        raise ValueError(f"scales by {real:g}; expected at least 1 (PreprocessSoftmaxScaling)")
    greatest = ((1 << SCALED_DIFFERENCE_BITS) - 1) << (31 - SCALED_DIFFERENCE_BITS)
    radius = greatest >> left
    distances = np.arange(256, dtype=np.int64)
    within = np.minimum(distances, radius)
    scaled = fixed_point.high_multiply(-within << left, fixed)
    return np.where(distances <= radius, fixed_point.exponential(scaled), 0)


def codes() -> NDArray[np.int64]:
    """All integers of a byte, in the order of a table."""
    return np.arange(LEAST, GREATEST + 1, dtype=np.int64)
