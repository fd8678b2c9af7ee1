"""PyTorch modules and `torch.export` files to `bw` modules.

PyTorch itself (extra `torch`) is imported when a model is, not before.
"""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch_mlir import ir

from bitwright.frontend.torch.errors import MissingExtraError, ModelError

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

__all__ = ["ModelError", "load", "load_file"]


def load(
    model: "torch.nn.Module | ExportedProgram",
    example_inputs: "torch.Tensor | Sequence[Any] | Mapping[str, Any] | None" = None,
) -> ir.Module:
    """Import a PyTorch module, as `torch.export` traces it, as a verified module.

    Args:
        model: a module in evaluation mode, or what `torch.export.export` made of one.
        example_inputs: what `model` is called with: a tensor, positional arguments as a sequence,
            or keyword arguments as a mapping. They fix shapes and types; values do not matter.
            Not needed (and not looked at) for an exported program.

    Returns:
        A float module with the inputs by their names in `forward`. Where the model was quantized
        with PT2E, `bw.quantize` and `bw.dequantize` say what its integers are.

    Raises:
        ModelError: a subclass that names the node, argument or input at fault; nothing else.
    """
    _require_torch()
    from bitwright.frontend.torch import importer, source

    return importer.convert(source.exported(model, example_inputs))


def load_file(path: str | Path) -> ir.Module:
    """Like `load`, from a file that `torch.export.save` wrote (`.pt2`).

    Raises:
        ModelError: a subclass; among them `UnsafeFileError` for a file with pickled parts.
    """
    _require_torch()
    from bitwright.frontend.torch import importer, source

    return importer.convert(source.read(Path(path)))


def _require_torch() -> None:
    try:
        importlib.import_module("torch")
    except ImportError as error:
        raise MissingExtraError(
            f"PyTorch models need PyTorch, which cannot be imported here ({error}); install it "
            "with: pip install 'bitwright[torch]'"
        ) from None
