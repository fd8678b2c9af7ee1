"""See docs/architecture.md."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram
    from torch_mlir import ir

__all__ = ["load"]


def load(
    model: "torch.nn.Module | ExportedProgram",
    example_inputs: "torch.Tensor | Sequence[Any] | Mapping[str, Any] | None" = None,
) -> "ir.Module":
    """Import a PyTorch module as a verified module; see `bitwright.frontend.torch.load`.

    Everything is imported when this is called: `import bitwright` itself is light.
    """
    from bitwright.frontend import torch as frontend

    return frontend.load(model, example_inputs)
