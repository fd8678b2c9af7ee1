"""Why a model with markers has no integer form."""

from bitwright.errors import BitwrightError


class NotIntegerModel(BitwrightError):
    """Base: what stands between the markers is not integer arithmetic."""

    exit_code = 3


class FloatBetweenMarkers(NotIntegerModel):
    """An operation whose operands or result are not quantized."""


class UnsupportedMarker(NotIntegerModel):
    """A quantize or dequantize whose scale, zero point or integers the machine has no form for."""


class NotAScale(NotIntegerModel):
    """A function between an accumulator and its quantize that no multiplier and shift computes."""
