"""Errors about targets."""

from typing import ClassVar

from bitwright.errors import BitwrightError


class UnknownTarget(BitwrightError):
    """A target name that is not in the registry."""

    exit_code: ClassVar[int] = 5

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"Target '{name}' does not exist; choose one of: {', '.join(known)}")


class NotAnFpga(BitwrightError):
    """A target without an FPGA, where one is needed."""

    exit_code: ClassVar[int] = 5

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(
            f"Target '{name}' is not an FPGA board, so there is no hardware to build for it; "
            f"choose one of: {', '.join(known)}"
        )
