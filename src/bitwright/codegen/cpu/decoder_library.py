"""A language model to a package: `libmodel.so` with sessions, its weights, `model.h`."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.codegen.cpu.arena import ALIGNMENT
from bitwright.codegen.cpu.decoder import LoweredDecoder, LoweredFunction, lower_decoder
from bitwright.codegen.cpu.decoder_interface import (
    LANGUAGE_MODEL,
    WEIGHTS,
    DecoderInterface,
    Slot,
    described,
    example,
    header,
    source,
)
from bitwright.codegen.cpu.errors import CpuLevelError
from bitwright.codegen.cpu.level import CpuLevel, cpu_level
from bitwright.codegen.cpu.library import install
from bitwright.codegen.cpu.objects import write_object
from bitwright.codegen.cpu.package import LIBRARY, Package
from bitwright.files import seal
from bitwright.ir import graph
from bitwright.ir.types import shape_of

PREFILL, DECODE = "prefill", "decode"
LARGEST_INSIDE = 16 << 20
"""Bytes of weights that lie in the library; more are a file that is mapped."""

Array = NDArray[Any]


@dataclass(frozen=True)
class BuiltDecoderLibrary:
    """What `build_decoder_library` wrote; `weights` is a file, or None where they lie in it."""

    library: Path
    weights: Path | None
    weight_bytes: int


def check_levels(levels: Sequence[CpuLevel]) -> None:
    """Whether language models are compiled for these levels.

    Raises:
        CpuLevelError: a level of another architecture, whose code cannot be checked here.
    """
    for level in levels:
        if level.is_foreign:
            raise CpuLevelError(
                f"The CPU level {level.name!r} is for {level.machine}, and this machine is a "
                f"{platform.machine()}; language models are compiled for a machine's own "
                "architecture only. Compile on such a machine, or leave --cpu out"
            )


def build_decoder_library(
    module: ir.Module, folder: Path, *, model: str = "model", levels: Sequence[CpuLevel] = (),
    pieces: Sequence[bytes] | None = None, files: Mapping[str, str] | None = None,
) -> BuiltDecoderLibrary:  # fmt: skip
    """Compile a module with @prefill and @decode (`frontend.llm.build`) into a package.

    A prompt is computed in chunks of @prefill's T tokens, the last one padded. The caches of the
    module therefore have T - 1 positions more than the context of the library.

    Args:
        levels: as in `build_library`. Weights that have another order for another level are stored
            for each.
        pieces: the text of each token, from which programs in C print.
        files: texts of further files of the package, by name.

    Raises:
        NoFloatCode: an operation or a type that there is no code for.
        CpuLevelError: as `check_levels`, or there is no code for this machine's architecture.
        MissingCompilerError, CompileError, OutputNotWritable: as `build_library`.
    """
    levels = tuple(levels) or (cpu_level("host"),)
    check_levels(levels)
    made: list[DecoderInterface] = []

    def make(work: Path) -> Package:
        stored: dict[Any, Any] = {}
        lowered: list[LoweredDecoder] = []
        objects: list[str] = []
        for number, level in enumerate(levels):
            code = lower_decoder(
                module, (PREFILL, DECODE), level, suffix=str(number), stored=stored
            )
            lowered.append(code)
            objects.append(f"level{number}.o")
            write_object(code.module, level, work / objects[-1], f"{PREFILL}{number}")
        with _WeightsFile(work / WEIGHTS) as weights:
            slots = [
                {name: _slots(each, weights) for name, each in code.functions.items()}
                for code in lowered
            ]
            texts = None if pieces is None else _texts(pieces, weights)
        others = files or {}
        for name, text in others.items():
            (work / name).write_text(text, encoding="utf-8")
        inside = weights.size <= LARGEST_INSIDE
        end = None if inside else seal(work / WEIGHTS)
        given = _interface(module, model, levels, lowered, slots, texts, weights.size, end)
        made.append(given)
        return Package(
            model, LANGUAGE_MODEL, levels, header(given), source(given), example(),
            tuple(objects), described(given), (*others, *(() if inside else (WEIGHTS,))),
        )  # fmt: skip

    install(folder, levels, make)
    (given,) = made
    weights = None if given.seal is None else folder / WEIGHTS
    return BuiltDecoderLibrary(folder / LIBRARY, weights, given.weight_bytes)


class _WeightsFile:
    """Arrays one after the other, each from a multiple of `ALIGNMENT` on, equal ones once."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._known: dict[tuple[int, int], int] = {}
        self._kept: list[Array] = []
        self.size = 0

    def __enter__(self) -> "_WeightsFile":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def add(self, array: Array) -> int:
        """Where the array begins."""
        key = array.ctypes.data, array.nbytes
        if key not in self._known:
            self._kept.append(array)  # so that its address stays its own
            self._known[key] = self.size
            self._file.write(np.ascontiguousarray(array).data)
            end = self.size + array.nbytes
            self.size = -(-end // ALIGNMENT) * ALIGNMENT
            self._file.write(bytes(self.size - end))
        return self._known[key]


def _slots(function: LoweredFunction, weights: _WeightsFile) -> list[Slot]:
    """Where a session finds each argument of an entry."""
    left = iter(function.constants)
    slots = [Slot("ARENA", 0)]
    caches = 0
    for argument in function.arguments:
        if argument.kind == "constant":
            slots.append(Slot("WEIGHTS", weights.add(next(left))))
        elif argument.kind == "cache":
            slots.append(Slot("CACHE", caches))
            caches += 1
        else:
            slots.append(Slot(argument.name.upper(), 0))
    return slots


def _texts(pieces: Sequence[bytes], weights: _WeightsFile) -> tuple[int, int]:
    """Where the ends of the texts of the tokens lie, and the texts."""
    ends = np.cumsum([0, *map(len, pieces)], dtype=np.uint32)
    return weights.add(ends), weights.add(np.frombuffer(b"".join(pieces) or b"\0", np.uint8))


def _interface(
    module: ir.Module, model: str, levels: tuple[CpuLevel, ...],
    lowered: Sequence[LoweredDecoder], slots: list[dict[str, list[Slot]]],
    texts: tuple[int, int] | None, weight_bytes: int, seal: bytes | None,
) -> DecoderInterface:  # fmt: skip
    tokens, _, *caches = (shape_of(item.value) for item in graph.inputs(module, PREFILL))
    logits = shape_of(graph.outputs(module, PREFILL)[0].value)
    rows, (_, room, heads, width) = tokens[1], caches[0]
    return DecoderInterface(
        model=model, levels=levels, vocabulary=logits[2], context=room - rows + 1, rows=rows,
        caches=len(caches), position_bytes=4 * heads * width,
        arena_bytes=max(each.arena_bytes for code in lowered for each in code.functions.values()),
        slots=slots, texts=texts, weight_bytes=weight_bytes, seal=seal,
    )  # fmt: skip
