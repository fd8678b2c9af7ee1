"""Text tests of `fold`: a small module in, the expected module out, and both compute the same."""

import os
from pathlib import Path

import numpy as np
import pytest

from bitwright.ir import graph, reference
from bitwright.ir.context import parse
from bitwright.ir.types import shape_of
from bitwright.passes.fold import Fold

FOLDER = Path(__file__).parent / "fold"
CASES = sorted(path.name.removesuffix(".in.mlir") for path in FOLDER.glob("*.in.mlir"))


def _outputs(module, samples):
    random = np.random.default_rng(5)
    inputs = {
        item.name: random.normal(size=(samples, *shape_of(item.value)[1:])).astype(np.float32)
        for item in graph.inputs(module)
    }
    return reference.run(module, inputs)


@pytest.mark.parametrize("name", CASES)
def test_fold(name):
    module = parse((FOLDER / f"{name}.in.mlir").read_text())
    folded = Fold().run(module)
    for samples in (1, 2):
        expected, found = _outputs(module, samples), _outputs(folded, samples)
        assert list(expected) == list(found)
        for key, array in expected.items():
            np.testing.assert_allclose(found[key], array, rtol=1e-4, atol=1e-5)
    golden = FOLDER / f"{name}.out.mlir"
    if os.environ.get("UPDATE_GOLDEN"):  # UPDATE_GOLDEN=1 pytest rewrites the expected text
        golden.write_text(f"{folded}\n")
    assert str(folded).strip() == golden.read_text().strip()
    again = Fold().run(folded)
    assert str(again) == str(folded)


def test_there_are_cases():
    assert len(CASES) >= 20
