"""The committed digits model: its size, its interface and its stated accuracy."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "digits"
STATED_CORRECT = 354  # of 360; the README says 98.3 %
PARAMETERS = 13_642


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return onnx.load(FOLDER / "digits.onnx")


def test_files_are_small() -> None:
    files = [FOLDER / name for name in ("digits.onnx", "calibration.npz", "test.npz")]
    assert sum(file.stat().st_size for file in files) < 300_000


def test_interface(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    (image,), (logits,) = model.graph.input, model.graph.output
    assert (image.name, logits.name) == ("image", "logits")
    dims = [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim]
    assert dims == ["N", 1, 8, 8]
    dims = [d.dim_param or d.dim_value for d in logits.type.tensor_type.shape.dim]
    assert dims == ["N", 10]
    sizes = [int(np.prod(tensor.dims)) for tensor in model.graph.initializer]
    assert sum(sizes) == PARAMETERS


def test_operators_cover_the_small_networks(model: onnx.ModelProto) -> None:
    operators = {node.op_type for node in model.graph.node}
    assert operators == {"Conv", "Relu", "Add", "MaxPool", "Flatten", "Gemm"}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    attributes = [{a.name: a for a in node.attribute} for node in convolutions]
    assert any(a["group"].i > 1 for a in attributes), "a depthwise convolution"
    assert any(list(a["strides"].ints) == [2, 2] for a in attributes), "a strided convolution"


def test_stated_accuracy() -> None:
    test = np.load(FOLDER / "test.npz")
    assert test["image"].shape == (360, 1, 8, 8)
    assert test["image"].dtype == np.float32
    session = onnxruntime.InferenceSession(FOLDER / "digits.onnx")
    (logits,) = session.run(["logits"], {"image": test["image"]})
    assert int((logits.argmax(1) == test["label"]).sum()) == STATED_CORRECT


def test_calibration_images_are_not_held_out_ones() -> None:
    calibration = np.load(FOLDER / "calibration.npz")["image"]
    assert calibration.shape == (160, 1, 8, 8)
    assert calibration.dtype == np.float32
    held_out = {image.tobytes() for image in np.load(FOLDER / "test.npz")["image"]}
    assert not held_out & {image.tobytes() for image in calibration}
