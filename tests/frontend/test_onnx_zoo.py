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


def test_a_quantized_model_names_its_input_type(data_folder):
    from bitwright.frontend.onnx.errors import UnsupportedTypeError

    with pytest.raises(UnsupportedTypeError, match="element type int8"):
        load(data_folder / "mlperf_tiny" / "ic_int8.onnx")


def test_a_qonnx_model_names_its_operator(data_folder):
    from bitwright.frontend.onnx.errors import UnsupportedOperatorError

    with pytest.raises(UnsupportedOperatorError, match=r"Quant, domain ai\.onnx, opset 11"):
        load(data_folder / "kws_w3a3" / "kws_w3a3_qonnx.onnx")
