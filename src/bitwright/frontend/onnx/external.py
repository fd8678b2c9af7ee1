"""Tensors whose data lies outside of the decoded model: in its own file, or in files beside it.

The data is mapped, not read: an array is a read-only view of its file, which must not change while
the module is in use. ONNX's page on external data (docs/ExternalData.md) has the fields.
"""

import math
import mmap
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bitwright.frontend.onnx.errors import ExternalDataError, InvalidModelError

Array = NDArray[Any]
# Smaller files are read, so that what happens to them later does not matter.
MAPPED_BYTES = 1 << 24

_NOT_AS_IN_MEMORY = frozenset((
    TensorProto.BOOL, TensorProto.STRING, TensorProto.INT4, TensorProto.UINT4,
    TensorProto.FLOAT4E2M1,
    # from ONNX 1.20 on
    *(getattr(TensorProto, name) for name in ("INT2", "UINT2") if hasattr(TensorProto, name)),
))  # fmt: skip


def is_external(tensor: TensorProto) -> bool:
    """Whether the data is not in the message."""
    return tensor.data_location == TensorProto.EXTERNAL


def view(path: Path) -> memoryview:
    """The bytes of a file, mapped where they are many.

    Raises:
        OSError: a file that cannot be read.
    """
    with path.open("rb") as file:
        if path.stat().st_size < MAPPED_BYTES:
            return memoryview(file.read())
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


class Files:
    """The model's bytes and the files that its tensors name.

    Args:
        name: the model, for messages.
        data: its own bytes, which the location "" stands for.
        folder: where the other files lie; None where only bytes were given.
    """

    def __init__(self, name: str, data: memoryview, folder: Path | None) -> None:
        self._name = name
        self._folder = folder
        self._views = {"": data}

    def bytes_of(self, tensor: TensorProto) -> memoryview:
        """The data of an external tensor.

        Raises:
            ExternalDataError: a file that is missing, forbidden or too short.
        """
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        data = self._view(tensor.name, location)
        numbers = [entries.get("offset", "0"), entries.get("length", "")]
        if not all(n.isascii() and n.isdecimal() and len(n) < 20 for n in numbers if n):
            raise ExternalDataError(
                f"{self._name}: tensor {tensor.name!r} has the offset {numbers[0]!r} and the "
                f"length {numbers[1]!r} in {location!r}; expected numbers of bytes"
            )
        offset = int(numbers[0] or "0")
        length = int(numbers[1]) if numbers[1] else max(len(data) - offset, 0)
        if offset + length > len(data):
            raise ExternalDataError(
                f"{self._name}: tensor {tensor.name!r} has {length} bytes from byte {offset} of "
                f"{location!r}, which has {len(data)}; copy or export the file again"
            )
        return data[offset : offset + length]

    def array(self, tensor: TensorProto) -> Array:
        """An external tensor, a view of its file where the elements lie there as in memory.

        Raises:
            ExternalDataError: see `bytes_of`.
            InvalidModelError: where the number of bytes does not fit the shape.
        """
        data = self.bytes_of(tensor)
        try:
            if tensor.data_type in _NOT_AS_IN_MEMORY:
                return numpy_helper.to_array(inlined(tensor, data))
            dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
            needed = math.prod(tensor.dims) * dtype.itemsize
            if len(data) != needed:
                raise ValueError(f"it has {len(data)} bytes, expected {needed}")
            return np.frombuffer(data, dtype).reshape(tuple(tensor.dims))
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidModelError(
                f"{self._name}: tensor {tensor.name!r} of shape {list(tensor.dims)} cannot be "
                f"read: {error}"
            ) from None

    def _view(self, tensor: str, location: str) -> memoryview:
        if location in self._views:
            return self._views[location]
        wanted = f"{self._name} keeps tensor {tensor!r} in the external file {location!r}, "
        if self._folder is None:
            raise ExternalDataError(
                wanted + "which bytes alone do not bring; give the path of the model instead"
            )
        windows = PureWindowsPath(location)
        if PurePosixPath(location).is_absolute() or windows.drive or windows.root:
            raise ExternalDataError(
                wanted + "an absolute path; expected one relative to the model's folder"
            )
        try:
            folder = self._folder.resolve()
            path = (folder / location).resolve()
            if not path.is_relative_to(folder):
                raise ExternalDataError(
                    wanted + f"which is {path}, outside of the model's folder {folder}; put a "
                    "copy of the file beside the model"
                )
            if path.exists() and not path.is_file():
                raise ExternalDataError(wanted + "which is not a file")
            self._views[location] = view(path)
        except (OSError, ValueError, RuntimeError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise ExternalDataError(
                wanted + f"which cannot be read: {reason}; put it beside the model"
            ) from None
        return self._views[location]


def inlined(tensor: TensorProto, data: memoryview) -> TensorProto:
    """A copy of an external tensor with its data inside."""
    whole = onnx.TensorProto()
    whole.CopyFrom(tensor)
    whole.ClearField("external_data")
    whole.ClearField("data_location")
    whole.raw_data = bytes(data)
    return whole
