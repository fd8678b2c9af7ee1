"""Every error of the importer: its class and its whole message."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from bitwright.frontend.common.checks import MAX_ELEMENTS
from bitwright.frontend.onnx import HANDLERS, ModelError, errors, load
from bitwright.frontend.onnx.constants import FOLDABLE, MAX_GROWN
from bitwright.frontend.onnx.domains import DOMAINS

SUPPORTED = ", ".join(sorted(HANDLERS))


def _relu(**fields):
    return helper.make_node("Relu", ["x"], ["y"], **fields)


def _fails(source, error, message):
    with pytest.raises(ModelError) as raised:
        load(source if isinstance(source, bytes) else source.SerializeToString())
    assert str(raised.value) == message
    assert type(raised.value) is error
    assert raised.value.family == 3


def _random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_missing_file(tmp_path):
    path = tmp_path / "none.onnx"
    with pytest.raises(errors.ModelFileNotFoundError) as raised:
        load(path)
    assert str(raised.value) == (
        f"Cannot read {path}: No such file or directory; expected an ONNX file"
    )


def test_empty_file():
    _fails(b"", errors.NotOnnxError, "the model is empty; expected an ONNX model")


@pytest.mark.parametrize(
    "data",
    [b"# a text file\n", b"PK\x03\x04rest", b"\x1c\0\0\0TFL3", bytes(range(200)), b"\x80"],
)
def test_other_file(data):
    _fails(
        data, errors.NotOnnxError,
        f"the model is not an ONNX model: its {len(data)} bytes start with {data[:8].hex(' ')}, "
        "and its fields are not those of an ONNX ModelProto; export the model to ONNX "
        "(opset 7 to 28)",
    )  # fmt: skip


def test_truncated_file(tmp_path, model):
    nodes = [helper.make_node("Gemm", ["x", "w"], ["y"])]
    data = model(nodes, {"x": (1, 30)}, {"w": _random(30, 20)}).SerializeToString()
    path = tmp_path / "model.onnx"
    path.write_bytes(data[:1000])
    with pytest.raises(errors.TruncatedModelError) as raised:
        load(path)
    # The graph ends before the operator set, which takes the last six bytes.
    assert str(raised.value) == (
        f"{path} is a truncated ONNX model: it has 1000 bytes and needs at least "
        f"{len(data) - 6}; copy or export it again"
    )
    _fails(
        data[: len(data) - 6], errors.TruncatedModelError,
        f"the model is a truncated ONNX model: it has {len(data) - 6} bytes and needs more; "
        "copy or export it again",
    )  # fmt: skip
    for end in range(3, len(data)):
        with pytest.raises(errors.TruncatedModelError):
            load(data[:end])


def test_damaged_file(model):
    data = bytearray(model([_relu()], {"x": (1, 3)}).SerializeToString())
    data[data.index(b"Relu") - 1] = 200
    with pytest.raises(errors.InvalidModelError, match="the model is a damaged ONNX model: "):
        load(bytes(data))
    data = model([_relu(name="abcd")], {"x": (1, 3)}).SerializeToString()
    _fails(
        data.replace(b"abcd", b"ab\xffd"), errors.InvalidModelError,
        "the model is damaged: the name b'ab\\xffd' in it is not UTF-8",
    )  # fmt: skip


@pytest.mark.parametrize("opset", [1, 6, 29])
def test_opset(model, opset):
    _fails(
        model([_relu()], {"x": (1, 3)}, opset=opset), errors.UnsupportedOpsetError,
        f"the model uses opset {opset} of domain ai.onnx; supported: 11 to 28, and 7 to 10 where "
        "ONNX converts them. Export it with one of these, or convert it with "
        "onnx.version_converter.convert_version",
    )  # fmt: skip


def test_no_opset(model):
    proto = model([_relu()], {"x": (1, 3)})
    proto.opset_import[0].domain = "mine"
    _fails(
        proto, errors.UnsupportedOpsetError,
        "the model names no opset of domain ai.onnx, only mine; supported: ai.onnx 11 to 28, "
        "and 7 to 10 where ONNX converts them",
    )  # fmt: skip


def test_unknown_operator(model):
    nodes = [helper.make_node("Det", ["x"], ["y"], name="act")]
    _fails(
        model(nodes, {"x": (1, 3)}), errors.UnsupportedOperatorError,
        "Node 'act' (Det, domain ai.onnx, opset 17) is not supported; supported in domain "
        f"ai.onnx: {SUPPORTED}. Replace it in the model before the export",
    )  # fmt: skip


def test_unknown_operator_of_another_domain(model):
    nodes = [helper.make_node("Quant", ["x"], ["y"], domain="nobody.knows")]
    _fails(
        model(nodes, {"x": (1, 3)}), errors.UnsupportedOperatorError,
        "Node 'y' (Quant, domain nobody.knows) is not supported; supported domains: ai.onnx, "
        f"{', '.join(sorted(DOMAINS))}. Replace it in the model before the export",
    )  # fmt: skip
    nodes = [helper.make_node("Nothing", ["x"], ["y"], domain="com.microsoft")]
    _fails(
        model(nodes, {"x": (1, 3)}), errors.UnsupportedOperatorError,
        "Node 'y' (Nothing, domain com.microsoft) is not supported; supported in domain "
        f"com.microsoft: {', '.join(sorted(DOMAINS['com.microsoft']))}. Replace it in the model "
        "before the export",
    )  # fmt: skip


def test_operator_supported_on_constants_only(model):
    nodes = [helper.make_node("EyeLike", ["x"], ["y"], name="e")]
    _fails(
        model(nodes, {"x": (1, 3)}), errors.UnsupportedOperatorError,
        "Node 'e' (EyeLike, domain ai.onnx, opset 17) is not supported, on a tensor computed at "
        f"run time (on constants it is); supported in domain ai.onnx: {SUPPORTED}. "
        "Replace it in the model before the export",
    )  # fmt: skip


def test_constant_that_is_not_computed(model):
    nodes = [
        helper.make_node("Conv", ["a", "a"], ["c"], name="c"),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    _fails(
        model(nodes, {"x": (1, 3)}, {"a": _random(1, 1, 1, 1)}), errors.UnsupportedOperatorError,
        "Node 'c' (Conv, domain ai.onnx, opset 17) has only constant operands, and Conv is not "
        f"computed at import; those that are: {', '.join(sorted(FOLDABLE))}",
    )  # fmt: skip


def test_constant_that_cannot_be_computed(model):
    nodes = [
        helper.make_node("Gather", ["a", "i"], ["c"], name="g"),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    _fails(
        model(nodes, {"x": (1, 3)}, {"a": _random(3), "i": np.int64([9])}),
        errors.InvalidModelError,
        "Node 'g' (Gather, domain ai.onnx, opset 17) cannot be computed: index 9 is out of bounds "
        "for axis 0 with size 3",
    )  # fmt: skip


PREFIX = "Node 'n' ({kind}, domain ai.onnx, opset 17): "
ATTRIBUTES = {
    "training": (
        "BatchNormalization", (1, 2, 3, 3),
        {"s": _random(2), "b": _random(2), "m": _random(2), "v": np.float32([1, 1])},
        {"training_mode": 1},
        "attribute training_mode is 1; supported: 0; export the model for inference",
    ),
    "auto_pad": (
        "Conv", (1, 2, 4, 4), {"w": _random(2, 2, 1, 1)}, {"auto_pad": "FULL"},
        "attribute auto_pad is 'FULL'; supported: NOTSET, SAME_UPPER, SAME_LOWER, VALID",
    ),
    "negative_pads": (
        "Conv", (1, 2, 4, 4), {"w": _random(2, 2, 1, 1)}, {"pads": [0, 0, -1, 0]},
        "attribute pads is [0, 0, -1, 0]; supported: 4 integers from 0 to 65536",
    ),
    "average_dilations": (
        "AveragePool", (1, 2, 6, 6), {}, {"kernel_shape": [2, 2], "dilations": [2, 1]},
        "attribute dilations is [2, 1]; supported: 1 for every axis",
    ),
    "pad_mode": (
        "Pad", (1, 2, 6, 6), {"p": np.zeros(8, np.int64)}, {"mode": "mirror"},
        "attribute mode is 'mirror'; supported: constant, edge, reflect, wrap",
    ),
    "cast": (
        "Cast", (1, 2), {}, {"to": TensorProto.STRING},
        "attribute to is 'string'; supported: floats, integers and booleans",
    ),
    "reduce_all": (
        "ReduceMean", (1, 2), {}, {"keepdims": 0},
        "attribute axes is [0, 1]; supported: at least one axis left, or keepdims = 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attribute(name, model, monkeypatch):
    kind, shape, constants, attributes, message = ATTRIBUTES[name]
    node = helper.make_node(kind, ["x", *constants], ["y"], name="n", **attributes)
    opset = 19 if name == "average_dilations" else 17
    # ONNX's own inference rejects some of these first, with other words.
    monkeypatch.setattr("bitwright.frontend.onnx.source.check", lambda _: None)
    _fails(
        model([node], {"x": shape}, constants, opset), errors.UnsupportedAttributeError,
        PREFIX.format(kind=kind).replace("17", str(opset)) + message,
    )  # fmt: skip


OPERANDS = {
    "conv_3d": (
        "Conv", (1, 2, 4, 4, 4), {"w": _random(2, 2, 1, 1, 1)}, {},
        "input 0 ('x') has shape [1, 2, 4, 4, 4]; supported: 1-D [N, C, L] and 2-D [N, C, H, W]",
    ),
    "clip": (
        "Clip", (1, 2), {"low": np.float32(np.nan)}, {},
        "input 1 ('low') is nan; supported: one number",
    ),
    "negative_pad": (
        "Pad", (1, 2), {"p": np.int64([0, -1, 0, 0])}, {},
        "input 1 ('p') is [0, -1, 0, 0]; supported: 4 amounts that are not negative",
    ),
    "dropout": (
        "Dropout", (1, 2), {"r": np.float32(0.5), "t": np.asarray(True)}, {},
        "input 2 ('t') is true; supported: false; export the model for inference",
    ),
    "variance": (
        "BatchNormalization", (1, 1, 2),
        {"s": _random(1), "b": _random(1), "m": _random(1), "v": np.float32([-1])}, {},
        "input 4 ('v') has a variance of -1.0; supported: positive variances",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERANDS)
def test_operand(name, model):
    kind, shape, constants, attributes, message = OPERANDS[name]
    node = helper.make_node(kind, ["x", *constants], ["y"], name="n", **attributes)
    _fails(
        model([node], {"x": shape}, constants), errors.UnsupportedOperandError,
        PREFIX.format(kind=kind) + message,
    )  # fmt: skip


def test_operand_computed_at_run_time(model):
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="n")
    _fails(
        model([node], {"x": (1, 2, 4, 4), "w": (1, 2, 3, 3)}), errors.UnsupportedOperandError,
        PREFIX.format(kind="Conv") + "input 1 ('w') is the weight and is computed at run time; "
        "supported: a constant weight",
    )  # fmt: skip


def test_second_output(model):
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p", "i"], kernel_shape=[2, 2]),
        helper.make_node("Identity", ["i"], ["y"]),
    ]
    proto = model(nodes, {"x": (1, 2, 4, 4)})
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    _fails(
        proto, errors.InvalidModelError,
        "Node 'y' (Identity, domain ai.onnx, opset 17): tensor 'i' is not made by any earlier "
        "node, input or initializer (a second output of a node counts only where Bitwright "
        "computes it)",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "shown", "fix"),
    [
        (("N", 3, "height", 32), "[N, 3, height, 32], where dimension 2 ('height')",
         "--shape height=SIZE"),
        (("N", 3, "size", "size"), "[N, 3, size, size], where dimension 2 ('size')",
         "--shape size=SIZE"),
        (("N", 3, "h", "w"), "[N, 3, h, w], where dimension 2 ('h')",
         "--shape h=SIZE --shape w=SIZE"),
        (("N", "c", 32, None), "[N, c, 32, ?], where dimension 1 ('c')",
         "--shape x=1,SIZE,32,SIZE"),
    ],
)  # fmt: skip
def test_dynamic_shape(model, shape, shown, fix):
    _fails(
        model([_relu()], {"x": shape}), errors.DynamicShapeError,
        f"Input 'x' of the model has shape {shown} is dynamic; only the batch (dimension 0) may "
        f"be. Fix it with {fix} (the sizes that you use), or export the model with a fixed size",
    )  # fmt: skip


def test_no_shape(model):
    _fails(
        model([_relu()], {"x": None}), errors.DynamicShapeError,
        "Input 'x' of the model has no shape; every dimension except the batch must be fixed. "
        "Give it with --shape x=SIZE,SIZE,... (the sizes that you use)",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("element", "name"), [(TensorProto.STRING, "string"), (TensorProto.COMPLEX64, "complex64")]
)
def test_input_type(model, element, name):
    _fails(
        model([_relu()], {"x": (1, 3)}, element=element), errors.UnsupportedTypeError,
        f"Input 'x' of the model has element type {name}; supported: floats, integers and "
        "booleans",
    )  # fmt: skip


def test_operator_on_float32_only(model):
    node = helper.make_node("Sigmoid", ["x"], ["y"], name="n")
    proto = model([node], {"x": (1, 3)}, element=TensorProto.FLOAT16)
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    _fails(
        proto, errors.UnsupportedOperandError,
        PREFIX.format(kind="Sigmoid") + "input 0 ('x') has element type float16; "
        "supported: float32",
    )  # fmt: skip


def test_input_that_is_no_tensor(model):
    proto = model([_relu()], {"x": (1, 3)})
    proto.graph.input[0].type.sequence_type.elem_type.tensor_type.elem_type = 1
    _fails(
        proto, errors.UnsupportedTypeError,
        "Input 'x' of the model is of kind sequence_type; supported: a float32 tensor",
    )  # fmt: skip


def test_weight_type(model):
    nodes = [
        helper.make_node("Cast", ["w"], ["v"], to=TensorProto.INT32),
        helper.make_node("Add", ["x", "v"], ["y"], name="n"),
    ]
    proto = model(nodes, {"x": (1, 3)}, {"w": _random(3)})
    with pytest.raises(errors.InvalidModelError, match=r"is not a valid ONNX model: .*Add"):
        load(proto.SerializeToString())


@pytest.mark.parametrize("kind", ["initializer", "folded"])
def test_nan_and_infinite_weights(model, kind):
    weight = _random(3, 4)
    weight[0, 1], weight[2, 3], weight[1, 1] = np.nan, np.inf, -np.inf
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="fc")]
    where, shape = "the model", [3, 4]
    if kind == "folded":
        nodes.insert(0, helper.make_node("Div", ["one", "zero"], ["w"], name="d"))
        weights = {"one": np.ones((3, 4), np.float32), "zero": np.float32([1, 1, 1, 0])}
        where, counts = PREFIX.format(kind="MatMul").removesuffix(": "), (0, 3)
    else:
        weights, counts = {"w": weight}, (1, 2)
    _fails(
        model(nodes, {"x": (1, 3)}, weights), errors.NonFiniteWeightError,
        f"{where.replace(chr(39) + 'n' + chr(39), chr(39) + 'fc' + chr(39))}: tensor 'w' of shape "
        f"{shape} holds {counts[0]} NaN and {counts[1]} infinite values among 12; expected finite "
        "weights. Train or export the model again",
    )  # fmt: skip


def test_division_by_zero(model):
    nodes = [helper.make_node("Div", ["x", "c"], ["y"], name="n")]
    _fails(
        model(nodes, {"x": (1, 2)}, {"c": np.float32([1, 0])}), errors.NonFiniteWeightError,
        PREFIX.format(kind="Div") + "tensor '1 / c' of shape [2] holds 0 NaN and 1 infinite "
        "values among 2; expected finite weights. Train or export the model again",
    )  # fmt: skip


def test_too_large(model):
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["c"], name="n"),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    _fails(
        model(nodes, {"x": (1, 2)}, {"s": np.int64([1 << 39, 2])}),
        errors.TensorTooLargeError,
        f"Node 'n' (ConstantOfShape, domain ai.onnx, opset 17): its result has shape [{1 << 40}]; "
        f"expected positive extents and at most {MAX_GROWN} elements",
    )  # fmt: skip
    _fails(
        model([_relu()], {"x": (1, 1 << 40)}), errors.TensorTooLargeError,
        f"the model: input 'x' has shape [1, {1 << 40}]; expected positive extents and at most "
        f"{MAX_ELEMENTS} elements",
    )  # fmt: skip


def test_contradiction(model):
    nodes = [helper.make_node("Reshape", ["x", "s"], ["y"], name="n")]
    _fails(
        model(nodes, {"x": (1, 6)}, {"s": np.int64([2, 2])}), errors.InvalidModelError,
        "Node 'n' (Reshape, domain ai.onnx, opset 17): [1, 6] does not reshape to [2, 2]",
    )  # fmt: skip
    nodes = [helper.make_node("Relu", ["nowhere"], ["y"], name="n")]
    with pytest.raises(errors.InvalidModelError, match="nowhere"):
        load(model(nodes, {"x": (1, 6)}).SerializeToString())


def test_no_inputs_or_outputs(model):
    _fails(
        model([_relu()], {"x": (1, 3)}, outputs=()), errors.InvalidModelError,
        "the model has no outputs; expected at least one",
    )  # fmt: skip
    _fails(
        model([_relu()], {}, {"x": _random(3)}), errors.InvalidModelError,
        "the model has no inputs; expected at least one that is no weight",
    )  # fmt: skip
