"""TFLite models through the command line: built as they are, or refused."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bitwright.cli import main
from bitwright.runtime.library import load_library

sys.path.insert(0, str(Path(__file__).parents[1] / "frontend"))

import tflite_cases as cases  # pyright: ignore[reportMissingImports]
import tflite_float_cases as float_cases  # pyright: ignore[reportMissingImports]


def _compile(folder: Path, *options: str, name: str = "m.tflite") -> Result:
    arguments = ["compile", str(folder / name), "-o", str(folder / "build"), *options]
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds m.tflite."""
    (tmp_path / "m.tflite").write_bytes(cases.CASES["network"]())
    return tmp_path


def _message(result: Result) -> str:
    return result.stderr.split("error: ", 1)[1].strip()


def test_the_library_needs_no_calibration(folder: Path) -> None:
    result = _compile(folder, "-t", "cpu")
    assert result.exit_code == 0, result.stderr
    report = json.loads((folder / "build" / "report.json").read_text())
    assert report["quantization"] == {
        "weight_bits": 8, "activation_bits": 8, "ranges": "minmax", "rounding": "tflite",
        "calibration_samples": 0, "deviations": [],
    }  # fmt: skip
    assert report["bit_exact"]["cpu"]["mismatches"] == 0
    assert report["bit_exact"]["cpu"]["samples"] == 16
    assert not (folder / "build" / "float.mlir").exists()
    library = load_library(folder / "build" / report["files"]["library"])
    x = cases.inputs("network", (1, 5, 6, 3))
    with np.load(cases.GOLDEN) as golden:
        np.testing.assert_array_equal(library.run({"x": x})["y"], golden["network"][:, 0])


@pytest.mark.parametrize("real", [False, True])
def test_given_samples_are_what_the_library_is_checked_on(folder: Path, real: bool) -> None:
    x = cases.inputs("network", (1, 5, 6, 3))
    np.savez(folder / "s.npz", x=x.astype(np.float32) * 0.05 if real else x)
    result = _compile(folder, "-t", "cpu", "-c", str(folder / "s.npz"))
    assert result.exit_code == 0, result.stderr
    report = json.loads((folder / "build" / "report.json").read_text())
    assert report["bit_exact"]["cpu"]["samples"] == 12


@pytest.mark.parametrize("board", ["ulx3s-85f", "icebreaker"])
def test_the_overlay_takes_the_wide_multiplier(folder: Path, board: str) -> None:
    result = _compile(folder, "-t", board, "--style", "overlay")
    assert result.exit_code == 0, result.stderr
    report = json.loads((folder / "build" / "report.json").read_text())
    assert report["target"]["machine"]["multiplier_bits"] == 31
    assert report["quantization"]["rounding"] == "tflite"


def test_other_bits_are_refused(folder: Path) -> None:
    result = _compile(folder, "-t", "cpu", "--weights", "4")
    assert result.exit_code == 2
    assert _message(result) == (
        f"{folder / 'm.tflite'} is quantized already and keeps its arithmetic; weights of 4 and "
        "activations of 8 bits cannot be made of it. Leave --weights and --activations out, or "
        "quantize the float model"
    )


def test_other_ranges_are_refused(folder: Path) -> None:
    result = _compile(folder, "-t", "cpu", "--ranges", "mse")
    assert result.exit_code == 2
    assert _message(result) == (
        f"{folder / 'm.tflite'} is quantized already and keeps its ranges; --ranges mse cannot "
        "change them. Leave it out, or quantize the float model"
    )


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("m.pth", "a PyTorch file; expected an ONNX, TFLite or .pt2 file: torch.export.save "
         "writes a .pt2 file of the module"),
        ("m.keras", "a Keras file; expected an ONNX, TFLite or .pt2 file: "
         "tf.lite.TFLiteConverter or tf2onnx convert it"),
    ],
)  # fmt: skip
def test_files_of_frameworks_are_refused(tmp_path: Path, name: str, advice: str) -> None:
    (tmp_path / name).write_bytes(b"PK")
    result = _compile(tmp_path, "-t", "cpu", name=name)
    assert result.exit_code == 3
    assert _message(result) == f"{tmp_path / name} is {advice}"


def test_a_float_model_needs_calibration(tmp_path: Path) -> None:
    digits = Path(__file__).parents[2] / "examples" / "digits" / "digits.onnx"
    (tmp_path / "m.onnx").write_bytes(digits.read_bytes())
    result = _compile(tmp_path, "-t", "cpu", name="m.onnx")
    assert result.exit_code == 4
    assert _message(result) == (
        f"{tmp_path / 'm.onnx'} is not quantized, and quantizing it takes typical inputs; name "
        "them with --calibration samples.npz (about 100)"
    )
    assert not (tmp_path / "build").exists()


def test_a_float_model_is_quantized(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(float_cases.CASES["network"]())
    x = np.random.default_rng(0).normal(0, 2, (20, 5, 6, 3)).astype(np.float32)
    np.savez(tmp_path / "s.npz", x=x)
    result = _compile(tmp_path, "-t", "cpu", "-c", str(tmp_path / "s.npz"))
    assert result.exit_code == 0, result.stderr
    report = json.loads((tmp_path / "build" / "report.json").read_text())
    assert report["quantization"]["calibration_samples"] == 20
    assert report["bit_exact"]["cpu"]["mismatches"] == 0


def test_inspect(folder: Path) -> None:
    result = CliRunner().invoke(main, ["inspect", str(folder / "m.tflite")])
    assert result.exit_code == 0, result.stderr
    assert "conv2d" in result.stdout
