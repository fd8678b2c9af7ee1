"""Every error of the TFLite importer: its class and its whole message."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bitwright.frontend.tflite import HANDLERS, ModelError, errors, load

sys.path.insert(0, str(Path(__file__).parent))

from tflite_models import Operator, Tensor, dense, model

SUPPORTED = ", ".join(sorted(HANDLERS))
WEIGHT = np.arange(12).reshape(3, 4)
ACT, IMAGE, POOLED = Tensor((1, 4)), Tensor((1, 4, 4, 2)), Tensor((1, 3, 3, 2))
WINDOW = {"Padding": 1, "StrideH": 1, "StrideW": 1}


def _fails(data: bytes | Path, error: type[ModelError], message: str) -> None:
    with pytest.raises(ModelError) as raised:
        load(data)
    assert str(raised.value) == message
    assert type(raised.value) is error
    assert raised.value.family == 3


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "none.tflite"
    _fails(
        path, errors.ModelFileNotFoundError,
        f"Cannot read {path}: No such file or directory; expected a TFLite file",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "it is empty"),
        (b"# a text", "its 8 bytes start with 23 20 61 20 74 65 78 74"),
        (b"PK\x03\x04", "its 4 bytes start with 50 4b 03 04"),
        (b"\x08\x08:\x00TFL2rest", "its 12 bytes start with 08 08 3a 00 54 46 4c 32"),
    ],
)
def test_other_file(tmp_path: Path, data: bytes, found: str) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    for source, name in ((data, "the model"), (path, str(path))):
        _fails(
            source, errors.NotTfliteError,
            f"{name} is not a TFLite model: {found}; expected the identifier TFL3 in bytes 4 to 7. "
            "Convert the model with the LiteRT converter",
        )  # fmt: skip
    assert errors.NotTfliteError.exit_code == 31


def test_truncated_file() -> None:
    data = dense(WEIGHT)
    _fails(
        data[: len(data) // 2], errors.TruncatedModelError,
        f"the model is a truncated or damaged TFLite model: it has {len(data) // 2} bytes, and a "
        "part of it lies outside of them; copy or convert it again",
    )  # fmt: skip


def test_unknown_operator() -> None:
    _fails(
        model({"x": ACT, "act;fused": ACT}, [Operator("ELU", ["x"], ["act;fused"])],
              outputs=["act;fused"]),
        errors.UnsupportedOperatorError,
        f"the model: Operator 0 (ELU, 'act') is not supported; supported: {SUPPORTED}. Replace it "
        "in the model before the conversion",
    )  # fmt: skip


def _one(kind: str, table: str = "", options=None, inputs=("x",), **tensors: Tensor) -> bytes:
    given = {"x": ACT, "y": ACT, **tensors}
    return model(given, [Operator(kind, inputs, ["y"], table, options or {})])


def _dense(**tensors: Tensor) -> bytes:
    given = {
        "w": Tensor((3, 4), data=WEIGHT), "b": Tensor((3,), type="INT32", data=[1, 2, 3]),
        "y": Tensor((1, 3)), **tensors,
    }  # fmt: skip
    return _one("FULLY_CONNECTED", "FullyConnectedOptions", {}, ("x", "w", "b"), **given)


def _pool(x: Tensor = IMAGE, y: Tensor = POOLED, **options: int) -> bytes:
    given = {**WINDOW, "FilterHeight": 2, "FilterWidth": 2, **options}
    return _one("AVERAGE_POOL_2D", "Pool2DOptions", given, x=x, y=y)


FAILURES = {
    "no scale of unsigned": (
        _one("RELU", x=Tensor((1, 4), (), type="UINT8")), errors.UnsupportedTypeError,
        "the model: input: tensor 'x' is UINT8; supported: INT8 or UINT8 activations and weights "
        "with a scale, INT32 biases",
    ),
    "16 bits": (
        _one("RELU", y=Tensor((1, 4), type="INT16")), errors.UnsupportedTypeError,
        "Operator 0 (RELU, 'y'): tensor 'y' is INT16; supported: INT8 in a model with inputs of 8 "
        "bits. Convert the model with activations of one width",
    ),
    "unsigned average": (
        _pool(
            Padding=0, x=Tensor((1, 4, 4, 2), type="UINT8"), y=Tensor((1, 4, 4, 2), type="UINT8"),
        ), errors.UnsupportedAttributeError,
        "Operator 0 (AVERAGE_POOL_2D, 'y'): option Padding is '0 (SAME)'; supported: 1 (VALID) for "
        "UINT8, where windows lie inside of the image",
    ),
    "zero point of an unsigned weight": (
        _dense(
            x=Tensor((1, 4), type="UINT8"), y=Tensor((1, 3), type="UINT8"),
            w=Tensor((3, 4), (0.1,), (300,), type="UINT8", data=WEIGHT),
        ), errors.UnsupportedOperandError,
        "Operator 0 (FULLY_CONNECTED, 'y'): input 1 ('w') has the zero point 300; supported: 0 to "
        "255",
    ),
    "float weight": (
        _dense(w=Tensor((3, 4), type="FLOAT32", data=WEIGHT)), errors.NotQuantizedError,
        "Operator 0 (FULLY_CONNECTED, 'y'): tensor 'w' is FLOAT32 and not quantized; expected "
        "INT8. Convert the model with full integer quantization (converter.inference_input_type "
        "and inference_output_type = tf.int8), or without quantization: Bitwright quantizes float "
        "models itself",
    ),
    "float in the middle": (
        model(
            {"x": ACT, "y": Tensor((1, 4), (), type="FLOAT32"), "z": ACT},
            [Operator("DEQUANTIZE", ["x"], ["y"]), Operator("QUANTIZE", ["y"], ["z"])],
            outputs=["z"],
        ), errors.NotQuantizedError,
        "Operator 0 (DEQUANTIZE, 'y') stands between floats and integers; supported: at the inputs "
        "and outputs of a model only. Convert it with full integer quantization "
        "(converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8])",
    ),
    "no scale": (
        _one("RELU", x=Tensor((1, 4), ())), errors.InvalidModelError,
        "the model: input: tensor 'x' is INT8 and has no scale; convert the model again",
    ),
    "scale of zero": (
        _one("RELU", y=Tensor((1, 4), (0.0,))), errors.InvalidModelError,
        "Operator 0 (RELU, 'y'): tensor 'y' has a scale of 0; expected positive, finite scales",
    ),
    "zero point": (
        _one("RELU", x=Tensor((1, 4), (0.1,), (200,))), errors.UnsupportedTypeError,
        "the model: input: tensor 'x' has 1 scales and the zero point 200; supported: one scale, a "
        "zero point from -128 to 127",
    ),
    "dynamic": (
        _one("RELU", x=Tensor((1, 4), signature=(-1, -1))), errors.DynamicShapeError,
        "the model: input 'x' has the shape [-1, -1]; expected fixed extents after the batch. "
        "Convert the model with a fixed input shape",
    ),
    "too large": (
        _one("RELU", x=Tensor((1, 1 << 29))), errors.TensorTooLargeError,
        "the model: input 'x' has shape [1, 536870912]; expected positive extents and at most "
        "268435456 elements",
    ),
    "result shape": (
        _one("RELU", y=Tensor((1, 5))), errors.InvalidModelError,
        "the model: Operator 0 (RELU, 'y'): it makes a tensor of shape [1, 4], but the file says "
        "[1, 5]",
    ),
    "not made": (
        _one("RELU", inputs=("z",), z=ACT), errors.InvalidModelError,
        "Operator 0 (RELU, 'y'): tensor 'z' is not an input, not constant, and not made by any "
        "earlier operator",
    ),
    "no operators": (
        model({"x": ACT, "y": ACT}, []), errors.InvalidModelError,
        "the model: output 'y' is not made by any operator",
    ),
    "missing operand": (
        _one("RELU", inputs=()), errors.InvalidModelError,
        "Operator 0 (RELU, 'y'): input 0 is missing",
    ),
    "asymmetric weight": (
        _dense(w=Tensor((3, 4), (0.1,), (7,), data=WEIGHT)), errors.UnsupportedOperandError,
        "Operator 0 (FULLY_CONNECTED, 'y'): input 1 ('w') has zero points other than 0; supported: "
        "symmetric weights",
    ),
    "computed weight": (
        _one("FULLY_CONNECTED", "FullyConnectedOptions", {}, ("x", "x")),
        errors.UnsupportedOperandError,
        "Operator 0 (FULLY_CONNECTED, 'y'): input 1 ('x') is the weight and is computed; "
        "supported: a constant weight",
    ),
    "scales of the weight": (
        _dense(w=Tensor((3, 4), (0.1, 0.2), (0, 0), 1, data=WEIGHT)),
        errors.UnsupportedOperandError,
        "Operator 0 (FULLY_CONNECTED, 'y'): input 1 ('w') has 2 scales along axis 1 of [3, 4]; "
        "supported: one scale, or one for each index of axis 0",
    ),
    "bytes of the weight": (
        _dense(w=Tensor((3, 4), data=WEIGHT[:2])), errors.InvalidModelError,
        "Operator 0 (FULLY_CONNECTED, 'y'): tensor 'w' of shape [3, 4] and type INT8 has 8 bytes "
        "of data",
    ),
    "bias": (
        _dense(b=Tensor((2,), type="INT32", data=[1, 2])), errors.UnsupportedOperandError,
        "Operator 0 (FULLY_CONNECTED, 'y'): input 2 ('b') is the bias of type INT32 and shape [2]; "
        "supported: INT32 and [3]",
    ),
    "depth": (
        _dense(x=Tensor((1, 6))), errors.UnsupportedOperandError,
        "Operator 0 (FULLY_CONNECTED, 'y'): input 0 ('x') has shape [1, 6]; supported: rows of 4 "
        "elements",
    ),
    "activation": (
        _pool(FusedActivationFunction=4), errors.UnsupportedAttributeError,
        "Operator 0 (AVERAGE_POOL_2D, 'y'): option FusedActivationFunction is 4; supported: NONE, "
        "RELU, RELU_N1_TO_1, RELU6",
    ),
    "stride": (
        _pool(StrideH=0), errors.UnsupportedAttributeError,
        "Operator 0 (AVERAGE_POOL_2D, 'y'): option Stride is [0, 1]; supported: positive strides, "
        "dilations and kernels (here [1, 1] and [2, 2])",
    ),
    "padding": (
        _pool(Padding=3), errors.UnsupportedAttributeError,
        "Operator 0 (AVERAGE_POOL_2D, 'y'): option Padding is 3; supported: 0 (SAME), 1 (VALID)",
    ),
    "window": (
        _pool(FilterHeight=9), errors.InvalidModelError,
        "the model: Operator 0 (AVERAGE_POOL_2D, 'y'): rows: the window spans 9 but the padded "
        "input has only 4",
    ),
    "rank": (
        _one("MAX_POOL_2D", "Pool2DOptions", {}), errors.UnsupportedOperandError,
        "Operator 0 (MAX_POOL_2D, 'y'): input 0 ('x') has shape [1, 4]; supported: rank 4",
    ),
    "other scale": (
        _one("RESHAPE", y=Tensor((4,), (0.25,), (3,))), errors.UnsupportedOperandError,
        "Operator 0 (RESHAPE, 'y'): input 0 ('x') has scale 0.05 and zero point 0; supported: "
        "those of the output, 0.25 and 3",
    ),
    "reshape": (
        _one("RESHAPE", y=Tensor((2, 3))), errors.InvalidModelError,
        "Operator 0 (RESHAPE, 'y'): [1, 4] does not reshape to [2, 3]",
    ),
    "softmax": (
        _one("SOFTMAX", "SoftmaxOptions", {"Beta": 1.0}), errors.UnsupportedOperandError,
        "Operator 0 (SOFTMAX, 'y'): input 0 ('x') becomes scale 0.05, zero point 0; supported: a "
        "result of scale 1/256, zero point -128",
    ),
    "beta": (
        _one("SOFTMAX", "SoftmaxOptions", {"Beta": -1.0}), errors.UnsupportedAttributeError,
        "Operator 0 (SOFTMAX, 'y'): option Beta is -1.0; supported: a positive number",
    ),
    "options": (
        _one("SOFTMAX", "AddOptions", {}), errors.InvalidModelError,
        "the model: operator 0 (SOFTMAX) has options of type 11, expected 9 (SoftmaxOptions)",
    ),
    "axes": (
        _one("MEAN", "ReducerOptions", {}, ("x", "a"),
             a=Tensor((1,), (), type="INT32", data=[2])), errors.UnsupportedOperandError,
        "Operator 0 (MEAN, 'y'): input 1 ('a') lists the axes [2]; supported: axes of the shape "
        "[1, 4]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
def test_failures(name: str) -> None:
    data, error, message = FAILURES[name]
    if not message.startswith("the model"):
        message = f"the model: {message}"
    _fails(data, error, message)
