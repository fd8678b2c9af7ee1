"""Reads a GGUF file's header: metadata and where each tensor lies; the tensors stay in the file.

The package's own reader trusts every count in the file, loops over what they promise, and keeps
an array for each string of a vocabulary; so the header is walked here, every length checked against
the bytes that are left. Types and their sizes are the package's. Format: versions 2 and 3,
little-endian.
"""

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.frontend.llm.errors import (
    InvalidModelError,
    ModelFileNotFoundError,
    TruncatedModelError,
    UnsupportedTypeError,
)
from bitwright.frontend.llm.packages import package

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MOST_ITEMS = 1 << 24
"""Of an array of metadata; the largest vocabularies have about 2^18."""
MOST_TENSORS = 1 << 20
MOST_DIMENSIONS = 4
LARGEST_ALIGNMENT = 1 << 20
STRING, ARRAY, BOOL = 8, 9, 7
SCALARS = {
    0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", BOOL: "<u1",
    10: "<u8", 11: "<i8", 12: "<f8",
}  # fmt: skip
"""Type of a value -> NumPy's name of it."""


@dataclass(frozen=True)
class GgufTensor:
    """A tensor: `shape` with the row length last, `type` by the package's enumeration."""

    name: str
    shape: tuple[int, ...]
    type: Any
    type_size: int
    """Bytes of one block."""
    data: NDArray[np.uint8]
    """Its bytes, mapped and not read yet."""


@dataclass(frozen=True)
class GgufFile:
    """A file: strings of arrays are bytes, other strings text, numeric arrays NumPy's."""

    metadata: Mapping[str, Any]
    tensors: Mapping[str, GgufTensor]


def read(path: Path) -> GgufFile:
    """Read the header.

    Raises:
        ModelError: a subclass that says what is wrong with the file.
        MissingPackageError: `gguf` is not installed.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
            if start[:4] != MAGIC:
                raise InvalidModelError(
                    f"{path} is not a GGUF file: it starts with {start[:4].hex(' ') or 'nothing'}; "
                    f"expected {MAGIC.hex(' ')} (GGUF). Download or convert the model again"
                )
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise ModelFileNotFoundError(
            f"Cannot read {path}: {error.strerror}; expected a GGUF file"
        ) from None
    return _Header(path, data).file()


class _Header:
    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path = path
        self._data = data
        self._at = len(MAGIC)
        self._gguf = package("gguf", "GGUF files")

    def file(self) -> GgufFile:
        version = self._integer("<I")
        if version not in VERSIONS:
            swapped = int.from_bytes(version.to_bytes(4, "little"), "big") in VERSIONS
            raise self._invalid(f"version {version}{' (big-endian)' if swapped else ''}", "2 or 3")
        tensors, pairs = self._integer("<Q"), self._integer("<Q")
        if tensors > MOST_TENSORS:
            raise self._invalid(f"{tensors} tensors", f"at most {MOST_TENSORS}")
        metadata: dict[str, Any] = {}
        for _ in range(pairs):  # ends with the file at the latest: each takes 12 bytes at least
            key = self._text()
            if key in metadata:
                raise self._invalid(f"the key {key!r} twice", "it once")
            metadata[key] = self._value(self._integer("<I"))
        infos = [self._tensor_info() for _ in range(tensors)]
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 0 < alignment <= LARGEST_ALIGNMENT:
            raise self._invalid(f"general.alignment {alignment!r}", f"1 to {LARGEST_ALIGNMENT}")
        start = -(-self._at // alignment) * alignment
        found: dict[str, GgufTensor] = {}
        for name, shape, kind, offset in infos:
            if name in found:
                raise self._invalid(f"the tensor {name!r} twice", "it once")
            found[name] = self._tensor(name, shape, kind, start + offset)
        return GgufFile(metadata, found)

    def _tensor(self, name: str, shape: tuple[int, ...], kind: int, start: int) -> GgufTensor:
        try:
            type_ = self._gguf.GGMLQuantizationType(kind)
        except ValueError:
            raise UnsupportedTypeError(
                f"{self._path}: tensor {name!r} has elements of type {kind}, which the package "
                "`gguf` does not know; update it, or convert the model to another type"
            ) from None
        block, size = self._gguf.GGML_QUANT_SIZES[type_]
        if shape[-1] % block:
            raise self._invalid(
                f"tensor {name!r} of type {type_.name} with rows of {shape[-1]} elements",
                f"a multiple of {block}",
            )
        end = start + math.prod(shape) // block * size
        if end > len(self._data):
            raise self._truncated(f"tensor {name!r} of shape {list(shape)} ends", end)
        data = np.frombuffer(self._data, np.uint8, end - start, start)
        return GgufTensor(name, shape, type_, size, data)

    def _tensor_info(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._text()
        count = self._integer("<I")
        if not 0 < count <= MOST_DIMENSIONS:
            raise self._invalid(
                f"tensor {name!r} with {count} dimensions", f"1 to {MOST_DIMENSIONS}"
            )
        shape = tuple(self._integer("<Q") for _ in range(count))[::-1]
        if 0 in shape:
            raise self._invalid(f"tensor {name!r} of shape {list(shape)}", "no empty one")
        return name, shape, self._integer("<I"), self._integer("<Q")

    def _value(self, kind: int) -> Any:
        if kind == STRING:
            return self._text()
        if kind in SCALARS:
            return self._numbers(kind, 1)[0].item()
        if kind != ARRAY:
            raise self._invalid(f"a value of type {kind} in its metadata", "types 0 to 12")
        kind, count = self._integer("<I"), self._integer("<Q")
        if count > MOST_ITEMS:
            raise self._invalid(f"an array of {count} values", f"at most {MOST_ITEMS}")
        if kind == STRING:
            return [self._string() for _ in range(count)]
        if kind in SCALARS:
            return self._numbers(kind, count)
        raise self._invalid(f"an array of type {kind} in its metadata", "numbers or strings")

    def _numbers(self, kind: int, count: int) -> NDArray[Any]:
        dtype = np.dtype(SCALARS[kind])
        values = np.frombuffer(self._take(count * dtype.itemsize), dtype)
        return values.astype(np.bool_) if kind == BOOL else values

    def _text(self) -> str:
        return self._string().decode("utf-8", "replace")

    def _string(self) -> bytes:
        return self._take(self._integer("<Q"))

    def _integer(self, form: str) -> int:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise self._truncated("its header goes on", end)
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def _invalid(self, found: str, expected: str) -> InvalidModelError:
        return InvalidModelError(
            f"{self._path} has {found}; expected {expected}. Download or convert the model again"
        )

    def _truncated(self, what: str, end: int) -> TruncatedModelError:
        return TruncatedModelError(
            f"{self._path} is truncated or damaged: it has {len(self._data)} bytes, and {what} at "
            f"byte {end}; download or convert the model again"
        )
