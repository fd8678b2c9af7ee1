"""A quantized module to `libmodel.so` and `model.h` in a folder, with what C builds find it by."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch_mlir import ir

from bitwright.codegen.cpu.compilers import call, find_compiler
from bitwright.codegen.cpu.errors import CompileError
from bitwright.codegen.cpu.interface import (
    NETWORK,
    described,
    entry_of,
    example,
    header,
    interface,
    source,
)
from bitwright.codegen.cpu.level import CpuLevel, cpu_level
from bitwright.codegen.cpu.lower import lower
from bitwright.codegen.cpu.objects import write_object
from bitwright.codegen.cpu.package import HEADER, LIBRARY, Package, write_package
from bitwright.codegen.cpu.tiles import Choose, by_model
from bitwright.files import OutputNotWritable, seal

_EXPORTS = "bw_*"
_COMPILE = ("-std=c11", "-O2", "-fPIC", "-Wall", "-Wextra", "-c")
# symbols of two libraries in one process stay apart; no path or time goes into the file
_LINK = ("-shared", "-Wl,-Bsymbolic", "-Wl,--build-id=none", "-Wl,-S", "-Wl,-z,noexecstack",
         "-Wl,-z,defs", "-pthread")  # fmt: skip


@dataclass(frozen=True)
class BuiltLibrary:
    """What `build_library` wrote."""

    library: Path
    header: Path
    levels: tuple[CpuLevel, ...]
    arena_bytes: int


def build_library(
    module: ir.Module, folder: Path, *, model: str = "model",
    levels: Sequence[CpuLevel] = (), choose: Choose = by_model,
) -> BuiltLibrary:  # fmt: skip
    """Compile a quantized `bw` module; each file appears whole or not at all.

    Args:
        module: inputs and outputs quantized; not changed.
        folder: made where it is missing.
        model: the model's name, kept in the files.
        levels: the processors to compile for, the highest first, of which the library takes the
            first that it finds itself on; the highest level of this machine by default. All of
            one architecture. Equal module, name, levels, tiles and compiler give equal bytes.
        choose: the tiles of dot products; `tune.tuned` measures them.

    Raises:
        NotIntegerError: a module with floats, or a weight that is computed.
        CpuLevelError: there is no code for this machine's architecture.
        MissingCompilerError: no C compiler on PATH, or none for the levels' architecture.
        CompileError: the C compiler failed; its folder is kept.
        OutputNotWritable: `folder` cannot be written to.
    """
    levels = tuple(levels) or (cpu_level("host"),)
    lowered = [
        lower(module, level, entry_of(number), choose) for number, level in enumerate(levels)
    ]
    arena_bytes = max(item.arena_bytes for item in lowered)
    given = interface(module, model, levels, arena_bytes)

    def make(work: Path) -> Package:
        objects: list[str] = []
        for number, (kernels, level) in enumerate(zip(lowered, levels, strict=True)):
            objects.append(f"{entry_of(number)}.o")
            write_object(kernels.module, level, work / objects[-1], entry_of(number))
        return Package(
            model, NETWORK, levels, header(given), source(given), example(given), tuple(objects),
            described(given),
        )  # fmt: skip

    install(folder, levels, make)
    return BuiltLibrary(folder / LIBRARY, folder / HEADER, levels, arena_bytes)


def install(folder: Path, levels: Sequence[CpuLevel], make: Callable[[Path], Package]) -> None:
    """Link and write a package into `folder`; each file appears whole or not at all.

    `make` writes its objects, for `levels`, and further files into the folder that it is given.

    Raises:
        MissingCompilerError: no C compiler on PATH, or none for the levels' architecture.
        CompileError: the C compiler failed; its folder is kept.
        OutputNotWritable: `folder` cannot be written to.
    """
    compiler = find_compiler(levels[0])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=folder, prefix=".cpu."))
    except OSError as error:
        raise OutputNotWritable(
            f"Cannot write to {folder}: {error.strerror}; name a folder that can be written"
        ) from None
    try:
        made = make(work)
        (work / HEADER).write_text(made.header)
        (work / "model.c").write_text(made.source)
        (work / "exports.map").write_text(f"{{ global: {_EXPORTS}; local: *; }};\n")
        call([*compiler, *_COMPILE, "model.c", "-o", "model.o"], work)
        objects, script = ("model.o", *made.objects), "-Wl,--version-script=exports.map"
        link(compiler, work, objects, LIBRARY, script, "-Wl,--as-needed", "-lm", "-ldl")
        seal(work / LIBRARY)
        for name in write_package(made, work):
            (work / name).replace(folder / name)
    except CompileError:
        raise
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    shutil.rmtree(work)


def link(
    compiler: Sequence[str], folder: Path, objects: Sequence[str], library: str, *options: str
) -> None:
    """Link objects in `folder` to a shared library there.

    Raises:
        CompileError: where the linker fails.
    """
    call([*compiler, *_LINK, *objects, *options, "-o", library], folder)
