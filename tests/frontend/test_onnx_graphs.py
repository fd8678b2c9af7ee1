"""Whole graphs: constant subgraphs, batches, functions, names, external weights."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bitwright.frontend.onnx import load
from bitwright.ir import graph, reference
from bitwright.ir.checks import ints
from bitwright.ir.types import shape_of
from bitwright.passes.fold import Fold


def _kinds(module):
    kinds = [operation.operation.name for operation in graph.operations(module)]
    return [kind.removeprefix("bw.") for kind in kinds if kind != "bw.constant"]


def test_a_shape_computed_from_the_batch_is_a_constant(model, agree):
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"], axis=0),
        helper.make_node("Unsqueeze", ["n", "axes"], ["n1"]),
        helper.make_node("Concat", ["n1", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", ["x", "shape"], ["y"]),
    ]
    weights = {
        "zero": np.asarray(0, np.int64), "axes": np.asarray([0], np.int64),
        "rest": np.asarray([-1], np.int64),
    }  # fmt: skip
    assert _kinds(agree(model(nodes, {"x": ("N", 3, 4, 5)}, weights), samples=3)) == ["reshape"]


def test_constants_are_cast_at_import_and_dequantized_weights_stay(model, agree):
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["w0"], axis=0),
        helper.make_node("Transpose", ["w0"], ["w1"], perm=[1, 0]),
        helper.make_node("Slice", ["w1", "from", "to"], ["w2"]),
        helper.make_node("Constant", [], ["b0"], value_floats=[1.0, 2.0, 3.0]),
        helper.make_node("Cast", ["b0"], ["b1"], to=TensorProto.DOUBLE),
        helper.make_node("Cast", ["b1"], ["b2"], to=TensorProto.FLOAT),
        helper.make_node("ConstantOfShape", ["three"], ["b3"]),
        helper.make_node("Add", ["b2", "b3"], ["b4"]),
        helper.make_node("MatMul", ["x", "w2"], ["m"]),
        helper.make_node("Add", ["m", "b4"], ["y"]),
    ]
    weights = {
        "q": np.arange(-9, 9, dtype=np.int8).reshape(3, 6), "scale": np.float32([0.5, 0.25, 0.1]),
        "zero": np.zeros(3, np.int8), "from": np.asarray([1], np.int64),
        "to": np.asarray([5], np.int64), "three": np.asarray([3], np.int64),
    }  # fmt: skip
    for opset in (13, 17, 23):
        module = agree(model(nodes, {"x": (1, 4)}, weights, opset))
        assert _kinds(module) == ["dequantize", "transpose", "slice", "matmul", "add"]


def test_several_inputs_outputs_and_a_split_constant(model, agree):
    nodes = [
        helper.make_node("Split", ["c"], ["c0", "c1"], axis=0),
        helper.make_node("Add", ["a", "c0"], ["p"]),
        helper.make_node("Mul", ["b", "c1"], ["q"]),
        helper.make_node("Sub", ["p", "q"], ["y"]),
    ]
    weights = {"c": np.arange(6, dtype=np.float32).reshape(2, 3)}
    agree(model(nodes, {"a": (1, 3), "b": (1, 3)}, weights, 13, outputs=("y", "q")))


def test_an_initializer_that_is_also_an_input_is_a_constant(model, agree):
    nodes = [helper.make_node("Gemm", ["x", "w"], ["y"])]
    proto = model(nodes, {"x": (1, 3), "w": (3, 2)}, {"w": np.ones((3, 2), np.float32)})
    assert [item.name for item in graph.inputs(agree(proto))] == ["x"]


def test_an_input_that_is_an_output_and_a_constant_output(model, agree):
    nodes = [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Exp", ["c"], ["z"])]
    agree(model(nodes, {"x": (1, 3)}, {"c": np.float32([1.0, 2.0])}, outputs=("y", "z")))


def test_functions_are_inlined(model):
    body = [helper.make_node("Relu", ["a"], ["t"]), helper.make_node("Neg", ["t"], ["r"])]
    imports = [helper.make_opsetid("", 17)]
    proto = model([helper.make_node("MinusRelu", ["x"], ["y"], domain="mine")], {"x": (1, 3)})
    proto.functions.append(helper.make_function("mine", "MinusRelu", ["a"], ["r"], body, imports))
    proto.opset_import.append(helper.make_opsetid("mine", 1))
    found = reference.run(load(proto.SerializeToString()), {"x": np.float32([[-1, 2, 3]])})
    np.testing.assert_array_equal(found["y"], [[0, -2, -3]])


def test_operations_carry_the_names_of_the_nodes(model):
    nodes = [helper.make_node("Relu", ["x"], ["y"], name="features/0/relu")]
    (relu,) = graph.operations(load(model(nodes, {"x": (1, 3)}).SerializeToString()))
    assert graph.location_name(relu) == "features/0/relu"


def test_weights_beside_the_model(tmp_path, model):
    nodes = [helper.make_node("Gemm", ["x", "w"], ["y"])]
    weight = np.random.default_rng(0).normal(size=(3, 400)).astype(np.float32)
    path = tmp_path / "model.onnx"
    onnx.save(
        model(nodes, {"x": (1, 3)}, {"w": weight}), path, save_as_external_data=True,
        location="weights.bin", size_threshold=0,
    )  # fmt: skip
    found = reference.run(load(path), {"x": np.float32([[1, 2, 3]])})["y"]
    np.testing.assert_allclose(found, np.float32([[1, 2, 3]]) @ weight, rtol=1e-5)


def test_a_fixed_batch_becomes_one_where_samples_are_independent(model, agree):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Reshape", ["c", "s"], ["f"]),
        helper.make_node("Gemm", ["f", "g"], ["y"]),
    ]
    weights = {
        "w": np.ones((2, 3, 3, 3), np.float32), "g": np.ones((8, 2), np.float32),
        "s": np.asarray([-1, 8], np.int64),
    }  # fmt: skip
    module = agree(model(nodes, {"x": (4, 3, 4, 4)}, weights))
    assert shape_of(graph.inputs(module)[0].value) == (1, 3, 4, 4)


def test_a_fixed_batch_is_kept_where_samples_mix(model, agree):
    mixing = {
        "softmax": [helper.make_node("Softmax", ["x"], ["y"], axis=0)],
        "mean": [helper.make_node("ReduceMean", ["x"], ["y"], axes=[0])],
        "transpose": [helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0])],
        "product": [
            helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0]),
            helper.make_node("MatMul", ["x", "t"], ["y"]),
        ],
        "constant": [helper.make_node("Add", ["x", "c"], ["y"])],
        "reshape": [helper.make_node("Reshape", ["x", "s"], ["y"])],
    }
    weights = {
        "c": np.arange(12, dtype=np.float32).reshape(4, 3),
        "s": np.asarray([1, -1], np.int64),
    }
    for nodes in mixing.values():
        module = agree(model(nodes, {"x": (4, 3)}, weights))
        assert shape_of(graph.inputs(module)[0].value) == (4, 3)


@pytest.mark.parametrize("value", [-np.inf, np.finfo(np.float32).min])
def test_a_pad_that_never_wins_belongs_to_the_maximum(model, agree, value):
    nodes = [
        helper.make_node("Pad", ["x", "pads", "value"], ["p"]),
        helper.make_node("MaxPool", ["p"], ["y"], kernel_shape=[3, 3], strides=[2, 2]),
    ]
    weights = {"pads": np.int64([0, 0, 1, 1, 0, 0, 1, 0]), "value": np.float32(value)}
    module = agree(model(nodes, {"x": ("N", 2, 6, 7)}, weights))
    assert _kinds(module) == ["pad", "max_pool2d"]
    (pool,) = [o for o in graph.operations(Fold().run(module)) if o.operation.name != "bw.constant"]
    assert pool.operation.name == "bw.max_pool2d"
    assert ints(pool.padding) == (1, 1, 1, 0)
