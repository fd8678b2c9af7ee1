"""Calibration samples: checked against the model's inputs and brought to float32."""

import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.ir import graph
from bitwright.ir.types import shape_of
from bitwright.passes.quantize.errors import (
    CalibrationCounts,
    CalibrationEmpty,
    CalibrationFileError,
    CalibrationMissing,
    CalibrationNames,
    CalibrationNotFinite,
    CalibrationShape,
    CalibrationType,
)

Samples = Mapping[str, NDArray[Any]]


def read_samples(path: Path, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """The arrays of a `.npz`; just those of `names` where it has them all (labels may lie beside).

    Raises:
        CalibrationFileError: no such file, or not a `.npz`.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            complete = all(name in archive.files for name in names)
            return {name: archive[name] for name in (names if complete else archive.files)}
    except OSError as error:
        reason = error.strerror or "it is not a file of NumPy arrays"
    except (ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile):
        reason = "it is not a .npz of plain NumPy arrays"
    raise CalibrationFileError(
        f"Cannot read the calibration samples {path}: {reason}; save them with numpy.savez, one "
        "array for each input of the model"
    )


def check_samples(module: ir.Module, samples: Samples | None) -> dict[str, NDArray[np.float32]]:
    """The samples as float32 arrays [N, ...], one for each input of the float `module`.

    Floats of any width and integers are taken (integers as the real numbers that they are: pixels
    0 to 255 stay 0 to 255); booleans, strings, complex numbers and objects are not.

    Raises:
        CalibrationError: one subclass for each way in which samples can be wrong.
    """
    named = graph.inputs(module)
    names = [item.name for item in named]
    listing = ", ".join(repr(name) for name in names)
    if samples is None:
        raise CalibrationMissing(
            "Quantization needs calibration samples and got none; give calibration=FILE.npz with "
            f"one array [samples, ...] for each of the model's inputs: {listing}"
        )
    for name in samples:
        if name not in names:
            raise CalibrationNames(
                f"Calibration tensor {name!r} is not an input of the model; rename it in the .npz, "
                f"the model's inputs are: {listing}"
            )
    for name in names:
        if name not in samples:
            found = ", ".join(repr(key) for key in samples) or "nothing"
            raise CalibrationNames(
                f"Calibration samples for the input {name!r} are missing, the .npz holds {found}; "
                f"add an array of that name, the model's inputs are: {listing}"
            )
    checked = {item.name: _check(item, np.asarray(samples[item.name])) for item in named}
    counts = {
        item.name: len(checked[item.name]) for item in named if shape_of(item.value)[:1] == (1,)
    }
    if len(set(counts.values())) > 1:
        listing = ", ".join(f"{name!r} has {count}" for name, count in counts.items())
        raise CalibrationCounts(
            f"Calibration inputs have different numbers of samples: {listing}; sample i of every "
            "input must belong together"
        )
    return checked


def _check(item: graph.NamedValue, array: NDArray[Any]) -> NDArray[np.float32]:
    shape = shape_of(item.value)
    wanted = f"[{', '.join(('N', *map(str, shape[1:])) if shape[:1] == (1,) else map(str, shape))}]"
    if array.dtype.kind not in "fiu":
        raise CalibrationType(
            f"Calibration tensor {item.name!r} has type {array.dtype}; expected floats or integers "
            f"of shape {wanted}"
        )
    if array.ndim == len(shape) and 0 in array.shape:
        raise CalibrationEmpty(
            f"Calibration tensor {item.name!r} of shape {list(array.shape)} holds no samples; "
            f"expected {wanted} with N of at least 1, better 100"
        )
    batched = shape[:1] == (1,) and array.ndim == len(shape) and array.shape[1:] == shape[1:]
    if not batched and array.shape != shape:
        raise CalibrationShape(
            f"Calibration tensor {item.name!r} has shape {list(array.shape)}; expected {wanted}, "
            "the model's input with the samples along the first axis"
        )
    finite = np.isfinite(array)
    if not finite.all():
        index = [int(i) for i in np.argwhere(~finite)[0]]
        raise CalibrationNotFinite(
            f"Calibration tensor {item.name!r} holds {array[tuple(index)]} at {index}; "
            "remove or repair that sample, every value must be finite"
        )
    return array.astype(np.float32)


def chunks(
    module: ir.Module, samples: Mapping[str, NDArray[np.float32]], size: int
) -> Iterator[tuple[dict[str, NDArray[np.float32]], int]]:
    """At most `size` samples at a time, with the number of samples seen so far."""
    batched = {item.name: shape_of(item.value)[:1] == (1,) for item in graph.inputs(module)}
    total = sample_count(module, samples)
    for start in range(0, total, size):
        stop = min(start + size, total)
        yield {k: v[start:stop] if batched[k] else v for k, v in samples.items()}, stop


def sample_count(module: ir.Module, samples: Mapping[str, NDArray[np.float32]]) -> int:
    """Number of samples in checked samples."""
    for item in graph.inputs(module):
        if shape_of(item.value)[:1] == (1,):
            return len(samples[item.name])
    return 1
