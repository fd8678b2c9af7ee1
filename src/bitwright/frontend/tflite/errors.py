"""What can be wrong with a TFLite file, beside what can be wrong with any model."""

from bitwright.frontend.common.errors import (
    DynamicShapeError,
    InvalidModelError,
    ModelError,
    ModelFileNotFoundError,
    TensorTooLargeError,
    TruncatedModelError,
    UnsupportedAttributeError,
    UnsupportedOperandError,
    UnsupportedOperatorError,
    UnsupportedTypeError,
)

__all__ = [
    "DynamicShapeError", "HybridModelError", "InvalidModelError", "ModelError",
    "ModelFileNotFoundError", "NotQuantizedError", "NotTfliteError", "TensorTooLargeError",
    "TruncatedModelError", "UnsupportedAttributeError", "UnsupportedOperandError",
    "UnsupportedOperatorError", "UnsupportedTypeError",
]  # fmt: skip


class NotTfliteError(ModelError):
    """Bytes that are not a TFLite model."""

    exit_code = 31


class NotQuantizedError(ModelError):
    """A tensor of floats among integers with their scale."""


class HybridModelError(ModelError):
    """Weights of integers beside activations of floats, which LiteRT quantizes as it runs."""
