"""The MLPerf Tiny models on their own inputs: ResNet8 and the autoencoder."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from torch_mlir import ir

from bitwright.frontend.onnx import load
from bitwright.ir import graph, reference
from bitwright.ir.types import value_params
from bitwright.passes.fold import Fold
from bitwright.passes.quantize import Quantize, Quantized, Statistics, calibrate

INPUT, OUTPUT = "input_1", "Identity"


def outputs(made: Quantized, x: np.ndarray) -> np.ndarray:
    codes = value_params(graph.inputs(made.module)[0].value).quantize(x)
    result = reference.run(made.module, {INPUT: codes})[OUTPUT]
    return value_params(graph.outputs(made.module)[0].value).dequantize(result)


class Model:
    def __init__(self, folder: Path, name: str, scale: float, zero_point: int, step: int) -> None:
        golden = np.load(folder / "mlperf_tiny" / f"{name}_golden.npz")
        path = folder / "mlperf_tiny" / f"{name}_float.onnx"
        self.x = ((golden["x"].astype(np.float32) - zero_point) * scale)[::step].astype(np.float32)
        self.label = golden["label"][::step]
        self.module: ir.Module = Fold().run(load(path))
        self.real = onnxruntime.InferenceSession(path).run(None, {INPUT: self.x})[0]
        self.statistics: Statistics = calibrate(self.module, {INPUT: self.x})

    def quantize(self, **options: object) -> Quantized:
        return Quantize(**options).quantize(self.module, self.statistics)


@pytest.fixture(scope="module")
def resnet8(data_folder: Path) -> Model:
    return Model(data_folder, "ic", 1.0, -128, 1)


@pytest.fixture(scope="module")
def autoencoder(data_folder: Path) -> Model:
    return Model(data_folder, "ad", 0.3910152316093445, 89, 12)


@pytest.mark.parametrize("ranges", ["minmax", "percentile", "mse"])
def test_resnet8_at_8_bits_gives_the_float_models_classes(resnet8: Model, ranges: str) -> None:
    found = outputs(resnet8.quantize(ranges=ranges), resnet8.x)
    np.testing.assert_array_equal(found.argmax(axis=1), resnet8.real.argmax(axis=1))
    np.testing.assert_array_equal(found.argmax(axis=1), resnet8.label)


def test_resnet8_at_8_bits_keeps_its_signal(resnet8: Model) -> None:
    made = resnet8.quantize()
    report = made.measure({INPUT: resnet8.x})
    assert report.layers[0].scale == 1.0, "pixels 0 to 255 are their own codes"
    logits = report.layers[-2]
    assert logits.kind == "linear"
    assert logits.sqnr_db is not None
    assert logits.sqnr_db > 32
    assert max(layer.accumulator_bits or 0 for layer in report.layers) <= 24


def test_resnet8_with_4_bit_weights_gives_the_float_models_classes(resnet8: Model) -> None:
    found = outputs(resnet8.quantize(weights=4), resnet8.x)
    np.testing.assert_array_equal(found.argmax(axis=1), resnet8.real.argmax(axis=1))


@pytest.mark.parametrize(("weights", "least_db"), [(8, 33), (4, 24)])
def test_the_autoencoder_rebuilds_its_spectra(
    autoencoder: Model, weights: int, least_db: float
) -> None:
    found = outputs(autoencoder.quantize(weights=weights), autoencoder.x)
    noise = np.square(found - autoencoder.real).sum()
    assert 10 * np.log10(np.square(autoencoder.real).sum() / noise) > least_db
