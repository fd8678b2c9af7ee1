"""Float TFLite models against LiteRT's reference kernels, within the rounding of float32."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bitwright.flows.models import prepare
from bitwright.frontend import onnx
from bitwright.frontend.tflite import FLOAT_HANDLERS, errors, load
from bitwright.frontend.tflite.source import read
from bitwright.ir import graph, reference
from bitwright.ir.types import shape_of

sys.path.insert(0, str(Path(__file__).parent))

import tflite_float_cases as cases
from tflite_models import Operator, Tensor, model


@pytest.mark.parametrize("name", cases.CASES)
def test_reference_equals_litert(name: str) -> None:
    module = load(cases.CASES[name]())
    (source,), (result,) = graph.inputs(module), graph.outputs(module)
    x = cases.inputs(name, shape_of(source.value))
    with np.load(cases.GOLDEN) as golden:
        wanted = golden[name]
    for sample, answer in zip(x, wanted, strict=True):
        found = reference.run(module, {source.name: sample[None]})[result.name]
        assert found.dtype == answer.dtype == np.float32
        assert found.shape == answer.shape
        np.testing.assert_allclose(found, answer, rtol=2e-6, atol=2e-6)


def test_every_operator_has_a_case() -> None:
    covered = {op.kind for make in cases.CASES.values() for op in read(make()).operators}
    assert covered - set(FLOAT_HANDLERS) == {"DEQUANTIZE"}
    assert set(FLOAT_HANDLERS) <= covered


def test_layouts_change_at_the_border_only() -> None:
    module = prepare(load(cases.CASES["network"]())).module
    kinds = [op.operation.name for op in graph.operations(module)]
    assert kinds.count("bw.transpose") == 1
    assert shape_of(graph.inputs(module)[0].value) == (1, 5, 6, 3)


@pytest.mark.parametrize(("name", "shape"), [("ad", (640,)), ("ic", (32, 32, 3)),
                                             ("vww", (96, 96, 3))])  # fmt: skip
def test_mlperf_equals_the_onnx_model(data_folder: Path, name: str, shape: tuple[int, ...]) -> None:
    folder = data_folder / "mlperf_tiny"
    x = np.random.default_rng(0).uniform(0, 1, (1, *shape)).astype(np.float32)
    answers: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []
    for module in (
        load(folder / f"{name}_float.tflite"), onnx.load(folder / f"{name}_float.onnx"),
    ):  # fmt: skip
        (source,), (result,) = graph.inputs(module), graph.outputs(module)
        answers.append(reference.run(module, {source.name: x})[result.name])
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-5, atol=1e-5)


def test_mlperf_of_dynamic_range(data_folder: Path) -> None:
    path = data_folder / "mlperf_tiny" / "kws_float.tflite"
    with pytest.raises(errors.HybridModelError) as raised:
        load(path)
    assert str(raised.value) == (
        f"{path}: Operator 0 (CONV_2D, 'functional_1/activation/Relu'): input 1 "
        "('functional_1/conv2d/Conv2D') is the weight of type INT8 beside floats (dynamic range "
        "quantization), for which LiteRT quantizes the activations anew in each run; supported: "
        "FLOAT32. Convert the model without converter.optimizations, or with a "
        "representative_dataset"
    )


def _failure(data: bytes) -> tuple[type[Exception], str]:
    with pytest.raises(errors.ModelError) as raised:
        load(data)
    return type(raised.value), str(raised.value)


BORDERS = {
    "in": cases.floats((1, 4)), "x": Tensor((1, 4), (0.1,), (3,)), "y": Tensor((1, 4), (0.2,)),
    "out": cases.floats((1, 4)),
}  # fmt: skip
INSIDE = (
    Operator("QUANTIZE", ["in"], ["x"]), Operator("RELU", ["x"], ["y"]),
    Operator("DEQUANTIZE", ["y"], ["out"]),
)  # fmt: skip


def test_an_integer_model_with_float_borders() -> None:
    wrapped = load(model(BORDERS, INSIDE, ["in"], ["out"]))
    plain = load(model(BORDERS, INSIDE[1:2], ["x"], ["y"]))
    (given,), (made,) = graph.inputs(wrapped), graph.outputs(wrapped)
    assert (given.name, made.name) == ("in", "out")
    assert given.params.zero_point == 3
    codes = np.arange(-128, 128, dtype=np.int8).reshape(64, 4)
    np.testing.assert_array_equal(
        reference.run(wrapped, {"in": codes})["out"], reference.run(plain, {"x": codes})["y"]
    )


def test_a_float_input_that_integers_and_floats_read() -> None:
    operators = [*INSIDE, Operator("RELU", ["in"], ["rest"])]
    data = model({**BORDERS, "rest": cases.floats((1, 4))}, operators, ["in"], ["out", "rest"])
    assert _failure(data) == (
        errors.NotQuantizedError,
        "the model: Operator 0 (QUANTIZE, 'x') stands between floats and integers; supported: at "
        "the inputs and outputs of a model only. Convert it with full integer quantization "
        "(converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8])",
    )


def test_an_operator_that_is_unknown_for_floats() -> None:
    assert _failure(cases.one("COMPLEX_ABS", (1, 4), (1, 4))) == (
        errors.UnsupportedOperatorError,
        "the model: Operator 0 (COMPLEX_ABS, 'y') is not supported; supported: "
        f"{', '.join(sorted(FLOAT_HANDLERS))}. Replace it in the model before the conversion",
    )


W16 = Tensor((1, 4), (), type="FLOAT16", data=[[1, 2, 3, 4]])
FAILURES = {
    "result": (
        model({"x": cases.floats((1, 4)), "y": Tensor((1, 4))}, [Operator("RELU", ["x"], ["y"])]),
        errors.UnsupportedTypeError, "its result is INT8; supported: FLOAT32 in a float model",
    ),
    "half operand": (
        cases.one("ADD", (1, 4), (1, 4), "AddOptions", w=W16), errors.UnsupportedOperandError,
        "input 1 ('w') is the operand of type FLOAT16; supported: FLOAT32",
    ),
    "bias": (
        cases.one("FULLY_CONNECTED", (1, 4), (1, 3), "FullyConnectedOptions",
                  w=cases.weights(0, 3, 4), b=cases.weights(0, 2)), errors.UnsupportedOperandError,
        "input 2 ('b') is the bias of shape [2]; supported: [3]",
    ),
    "strides": (
        cases.sliced((1, 5, 6, 4), (0,), (1,), (0,)), errors.UnsupportedOperandError,
        "input 3 ('s') is [0], beside begin [0] and end [1]; supported: as many of each, at most "
        "4, and no stride of 0",
    ),
    "place": (
        cases.sliced((1, 6, 4), (0, 7), (0, 0), (1, 1), ShrinkAxisMask=2),
        errors.UnsupportedOperandError,
        "input 1 ('b') is [0, 7]; supported: places inside of [1, 5, 6, 4]",
    ),
    "ellipsis": (
        cases.sliced((1, 5, 6, 4), (0,), (1,), (1,), EllipsisMask=1),
        errors.UnsupportedAttributeError, "option EllipsisMask is 1; supported: 0",
    ),
    "slice": (
        cases.one("SLICE", (1, 4), (1, 4), b=cases.numbers(0, 2), s=cases.numbers(1, 4)),
        errors.UnsupportedOperandError,
        "input 2 ('s') is [1, 4], from [0, 2] on; supported: a part of [1, 4]",
    ),
    "numbers of a slice": (
        cases.one("SLICE", (1, 4), (1, 4), b=cases.numbers(0), s=cases.numbers(1)),
        errors.UnsupportedOperandError,
        "input 2 ('s') is [1], beside begin [0]; supported: 2 numbers each",
    ),
    "resize": (
        cases.one("RESIZE_BILINEAR", (1, 4), (1, 4), "ResizeBilinearOptions",
                  s=cases.numbers(2, 2)), errors.UnsupportedOperandError,
        "input 0 ('x') has shape [1, 4]; supported: rank 4",
    ),
    "alignment": (
        cases.resize("NEAREST", (9, 4), True, True), errors.UnsupportedAttributeError,
        "option HalfPixelCenters is True; supported: False where AlignCorners is True",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
def test_failures(name: str) -> None:
    data, error, message = FAILURES[name]
    found, text = _failure(data)
    assert text.split("'y'): ", 1)[1] == message
    assert found is error
