"""The functions of a float decoder to kernels, and to a library for this process."""

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
    Argument,
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
class LoweredFunction:
    """What an entry wants: an arena, then these arguments, of which `constants` are some."""

    arena_bytes: int
    arguments: list[Argument]
    constants: list[NDArray[Any]]


@dataclass(frozen=True)
class LoweredDecoder:
    """The kernels and entries, and the functions by their names in the model."""

    module: ir.Module
    functions: dict[str, LoweredFunction]


def lower_decoder(
    module: ir.Module, functions: Sequence[str], level: CpuLevel, *, suffix: str = "",
    stored: dict[Any, Any] | None = None,
) -> LoweredDecoder:  # fmt: skip
    """Lower functions of a float module to entries `NAMEsuffix(table, member, threads)`.

    Args:
        stored: what was made of constants for other levels, to be used again.

    Raises:
        NoFloatCode: an operation or a type that decoders do not have.
    """
    known: dict[str, str] = {}
    texts: list[str] = []
    lowered: dict[str, LoweredFunction] = {}
    stored = {} if stored is None else stored
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
        texts += program.emit(function + suffix, known)
        lowered[function] = LoweredFunction(program.arena_bytes, values.arguments, values.constants)
    with new_context(), ir.Location.unknown():
        return LoweredDecoder(ir.Module.parse("\n".join(["module {", *texts, "}"])), lowered)


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
    lowered = lower_decoder(module, functions, level)
    write_object(lowered.module, level, folder / "decoder.o", functions[0])
    link(compiler, folder, ("decoder.o",), LIBRARY, "-lm")
    described = {
        name: {
            "arena_bytes": each.arena_bytes,
            "arguments": [asdict(argument) for argument in each.arguments],
        }
        for name, each in lowered.functions.items()
    }
    path = folder / DESCRIPTION
    path.write_text(json.dumps({"cpu": level.name, "functions": described}, indent=1))
    constants = {name: each.constants for name, each in lowered.functions.items()}
    return BuiltDecoder(folder / LIBRARY, path, constants)
