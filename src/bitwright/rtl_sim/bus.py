"""A running simulator, as a bus or as a serial line.

`VerilatorBus` is structurally the bus that `bitwright.runtime.driver` asks for, and
`VerilatorSerial` the serial port that `bitwright.runtime.serial` asks for, so that the driver of
a real machine runs on the simulated one unchanged.
"""

import contextlib
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

import numpy as np
from numpy.typing import NDArray

from bitwright.rtl_sim.errors import BusError, SimulatorStoppedError
from bitwright.rtl_sim.verilate import Pins, PortKind, WaveFormat, build_simulator

_COMMAND = struct.Struct("<4I")
_ANSWER = struct.Struct("<2IQ")
_MAX_BURST = 1 << 20


class _Operation(IntEnum):
    WRITE = 0
    READ = 1
    POLL = 2
    RESET = 3
    STEP = 4
    SEND = 5
    RECEIVE = 6


class _Status(IntEnum):
    OK = 0
    TIMEOUT = 1
    REFUSED = 2


@dataclass(frozen=True, kw_only=True)
class Waves:
    """Which part of a run goes into a waveform file.

    Attributes:
        path: the file; its suffix, .fst or .vcd, is the format.
        first_cycle: first clock cycle that is written.
        cycles: how many cycles are written.
        depth: how many levels of the hierarchy are written.
    """

    path: Path
    first_cycle: int = 0
    cycles: int = 100_000
    depth: int = 99

    @property
    def format(self) -> WaveFormat:
        """The file format; a suffix that is not known means FST."""
        return WaveFormat.VCD if self.path.suffix == ".vcd" else WaveFormat.FST

    def arguments(self) -> list[str]:
        """The simulator's command line options."""
        return [
            "--waves", str(self.path.resolve()), "--waves-first", str(self.first_cycle),
            "--waves-cycles", str(self.cycles), "--waves-depth", str(self.depth),
        ]  # fmt: skip


class Simulator:
    """A simulator process; a context manager that ends it.

    Attributes:
        cycles: clock cycles since the start, as of the last command.
    """

    def __init__(
        self, program: Path, arguments: Sequence[str] = (), *, folder: Path | None = None
    ) -> None:
        """Starts the program in `folder`, where the design's $readmemh files are looked up."""
        self.cycles = 0
        self._program = program
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close)
        self._process = subprocess.Popen(
            [str(program), *arguments],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process; waveforms are complete afterwards."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()

    def reset(self, cycles: int = 4) -> None:
        """Holds the reset pin active for some cycles; without a reset pin they just pass."""
        self._command(_Operation.RESET, count=cycles)

    def step(self, cycles: int) -> None:
        """Lets the clock run while the port is idle."""
        self._command(_Operation.STEP, count=cycles)

    def _command(
        self,
        operation: _Operation,
        *,
        address: int = 0,
        count: int = 0,
        limit: int = 0,
        data: bytes = b"",
        item: int = 0,
    ) -> tuple[_Status, bytes]:
        stdin = cast(IO[bytes], self._process.stdin)
        stdout = cast(IO[bytes], self._process.stdout)
        try:
            stdin.write(_COMMAND.pack(operation, address, count, limit))
            stdin.write(data)
            stdin.flush()
        except BrokenPipeError:
            raise self._stopped() from None
        head = stdout.read(_ANSWER.size)
        if len(head) != _ANSWER.size:
            raise self._stopped()
        status, answered, self.cycles = _ANSWER.unpack(head)
        return _Status(status), stdout.read(answered * item)

    def _stopped(self) -> SimulatorStoppedError:
        status = self._process.wait()
        self._log.seek(0)
        return SimulatorStoppedError(
            self._program, status, self._log.read().decode(errors="replace")
        )


class VerilatorBus(Simulator):
    """Bus master of a simulated machine with a Wishbone or AXI4-Lite port."""

    def write(self, address: int, words: NDArray[np.uint32]) -> None:
        """Writes words to consecutive addresses.

        Raises:
            BusError: the machine refused a word or did not answer.
        """
        for start in range(0, len(words), _MAX_BURST):
            part = words[start : start + _MAX_BURST]
            status, _ = self._command(
                _Operation.WRITE,
                address=address + 4 * start,
                count=len(part),
                data=part.astype("<u4").tobytes(),
            )
            self._check(status, f"write of {len(words)} words", address)

    def read(self, address: int, count: int) -> NDArray[np.uint32]:
        """Reads `count` words from consecutive addresses.

        Raises:
            BusError: the machine refused a word or did not answer.
        """
        status, data = self._command(_Operation.READ, address=address, count=count, item=4)
        self._check(status, f"read of {count} words", address)
        return np.frombuffer(data, "<u4").astype(np.uint32)

    def poll(self, address: int, mask: int, timeout_cycles: int) -> int | None:
        """Reads a word until one of the mask's bits is set, and returns it.

        Returns None after `timeout_cycles` clock cycles.
        """
        limit = min(timeout_cycles, 0xFFFF_FFFF)
        status, data = self._command(
            _Operation.POLL, address=address, count=mask, limit=limit, item=4
        )
        if status is _Status.TIMEOUT:
            return None
        self._check(status, "poll", address)
        return int.from_bytes(data, "little")

    @staticmethod
    def _check(status: _Status, what: str, address: int) -> None:
        if status is _Status.TIMEOUT:
            raise BusError(what, address, "was not answered within 100000 cycles")
        if status is _Status.REFUSED:
            raise BusError(what, address, "was answered with an error")


class VerilatorSerial(Simulator):
    """The host's end of a simulated machine's serial line, in the manner of a serial port.

    Time passes only while `write` sends and `read` waits.
    """

    def __init__(
        self,
        program: Path,
        arguments: Sequence[str] = (),
        *,
        divisor: int,
        read_timeout_cycles: int,
        folder: Path | None = None,
    ) -> None:
        """Opens the line.

        Args:
            program, arguments, folder: see `Simulator`.
            divisor: clock cycles per bit.
            read_timeout_cycles: clock cycles of silence after which `read` gives up.
        """
        super().__init__(program, [*arguments, "--divisor", str(divisor)], folder=folder)
        self._read_timeout_cycles = read_timeout_cycles

    def write(self, data: bytes) -> None:
        """Sends bytes."""
        self._command(_Operation.SEND, count=len(data), data=data)

    def read(self, count: int) -> bytes:
        """Receives `count` bytes, or fewer if they do not come in time."""
        _, data = self._command(
            _Operation.RECEIVE, count=count, limit=self._read_timeout_cycles, item=1
        )
        return data


def open_bus(
    sources: Sequence[Path],
    top: str,
    *,
    port: PortKind = PortKind.WISHBONE,
    pins: Pins | None = None,
    waves: Waves | None = None,
    folder: Path | None = None,
    cache: Path | None = None,
    short_run: bool = False,
) -> VerilatorBus:
    """Verilog files to a bus of their simulation; see `build_simulator` for the arguments.

    `folder` is the working folder of the simulation, where $readmemh files are looked up.
    """
    program = build_simulator(
        sources,
        top,
        port=port,
        pins=pins,
        waves=waves.format if waves else None,
        folder=cache,
        short_run=short_run,
    )
    return VerilatorBus(program, waves.arguments() if waves else (), folder=folder)


def open_serial(
    sources: Sequence[Path],
    top: str,
    *,
    divisor: int,
    read_timeout_cycles: int = 10_000_000,
    pins: Pins | None = None,
    waves: Waves | None = None,
    folder: Path | None = None,
    cache: Path | None = None,
) -> VerilatorSerial:
    """Verilog files of a design with a UART to the far end of its serial line."""
    program = build_simulator(
        sources,
        top,
        port=PortKind.UART,
        pins=pins,
        waves=waves.format if waves else None,
        folder=cache,
    )
    return VerilatorSerial(
        program,
        waves.arguments() if waves else (),
        divisor=divisor,
        read_timeout_cycles=read_timeout_cycles,
        folder=folder,
    )
