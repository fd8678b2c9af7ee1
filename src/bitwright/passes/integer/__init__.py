"""Models that came quantized, as floats between markers, to integer modules."""

from bitwright.passes.integer.codes import Deviation
from bitwright.passes.integer.errors import NotIntegerModel
from bitwright.passes.integer.integer import Integer, Integral, has_markers

__all__ = ["Deviation", "Integer", "Integral", "NotIntegerModel", "has_markers"]
