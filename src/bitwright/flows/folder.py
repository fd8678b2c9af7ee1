"""The build folder: where things lie in it, and how it comes into being in one step."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bitwright.errors import EXTERNAL_TOOL, BitwrightError
from bitwright.files import OutputNotWritable
from bitwright.report import FILE_NAME, Report

_MODULES = ("model", "float", "before", "core", "after", "program")
ENTRIES = {
    FILE_NAME,
    "machine.toml",
    "folding.json",
    "choices.svg",
    "image",
    "rtl",
    "fpga",
    "lib",
} | {f"{name}{suffix}" for name in _MODULES for suffix in (".mlir", ".npz")}
"""All that a build folder may hold."""


@dataclass(frozen=True)
class BuildFolder:
    """Paths in a build folder.

    `model` is the quantized module. For an FPGA, `before`, `core` and `after` are its parts on the
    host, on the overlay, and on the host again; `program` is the core as overlay instructions.
    """

    path: Path

    @property
    def model(self) -> Path:
        return self.path / "model.mlir"

    @property
    def before(self) -> Path:
        return self.path / "before.mlir"

    @property
    def core(self) -> Path:
        return self.path / "core.mlir"

    @property
    def after(self) -> Path:
        return self.path / "after.mlir"

    @property
    def program(self) -> Path:
        return self.path / "program.mlir"

    @property
    def machine(self) -> Path:
        """The parameters of the machine."""
        return self.path / "machine.toml"

    @property
    def folding(self) -> Path:
        """The folds of a pipeline's stages."""
        return self.path / "folding.json"

    @property
    def choices(self) -> Path:
        """A picture of all the machines that fit."""
        return self.path / "choices.svg"

    @property
    def image(self) -> Path:
        return self.path / "image"

    @property
    def rtl(self) -> Path:
        return self.path / "rtl"

    @property
    def simulation(self) -> Path:
        """A machine with a simulated external memory, and what that holds; what a simulation of a
        pipeline sees."""
        return self.path / "rtl" / "simulated"

    @property
    def board_rtl(self) -> Path:
        return self.path / "rtl" / "board"

    @property
    def fpga(self) -> Path:
        return self.path / "fpga"

    @property
    def library(self) -> Path:
        return self.path / "lib"


def check_writable(output: Path) -> None:
    """Raise `OutputNotWritable` unless a build folder can be made at `output`.

    It may be absent, empty, or an earlier build without other files (which a new one replaces).
    """
    output = output.resolve()
    parent = output.parent
    if not parent.is_dir():
        raise OutputNotWritable(
            f"Output folder {output} cannot be made: {parent} is not a folder; create it first"
        )
    if output.exists() and not output.is_dir():
        raise OutputNotWritable(f"Output {output} is a file; expected a folder to be made")
    for place in (parent, output):
        if place.exists() and not os.access(place, os.W_OK | os.X_OK):
            raise OutputNotWritable(
                f"Output folder {output} cannot be written: no permission to write in {place}; "
                "choose another with -o"
            )
    if output.is_dir() and Path.cwd().is_relative_to(output):
        raise OutputNotWritable(
            f"Output folder {output} is the current folder, which cannot be replaced; choose a new "
            "one with -o"
        )
    if not output.is_dir() or not any(output.iterdir()):
        return
    try:
        Report.load(output)
    except BitwrightError:
        raise OutputNotWritable(
            f"Output folder {output} holds files that are not a Bitwright build (no {FILE_NAME} of "
            "ours); choose an empty or new folder with -o"
        ) from None
    foreign = sorted(path.name for path in output.iterdir() if path.name not in ENTRIES)
    if foreign:
        raise OutputNotWritable(
            f"Output folder {output} is a build, but holds {', '.join(foreign)} besides; move that "
            "away, or choose another folder with -o"
        )


@contextmanager
def new_build(output: Path) -> Iterator[BuildFolder]:
    """A build folder under a temporary name; it becomes `output` when the block succeeds.

    It vanishes when the block fails, but for a failed external tool: its error names the folder.
    """
    check_writable(output)
    output = output.resolve()
    parent = output.parent
    try:
        temporary = Path(tempfile.mkdtemp(dir=parent, prefix=f".{output.name}."))
    except OSError as error:
        raise OutputNotWritable(
            f"Output folder {output} cannot be written: {error.strerror}; choose another with -o"
        ) from None
    keep = False
    try:
        yield BuildFolder(temporary)
        temporary.chmod(0o755)
        if output.exists():
            old = temporary.with_name(temporary.name + ".old")
            output.rename(old)
            try:
                temporary.rename(output)
            except OSError:
                old.rename(output)
                raise
            shutil.rmtree(old)
        else:
            temporary.rename(output)
    except BitwrightError as error:
        keep = error.family == EXTERNAL_TOOL
        raise
    finally:
        if not keep:
            shutil.rmtree(temporary, ignore_errors=True)
