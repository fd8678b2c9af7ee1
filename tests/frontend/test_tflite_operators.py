"""Every operator against LiteRT's reference kernels: each element, interpreted and native."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bitwright.codegen.cpu.library import build_library
from bitwright.frontend.tflite import HANDLERS, load
from bitwright.frontend.tflite.source import read
from bitwright.ir import graph, reference
from bitwright.ir.types import shape_of
from bitwright.passes.widths import prove
from bitwright.runtime.library import load_library

sys.path.insert(0, str(Path(__file__).parent))

import tflite_cases as cases


@pytest.mark.parametrize("name", cases.CASES)
def test_reference_and_library_equal_litert(name: str, tmp_path: Path) -> None:
    module = load(cases.CASES[name]())
    prove(module)
    (source,), (result,) = graph.inputs(module), graph.outputs(module)
    x = cases.inputs(name, shape_of(source.value))
    with np.load(cases.GOLDEN) as golden:
        wanted = golden[name]
    library = load_library(build_library(module, tmp_path).library)
    for sample, answer in zip(x, wanted, strict=True):
        given = {source.name: sample[None]}
        found = reference.run(module, given)[result.name]
        assert found.shape == answer.shape
        np.testing.assert_array_equal(found, answer)
        np.testing.assert_array_equal(library.run(given)[result.name], answer)


def test_every_operator_has_a_case() -> None:
    covered = {op.kind for make in cases.CASES.values() for op in read(make()).operators}
    # Reshapes by other names, and a pad with its value as an operand.
    assert set(HANDLERS) - covered == {"EXPAND_DIMS", "PADV2", "SQUEEZE"}


def test_layouts_change_at_the_border_only() -> None:
    """One transpose in front; the flattening of several pixels reorders the weight instead."""
    module = load(cases.CASES["network"]())
    kinds = [op.operation.name for op in graph.operations(module)]
    assert kinds.count("bw.transpose") == 1
    assert next(k for k in kinds if k != "bw.constant") == "bw.transpose"
    assert [item.name for item in graph.inputs(module)] == ["x"]
    assert shape_of(graph.inputs(module)[0].value) == (1, 5, 6, 3)


def test_samples_go_through_together() -> None:
    for name in ("network", "conv_even", "softmax", "dense"):
        module = load(cases.CASES[name]())
        source = graph.inputs(module)[0]
        x = cases.inputs(name, shape_of(source.value))
        together = reference.run(module, {source.name: x})["y"]
        with np.load(cases.GOLDEN) as golden:
            np.testing.assert_array_equal(together, golden[name].reshape(together.shape))
