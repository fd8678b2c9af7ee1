"""What can be wrong with a PyTorch model; the classes that other formats have as well are those."""

from bitwright.errors import EXTERNAL_TOOL, BitwrightError
from bitwright.frontend.common.errors import (
    DynamicShapeError,
    InvalidModelError,
    ModelError,
    ModelFileNotFoundError,
    NonFiniteWeightError,
    UnsupportedAttributeError,
    UnsupportedOperandError,
    UnsupportedOperatorError,
    UnsupportedTypeError,
)

__all__ = [
    "DynamicShapeError", "ExportError", "InvalidModelError", "MissingExtraError", "ModelError",
    "ModelFileNotFoundError", "NonFiniteWeightError", "NotExportedError", "TrainingModeError",
    "UnsafeFileError", "UnsupportedAttributeError", "UnsupportedOperandError",
    "UnsupportedOperatorError", "UnsupportedTypeError",
]  # fmt: skip


class MissingExtraError(BitwrightError):
    """PyTorch is not installed."""

    exit_code = EXTERNAL_TOOL


class NotExportedError(ModelError):
    """A file that `torch.export.save` did not write."""

    exit_code = 31


class UnsafeFileError(ModelError):
    """A file whose reading would run code that it brings."""


class ExportError(ModelError):
    """A module that `torch.export` cannot trace."""


class TrainingModeError(ModelError):
    """A module that was exported for training."""
