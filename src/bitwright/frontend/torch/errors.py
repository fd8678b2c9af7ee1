"""What can be wrong with a PyTorch model; the classes that it shares with ONNX are those."""

from bitwright.frontend.onnx.errors import (
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


class MissingExtraError(ModelError):
    """PyTorch is not installed."""


class NotExportedError(ModelError):
    """A file that `torch.export.save` did not write."""

    exit_code = 31


class UnsafeFileError(ModelError):
    """A file whose reading would run code that it brings."""


class ExportError(ModelError):
    """A module that `torch.export` cannot trace."""


class TrainingModeError(ModelError):
    """A module that was exported for training."""
