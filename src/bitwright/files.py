"""Writing files and folders so that nothing half-written is ever seen."""

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
