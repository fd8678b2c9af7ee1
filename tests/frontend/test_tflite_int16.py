"""int16 models against LiteRT's reference kernels: each element, on the reference interpreter."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bitwright.flows.models import WideActivations, import_model
from bitwright.frontend.tflite import INT16_HANDLERS, ModelError, errors, load
from bitwright.frontend.tflite.source import read
from bitwright.ir import graph, reference
from bitwright.ir.types import shape_of

sys.path.insert(0, str(Path(__file__).parent))

import tflite_int16_cases as cases
from tflite_models import Operator, Tensor, model


@pytest.mark.parametrize("name", cases.CASES)
def test_reference_equals_litert(name: str) -> None:
    module = load(cases.CASES[name]())
    (source,), (result,) = graph.inputs(module), graph.outputs(module)
    with np.load(cases.GOLDEN) as golden:
        wanted = golden[name]
    for sample, answer in zip(cases.inputs(name, shape_of(source.value)), wanted, strict=True):
        found = reference.run(module, {source.name: sample[None]})[result.name]
        assert found.dtype == np.int16
        np.testing.assert_array_equal(found, answer)


def test_every_operator_has_a_case() -> None:
    covered = {op.kind for make in cases.CASES.values() for op in read(make()).operators}
    # Reshapes by other names, and a pad with its value as an operand.
    assert set(INT16_HANDLERS) - covered == {"EXPAND_DIMS", "PADV2", "SQUEEZE"}


def test_scales_stand_at_inputs_and_outputs() -> None:
    module = load(cases.CASES["dense_ties"]())
    assert [(item.name, item.scale) for item in graph.inputs(module)] == [("x", 0.5)]
    assert [(item.name, item.scale) for item in graph.outputs(module)] == [("y", 0.25)]


ACT = Tensor((1, 4), type="INT16")


def _one(kind: str, table: str = "", options=None, inputs=("x",), **tensors: Tensor) -> bytes:
    given = {"x": ACT, "y": ACT, **tensors}
    return model(given, [Operator(kind, inputs, ["y"], table, options or {})])


def _dense(options=None, **tensors: Tensor) -> bytes:
    given = {
        "w": Tensor((3, 4), data=np.arange(12).reshape(3, 4)),
        "b": Tensor((3,), type="INT64", data=[1, 2, 3]), "y": Tensor((1, 3), type="INT16"),
        **tensors,
    }  # fmt: skip
    return _one("FULLY_CONNECTED", "FullyConnectedOptions", options, ("x", "w", "b"), **given)


def _large_pool() -> bytes:
    image, pooled = (Tensor((1, n, n, 1), type="INT16") for n in (256, 1))
    options = {
        "Padding": 1, "StrideH": 1, "StrideW": 1, "FilterHeight": 256, "FilterWidth": 256,
    }  # fmt: skip
    return _one("AVERAGE_POOL_2D", "Pool2DOptions", options, x=image, y=pooled)


FAILURES = {
    "operator": (
        _one("SOFTMAX"), errors.UnsupportedOperatorError,
        f"Operator 0 (SOFTMAX, 'y') is not supported; supported: "
        f"{', '.join(sorted(INT16_HANDLERS))}. Replace it in the model before the conversion",
    ),
    "other width": (
        _one("RELU", y=Tensor((1, 4))), errors.UnsupportedTypeError,
        "Operator 0 (RELU, 'y'): tensor 'y' is INT8; supported: INT16 activations in a model with "
        "INT16 inputs. Convert the model with activations of one width",
    ),
    "zero point": (
        _one("RELU", y=Tensor((1, 4), (0.1,), (3,), type="INT16")), errors.UnsupportedTypeError,
        "Operator 0 (RELU, 'y'): tensor 'y' has 1 scales and the zero point 3; supported: one "
        "scale, the zero point 0 for INT16",
    ),
    "bias of 32 bits": (
        _dense(b=Tensor((3,), type="INT32", data=[1, 2, 3])), errors.UnsupportedOperandError,
        "Operator 0 (FULLY_CONNECTED, 'y'): input 2 ('b') is the bias of type INT32 and shape [3]; "
        "supported: INT64 and [3]",
    ),
    "type of the bias": (
        _dense({"QuantizedBiasType": 2}), errors.UnsupportedAttributeError,
        "Operator 0 (FULLY_CONNECTED, 'y'): option QuantizedBiasType is 2; supported: 0 (not "
        "given), 4 (INT64)",
    ),
    "large sums": (
        _dense(b=Tensor((3,), type="INT64", data=[1, 2, 1 << 47])), errors.UnsupportedOperandError,
        "Operator 0 (FULLY_CONNECTED, 'y'): input 1 ('w') makes sums up to 140737489600512, which "
        "scale to 7036874584883; supported: sums below 2^47 that scale to below 2^31",
    ),
    "adding by powers of two": (
        _one("ADD", "AddOptions", {}, ("x", "x")), errors.UnsupportedAttributeError,
        "Operator 0 (ADD, 'y'): option PotScaleInt16 is True; supported: False, which the "
        "converter writes (version 3 of the operator)",
    ),
    "factor": (
        _one("MUL", "MulOptions", {}, ("x", "x"), y=Tensor((1, 4), (0.001,), type="INT16")),
        errors.UnsupportedOperandError,
        "Operator 0 (MUL, 'y'): input 0 ('x') is scaled by 2.5; supported: a factor below 1",
    ),
    "scale of a sigmoid": (
        _one("LOGISTIC", x=Tensor((1, 4), (5.0,), type="INT16")), errors.UnsupportedOperandError,
        "Operator 0 (LOGISTIC, 'y'): input 0 ('x') has scale 5 and becomes scale 0.05; supported: "
        "a scale from 1e-06 to 4, and a result of scale 1/32768",
    ),
    "scale of a mean": (
        _one("MEAN", "ReducerOptions", {}, ("x", "a"), x=Tensor((1, 4), (4096.0,), type="INT16"),
             a=Tensor((1,), (), type="INT32", data=[1]), y=Tensor((1,), (0.1,), type="INT16")),
        errors.UnsupportedOperandError,
        "Operator 0 (MEAN, 'y'): input 0 ('x') is scaled by 10240; supported: a factor below 8192",
    ),
    "window": (
        _large_pool(), errors.UnsupportedOperandError,
        "Operator 0 (AVERAGE_POOL_2D, 'y'): input 0 ('x') is summed over 65536 elements; "
        "supported: less than 65536",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
def test_failures(name: str) -> None:
    data, error, message = FAILURES[name]
    with pytest.raises(ModelError) as raised:
        load(data)
    assert str(raised.value) == f"the model: {message}"
    assert type(raised.value) is error


def test_no_target_has_16_bits(tmp_path: Path) -> None:
    path = tmp_path / "wide.tflite"
    path.write_bytes(cases.CASES["dense"]())
    with pytest.raises(WideActivations) as raised:
        import_model(path)
    assert str(raised.value) == (
        "Input 'x' has 16 bits, with which only the reference interpreter computes; supported on a "
        "CPU or an FPGA: activations of 8 bits. Convert the model with "
        "converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8], or without "
        "quantization"
    )
