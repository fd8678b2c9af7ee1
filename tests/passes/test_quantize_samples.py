"""Calibration samples: what is accepted, and every error with its whole message."""

from pathlib import Path

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.ir.builder import Builder
from bitwright.passes.quantize import Quantize, calibrate, check_samples
from bitwright.passes.quantize.errors import (
    CalibrationCounts,
    CalibrationEmpty,
    CalibrationError,
    CalibrationFileError,
    CalibrationMissing,
    CalibrationNames,
    CalibrationNotFinite,
    CalibrationShape,
    CalibrationType,
)


def one_input() -> ir.Module:
    builder = Builder([("image", (1, 2, 2), None)])
    return builder.finish([("out", builder.relu(builder.inputs[0]))])


def two_inputs() -> ir.Module:
    builder = Builder([("a", (1, 2), None), ("b", (1, 2), None)])
    return builder.finish([("sum", builder.add(*builder.inputs))])


GOOD = np.zeros((3, 2, 2), np.float32)


def test_floats_and_integers_are_taken_as_the_numbers_that_they_are() -> None:
    for dtype in (np.float16, np.float32, np.float64, np.uint8, np.int8, np.int64):
        checked = check_samples(one_input(), {"image": np.full((3, 2, 2), 100, dtype)})
        assert checked["image"].dtype == np.float32
        assert (checked["image"] == 100).all()


ERRORS = [
    (
        None,
        CalibrationMissing,
        "Quantization needs calibration samples and got none; give calibration=FILE.npz with one "
        "array [samples, ...] for each of the model's inputs: 'image'",
    ),
    (
        {"picture": GOOD},
        CalibrationNames,
        "Calibration tensor 'picture' is not an input of the model; rename it in the .npz, the "
        "model's inputs are: 'image'",
    ),
    (
        {},
        CalibrationNames,
        "Calibration samples for the input 'image' are missing, the .npz holds nothing; add an "
        "array of that name, the model's inputs are: 'image'",
    ),
    (
        {"image": np.zeros((3, 2, 3), np.float32)},
        CalibrationShape,
        "Calibration tensor 'image' has shape [3, 2, 3]; expected [N, 2, 2], the model's input "
        "with the samples along the first axis",
    ),
    (
        {"image": np.zeros((2, 2), np.float32)},
        CalibrationShape,
        "Calibration tensor 'image' has shape [2, 2]; expected [N, 2, 2], the model's input with "
        "the samples along the first axis",
    ),
    (
        {"image": np.full((3, 2, 2), "cat")},
        CalibrationType,
        "Calibration tensor 'image' has type <U3; expected floats or integers of shape [N, 2, 2]",
    ),
    (
        {"image": np.zeros((3, 2, 2), bool)},
        CalibrationType,
        "Calibration tensor 'image' has type bool; expected floats or integers of shape [N, 2, 2]",
    ),
    (
        {"image": np.zeros((0, 2, 2), np.float32)},
        CalibrationEmpty,
        "Calibration tensor 'image' of shape [0, 2, 2] holds no samples; expected [N, 2, 2] with N "
        "of at least 1, better 100",
    ),
    (
        {"image": np.where(np.arange(12).reshape(3, 2, 2) == 6, np.nan, GOOD)},
        CalibrationNotFinite,
        "Calibration tensor 'image' holds nan at [1, 1, 0]; remove or repair that sample, every "
        "value must be finite",
    ),
]


@pytest.mark.parametrize(("samples", "kind", "message"), ERRORS)
def test_bad_samples(
    samples: dict[str, np.ndarray] | None, kind: type[CalibrationError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        Quantize(samples=samples).run(one_input())
    assert str(caught.value) == message
    assert caught.value.family == 4


def test_inputs_with_different_numbers_of_samples() -> None:
    with pytest.raises(CalibrationCounts) as caught:
        check_samples(two_inputs(), {"a": np.zeros((3, 2)), "b": np.zeros((4, 2))})
    assert str(caught.value) == (
        "Calibration inputs have different numbers of samples: 'a' has 3, 'b' has 4; sample i of "
        "every input must belong together"
    )


def test_a_layer_that_overflows_on_the_samples() -> None:
    builder = Builder([("x", (1, 2), None)])
    weight = builder.constant(np.full((1, 2), 3e38, np.float32))
    bias = builder.constant(np.zeros(1, np.float32))
    module = builder.finish([("y", builder.named("dense").linear(builder.inputs[0], weight, bias))])
    with pytest.raises(CalibrationNotFinite) as caught:
        calibrate(module, {"x": np.ones((1, 2), np.float32)})
    assert str(caught.value) == (
        "The calibration samples drive 'dense' to NaN or infinity; check the weights of that "
        "layer and the scaling of the samples"
    )


def test_a_file_of_samples(tmp_path: Path) -> None:
    path = tmp_path / "samples.npz"
    np.savez(path, image=GOOD + 1)
    module = Quantize(calibration=str(path)).run(one_input())
    assert "quant.uniform" in str(module)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file or directory"), (b"text", "it is not a .npz of plain NumPy arrays")],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "samples.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CalibrationFileError) as caught:
        Quantize(calibration=str(path)).run(one_input())
    assert str(caught.value) == (
        f"Cannot read the calibration samples {path}: {reason}; save them with numpy.savez, one "
        "array for each input of the model"
    )


def test_progress_counts_samples_and_memory_does_not_grow() -> None:
    seen: list[tuple[int, int]] = []
    samples = {"image": np.ones((40, 2, 2), np.float32)}
    calibrate(one_input(), samples, lambda done, total: seen.append((done, total)))
    assert seen == [(16, 40), (32, 40), (40, 40)]
