"""Inputs and outputs at the boundary: whole messages, quantization, files."""

from pathlib import Path

import numpy as np
import pytest

from bitwright.files import OutputNotWritable
from bitwright.ir.types import QuantParams
from bitwright.runtime.tensors import (
    TensorError,
    TensorFileError,
    TensorInfo,
    finish,
    load_inputs,
    prepare,
    save_outputs,
)  # fmt: skip

IMAGE = TensorInfo("image", (1, 2, 3), 0.25, -5, -128, 127)
STATE = TensorInfo("state", (1, 4), 0.5, 0, -8, 7)
FIXED = TensorInfo("fixed", (2, 2), 1.0, 0, -128, 127)


def int8(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.int8)


def test_quantization_is_that_of_the_ir() -> None:
    params = QuantParams((0.3,), 3, 4, -8, 7)
    info = TensorInfo("x", (1,), 0.3, 3, -8, 7)
    real = np.linspace(-5, 5, 1001, dtype=np.float32)
    np.testing.assert_array_equal(info.quantize(real), params.quantize(real))
    integers = np.arange(-8, 8)
    np.testing.assert_array_equal(info.dequantize(integers), params.dequantize(integers))


def test_ties_go_to_even_and_the_range_clips() -> None:
    real = np.array([0.5, 1.5, -0.5, -1.5, 100.0, -100.0])
    assert TensorInfo("x", (6,), 1.0, 0, -8, 7).quantize(real).tolist() == [0, 2, 0, -2, 7, -8]


def test_real_inputs_become_integers_of_all_samples() -> None:
    real = {"image": np.ones((3, 2, 3), np.float32), "state": np.full((3, 4), 9.0)}
    batch = prepare([IMAGE, STATE], real)
    assert batch.samples == 3
    assert batch.real
    assert [array.dtype for array in batch.arrays] == [np.int8, np.int8]
    assert batch.arrays[0][0, 0, 0] == -1
    assert batch.arrays[1][0, 0] == 7
    assert [array.shape for array in batch.sample(1, [IMAGE, STATE])] == [(1, 2, 3), (1, 4)]


def test_results_are_joined_and_scaled() -> None:
    runs = [[np.full((1, 4), value, np.int8)] for value in (2, 4)]
    assert finish([STATE], runs, False)["state"].tolist() == [[2] * 4, [4] * 4]
    real = finish([STATE], runs, True)["state"]
    assert real.dtype == np.float32
    assert real.tolist() == [[1.0] * 4, [2.0] * 4]


def test_a_fixed_axis_is_no_batch() -> None:
    assert prepare([FIXED], {"fixed": int8(2, 2)}).samples == 1
    with pytest.raises(TensorError) as caught:
        prepare([FIXED], {"fixed": int8(3, 2)})
    assert str(caught.value) == "Input 'fixed' has shape [3, 2]; expected [2, 2]"


BAD_INPUTS = {
    "unknown": (
        {"picture": int8(1, 2, 3)},
        "Input 'picture' is not of this model; its inputs are: image, state",
    ),
    "missing": (
        {"image": int8(1, 2, 3)},
        "Input 'state' is missing; the model's inputs are: image, state",
    ),
    "shape": (
        {"image": int8(1, 3, 2), "state": int8(1, 4)},
        "Input 'image' has shape [1, 3, 2]; expected [N, 2, 3]",
    ),
    "rank": (
        {"image": int8(2, 3), "state": int8(1, 4)},
        "Input 'image' has shape [2, 3]; expected [N, 2, 3]",
    ),
    "empty": (
        {"image": int8(0, 2, 3), "state": int8(0, 4)},
        "Input 'image' has shape [0, 2, 3]; expected [N, 2, 3]",
    ),
    "type": (
        {"image": np.zeros((1, 2, 3), np.int64), "state": int8(1, 4)},
        "Input 'image' has type int64; expected float32, or int8 for integers that are already "
        "quantized (scale 0.25, zero point -5)",
    ),
    "range": (
        {"image": int8(1, 2, 3), "state": np.full((1, 4), 9, np.int8)},
        "Input 'state' spans [9, 9]; expected integers in [-8, 7]",
    ),
    "infinite": (
        {"image": np.full((1, 2, 3), np.inf), "state": int8(1, 4)},
        "Input 'image' is inf at [0, 0, 0]; expected finite numbers",
    ),
    "mixed": (
        {"image": np.zeros((1, 2, 3), np.float32), "state": int8(1, 4)},
        "Inputs mix integers and real numbers: 'image' float32, 'state' int8; give all as one kind",
    ),
    "samples": (
        {"image": int8(2, 2, 3), "state": int8(3, 4)},
        "Inputs have different numbers of samples: 'image' 2, 'state' 3",
    ),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_inputs(case: str) -> None:
    inputs, message = BAD_INPUTS[case]
    with pytest.raises(TensorError) as caught:
        prepare([IMAGE, STATE], inputs)
    assert str(caught.value) == message
    assert caught.value.exit_code == 4


def test_files_come_back(tmp_path: Path) -> None:
    arrays = {"file": np.arange(6.0), "a/b:0": np.arange(4, dtype=np.int8)}
    save_outputs(tmp_path / "y.npz", arrays)
    loaded = load_inputs(tmp_path / "y.npz", ["a/b:0", "file"])
    assert sorted(loaded) == ["a/b:0", "file"]
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
    assert [path.name for path in tmp_path.iterdir()] == ["y.npz"]


def test_a_lone_array_is_the_only_input(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(3))
    assert load_inputs(tmp_path / "x.npy", ["image"])["image"].tolist() == [0, 1, 2]
    with pytest.raises(TensorError) as caught:
        load_inputs(tmp_path / "x.npy", ["image", "state"])
    assert str(caught.value) == (
        f"{tmp_path / 'x.npy'} holds one tensor but the model has 2 inputs: image, state; give a "
        ".npz keyed by these names"
    )


def test_files_that_are_no_tensors(tmp_path: Path) -> None:
    def message(name: str) -> str:
        with pytest.raises(TensorFileError) as caught:
            load_inputs(tmp_path / name, ["image"])
        return str(caught.value)

    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "array.npy", np.arange(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    np.savez(tmp_path / "objects.npz", image=np.array([{}], dtype=object))
    whole = (tmp_path / "objects.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    assert message("x.csv") == (
        f"{tmp_path / 'x.csv'} is neither .npz nor .npy; save the inputs with numpy.savez"
    )
    assert message("none.npz") == (
        f"{tmp_path / 'none.npz'} cannot be read: No such file or directory; give a .npz or .npy"
    )
    assert message("array.npz") == (
        f"{tmp_path / 'array.npz'} does not hold NumPy arrays: it is the other one of .npz and "
        ".npy; save the inputs with numpy.savez"
    )
    assert message("text.npz") == (
        f"{tmp_path / 'text.npz'} does not hold NumPy arrays: it begins with 68 65 6c 6c 6f; save "
        "the inputs with numpy.savez"
    )
    for name in ("objects.npz", "cut.npz"):
        start = f"{tmp_path / name} does not hold NumPy arrays: "
        assert message(name).startswith(start)
        assert message(name).endswith("; save the inputs with numpy.savez")


def test_outputs_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(TensorFileError) as wrong:
        save_outputs(tmp_path / "y.csv", {})
    assert str(wrong.value) == (
        f"Outputs are written as .npz; {tmp_path / 'y.csv'} has another suffix"
    )
    with pytest.raises(OutputNotWritable) as caught:
        save_outputs(tmp_path / "none" / "y.npz", {})
    assert str(caught.value) == (
        f"Cannot write {tmp_path / 'none' / 'y.npz'}: No such file or directory; name a folder "
        "that exists and is writable"
    )
