"""Post-training quantization: calibration, ranges, the integer module, and its report."""

from bitwright.passes.quantize.calibrate import Statistics, calibrate
from bitwright.passes.quantize.quantize import Quantize, Quantized
from bitwright.passes.quantize.report import LayerReport, QuantizationReport
from bitwright.passes.quantize.samples import check_samples

__all__ = [
    "LayerReport",
    "QuantizationReport",
    "Quantize",
    "Quantized",
    "Statistics",
    "calibrate",
    "check_samples",
]
