"""The C compilers: this machine's own, and the one for another architecture."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from bitwright.codegen.cpu.errors import CompileError, MissingCompilerError
from bitwright.codegen.cpu.level import CROSS, CpuLevel

_COMPILERS = ("cc", "gcc", "clang")
_OLDEST_LIBC = "2.31"
"""Of the systems that a cross-compiled library runs on: Debian 11, Ubuntu 20.04."""


def find_compiler(level: CpuLevel) -> Sequence[str]:
    """The command of the C compiler for a level: cc, gcc or clang on PATH, or the cross-compiler.

    Raises:
        MissingCompilerError: there is none.
    """
    if level.is_foreign:
        return find_cross_compiler()
    for name in _COMPILERS:
        found = shutil.which(name)
        if found is not None:
            return (found,)
    raise MissingCompilerError(
        f"A C compiler is needed to link the library and none of {', '.join(_COMPILERS)} is on "
        "PATH; install the Debian package 'gcc' (apt-get install gcc)"
    )


def find_cross_compiler() -> Sequence[str]:
    """The command of the C compiler, Clang, that comes with Zig.

    Raises:
        MissingCompilerError: the package is not installed.
    """
    if find_spec("ziglang") is None:
        raise MissingCompilerError(
            f"Code for {CROSS} needs the package 'ziglang', which is not installed; install it "
            "with: pip install 'bitwright[cross]'"
        )
    target = f"{CROSS}-linux-gnu.{_OLDEST_LIBC}"
    return (sys.executable, "-m", "ziglang", "cc", "-target", target)


def call(command: Sequence[str], folder: Path) -> None:
    """Run a compiler in a folder.

    Raises:
        CompileError: where it fails; the folder is kept.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise CompileError(shlex.join(command), done.returncode, done.stdout, folder)
