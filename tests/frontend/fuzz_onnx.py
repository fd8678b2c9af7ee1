"""ONNX for `fuzz.py`: small networks of many operators, changed through protobuf's reflection."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bitwright.frontend.onnx import load as load_onnx

SUFFIX = ".onnx"
_INTEGERS = (
    0, 1, -1, 2, 3, 4, 7, 8, 16, 127, 1 << 16, 1 << 24, 2**31 - 1, -(2**31), 2**32, 2**62, -(2**63),
)  # fmt: skip
_FLOATS = (0.0, 1.0, -1.0, 1e-45, 3e38, float("inf"), float("nan"))


def _proto(nodes: Any, shape: Any, weights: Any, output: str = "y", opset: int = 17) -> bytes:
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )  # fmt: skip
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()


def corpus() -> dict[str, bytes]:
    """A few networks that have most of the importer's operators between them."""
    dice, node = np.random.default_rng(0), helper.make_node

    def floats(*shape: int) -> Any:
        return dice.normal(size=shape).astype(np.float32)

    convolutions = [
        node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1], name="conv"),
        node("BatchNormalization", ["a", "s", "b", "m", "v"], ["n"], epsilon=1e-3),
        node("Relu", ["n"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
        node("ConvTranspose", ["p", "t"], ["u"], strides=[2, 2], group=2),
        node("AveragePool", ["u"], ["q"], kernel_shape=[3, 3], auto_pad="SAME_UPPER"),
        node("Resize", ["q", "", "scales"], ["z"], mode="nearest"),
        node("Pad", ["z", "pads"], ["e"]),
        node("GlobalAveragePool", ["e"], ["g"]),
        node("Flatten", ["g"], ["f"]),
        node("Gemm", ["f", "k", "c"], ["y"], transB=1, alpha=0.5),
    ]
    weights = {
        "w": floats(4, 3, 3, 3), "s": floats(4), "b": floats(4), "m": floats(4),
        "v": np.float32([1, 2, 3, 4]), "t": floats(4, 2, 2, 2),
        "scales": np.float32([1, 1, 2, 2]), "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1]),
        "k": floats(5, 4), "c": floats(5),
    }  # fmt: skip
    movement = [
        node("Shape", ["x"], ["sh"]),
        node("Gather", ["sh", "zero"], ["n0"]),
        node("Unsqueeze", ["n0", "axes"], ["n1"]),
        node("Concat", ["n1", "rest"], ["target"], axis=0),
        node("Reshape", ["x", "target"], ["f"]),
        node("Slice", ["f", "starts", "ends"], ["s"]),
        node("Transpose", ["s"], ["t"], perm=[1, 0]),
        node("Split", ["t"], ["p", "q"], axis=0),
        node("Concat", ["p", "q"], ["c"], axis=1),
        node("Expand", ["c", "wide"], ["e"]),
        node("Tile", ["e", "times"], ["l"]),
        node("Cast", ["l"], ["i"], to=TensorProto.INT32),
        node("Cast", ["i"], ["d"], to=TensorProto.FLOAT),
        node("ReduceSum", ["d", "axes"], ["r"], keepdims=1),
        node("CumSum", ["r", "zero"], ["y"]),
    ]
    movement_weights = {
        "zero": np.int64(0), "axes": np.int64([0]), "rest": np.int64([-1]),
        "starts": np.int64([0, 1]), "ends": np.int64([1, 5]), "wide": np.int64([2, 1, 1]),
        "times": np.int64([1, 2, 1]),
    }  # fmt: skip
    attention = [
        node("LayerNormalization", ["x", "s", "b"], ["n"], axis=-1),
        node("MatMul", ["n", "w"], ["q"]),
        node("Transpose", ["q"], ["k"], perm=[0, 2, 1]),
        node("MatMul", ["q", "k"], ["a"]),
        node("Div", ["a", "root"], ["d"]),
        node("Softmax", ["d"], ["p"], axis=-1),
        node("MatMul", ["p", "n"], ["o"]),
        node("Erf", ["o"], ["e"]),
        node("Where", ["mask", "e", "o"], ["h"]),
        node("Pow", ["h", "two"], ["z"]),
        node("Sqrt", ["z"], ["r"]),
        node("Clip", ["r", "low", "high"], ["y"]),
    ]
    attention_weights = {
        "s": floats(8), "b": floats(8), "w": floats(8, 8), "root": np.float32(2.8),
        "mask": np.array([[True, False] * 4]), "two": np.float32(2), "low": np.float32(-1),
        "high": np.float32(6),
    }  # fmt: skip
    folded = [
        node("ConstantOfShape", ["extents"], ["k"]),
        node("Range", ["start", "limit", "step"], ["r"]),
        node("Cast", ["r"], ["q"], to=TensorProto.FLOAT),
        node("Mul", ["k", "q"], ["m"]),
        node("QuantizeLinear", ["x", "scale", "point"], ["i"]),
        node("DequantizeLinear", ["i", "scale", "point"], ["d"]),
        node("MatMul", ["d", "m"], ["y"]),
    ]
    folded_weights = {
        "extents": np.int64([6, 5]), "start": np.int64(0), "limit": np.int64(5),
        "step": np.int64(1), "scale": np.float32(0.1), "point": np.int8(3),
    }  # fmt: skip
    large = [node("MatMul", ["x", "w"], ["y"])]
    return {
        "convolutions": _proto(convolutions, ["N", 3, 6, 6], weights),
        "movement": _proto(movement, ["N", 3, 2], movement_weights),
        "attention": _proto(attention, [1, 3, 8], attention_weights),
        "folded": _proto(folded, ["N", 6], folded_weights),
        "old": _proto([node("Relu", ["x"], ["y"])], ["N", 3], {}, opset=9),
        "large": _proto(large, ["N", 64], {"w": floats(64, 300)}),
    }


def load(path: Path) -> Any:
    """The importer."""
    return load_onnx(path)


def mutate(data: bytes, dice: random.Random) -> bytes:
    """Other values, doubled, exchanged or removed parts, in messages picked by chance."""
    proto = onnx.ModelProto.FromString(data)
    for _ in range(dice.choice((1, 1, 2, 3))):
        _change(proto, dice)
    return proto.SerializeToString()


def _change(proto: Any, dice: random.Random) -> None:
    messages = list(_messages(proto if dice.random() < 0.05 else proto.graph))
    kind = dice.choice(sorted({message.DESCRIPTOR.name for message in messages}))
    message = dice.choice([message for message in messages if message.DESCRIPTOR.name == kind])
    field = dice.choice(message.DESCRIPTOR.fields)
    present = [known for known, _ in message.ListFields()]
    if present and dice.random() < 0.9:
        field = dice.choice(present)
    value = getattr(message, field.name)
    if not field.is_repeated:
        if field.message_type is not None:
            message.ClearField(field.name) if dice.random() < 0.5 else value.SetInParent()
        else:
            _set(message, field, _scalar(field, proto, dice))
        return
    at = dice.randrange(len(value)) if value else 0
    match dice.randrange(4):
        case 0 if value:
            del value[at]
        case 1 if value and field.message_type is None:
            value[at] = _checked(field, _scalar(field, proto, dice), value[at])
        case 2 if value and field.message_type is not None:
            other = type(value[at])()
            other.CopyFrom(value[dice.randrange(len(value))])
            value[at].CopyFrom(other)
        case _ if field.message_type is None:
            value.append(_checked(field, _scalar(field, proto, dice), value[at] if value else None))
        case _ if value:
            value.add().CopyFrom(value[at])
        case _:
            value.add()


def _messages(message: Any) -> Iterator[Any]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if field.is_repeated else (value,):
                yield from _messages(inner)


def _scalar(field: Any, proto: Any, dice: random.Random) -> Any:
    if field.enum_type is not None:
        return dice.choice(field.enum_type.values).number
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return dice.choice(_FLOATS)
    if field.cpp_type == field.CPPTYPE_STRING:
        names = [name for node in proto.graph.node for name in (*node.input, *node.output)]
        kinds = [node.op_type for node in proto.graph.node]
        text = dice.choice((*names, *kinds, "", "ai.onnx", "N", "../x", "axis", "\0"))
        return text if field.type == field.TYPE_STRING else text.encode() * dice.choice((1, 4))
    return dice.choice((*_INTEGERS, dice.randrange(-4, 24)))


def _set(message: Any, field: Any, value: Any) -> None:
    setattr(message, field.name, _checked(field, value, getattr(message, field.name)))


def _checked(field: Any, value: Any, otherwise: Any) -> Any:
    """`value`, or where the field cannot hold it, the old one or zero."""
    bits = 32 if field.cpp_type in (field.CPPTYPE_INT32, field.CPPTYPE_UINT32) else 64
    unsigned = field.cpp_type in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64)
    if isinstance(value, int) and field.enum_type is None:
        low, high = (0, 2**bits) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1))
        if not low <= value < high:
            return otherwise or 0
    return value
