"""The bus at the far end of a serial line: `SerialBus` over any serial port.

The frames are described in `bitwright.targets.serial_frames`.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bitwright.errors import BitwrightError
from bitwright.targets import serial_frames


class SerialPort(Protocol):
    """A serial port as pyserial has it; `read` returns fewer bytes when its timeout passes."""

    def write(self, data: bytes, /) -> object:
        """Sends bytes."""
        ...

    def read(self, size: int, /) -> bytes:
        """Receives `size` bytes, or fewer if they do not come in time."""
        ...


class SerialLinkError(BitwrightError):
    """The machine at the far end of a serial line does not answer as it should."""

    exit_code = 7


class SerialBus:
    """A `Bus` (see `bitwright.runtime.driver`) over a serial port.

    Args:
        port: the open port, with its timeout set.
        divisor: clock cycles of the machine per bit of the line.
        retries: how often a damaged transfer is repeated. A write is repeated only when the
            machine says that it came damaged: without an answer it may have happened.
    """

    def __init__(self, port: SerialPort, *, divisor: int, retries: int = 3) -> None:
        self._port = port
        self._divisor = divisor
        self._retries = retries

    def write(self, address: int, words: NDArray[np.uint32]) -> None:
        """Writes words to consecutive addresses.

        Raises:
            SerialLinkError: no good answer, also after repeating.
        """
        for start in range(0, len(words), serial_frames.MAX_WORDS):
            part = words[start : start + serial_frames.MAX_WORDS].astype("<u4").tobytes()
            request = serial_frames.write_request(address + 4 * start, part)
            self._exchange(request, 0, f"write of {len(words)} words to 0x{address:07x}")

    def read(self, address: int, count: int) -> NDArray[np.uint32]:
        """Reads `count` words from consecutive addresses.

        Raises:
            SerialLinkError: no good answer, also after repeating.
        """
        parts: list[bytes] = []
        for start in range(0, count, serial_frames.MAX_WORDS):
            part = min(count - start, serial_frames.MAX_WORDS)
            request = serial_frames.read_request(address + 4 * start, part)
            what = f"read of {count} words from 0x{address:07x}"
            parts.append(self._exchange(request, 4 * part, what))
        return np.frombuffer(b"".join(parts), "<u4").astype(np.uint32)

    def poll(self, address: int, mask: int, timeout_cycles: int) -> int | None:
        """Reads a word until one of the mask's bits is set, and returns it; None in the end."""
        request_and_reply = len(serial_frames.read_request(address, 1)) + 6
        cycles = 10 * self._divisor * request_and_reply
        for _ in range(max(1, timeout_cycles // cycles)):
            word = int(self.read(address, 1)[0])
            if word & mask:
                return word
        return None

    def _exchange(self, request: bytes, count: int, what: str) -> bytes:
        """Sends a request; returns the `count` data bytes of its reply."""
        problem = ""
        for _ in range(1 + self._retries):
            self._port.write(request)
            status = self._port.read(1)
            if status == bytes([serial_frames.ACK]):
                if count == 0:
                    return b""
                reply = self._port.read(count + 1)
                if len(reply) == count + 1 and serial_frames.crc8(reply) == 0:
                    return reply[:-1]
                problem = f"the reply was damaged ({len(reply)} of {count + 1} bytes)"
            elif status == b"":
                problem = "there was no reply"
            elif status == bytes([serial_frames.NAK]):
                problem = "the machine received it damaged"
            else:
                problem = f"the reply began with 0x{status.hex()}"
            if count == 0 and status != bytes([serial_frames.NAK]):
                break
            self._port.read(serial_frames.MAX_WORDS)  # until the line is silent
        raise SerialLinkError(f"Serial {what} failed: {problem}; check the baud rate and the cable")
