"""What can be wrong with a model file of any format: a class each, exit codes 3 and 30 to 39."""

from bitwright.errors import BitwrightError


class ModelError(BitwrightError):
    """Base of the errors of the frontends: the model file is at fault."""

    exit_code = 3


class ModelFileNotFoundError(ModelError):
    """A path that cannot be read."""

    exit_code = 30


class TruncatedModelError(ModelError):
    """A model file that ends too early."""

    exit_code = 32


class InvalidModelError(ModelError):
    """A model that contradicts itself or its format."""

    exit_code = 36


class UnsupportedOperatorError(ModelError):
    """An operator that the importer does not have."""

    exit_code = 33


class UnsupportedAttributeError(ModelError):
    """An attribute value of a known operator that the importer does not have."""

    exit_code = 38


class UnsupportedOperandError(ModelError):
    """An operand of a known operator that is computed, missing or shaped in an unsupported way."""

    exit_code = 39


class UnsupportedTypeError(ModelError):
    """A tensor element type other than what the importer handles."""


class DynamicShapeError(ModelError):
    """A dynamic dimension other than the batch."""

    exit_code = 34


class TensorTooLargeError(ModelError):
    """A tensor beyond what one accelerator model can sensibly hold."""


class NonFiniteWeightError(ModelError):
    """A constant with NaN or infinite values."""

    exit_code = 35
