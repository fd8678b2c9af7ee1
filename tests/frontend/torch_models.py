"""PyTorch modules made on the spot, imported and compared with PyTorch itself."""

# pyright: reportMissingImports=false

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bitwright.frontend.torch import load
from bitwright.ir import graph, reference
from bitwright.passes.fold import Fold

torch = pytest.importorskip("torch", reason="the extra torch is not installed")
Arrays = list[NDArray[Any]]


class Call(torch.nn.Module):
    """A module that calls a function of its inputs and of `constants`, its buffers."""

    def __init__(self, function: Callable[..., Any], constants: Sequence[Any] = ()) -> None:
        super().__init__()
        self._function = function
        self._count = len(constants)
        for index, tensor in enumerate(constants):
            self.register_buffer(f"c{index}", tensor)

    def forward(self, *inputs: Any) -> Any:
        """The function of the inputs and then the constants."""
        return self._function(*inputs, *(getattr(self, f"c{i}") for i in range(self._count)))


def randn(*shape: int, seed: int = 0) -> Any:
    """Normal numbers, always the same for a shape and seed."""
    return torch.from_numpy(
        np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)
    )


def leaves(value: Any) -> list[Any]:
    """Tensors in a structure, in torch's order."""
    return list(torch.utils._pytree.tree_leaves(value))


def run(module: Any, inputs: Any) -> Arrays:
    """Outputs of an imported module for torch tensors, in order."""
    names = [item.name for item in graph.inputs(module)]
    arrays = {name: x.numpy() for name, x in zip(names, leaves(inputs), strict=True)}
    return list(reference.run(module, arrays).values())


def expected(module: Any, inputs: Sequence[Any]) -> Arrays:
    """Outputs of a torch module, in order."""
    with torch.no_grad():
        return [tensor.numpy() for tensor in leaves(module.eval()(*inputs))]


def agree(module: Any, inputs: Sequence[Any], rtol: float = 1e-4, atol: float = 1e-5) -> Any:
    """Import `module`, compare it (and it folded) with PyTorch, give the imported one."""
    wanted = expected(module, inputs)
    imported = load(module, tuple(inputs))
    for each in (imported, Fold().run(imported)):
        assert_close(run(each, inputs), wanted, rtol, atol)
    return imported


def assert_close(found: Arrays, wanted: Arrays, rtol: float = 1e-4, atol: float = 1e-5) -> None:
    """Equal shapes and types, and values up to float32 rounding."""
    assert len(found) == len(wanted)
    for left, right in zip(found, wanted, strict=True):
        assert left.shape == right.shape
        assert left.dtype == right.dtype
        np.testing.assert_allclose(left, right, rtol=rtol, atol=atol)
