"""What can go wrong on the way to a native library."""

from pathlib import Path

from bitwright.errors import BitwrightError


class NotIntegerError(BitwrightError):
    """A module that the integer code generator has no code for: floats, or weights not constant."""

    exit_code = 9


class CpuLevelError(BitwrightError):
    """A processor level that is not known, or a machine that there is no code for."""

    exit_code = 5


class MissingCompilerError(BitwrightError):
    """No C compiler on PATH."""

    exit_code = 7


class CompileError(BitwrightError):
    """The C compiler failed; the folder with its input is kept."""

    exit_code = 73

    def __init__(self, command: str, status: int, output: str, folder: Path) -> None:
        super().__init__(
            f"The C compiler ended with status {status}; the command was\n  {command}\nin "
            f"{folder}, which is kept. It printed:\n{output.strip()}"
        )


class NoFloatCode(BitwrightError):
    """An operation or a type that the code generator of decoders does not have."""

    exit_code = 5
