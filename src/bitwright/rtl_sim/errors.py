"""What can go wrong between Verilog sources and a running simulation."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from bitwright.errors import BitwrightError


class SimulationError(BitwrightError):
    """Base of the errors of building and running a simulation."""

    exit_code = 7


class MissingToolError(SimulationError):
    """A program or library that Verilator needs is not installed."""

    def __init__(self, what: str, package: str) -> None:
        super().__init__(
            f"Simulation needs {what}, which was not found; on Debian or Ubuntu install it with "
            f"'apt-get install {package}'"
        )
        self.package = package


class BuildError(SimulationError):
    """Verilator or the C++ compiler failed; the build folder is kept."""

    def __init__(self, step: str, command: Sequence[str], folder: Path, output: str) -> None:
        tail = "\n".join(output.strip().splitlines()[-20:])
        super().__init__(
            f"{step} failed; its files are kept in {folder}, and the command was\n"
            f"  cd {shlex.quote(str(folder))} && {shlex.join(command)}\n"
            f"Its last output:\n{tail}"
        )
        self.folder = folder


class SimulatorStoppedError(SimulationError):
    """The simulator process ended while it was still needed."""

    def __init__(self, program: Path, status: int | None, output: str) -> None:
        super().__init__(
            f"Simulator {program} stopped with exit status {status} while a transfer was under "
            f"way; its last output: {output.strip()[-500:] or 'none'}"
        )


class BusError(SimulationError):
    """The simulated machine refused a transfer, or did not answer one."""

    def __init__(self, what: str, address: int, problem: str) -> None:
        super().__init__(f"Bus {what} at address 0x{address:07x} {problem}")
