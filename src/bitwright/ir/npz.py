"""`.npz` files as `numpy.savez` writes them, read as views of the mapped file.

An `.npz` is a ZIP archive of `.npy` members, here not compressed, so that the elements of an array
lie in the file as they lie in memory (NumPy's `numpy.lib.format`; PKWARE's APPNOTE, section 4.3.7).
"""

import mmap
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

_LOCAL_HEADER = 30
_LONGEST_NPY_HEADER = 1 << 16


def write(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write `arrays` one after the other, each without a copy where it is contiguous."""
    with path.open("wb") as file:
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]


def read(path: Path) -> dict[str, NDArray[Any]]:
    """Read-only arrays that share the mapped file; their checksums are compared.

    Raises:
        OSError, ValueError, zipfile.BadZipFile: a file that cannot be read or is damaged.
    """
    with path.open("rb") as file:
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        with zipfile.ZipFile(file) as archive:
            return {
                info.filename.removesuffix(".npy"): _member(mapped, info)
                for info in archive.infolist()
            }


def _member(mapped: memoryview, info: zipfile.ZipInfo) -> NDArray[Any]:
    if info.compress_type != zipfile.ZIP_STORED:
        raise zipfile.BadZipFile(f"its member {info.filename!r} is compressed; expected it stored")
    header = mapped[info.header_offset : info.header_offset + _LOCAL_HEADER]
    if len(header) < _LOCAL_HEADER:
        raise zipfile.BadZipFile(f"its member {info.filename!r} lies outside of the file")
    lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    start = info.header_offset + _LOCAL_HEADER + lengths
    data = mapped[start : start + info.file_size]
    if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
        raise zipfile.BadZipFile(f"its member {info.filename!r} is damaged (wrong checksum)")
    head = BytesIO(data[:_LONGEST_NPY_HEADER])
    version = npy.read_magic(head)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, columns_first, dtype = read_header(head)
    if dtype.hasobject:
        raise ValueError(f"its member {info.filename!r} holds Python objects")
    array = np.frombuffer(data, dtype, offset=head.tell())
    return array.reshape(shape, order="F" if columns_first else "C")
