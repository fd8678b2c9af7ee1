"""What can be wrong with an ONNX file; the classes that other formats have as well are those."""

from bitwright.errors import BitwrightError
from bitwright.frontend.common.errors import (
    DynamicShapeError,
    InvalidModelError,
    ModelError,
    ModelFileNotFoundError,
    NonFiniteWeightError,
    TensorTooLargeError,
    TruncatedModelError,
    UnsupportedAttributeError,
    UnsupportedOperandError,
    UnsupportedOperatorError,
    UnsupportedTypeError,
)

__all__ = [
    "DynamicShapeError", "ExternalDataError", "InvalidModelError", "ModelError",
    "ModelFileNotFoundError", "NonFiniteWeightError", "NotOnnxError", "ShapeBindingError",
    "TensorTooLargeError", "TruncatedModelError", "UnsupportedAttributeError",
    "UnsupportedOperandError", "UnsupportedOperatorError", "UnsupportedOpsetError",
    "UnsupportedTypeError",
]  # fmt: skip


class NotOnnxError(ModelError):
    """Bytes that are not an ONNX model."""

    exit_code = 31


class UnsupportedOpsetError(ModelError):
    """An operator set version outside of what the importer knows."""

    exit_code = 37


class ExternalDataError(ModelError):
    """Weights in a file beside the model that cannot be read."""


class ShapeBindingError(BitwrightError):
    """Sizes of dimensions or inputs that a model does not have, or has otherwise."""

    exit_code = 2
