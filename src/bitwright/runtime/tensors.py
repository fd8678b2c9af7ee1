"""Tensors at the boundary of a compiled model: files, names, shapes, quantization."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.errors import BitwrightError
from bitwright.files import replace_file

Array = NDArray[Any]

_NPY = b"\x93NUMPY"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")


class TensorError(BitwrightError):
    """An input that does not fit the model: a missing name, a wrong shape or type."""

    exit_code = 4


class TensorFileError(BitwrightError):
    """An input file that cannot be read as tensors, or an output file of another kind."""

    exit_code = 6


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a compiled model: real = scale * (integer - zero_point)."""

    name: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    minimum: int
    maximum: int

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """int8, or int32 for an output of sums."""
        return np.dtype(np.int8 if self.minimum >= -128 and self.maximum <= 127 else np.int32)

    @property
    def batched(self) -> bool:
        """Whether axis 0 counts samples: the model has one, a call may bring more."""
        return self.shape[:1] == (1,)

    def quantize(self, real: Array) -> NDArray[np.int8]:
        """Nearest integer, ties to even, clipped to the tensor's range."""
        integer = np.rint(real.astype(np.float64) / self.scale) + self.zero_point
        return np.clip(integer, self.minimum, self.maximum).astype(np.int8)

    def dequantize(self, integer: Array) -> NDArray[np.float32]:
        """Integers as real numbers."""
        return ((integer.astype(np.float64) - self.zero_point) * self.scale).astype(np.float32)


@dataclass(frozen=True)
class Batch:
    """Checked inputs as integers.

    Attributes:
        arrays: one for each input of the model, in its order, C-contiguous.
        samples: how many times the model runs.
        real: whether the inputs came as real numbers, and the outputs should leave so.
    """

    arrays: tuple[NDArray[np.int8], ...]
    samples: int
    real: bool

    def sample(self, index: int, tensors: Sequence[TensorInfo]) -> list[NDArray[np.int8]]:
        """The inputs of one run, each with the model's own shape."""
        return [
            array[index : index + 1] if info.batched else array
            for array, info in zip(self.arrays, tensors, strict=True)
        ]


def prepare(tensors: Sequence[TensorInfo], inputs: Mapping[str, Array]) -> Batch:
    """Check `inputs` against the model's and bring them to integers.

    Args:
        tensors: the model's inputs.
        inputs: by name, all int8 or all real numbers. Where a tensor's axis 0 has extent 1, the
            array's may have any other, the same for all inputs.

    Raises:
        TensorError: a missing or unknown name, a wrong shape or type, a value that is not a
            number or outside of the tensor's range.
    """
    expected = ", ".join(info.name for info in tensors)
    for name in inputs:
        if name not in {info.name for info in tensors}:
            raise TensorError(f"Input {name!r} is not of this model; its inputs are: {expected}")
    arrays: list[Array] = []
    for info in tensors:
        if info.name not in inputs:
            raise TensorError(f"Input {info.name!r} is missing; the model's inputs are: {expected}")
        array = np.asarray(inputs[info.name])
        _check_shape(info, array)
        _check_values(info, array)
        arrays.append(array)
    kinds = {info.name: array.dtype for info, array in zip(tensors, arrays, strict=True)}
    if len({dtype.kind for dtype in kinds.values()}) > 1:
        listed = ", ".join(f"{name!r} {dtype}" for name, dtype in kinds.items())
        raise TensorError(f"Inputs mix integers and real numbers: {listed}; give all as one kind")
    samples = {
        info.name: len(array) for info, array in zip(tensors, arrays, strict=True) if info.batched
    }
    if len(set(samples.values())) > 1:
        listed = ", ".join(f"{name!r} {count}" for name, count in samples.items())
        raise TensorError(f"Inputs have different numbers of samples: {listed}")
    real = any(dtype.kind == "f" for dtype in kinds.values())
    integers = [
        info.quantize(array) if real else array for info, array in zip(tensors, arrays, strict=True)
    ]
    return Batch(
        tuple(np.ascontiguousarray(array, dtype=np.int8) for array in integers),
        next(iter(samples.values()), 1), real,
    )  # fmt: skip


def finish(
    tensors: Sequence[TensorInfo], runs: Sequence[Sequence[Array]], real: bool
) -> dict[str, Array]:
    """The outputs of the runs by name, joined along axis 0; real numbers if the inputs were."""
    joined = {
        info.name: runs[0][index] if len(runs) == 1 else np.concatenate([r[index] for r in runs])
        for index, info in enumerate(tensors)
    }
    if not real:
        return joined
    return {info.name: info.dequantize(joined[info.name]) for info in tensors}


def _check_shape(info: TensorInfo, array: Array) -> None:
    if array.shape == info.shape:
        return
    if info.batched and array.shape[1:] == info.shape[1:] and array.ndim and len(array):
        return
    wanted = ("N", *info.shape[1:]) if info.batched else info.shape
    raise TensorError(
        f"Input {info.name!r} has shape {list(array.shape)}; expected "
        f"[{', '.join(str(extent) for extent in wanted)}]"
    )


def _check_values(info: TensorInfo, array: Array) -> None:
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            bad = np.argwhere(~np.isfinite(array))[0].tolist()
            raise TensorError(
                f"Input {info.name!r} is {array[tuple(bad)]} at {bad}; expected finite numbers"
            )
        return
    if array.dtype != np.int8:
        raise TensorError(
            f"Input {info.name!r} has type {array.dtype}; expected float32, or int8 for integers "
            f"that are already quantized (scale {info.scale!r}, zero point {info.zero_point})"
        )
    if (info.minimum, info.maximum) == (-128, 127):
        return
    if array.min() < info.minimum or array.max() > info.maximum:
        raise TensorError(
            f"Input {info.name!r} spans [{array.min()}, {array.max()}]; expected integers in "
            f"[{info.minimum}, {info.maximum}]"
        )


def load_inputs(path: Path, names: Sequence[str]) -> dict[str, Array]:
    """Read the tensors of a `.npz` by name, or a `.npy` as the only input.

    A `.npz` that holds every input may hold other arrays; one that does not is given back whole,
    so that what is missing can be named.

    Args:
        path: the file.
        names: of the model's inputs.

    Raises:
        TensorFileError: no such file, or not what its suffix says.
        TensorError: a `.npy` for a model with several inputs.
    """
    if path.suffix not in (".npz", ".npy"):
        raise TensorFileError(f"{path} is neither .npz nor .npy; save the inputs with numpy.savez")
    try:
        # opened here, since numpy.load leaves a file open that is no archive
        with path.open("rb") as file:
            begin = file.read(len(_NPY))
            if not begin.startswith((_NPY, *_ZIP)):
                raise ValueError(f"it begins with {begin.hex(' ') or 'nothing'}")
            file.seek(0)
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray) != (path.suffix == ".npy"):
                raise ValueError("it is the other one of .npz and .npy")
            if isinstance(loaded, np.ndarray):
                arrays: dict[str, Array] = {"": loaded}
            else:
                arrays = {name: loaded[name] for name in loaded.files}
    except OSError as error:
        reason = error.strerror or str(error)
        raise TensorFileError(f"{path} cannot be read: {reason}; give a .npz or .npy") from None
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise TensorFileError(
            f"{path} does not hold NumPy arrays: {error}; save the inputs with numpy.savez"
        ) from None
    if path.suffix == ".npz":
        if all(name in arrays for name in names):  # labels and the like may lie beside the inputs
            return {name: arrays[name] for name in names}
        return arrays
    if len(names) != 1:
        raise TensorError(
            f"{path} holds one tensor but the model has {len(names)} inputs: {', '.join(names)}; "
            "give a .npz keyed by these names"
        )
    return {names[0]: arrays[""]}


def save_outputs(path: Path, outputs: Mapping[str, Array]) -> None:
    """Write a `.npz` keyed by tensor name, whole or not at all.

    Raises:
        TensorFileError: another suffix.
        OutputNotWritable: a folder that does not exist or cannot be written.
    """
    if path.suffix != ".npz":
        raise TensorFileError(f"Outputs are written as .npz; {path} has another suffix")

    def write(temporary: Path) -> None:
        # not numpy.savez, where a tensor cannot have the name of one of its parameters
        with zipfile.ZipFile(temporary, "w") as archive:
            for name, array in outputs.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)

    replace_file(path, write)
