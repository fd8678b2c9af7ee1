"""Errors of quantization: calibration samples, options, and models that have no integer form."""

from bitwright.errors import BitwrightError


class CalibrationError(BitwrightError):
    """Base of what can be wrong with calibration samples."""

    exit_code = 4


class CalibrationMissing(CalibrationError):
    """No calibration samples, where quantization needs them."""

    exit_code = 47


class CalibrationFileError(CalibrationError):
    """A file of samples that cannot be read."""


class CalibrationNames(CalibrationError):
    """Samples whose tensor names are not the model's inputs."""

    exit_code = 43


class CalibrationShape(CalibrationError):
    """Samples of another shape than the model's input."""

    exit_code = 41


class CalibrationType(CalibrationError):
    """Samples that are not numbers."""

    exit_code = 42


class CalibrationNotFinite(CalibrationError):
    """Samples with NaN or infinity, or that drive a layer there."""

    exit_code = 44


class CalibrationEmpty(CalibrationError):
    """Samples without a single one."""

    exit_code = 45


class CalibrationCounts(CalibrationError):
    """Inputs of a model with several, that have different numbers of samples."""

    exit_code = 46


class QuantizeOptionError(BitwrightError):
    """An option of the quantize pass outside of what it knows; a usage error."""

    exit_code = 2


class NotQuantizable(BitwrightError):
    """An operation of the model that has no integer form."""

    exit_code = 3


class ScaleNotRepresentable(BitwrightError):
    """A scale, or a ratio of scales, outside of what the integer operations can express."""

    exit_code = 3
