"""Loading and running shared libraries: real numbers in and out, and files that are none."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from bitwright.codegen.cpu.library import build_library
from bitwright.ir import reference
from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams
from bitwright.runtime.library import LibraryError, load_library
from bitwright.runtime.tensors import TensorError, TensorInfo


def test_two_inputs_and_outputs_in_real_numbers(tmp_path: Path) -> None:
    left = QuantParams((0.1,), -7, 8, -128, 127)
    right = QuantParams((1 / 3,), 2, 4, -8, 7)
    wide = QuantParams((0.2,), 5, 8, -128, 127)
    builder = Builder([("left", (1, 3, 4), left), ("right", (1, 3, 4), right)])
    x, y = builder.inputs
    total = builder.requantize(builder.add(x, y, 30, 100), wide, multiplier=[1091], shift=[16])
    module = builder.finish([("total", total), ("swapped", builder.transpose(y, (0, 2, 1)))])
    library = load_library(build_library(module, tmp_path, model="adder").library)

    assert library.model == "adder"
    assert library.inputs == (
        TensorInfo("left", (1, 3, 4), 0.1, -7, -128, 127),
        TensorInfo("right", (1, 3, 4), 1 / 3, 2, -8, 7),
    )
    assert [info.shape for info in library.outputs] == [(1, 3, 4), (1, 4, 3)]

    rng = np.random.default_rng(0)
    real = {name: rng.normal(0, 5, (6, 3, 4)).astype(np.float32) for name in ("left", "right")}
    integers = {"left": left.quantize(real["left"]), "right": right.quantize(real["right"])}
    expected = reference.run(module, integers)
    for name, array in library.run(integers).items():
        np.testing.assert_array_equal(array, expected[name])
    found = library.run(real)
    np.testing.assert_array_equal(found["total"], wide.dequantize(expected["total"]))
    np.testing.assert_array_equal(found["swapped"], right.dequantize(expected["swapped"]))
    assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}

    with pytest.raises(TensorError) as caught:
        library.run({"left": real["left"]})
    assert str(caught.value) == "Input 'right' is missing; the model's inputs are: left, right"


def test_no_such_file(tmp_path: Path) -> None:
    path = tmp_path / "libmodel.so"
    with pytest.raises(LibraryError) as caught:
        load_library(path)
    assert str(caught.value) == (
        f"There is no library {path}; `bitwright compile --target cpu` makes it"
    )
    assert caught.value.exit_code == 6


def test_not_a_library(tmp_path: Path) -> None:
    path = tmp_path / "libmodel.so"
    path.write_text("hello")
    with pytest.raises(LibraryError) as caught:
        load_library(path)
    assert str(caught.value) == (
        f"{path} is not a shared library of this system: {path}: file too short; compile the model "
        "here"
    )


def _library(folder: Path, text: str) -> Path:
    (folder / "other.c").write_text(text)
    path = folder / "libother.so"
    subprocess.run(["cc", "-shared", "-fPIC", "other.c", "-o", path], cwd=folder, check=True)
    return path


def test_somebody_elses_library(tmp_path: Path) -> None:
    path = _library(tmp_path, "int other(void) { return 1; }\n")
    with pytest.raises(LibraryError) as caught:
        load_library(path)
    assert str(caught.value) == (
        f"{path} is a shared library but not one that Bitwright made (no bw_abi_version); give the "
        "libmodel.so of a build folder"
    )


def test_another_interface_version(tmp_path: Path) -> None:
    path = _library(tmp_path, "int bw_abi_version(void) { return 7; }\n")
    with pytest.raises(LibraryError) as caught:
        load_library(path)
    assert str(caught.value) == (
        f"{path} has interface version 7; this Bitwright reads 2, so compile the model again"
    )
