"""Float TFLite models against LiteRT's reference kernels, within the rounding of float32."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bitwright.flows.models import prepare
from bitwright.frontend import onnx
from bitwright.frontend.tflite import FLOAT_HANDLERS, errors, load
from bitwright.frontend.tflite.source import read
from bitwright.ir import graph, reference
from bitwright.ir.types import shape_of

sys.path.insert(0, str(Path(__file__).parent))

import tflite_float_cases as cases


@pytest.mark.parametrize("name", cases.CASES)
def test_reference_equals_litert(name: str) -> None:
    module = load(cases.CASES[name]())
    (source,), (result,) = graph.inputs(module), graph.outputs(module)
    x = cases.inputs(name, shape_of(source.value))
    with np.load(cases.GOLDEN) as golden:
        wanted = golden[name]
    for sample, answer in zip(x, wanted, strict=True):
        found = reference.run(module, {source.name: sample[None]})[result.name]
        assert found.dtype == answer.dtype == np.float32
        assert found.shape == answer.shape
        np.testing.assert_allclose(found, answer, rtol=2e-6, atol=2e-6)


def test_every_operator_has_a_case() -> None:
    covered = {op.kind for make in cases.CASES.values() for op in read(make()).operators}
    assert covered - set(FLOAT_HANDLERS) == {"DEQUANTIZE"}
    assert set(FLOAT_HANDLERS) <= covered


def test_layouts_change_at_the_border_only() -> None:
    module = prepare(load(cases.CASES["network"]())).module
    kinds = [op.operation.name for op in graph.operations(module)]
    assert kinds.count("bw.transpose") == 1
    assert shape_of(graph.inputs(module)[0].value) == (1, 5, 6, 3)


@pytest.mark.parametrize(("name", "shape"), [("ad", (640,)), ("ic", (32, 32, 3)),
                                             ("vww", (96, 96, 3))])  # fmt: skip
def test_mlperf_equals_the_onnx_model(data_folder: Path, name: str, shape: tuple[int, ...]) -> None:
    folder = data_folder / "mlperf_tiny"
    x = np.random.default_rng(0).uniform(0, 1, (1, *shape)).astype(np.float32)
    answers: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []
    for module in (
        load(folder / f"{name}_float.tflite"), onnx.load(folder / f"{name}_float.onnx"),
    ):  # fmt: skip
        (source,), (result,) = graph.inputs(module), graph.outputs(module)
        answers.append(reference.run(module, {source.name: x})[result.name])
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-5, atol=1e-5)


def test_mlperf_of_dynamic_range(data_folder: Path) -> None:
    path = data_folder / "mlperf_tiny" / "kws_float.tflite"
    with pytest.raises(errors.HybridModelError) as raised:
        load(path)
    assert str(raised.value) == (
        f"{path}: Operator 0 (CONV_2D, 'functional_1/activation/Relu'): input 1 "
        "('functional_1/conv2d/Conv2D') is the weight of type INT8 beside floats (dynamic range "
        "quantization), for which LiteRT quantizes the activations anew in each run; supported: "
        "FLOAT32. Convert the model without converter.optimizations, or with a "
        "representative_dataset"
    )
