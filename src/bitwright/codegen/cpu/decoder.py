"""The functions of a float decoder to a shared library, and a description of their arguments."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.codegen.cpu.compilers import find_compiler
from bitwright.codegen.cpu.decoder_kernels import KERNELS
from bitwright.codegen.cpu.decoder_program import (
    DecoderProgram,
    DecoderValues,
    element_of,
    refuse,
)
from bitwright.codegen.cpu.level import CpuLevel, cpu_level
from bitwright.codegen.cpu.library import link
from bitwright.codegen.cpu.objects import write_object
from bitwright.ir import graph
from bitwright.ir.context import new_context

LIBRARY, DESCRIPTION = "libdecoder.so", "decoder.json"
_NO_CODE = ("bw.constant", "bw.reshape", "bw.dequantize")


@dataclass(frozen=True)
class BuiltDecoder:
    """What `build_decoder` wrote, and the constants of each function in their order."""

    library: Path
    description: Path
    constants: dict[str, list[NDArray[Any]]]


def build_decoder(
    module: ir.Module, functions: Sequence[str], folder: Path, *, level: CpuLevel | None = None
) -> BuiltDecoder:
    """Compile functions of a float module into a folder that exists.

    Weights are not in the library: whoever calls it gives their addresses.

    Raises:
        NoFloatCode: an operation or a type that decoders do not have.
        CpuLevelError: there is no code for this machine's architecture.
        MissingCompilerError: no C compiler on PATH, which links.
        CompileError: the linker failed; the folder is kept.
    """
    level = cpu_level("host") if level is None else level
    compiler = find_compiler(level)
    known: dict[str, str] = {}
    texts: list[str] = []
    described: dict[str, Any] = {}
    constants: dict[str, list[NDArray[Any]]] = {}
    stored: dict[Any, Any] = {}
    for function in functions:
        program = DecoderProgram()
        values = DecoderValues(module, function, program, level, stored)
        for step, operation in enumerate(graph.operations(module, function)):
            kind = operation.operation.name
            if kind in _NO_CODE:
                continue
            if kind not in KERNELS:
                raise refuse(operation, f"is none of {', '.join(KERNELS)}")
            if element_of(operation.result) != "f32":
                raise refuse(operation, f"gives {operation.result.type}")
            KERNELS[kind](program.kernel(kind.removeprefix("bw."), step), values, operation)
        texts += program.emit(function, known)
        constants[function] = values.constants
        described[function] = {
            "arena_bytes": program.arena_bytes,
            "arguments": [asdict(argument) for argument in values.arguments],
        }
    context = new_context()
    with context, ir.Location.unknown():
        lowered = ir.Module.parse("\n".join(["module {", *texts, "}"]))
    write_object(lowered, level, folder / "decoder.o", functions[0])
    link(compiler, folder, ("decoder.o",), LIBRARY, "-lm")
    path = folder / DESCRIPTION
    path.write_text(json.dumps({"cpu": level.name, "functions": described}, indent=1))
    return BuiltDecoder(folder / LIBRARY, path, constants)
