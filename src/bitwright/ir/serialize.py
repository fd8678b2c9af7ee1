"""Modules on disk: readable text, and large constants in a `.npz` of the same name beside it.

In memory a constant is a dense attribute, which NumPy reads without a copy. Printed, the weights
of a real model would be megabytes of hexadecimal digits; so `save` moves every constant of more
than `INLINE_ELEMENTS` elements out of the text and `load` puts it back.
"""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.files import replace_file
from bitwright.ir.bw import Blob
from bitwright.ir.context import IrError, clone, entered, parse
from bitwright.ir.types import is_plain

INLINE_ELEMENTS = 64


def save(module: ir.Module, path: Path) -> None:
    """Write `path` and, where there are large constants, `path` with the suffix `.npz`.

    Both files are written under another name and renamed, the data first.
    """
    blobs: dict[str, NDArray[Any]] = {}
    with entered(module):
        copy = clone(module)

        def move_out(operation: ir.Operation) -> ir.WalkResult:
            if "value" in operation.attributes:
                value = operation.attributes["value"]
                if isinstance(value, ir.DenseElementsAttr):
                    array = np.asarray(value)
                    if array.size > INLINE_ELEMENTS:
                        key = f"c{len(blobs)}"
                        blobs[key] = array
                        operation.attributes["value"] = Blob.get(ir.StringAttr.get(key))
            return ir.WalkResult.ADVANCE

        copy.operation.walk(move_out)
        text = copy.operation.get_asm(enable_debug_info=True)
    data = path.with_suffix(".npz")
    if blobs:
        replace_file(data, lambda temporary: _write_npz(temporary, blobs))
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
    blobs: dict[str, NDArray[Any]] = {}
    if data.exists():
        try:
            with np.load(data) as archive:
                blobs = {key: archive[key] for key in archive.files}
        except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            raise IrError(
                f"Cannot read the constants {data} of {path}: {error}; compile the model again"
            ) from None

    def move_in(operation: ir.Operation) -> ir.WalkResult:
        if "value" in operation.attributes and isinstance(operation.attributes["value"], Blob):
            key = ir.StringAttr(operation.attributes["value"].key).value
            if key not in blobs:
                missing.append(key)  # raised after the walk: MLIR would wrap it
                return ir.WalkResult.INTERRUPT
            plain = [result.type for result in operation.results if is_plain(result)]
            type_ = plain[0] if plain else None  # `accel.memory` has no result
            operation.attributes["value"] = ir.DenseElementsAttr.get(blobs[key], type=type_)
        return ir.WalkResult.ADVANCE

    missing: list[str] = []
    with entered(module):
        module.operation.walk(move_in)
    if missing:
        raise IrError(
            f"{path} names the constant {missing[0]!r}, which {data} does not hold; keep the two "
            "files of one `save` together"
        )
    return module


def _write_npz(path: Path, blobs: dict[str, NDArray[Any]]) -> None:
    with path.open("wb") as file:
        np.savez(file, **blobs)  # pyright: ignore[reportArgumentType]
