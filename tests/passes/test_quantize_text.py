"""Small float modules and the integer text that they become: `quantize/*.mlir` in, `*.out` out.

`python tests/passes/test_quantize_text.py` writes the expected files anew.
"""

from pathlib import Path

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.ir import graph
from bitwright.ir.context import parse
from bitwright.ir.types import shape_of
from bitwright.passes.quantize import Quantize

FOLDER = Path(__file__).parent / "quantize"
CASES = sorted(path.stem for path in FOLDER.glob("*.mlir"))


def ramps(module: ir.Module) -> dict[str, np.ndarray]:
    """Four samples for each input, from -1 to 1 in even steps."""
    samples = {}
    for item in graph.inputs(module):
        shape = (4, *shape_of(item.value)[1:])
        samples[item.name] = np.linspace(-1, 1, int(np.prod(shape))).reshape(shape)
    return samples


def quantized_text(case: str) -> str:
    module = parse((FOLDER / f"{case}.mlir").read_text(encoding="utf-8"))
    bits = {"activations": 4, "boundary_bits": None} if case.endswith("_w4a4") else {}
    weights = 4 if "_w4" in case else 8
    made = Quantize(weights=weights, samples=ramps(module), **bits).run(module)
    return made.operation.get_asm(enable_debug_info=True, use_local_scope=True) + "\n"


@pytest.mark.parametrize("case", CASES)
def test_text(case: str) -> None:
    assert quantized_text(case) == (FOLDER / f"{case}.out").read_text(encoding="utf-8")


if __name__ == "__main__":
    for name in CASES:
        (FOLDER / f"{name}.out").write_text(quantized_text(name), encoding="utf-8")
