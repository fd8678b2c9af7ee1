"""What C and C++ builds find the library by: CMake, pkg-config, an example, a manifest."""

import hashlib
import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any

from bitwright.codegen.cpu.interface import ABI_VERSION, HEADER, LIBRARY, Interface

MANIFEST = "manifest.json"
EXAMPLE = "example.c"


def package_name(model: str) -> str:
    """The model's name as CMake and pkg-config take it."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", model).strip("_") or "model"


def write_package(given: Interface, folder: Path) -> tuple[str, ...]:
    """Write the files beside the library in `folder`; returns their names.

    They name the library by the folder that they lie in, so that all may be moved together.
    """
    name = package_name(given.model)
    texts = {
        f"{name}-config.cmake": _CMAKE.format(name=name, library=LIBRARY),
        f"{name}.pc": _PKG_CONFIG.format(
            name=name, version=metadata.version("bitwright"),
            stem=LIBRARY.removeprefix("lib").removesuffix(".so"),
        ),
        EXAMPLE: _EXAMPLE.format(
            header=HEADER,
            fills="\n".join(f"    inputs[{n}] = input{n};" for n in range(len(given.inputs))),
            drains="\n".join(f"    outputs[{n}] = (int8_t *)output{n};"
                             for n in range(len(given.outputs))),
            buffers="\n".join([
                *(f"    static int8_t input{n}[BW_INPUT_{n}_SIZE]; /* your numbers */"
                  for n in range(len(given.inputs))),
                *(f"    static {tensor.type} output{n}[BW_OUTPUT_{n}_SIZE];"
                  for n, tensor in enumerate(given.outputs)),
            ]),
        ),
    }  # fmt: skip
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")
    manifest = _manifest(given, {file: folder / file for file in (LIBRARY, HEADER, *texts)})
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return (*texts, MANIFEST)


def _manifest(given: Interface, files: dict[str, Path]) -> dict[str, Any]:
    return {
        "model": given.model,
        "abi_version": ABI_VERSION,
        "arena_bytes": given.arena_bytes,
        "cpu": [
            {"level": level.name, "machine": level.machine, "features": list(level.features)}
            for level in given.levels
        ],
        "inputs": [tensor.described for tensor in given.inputs],
        "outputs": [tensor.described for tensor in given.outputs],
        "versions": {name: metadata.version(name) for name in ("bitwright", "torch-mlir")},
        "sha256": {
            name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()
        },
    }


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
Description: an integer network compiled by Bitwright
Version: {version}
Cflags: -I${{prefix}}
Libs: -L${{prefix}} -Wl,-rpath,${{prefix}} -l{stem}
"""

_EXAMPLE = """\
/* One inference. In this folder: cc {name_file} -I. -L. -lmodel -Wl,-rpath,'$ORIGIN' -o example */
#include "{header}"

#include <stdio.h>
#include <stdlib.h>

int main(void) {{
{buffers}
    const int8_t *inputs[BW_INPUTS];
    int8_t *outputs[BW_OUTPUTS];
{fills}
{drains}

    if (bw_missing_cpu_feature() != NULL) {{
        fprintf(stderr, "this processor lacks %s\\n", bw_missing_cpu_feature());
        return EXIT_FAILURE;
    }}
    if (bw_run_all(inputs, outputs) != BW_OK) return EXIT_FAILURE;
    const bw_tensor *out = bw_output(0);
    printf("%s on %s, real values of %s:\\n", bw_model_name(), bw_cpu(), out->name);
    for (int64_t i = 0; i < out->size && i < 10; i++)
        printf("%g\\n", out->scale * (double)(output0[i] - out->zero_point));
    return EXIT_SUCCESS;
}}
""".replace("{name_file}", EXAMPLE)
