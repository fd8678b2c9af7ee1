"""Modules on disk: readable text, and large constants in a `.npz` of the same name beside it.

In memory a constant is a dense attribute, which NumPy reads without a copy, or a large one an array
in `bitwright.ir.blobs`. Printed, the weights of a real model would be megabytes of hexadecimal
digits; so `save` moves every constant of more than `INLINE_ELEMENTS` elements out of the text and
`load` puts it back, large ones as views of the mapped `.npz`.
"""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.files import replace_file
from bitwright.ir import blobs, graph, npz
from bitwright.ir.bw import Blob, ConstantOp, blob_key
from bitwright.ir.context import IrError, clone, entered, parse, verify
from bitwright.ir.types import dtype_of, is_plain

INLINE_ELEMENTS = 64


def save(module: ir.Module, path: Path) -> None:
    """Write `path` and, where there are large constants, `path` with the suffix `.npz`.

    Both files are written under another name and renamed, the data first.
    """
    arrays: dict[str, NDArray[Any]] = {}
    with entered(module):
        copy = clone(module)
        for operation in _holders(copy):
            array = _large(operation)
            if array is not None:
                key = f"c{len(arrays)}"
                arrays[key] = array
                operation.attributes["value"] = Blob.get(ir.StringAttr.get(key))
        text = copy.operation.get_asm(enable_debug_info=True)
    data = path.with_suffix(".npz")
    if arrays:
        replace_file(data, lambda temporary: npz.write(temporary, arrays))
    else:
        data.unlink(missing_ok=True)
    replace_file(path, lambda temporary: temporary.write_text(text))


def load(path: Path) -> ir.Module:
    """Read what `save` wrote, or any text of our dialects.

    Raises:
        IrError: text that does not parse or verify, or a missing `.npz`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise IrError(f"Cannot read the module {path}: {reason}; expected MLIR text") from None
    module = parse(text)
    data = path.with_suffix(".npz")
    arrays: dict[str, NDArray[Any]] = {}
    if data.exists():
        try:
            arrays = npz.read(data)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise IrError(
                f"Cannot read the constants {data} of {path}: {error}; compile the model again"
            ) from None

    with entered(module):
        for operation in _holders(module):
            if isinstance(operation.attributes["value"], Blob):
                key = blob_key(operation.attributes["value"])
                if key not in arrays:
                    raise IrError(
                        f"{path} names the constant {key!r}, which {data} does not hold; keep the "
                        "two files of one `save` together"
                    )
                try:
                    operation.attributes["value"] = _attribute(operation, arrays[key])
                except ValueError as error:
                    raise IrError(
                        f"The constant {key!r} in {data} does not fit {path}: {error}; keep the "
                        "two files of one `save` together"
                    ) from None
    verify(module)
    return module


def _holders(module: ir.Module) -> list[ir.Operation]:
    found: list[ir.Operation] = []

    def visit(operation: ir.Operation) -> ir.WalkResult:
        if "value" in operation.attributes:
            found.append(operation)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    return found


def _large(operation: ir.Operation) -> NDArray[Any] | None:
    """Data of an operation's `value` that the text should not hold, else None."""
    value = operation.attributes["value"]
    if isinstance(value, Blob):
        return graph.constant_of(operation.results[0])
    if not isinstance(value, ir.DenseElementsAttr):
        return None
    array = np.asarray(value)
    return array if array.size > INLINE_ELEMENTS else None


def _attribute(operation: ir.Operation, array: NDArray[Any]) -> ir.Attribute:
    """The `value` of an operation that is to hold `array`."""
    plain = [result.type for result in operation.results if is_plain(result)]
    if operation.name == ConstantOp.OPERATION_NAME and array.nbytes >= blobs.LARGE_BYTES:
        if plain:
            array = array.view(dtype_of(plain[0]))  # a file has no names for ml_dtypes' types
        return Blob.get(ir.StringAttr.get(blobs.add(operation.context, array)))
    # `accel.memory` has no result; MLIR takes no array that the file does not align
    array = np.require(array, requirements="A")
    return ir.DenseElementsAttr.get(array, type=plain[0] if plain else None)
