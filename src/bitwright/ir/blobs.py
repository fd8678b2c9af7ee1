"""Large constants: NumPy arrays that a module names by key and that MLIR never sees.

A dense attribute copies its data into the context, once for every tensor that a pass makes, and
bytecode copies it again. A constant of `LARGE_BYTES` or more is therefore the attribute
`#bw.blob<"w0">`, and its array (often a view of a mapped file) lies here, in the context's table:
cloning, rewriting and printing a module move only the key. An array lives as long as its context,
as an attribute does.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

LARGE_BYTES = 1 << 16

_TABLE = "bitwright_blobs"


class _Table:
    def __init__(self) -> None:
        self.arrays: dict[str, NDArray[Any]] = {}
        self.keys: dict[int, str] = {}  # by identity, which is unique while the array is kept


def _table(context: ir.Context) -> _Table:
    return vars(context).setdefault(_TABLE, _Table())


def add(context: ir.Context, array: NDArray[Any]) -> str:
    """Keep `array`, which must not be written any more, and return its key in `context`."""
    table = _table(context)
    key = table.keys.setdefault(id(array), f"w{len(table.arrays)}")
    table.arrays[key] = array
    return key


def find(context: ir.Context, key: str) -> NDArray[Any] | None:
    """The array of `key`, None where `context` has none (text that was parsed without its data)."""
    return _table(context).arrays.get(key)


def frozen(array: NDArray[Any], given: NDArray[Any]) -> NDArray[Any]:
    """`array`, made from `given`, as one that nobody can write: a read-only one is not copied."""
    if array.flags.writeable:
        if np.may_share_memory(array, given):
            array = array.copy()
        array.flags.writeable = False
    return array
