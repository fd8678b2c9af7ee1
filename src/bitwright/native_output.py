"""What libraries that are not Python's print past `sys.stdout`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_STDOUT = 1


@contextmanager
def no_native_stdout() -> Iterator[None]:
    """Nothing that is written to the file descriptor of standard output in the meantime arrives.

    What Python has buffered for it stays there.
    """
    kept = os.dup(_STDOUT)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDOUT)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, _STDOUT)
        os.close(kept)
