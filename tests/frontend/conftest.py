"""ONNX models made on the spot, and their outputs from ONNX Runtime."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from bitwright.frontend.onnx import load
from bitwright.ir import graph, reference
from bitwright.passes.fold import Fold

Model = Callable[..., onnx.ModelProto]


def _value_info(name: str, shape: Sequence[int | str] | None, element: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, element, shape)


@pytest.fixture
def model() -> Model:
    """Makes a model of nodes; inputs are name -> shape, weights name -> array."""

    def make(
        nodes: Sequence[onnx.NodeProto],
        inputs: Mapping[str, Sequence[int | str] | None],
        weights: Mapping[str, Any] | None = None,
        opset: int = 17,
        outputs: Sequence[str] = ("y",),
        element: int = onnx.TensorProto.FLOAT,
    ) -> onnx.ModelProto:
        made = helper.make_graph(
            list(nodes), "graph",
            [_value_info(name, shape, element) for name, shape in inputs.items()],
            [_value_info(name, None, onnx.TensorProto.FLOAT) for name in outputs],
            [numpy_helper.from_array(np.asarray(w), name) for name, w in (weights or {}).items()],
        )  # fmt: skip
        imports = [helper.make_opsetid("", opset)]
        return helper.make_model(made, opset_imports=imports, ir_version=8)

    return make


@pytest.fixture
def agree() -> Callable[..., Any]:
    """Imports a model, compares it (and it folded) with ONNX Runtime, gives the module."""

    def compare(proto: onnx.ModelProto, samples: int = 1, scale: float = 1.0) -> Any:
        data = proto.SerializeToString()
        module = load(data)
        random = np.random.default_rng(7)
        constants = {tensor.name for tensor in proto.graph.initializer}
        inputs = {
            value.name: (scale * random.normal(size=[
                dim.dim_value if index or dim.dim_value > 1 else samples
                for index, dim in enumerate(value.type.tensor_type.shape.dim)
            ])).astype(np.float32)
            for value in proto.graph.input if value.name not in constants
        }  # fmt: skip
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        expected = dict(zip(names, session.run(names, inputs), strict=True))
        for each in (module, Fold().run(module)):
            found = reference.run(each, inputs)
            assert list(found) == [item.name for item in graph.outputs(each)] == names
            for name in names:
                assert found[name].shape == expected[name].shape
                np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-5)
        return module

    return compare
