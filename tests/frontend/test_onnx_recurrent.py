"""RNN, GRU and LSTM against ONNX Runtime, with every operand that it has."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from bitwright.frontend.onnx import load
from bitwright.frontend.onnx.errors import UnsupportedOperandError
from bitwright.ir import reference

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
STEPS, BATCH, INPUTS, WIDTH = 5, 2, 3, 4


def _model(kind: str, direction: str, steps: int = STEPS, **attributes: int) -> bytes:
    random = np.random.default_rng(3)
    count = 2 if direction == "bidirectional" else 1
    rows = GATES[kind] * WIDTH
    shapes = {
        "w": (count, rows, INPUTS), "r": (count, rows, WIDTH), "b": (count, 2 * rows),
        "h": (count, BATCH, WIDTH), "c": (count, BATCH, WIDTH), "p": (count, 3 * WIDTH),
    }  # fmt: skip
    lstm = kind == "LSTM"
    names = ["w", "r", "b", "", "h", *(["c", "p"] if lstm else [])]
    outputs = ["y", "last", *(["memory"] if lstm else [])]
    node = helper.make_node(
        kind, ["x", *names], outputs, "n", direction=direction, hidden_size=WIDTH, **attributes
    )
    graph = helper.make_graph(
        [node], "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [steps, BATCH, INPUTS])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array((random.normal(size=shapes[name]) / 2).astype(np.float32), name)
         for name in names if name],
    )  # fmt: skip
    imports = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "GRU, reset after", "LSTM"])
def test_it_computes_what_onnx_runtime_does(kind: str, direction: str) -> None:
    attributes = {"linear_before_reset": 1} if "after" in kind else {}
    data = _model(kind[:4].rstrip(","), direction, **attributes)
    x = np.random.default_rng(5).normal(size=(STEPS, BATCH, INPUTS)).astype(np.float32)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    found = reference.run(load(data), {"x": x})
    for ours, theirs in zip(found.values(), session.run(None, {"x": x}), strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_too_many_steps() -> None:
    with pytest.raises(UnsupportedOperandError) as caught:
        load(_model("GRU", "forward", steps=2000))
    assert str(caught.value) == (
        "Node 'n' (GRU, domain ai.onnx, opset 17): input 0 ('x') has 2000 steps; supported: at "
        "most 1024"
    )
