"""What a package is, and the files that C and C++ builds find it by."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from bitwright.codegen.cpu.level import CpuLevel
from bitwright.codegen.cpu.shared_c import ABI_VERSION

LIBRARY = "libmodel.so"
HEADER = "model.h"
MANIFEST = "manifest.json"
EXAMPLE = "example.c"


@dataclass(frozen=True)
class Package:
    """A library to be linked, with its texts.

    Args:
        model: the model's name.
        kind: what it is, such as `an integer network`.
        levels: the processors that it has code for.
        header: `model.h`.
        source: the C of its functions.
        example: a C program; its first line says how it is compiled.
        objects: names of the objects with the code.
        described: what the manifest says about the model.
        files: names of further files that belong to it.
    """

    model: str
    kind: str
    levels: tuple[CpuLevel, ...]
    header: str
    source: str
    example: str
    objects: tuple[str, ...]
    described: Mapping[str, Any]
    files: tuple[str, ...] = ()


def package_name(model: str) -> str:
    """The model's name as CMake and pkg-config take it."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", model).strip("_") or "model"


def write_package(given: Package, folder: Path) -> tuple[str, ...]:
    """Write the files beside the library in `folder`; returns the names of all of the package.

    They name the library by the folder that they lie in, so that all may be moved together.
    """
    name = package_name(given.model)
    texts = {
        f"{name}-config.cmake": _CMAKE.format(name=name, library=LIBRARY),
        f"{name}.pc": _PKG_CONFIG.format(
            name=name, kind=given.kind, version=metadata.version("bitwright"),
            stem=LIBRARY.removeprefix("lib").removesuffix(".so"),
        ),
        EXAMPLE: given.example,
    }  # fmt: skip
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")
    files = (LIBRARY, HEADER, *given.files, *texts)
    manifest = {
        "model": given.model,
        "kind": given.kind,
        "abi_version": ABI_VERSION,
        "cpu": [
            {"level": level.name, "machine": level.machine, "features": list(level.features)}
            for level in given.levels
        ],
        **given.described,
        "versions": {name: metadata.version(name) for name in ("bitwright", "torch-mlir")},
        "bytes": {file: (folder / file).stat().st_size for file in files},
        "sha256": {file: _sha256(folder / file) for file in files},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return (*files, MANIFEST)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_CMAKE = """\
# find_package({name} CONFIG REQUIRED PATHS <this folder>)
# target_link_libraries(program PRIVATE bitwright::{name})
if(NOT TARGET bitwright::{name})
  add_library(bitwright::{name} SHARED IMPORTED)
  set_target_properties(bitwright::{name} PROPERTIES
    IMPORTED_LOCATION "${{CMAKE_CURRENT_LIST_DIR}}/{library}"
    IMPORTED_NO_SONAME TRUE
    INTERFACE_INCLUDE_DIRECTORIES "${{CMAKE_CURRENT_LIST_DIR}}")
endif()
"""

_PKG_CONFIG = """\
prefix=${{pcfiledir}}

Name: {name}
Description: {kind} compiled by Bitwright
Version: {version}
Cflags: -I${{prefix}}
Libs: -L${{prefix}} -Wl,-rpath,${{prefix}} -l{stem}
"""
