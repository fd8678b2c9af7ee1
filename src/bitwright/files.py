"""Writing files and folders so that nothing half-written is ever seen or used."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bitwright.errors import BitwrightError


class OutputNotWritable(BitwrightError):
    """A folder or file that cannot be written."""

    exit_code = 61


def replace_file(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it over `path`.

    Raises:
        OutputNotWritable: where the folder does not exist or cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise OutputNotWritable(
            f"Cannot write {path}: {error.strerror}; name a folder that exists and is writable"
        ) from None
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


_SEAL = b"BWSHA256"


def seal(path: Path) -> None:
    """Append the checksum of a file to it; loaders of shared libraries do not read that far."""
    data = path.read_bytes()
    with path.open("ab") as file:
        file.write(hashlib.sha256(data).digest() + _SEAL)


def is_sealed(path: Path) -> bool:
    """Whether a file ends with the checksum of what comes before, as `seal` leaves it."""
    data = path.read_bytes()
    end = len(data) - hashlib.sha256().digest_size - len(_SEAL)
    return end >= 0 and data[end:] == hashlib.sha256(data[:end]).digest() + _SEAL
