"""Errors of quantization: calibration samples, options, and models that have no integer form."""

from bitwright.errors import BitwrightError


class CalibrationError(BitwrightError):
    """Base of what can be wrong with calibration samples."""

    exit_code = 4


class CalibrationMissing(CalibrationError):
    """No calibration samples, where quantization needs them."""


class CalibrationFileError(CalibrationError):
    """A file of samples that cannot be read."""


class CalibrationNames(CalibrationError):
    """Samples whose tensor names are not the model's inputs."""


class CalibrationShape(CalibrationError):
    """Samples of another shape than the model's input."""


class CalibrationType(CalibrationError):
    """Samples that are not numbers."""


class CalibrationNotFinite(CalibrationError):
    """Samples with NaN or infinity, or that drive a layer there."""


class CalibrationEmpty(CalibrationError):
    """Samples without a single one."""


class CalibrationCounts(CalibrationError):
    """Inputs of a model with several, that have different numbers of samples."""


class QuantizeOptionError(BitwrightError):
    """An option of the quantize pass outside of what it knows; a usage error."""

    exit_code = 2


class NotQuantizable(BitwrightError):
    """An operation of the model that has no integer form."""

    exit_code = 3


class ScaleNotRepresentable(BitwrightError):
    """A scale, or a ratio of scales, outside of what the integer operations can express."""

    exit_code = 3
