"""Real models: imported and folded, compared with ONNX Runtime."""

import numpy as np
import onnxruntime
import pytest

from bitwright.frontend.onnx import load
from bitwright.ir import graph, reference
from bitwright.passes.fold import Fold

# Convolutions and products that folding leaves.
LAYERS = {"ic": 10, "ad": 10, "kws": 10, "vww": 28}


@pytest.mark.parametrize("name", LAYERS)
def test_mlperf_tiny(name, data_folder):
    path = data_folder / "mlperf_tiny" / f"{name}_float.onnx"
    module = load(path)
    folded = Fold().run(module)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (item,) = session.get_inputs()
    (output,) = session.get_outputs()
    x = np.random.default_rng(3).normal(size=(4, *item.shape[1:])).astype(np.float32)
    (expected,) = session.run(None, {item.name: x})
    for each in (module, folded):
        found = reference.run(each, {item.name: x})[output.name]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    kinds = [operation.operation.name for operation in graph.operations(folded)]
    assert kinds.count("bw.conv2d") + kinds.count("bw.linear") == LAYERS[name]
    assert kinds.count("bw.transpose") == (1 if name in ("ic", "vww") else 0)


def test_a_quantized_model_in_float(data_folder):
    """Quantize and dequantize nodes are computed in float, so at most one step apart."""
    path = data_folder / "mlperf_tiny" / "ic_int8.onnx"
    module = load(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (item,) = session.get_inputs()
    shape = tuple(n if isinstance(n, int) else 1 for n in item.shape)
    x = np.random.default_rng(3).integers(-128, 128, shape).astype(np.int8)
    (expected,) = session.run(None, {item.name: x})
    (found,) = reference.run(module, {item.name: x}).values()
    assert found.dtype == expected.dtype
    assert np.abs(found.astype(np.float64) - expected).max() <= 1
