"""What can be wrong with a model file: one class each, all with exit code 3."""

from bitwright.errors import BitwrightError


class ModelError(BitwrightError):
    """Base of the errors of this folder: the model file is at fault."""

    exit_code = 3


class ModelFileNotFoundError(ModelError):
    """A path that cannot be read."""


class NotOnnxError(ModelError):
    """Bytes that are not an ONNX model."""


class TruncatedModelError(ModelError):
    """An ONNX model that ends too early."""


class InvalidModelError(ModelError):
    """An ONNX model that contradicts itself or the standard."""


class UnsupportedOpsetError(ModelError):
    """An operator set version outside of what the importer knows."""


class UnsupportedOperatorError(ModelError):
    """An operator that the importer does not have."""


class UnsupportedAttributeError(ModelError):
    """An attribute value of a known operator that the importer does not have."""


class UnsupportedOperandError(ModelError):
    """An operand of a known operator that is computed, missing or shaped in an unsupported way."""


class UnsupportedTypeError(ModelError):
    """A tensor element type other than what the importer handles."""


class DynamicShapeError(ModelError):
    """A dynamic dimension other than the batch."""


class TensorTooLargeError(ModelError):
    """A tensor beyond what one accelerator model can sensibly hold."""


class NonFiniteWeightError(ModelError):
    """A constant with NaN or infinite values."""


class ExternalDataError(ModelError):
    """Weights in a file beside the model that cannot be read."""
