"""TFLite models made on the spot, with the builders of the schema's own package."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite


@dataclass
class Tensor:
    """A tensor; `data` for constants. Scales per channel go with `axis`."""

    shape: Sequence[int]
    scales: Sequence[float] = (0.05,)
    zero_points: Sequence[int] = (0,)
    axis: int = 0
    type: str = "INT8"
    data: Any = None
    signature: Sequence[int] | None = None


@dataclass
class Operator:
    """An operator of the schema; `options` by the schema's names, with the table's name."""

    kind: str
    inputs: Sequence[str | None]
    outputs: Sequence[str]
    table: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


_DTYPES = {
    "INT8": np.int8, "UINT8": np.uint8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "FLOAT16": np.float16, "FLOAT32": np.float32,
}  # fmt: skip


def model(
    tensors: Mapping[str, Tensor], operators: Sequence[Operator],
    inputs: Sequence[str] = ("x",), outputs: Sequence[str] = ("y",),
) -> bytes:  # fmt: skip
    """The bytes of a file with these tensors and operators."""
    b = flatbuffers.Builder(1024)
    index = {name: number for number, name in enumerate(tensors)}
    buffers, made = [_buffer(b, None)], []
    for name, tensor in tensors.items():
        number = 0
        if tensor.data is not None:
            number = len(buffers)
            buffers.append(_buffer(b, np.asarray(tensor.data, _DTYPES[tensor.type]).tobytes()))
        made.append(_tensor(b, name, tensor, number))
    codes, ops = [], []
    for number, operator in enumerate(operators):
        codes.append(_code(b, operator.kind))
        ops.append(_operator(b, operator, number, index))
    vectors = {
        "Tensors": _offsets(b, made), "Operators": _offsets(b, ops),
        "Inputs": b.CreateNumpyVector(np.array([index[n] for n in inputs], np.int32)),
        "Outputs": b.CreateNumpyVector(np.array([index[n] for n in outputs], np.int32)),
    }  # fmt: skip
    graph = _table(b, "SubGraph", vectors)
    fields = {
        "Version": 3, "OperatorCodes": _offsets(b, codes), "Subgraphs": _offsets(b, [graph]),
        "Buffers": _offsets(b, buffers),
    }  # fmt: skip
    b.Finish(_table(b, "Model", fields), b"TFL3")
    return bytes(b.Output())


def _table(b: flatbuffers.Builder, name: str, fields: Mapping[str, Any]) -> int:
    getattr(tflite, f"{name}Start")(b)
    for key, value in fields.items():
        getattr(tflite, f"{name}Add{key}")(b, value)
    return getattr(tflite, f"{name}End")(b)


def _offsets(b: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return b.EndVector()


def _buffer(b: flatbuffers.Builder, data: bytes | None) -> int:
    fields = {}
    if data is not None:
        fields["Data"] = b.CreateByteVector(data)
    return _table(b, "Buffer", fields)


def _tensor(b: flatbuffers.Builder, name: str, tensor: Tensor, buffer: int) -> int:
    fields = {"Shape": b.CreateNumpyVector(np.array(tensor.shape, np.int32))}
    if tensor.signature is not None:
        fields["ShapeSignature"] = b.CreateNumpyVector(np.array(tensor.signature, np.int32))
    fields["Name"] = b.CreateString(name)
    if tensor.scales:
        quantization = {
            "Scale": b.CreateNumpyVector(np.array(tensor.scales, np.float32)),
            "ZeroPoint": b.CreateNumpyVector(np.array(tensor.zero_points, np.int64)),
            "QuantizedDimension": tensor.axis,
        }
        fields["Quantization"] = _table(b, "QuantizationParameters", quantization)
    fields |= {"Type": getattr(tflite.TensorType, tensor.type), "Buffer": buffer}
    return _table(b, "Tensor", fields)


def _code(b: flatbuffers.Builder, kind: str) -> int:
    number = getattr(tflite.BuiltinOperator, kind)
    return _table(
        b, "OperatorCode",
        {"DeprecatedBuiltinCode": min(number, 127), "BuiltinCode": number, "Version": 1},
    )  # fmt: skip


def _operator(
    b: flatbuffers.Builder, operator: Operator, number: int, index: Mapping[str, int]
) -> int:
    ins = [-1 if name is None else index[name] for name in operator.inputs]
    fields: dict[str, Any] = {
        "Inputs": b.CreateNumpyVector(np.array(ins, np.int32)),
        "Outputs": b.CreateNumpyVector(np.array([index[n] for n in operator.outputs], np.int32)),
    }
    if operator.table:
        fields["BuiltinOptions"] = _table(b, operator.table, operator.options)
        fields["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, operator.table)
    return _table(b, "Operator", {"OpcodeIndex": number, **fields})


def dense(
    weight: Any, bias: Any = None, *, inputs: int | None = None, activation: int = 0,
    scales: tuple[float, float, float] = (0.05, 0.02, 0.1), zeros: tuple[int, int] = (0, 0),
) -> bytes:  # fmt: skip
    """One FULLY_CONNECTED; scales of the input, the weight and the output."""
    weight = np.asarray(weight)
    tensors = {
        "x": Tensor((1, inputs or weight.shape[1]), scales[:1], zeros[:1]),
        "w": Tensor(weight.shape, scales[1:2], data=weight),
        "b": Tensor((len(weight),), (scales[0] * scales[1],), type="INT32",
                    data=np.zeros(len(weight)) if bias is None else bias),
        "y": Tensor((1, len(weight)), scales[2:], zeros[1:]),
    }  # fmt: skip
    options = {"FusedActivationFunction": activation}
    return model(
        tensors,
        [Operator("FULLY_CONNECTED", ["x", "w", "b"], ["y"], "FullyConnectedOptions", options)],
    )
