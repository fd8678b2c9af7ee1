"""Loading and running shared libraries: real numbers in and out, and files that are none."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bitwright.codegen.cpu.library import build_library
from bitwright.files import seal
from bitwright.ir import reference
from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams
from bitwright.runtime.library import LibraryError, load_library
from bitwright.runtime.tensors import TensorError, TensorInfo


class Foreign:
    """An array of another library, as DLPack shows it."""

    def __init__(self, array: NDArray[np.int8]) -> None:
        self._array = array

    def __dlpack__(self, **options: Any) -> object:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()


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

    called = library(Foreign(integers["left"]), right=integers["right"])
    for name, array in called.items():
        np.testing.assert_array_equal(array, expected[name])
    for wrong, message in (
        ((1, 2, 3), "3 inputs are given; expected 2: left, right"),
        ((1,), "Input 'left' is given by place and by name; give it once"),
    ):
        with pytest.raises(TensorError) as refused:
            library(*wrong, left=1)
        assert str(refused.value) == message

    given = [np.ascontiguousarray(integers[name][:1]) for name in ("left", "right")]
    call = library.bound(given)
    for sample in range(6):
        for array, name in zip(given, ("left", "right"), strict=True):
            array[:] = integers[name][sample]
        call()
        for array, name in zip(call.outputs, expected, strict=True):
            np.testing.assert_array_equal(array, expected[name][sample : sample + 1])
    with pytest.raises(LibraryError) as refused:
        library.bound(given[:1])
    assert str(refused.value) == (
        "The inputs are int8 [1, 3, 4]; expected contiguous int8 [1, 3, 4], int8 [1, 3, 4]"
    )

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


def _unsealed(path: Path) -> str:
    return (
        f"{path} is not a library that Bitwright made, or is truncated or changed since: it does "
        "not end with its checksum. Give the libmodel.so of a build folder, or compile the model "
        "again"
    )


def test_not_a_library(tmp_path: Path) -> None:
    path = tmp_path / "libmodel.so"
    path.write_text("hello" * 100)
    with pytest.raises(LibraryError) as caught:
        load_library(path)
    assert str(caught.value) == _unsealed(path)
    seal(path)
    with pytest.raises(LibraryError) as caught:
        load_library(path)
    assert str(caught.value) == (
        f"{path} is not a shared library of this system: {path}: invalid ELF header; compile the "
        "model here"
    )


def test_a_truncated_or_changed_library(tmp_path: Path) -> None:
    params = QuantParams((0.1,), 0, 8, -128, 127)
    builder = Builder([("x", (1, 3, 4), params)])
    module = builder.finish([("y", builder.transpose(builder.inputs[0], (0, 2, 1)))])
    path = build_library(module, tmp_path, model="mover").library
    data = path.read_bytes()
    assert load_library(path).model == "mover"
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    for index, changed in enumerate((data[:middle], data[:-1], data + b"\0", flipped, b"")):
        other = tmp_path / f"{index}.so"
        other.write_bytes(changed)
        with pytest.raises(LibraryError) as caught:
            load_library(other)
        assert str(caught.value) == _unsealed(other)


def _library(folder: Path, text: str) -> Path:
    (folder / "other.c").write_text(text)
    path = folder / "libother.so"
    subprocess.run(["cc", "-shared", "-fPIC", "other.c", "-o", path], cwd=folder, check=True)
    return path


def test_the_code_of_somebody_elses_library_does_not_run(tmp_path: Path) -> None:
    path = _library(
        tmp_path,
        "#include <stdlib.h>\n__attribute__((constructor)) static void run(void) { abort(); }\n",
    )
    with pytest.raises(LibraryError) as caught:
        load_library(path)
    assert str(caught.value) == _unsealed(path)


def test_another_interface_version(tmp_path: Path) -> None:
    path = _library(tmp_path, "int bw_abi_version(void) { return 7; }\n")
    seal(path)
    with pytest.raises(LibraryError) as caught:
        load_library(path)
    assert str(caught.value) == (
        f"{path} has interface version 7; this Bitwright reads 4, so compile the model again"
    )
