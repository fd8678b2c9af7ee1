"""Symbolic dimensions with sizes from outside: what is bound, and each message."""

import numpy as np
import pytest
from onnx import helper

from bitwright.flows.models import import_model
from bitwright.frontend.onnx import ShapeBindingError, load
from bitwright.ir import graph
from bitwright.ir.types import shape_of

ADD = [helper.make_node("Add", ["x", "m"], ["y"])]


@pytest.fixture
def data(model):
    """Two inputs that share their symbols; the second has one more, and a fixed extent."""
    return model(
        ADD, {"x": ("batch", "length", 8), "m": ("batch", "length", 8)}
    ).SerializeToString()


def _shapes(data, shapes):
    module = load(data, shapes)  # its values are valid while it is held
    return {item.name: shape_of(item.value) for item in graph.inputs(module)}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"length": 16}, (1, 16, 8)),
        ({"length": (16,)}, (1, 16, 8)),
        ({"x": (1, 5, 8)}, (1, 5, 8)),
        ({"batch": 1, "m": [1, 5, 8], "length": 5}, (1, 5, 8)),
    ],
)
def test_bound_everywhere(data, given, expected):
    assert _shapes(data, given) == {"x": expected, "m": expected}


@pytest.mark.parametrize(("weight", "kept"), [((8, 3), 1), ((4, 8, 3), 4)])
def test_a_bound_batch_before_a_quantized_matrix(model, weight, kept):
    """Rows of one matrix are samples; a matrix for each index of the batch is not."""
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["d"]),
        helper.make_node("MatMul", ["x", "d"], ["y"]),
    ]
    constants = {"w": np.ones(weight, np.int8), "s": np.float32(0.5)}
    shape = ("batch", 8) if len(weight) == 2 else ("batch", 2, 8)
    data = model(nodes, {"x": shape}, constants).SerializeToString()
    assert _shapes(data, {"batch": 4}) == {"x": (kept, *shape[1:])}


def test_a_bound_batch_is_kept_where_samples_mix(model):
    nodes = [helper.make_node("Softmax", ["x"], ["y"], axis=0)]
    data = model(nodes, {"x": ("batch", 4)}).SerializeToString()
    assert _shapes(data, {"batch": 3}) == {"x": (3, 4)}
    assert _shapes(data, {}) == {"x": (1, 4)}


def test_unnamed_dimensions_and_missing_shapes(model):
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    for shape in ((1, 3, None, None), None):
        data = model(nodes, {"x": shape}).SerializeToString()
        assert _shapes(data, {"x": (1, 3, 6, 5)}) == {"x": (1, 3, 6, 5)}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"height": 4},
            "the model has no input and no symbolic dimension 'height'; its inputs are: "
            "x [batch, length, 8], m [batch, length, 8]; its symbolic dimensions: batch, length",
        ),
        (
            {"x": (1, 8)},
            "Input 'x' of the model has shape [batch, length, 8]; the shape given for it, [1, 8], "
            "has rank 2, expected 3",
        ),
        (
            {"m": (1, 4, 9)},
            "Input 'm' of the model has shape [batch, length, 8], where dimension 2 is fixed to 8; "
            "the shape given for it, [1, 4, 9], has 9 there",
        ),
        (
            {"x": (1, 4, 8), "length": 5},
            "Dimension 'length' of the model is given the size 4 by 'x' and 5 by 'length'; give "
            "it one size",
        ),
        (
            {"length": (4, 5)},
            "'length' of the model is a dimension and is given 2 sizes, [4, 5]; expected one",
        ),
        ({"length": 0}, "'length' is given the size 0; expected whole numbers from 1 to "),
        ({"length": (0,)}, "'length' is given the size 0; expected whole numbers from 1 to "),
        ({"x": (1, -1, 8)}, "'x' is given the size (1, -1, 8); expected whole numbers from 1 to "),
        ({"length": 2.5}, "'length' is given the size 2.5; expected whole numbers from 1 to "),
    ],
)
def test_shapes_that_do_not_fit(data, given, message):
    with pytest.raises(ShapeBindingError) as raised:
        load(data, given)
    assert str(raised.value).removesuffix("2147483647") == message
    assert raised.value.exit_code == 2


def test_tflite_has_fixed_shapes(tmp_path):
    with pytest.raises(ShapeBindingError) as raised:
        import_model(tmp_path / "m.tflite", {"N": 1})
    assert str(raised.value) == (
        f"{tmp_path / 'm.tflite'} is a TFLite file, whose shapes are fixed, and is given one for "
        "'N'; leave it out, or convert the model with other shapes"
    )
