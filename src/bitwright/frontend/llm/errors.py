"""What can be wrong with a language model's files; the classes shared with ONNX are those."""

from bitwright.errors import EXTERNAL_TOOL, BitwrightError
from bitwright.frontend.onnx.errors import (
    InvalidModelError,
    ModelError,
    ModelFileNotFoundError,
    TruncatedModelError,
    UnsupportedAttributeError,
    UnsupportedTypeError,
)

__all__ = [
    "InvalidModelError", "MissingPackageError", "ModelError", "ModelFileNotFoundError",
    "TruncatedModelError", "UnsupportedAttributeError", "UnsupportedTypeError",
]  # fmt: skip


class MissingPackageError(BitwrightError):
    """A package of the extra `llm` that is not installed."""

    exit_code = EXTERNAL_TOOL
