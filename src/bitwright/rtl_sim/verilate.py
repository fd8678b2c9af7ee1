"""Verilog files to a simulator program: Verilator, the C++ harness, the compiler, and a cache.

The program is the harness of `harness/` around the design; `bus.py` starts it and speaks with it.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from platformdirs import user_cache_path

from bitwright.rtl_sim import toolchain

_HARNESS = Path(__file__).parent / "harness"
_RUNTIME_OBJECTS = ("verilated.o", "verilated_threads.o")
_KEPT_SIMULATORS = 64

# A clock edge of the whole design would be one function, for which compilers take minutes: more
# than in proportion to its length. Statements of a function and of a file, at most:
_SPLIT = ("--output-split-cfuncs", "500", "--output-split", "20000")
_VERILATOR_FLAGS = (
    "--cc", "--exe", "-Wno-fatal", "-O3", "--x-assign", "fast", "--x-initial", "fast",
    "--noassert", "--no-timing", *_SPLIT,
)  # fmt: skip
_MAKE_FLAGS = ("OPT_SLOW=-O0", "OPT_GLOBAL=-O1")


class PortKind(Enum):
    """How the outside speaks with a design; the value is the harness header that does it."""

    WISHBONE = "wishbone.h"
    AXI4LITE = "axi4lite.h"
    UART = "uart.h"


class WaveFormat(Enum):
    """File format of waveforms; the value is the file name suffix."""

    FST = ".fst"
    VCD = ".vcd"


@dataclass(frozen=True, kw_only=True)
class Pins:
    """Names of a design's pins that are not part of a bus.

    Attributes:
        clock: the one clock of the design.
        reset: its reset pin, or None for a design that starts by itself.
        reset_level: level at which the reset pin resets, 0 or 1.
        receive, transmit: the serial pins of a design with a UART, seen from the design.
    """

    clock: str = "clk"
    reset: str | None = "rst"
    reset_level: int = 1
    receive: str = "uart_rx"
    transmit: str = "uart_tx"

    def definitions(self, port: PortKind) -> list[str]:
        """The compiler flags that tell the harness these names."""
        flags = [f"-DPIN_CLK={self.clock}", f'-DPORT_HEADER=\\"{port.value}\\"']
        if self.reset is not None:
            flags += [f"-DPIN_RST={self.reset}", f"-DRST_ACTIVE={self.reset_level}"]
        if port is PortKind.UART:
            flags += [f"-DPIN_RX={self.receive}", f"-DPIN_TX={self.transmit}"]
        else:
            flags.append("-DBUS_PORT")
        return flags


def cache_folder() -> Path:
    """Where simulators are kept between runs."""
    return user_cache_path("bitwright") / "simulators"


def build_simulator(
    sources: Sequence[Path],
    top: str,
    *,
    port: PortKind,
    pins: Pins | None = None,
    waves: WaveFormat | None = None,
    folder: Path | None = None,
    short_run: bool = False,
) -> Path:
    """Builds the simulator of a design, or finds it in the cache.

    Args:
        sources: the Verilog files, complete.
        top: name of the top module.
        port: the bus that the harness drives.
        pins: names of the other pins.
        waves: file format of the waveforms that the simulator can write; None for none, which
            is several times faster.
        folder: where simulators are kept; `cache_folder()` if None.
        short_run: compile the design without optimisation, which for a netlist takes far longer
            than to simulate some thousand cycles.

    Returns:
        The program, for `VerilatorBus` and `VerilatorSerial`.

    Raises:
        MissingToolError: the compiler, make or perl is not there.
        BuildError: a tool failed; its command is in the message and its folder is kept.
    """
    pins = pins or Pins()
    folder = folder or cache_folder()
    make_flags = (*_MAKE_FLAGS, "OPT_FAST=-O0" if short_run else "OPT_FAST=-O2")
    trace = [f"--trace-{waves.name.lower()}"] if waves else []
    definitions = pins.definitions(port)
    harness = sorted(path for path in _HARNESS.rglob("*") if path.is_file())
    key = _digest(
        toolchain.versions(), top, *_VERILATOR_FLAGS, *make_flags, *trace, *definitions,
        *(path.read_bytes() for path in [*sources, *harness]),
    )  # fmt: skip
    program = folder / f"simulator-{key}"
    if program.exists():
        program.touch()
        return program

    folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f"build-{key}-", dir=folder))
    shutil.copytree(_HARNESS, work / "harness")
    copies = {f"{number}-{path.name}": path for number, path in enumerate(sources)}
    for name, path in copies.items():  # make cannot have a space in a path
        shutil.copy(path, work / name)
    command = [
        *toolchain.verilator(), *_VERILATOR_FLAGS, *trace, "-Mdir", ".",
        "--top-module", top, "--prefix", "Vtop", "-o", "simulator",
        "-CFLAGS", f"-Iharness {' '.join(definitions)}", *_compression(waves, work),
        *copies, "harness/harness.cpp",
    ]  # fmt: skip
    toolchain.call("Verilator", command, work, toolchain.verilator_environment(), copies)
    runtime = folder / f"runtime-{_digest(toolchain.versions(), *_MAKE_FLAGS, *trace)}"
    _compile(work, runtime, make_flags)
    (work / "simulator").replace(program)
    shutil.rmtree(work)
    _prune(folder)
    return program


def _compression(waves: WaveFormat | None, work: Path) -> list[str]:
    """FST files are compressed where the libraries are installed, and stored plainly elsewhere."""
    if waves is not WaveFormat.FST or all(map(toolchain.has_header, ("lz4.h", "zlib.h"))):
        return []
    for library in ("libz.a", "liblz4.a"):  # Verilator's makefile asks for them
        (work / library).write_bytes(b"!<arch>\n")
    return ["-CFLAGS", "-Iharness/store_only", "-LDFLAGS", "-L."]


def _compile(work: Path, runtime: Path, make_flags: Sequence[str]) -> None:
    """Runs make; Verilator's own library is compiled once for all designs."""
    for name in _RUNTIME_OBJECTS:
        if (runtime / name).exists():
            shutil.copy(runtime / name, work / name)
    variables = [f"{name}={value}" for name, value in toolchain.make_variables().items()]
    command = [
        toolchain.make(), "-f", "Vtop.mk", "-j", str(os.cpu_count() or 1), *make_flags, *variables,
        f"VERILATOR_ROOT={toolchain.verilator_root()}",
    ]  # fmt: skip
    toolchain.call("The C++ compiler", command, work, toolchain.verilator_environment())
    if not runtime.exists():
        partial = Path(tempfile.mkdtemp(prefix="runtime-", dir=runtime.parent))
        for name in _RUNTIME_OBJECTS:
            shutil.copy(work / name, partial / name)
        try:
            partial.rename(runtime)
        except OSError:  # another process was first
            shutil.rmtree(partial)


def _digest(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:20]


def _prune(folder: Path) -> None:
    """Removes the simulators that were not used for the longest time."""
    used: list[tuple[float, Path]] = []
    for path in folder.glob("simulator-*"):
        with contextlib.suppress(FileNotFoundError):  # another process was first
            used.append((path.stat().st_mtime, path))
    for _, path in sorted(used)[:-_KEPT_SIMULATORS]:
        path.unlink(missing_ok=True)
