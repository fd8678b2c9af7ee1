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


def seal(path: Path) -> bytes:
    """Append the checksum of a file to it, and return that.

    Loaders of shared libraries do not read that far.
    """
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").digest() + _SEAL
    with path.open("ab") as file:
        file.write(checksum)
    return checksum


def is_sealed(path: Path) -> bool:
    """Whether a file ends with the checksum of what comes before, as `seal` leaves it."""
    digest = hashlib.sha256()
    left = path.stat().st_size - digest.digest_size - len(_SEAL)
    if left < 0:
        return False
    with path.open("rb") as file:
        while left:
            part = file.read(min(left, 1 << 20))
            if not part:
                return False
            digest.update(part)
            left -= len(part)
        return file.read() == digest.digest() + _SEAL
