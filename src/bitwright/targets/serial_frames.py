"""The frames between a host and a machine on a serial line, as data and pure functions.

Line: 8 data bits, no parity, 1 stop bit. All numbers are little endian.

Request header, 8 bytes: operation (`WRITE` or `READ`), byte address (4), words minus one (2),
CRC-8 of these 7 bytes. After a `WRITE` header come the words and the CRC-8 of the words.

Reply to a good `WRITE`: `ACK`. Reply to a good `READ`: `ACK`, the words, the CRC-8 of the words.
Reply to a damaged request: `NAK`; then the machine ignores the line until it was silent for its
timeout. A request that stops in its middle is forgotten after the same time. The last word of a
damaged `WRITE` is never written, so a write of one word happens as a whole or not at all.

The CRC is CRC-8/SMBUS: polynomial x^8 + x^2 + x + 1, start value 0.
"""

from collections.abc import Iterable
from struct import Struct

WRITE = 0x57
READ = 0x52
ACK = 0x06
NAK = 0x15
MAX_WORDS = 1 << 16
SILENCE_BYTES = 4096
"""Default timeout of the machine, in times that one byte takes."""

_HEADER = Struct("<BIH")


def _crc_of_byte(value: int) -> int:
    for _ in range(8):
        value = (value << 1) ^ (0x107 if value & 0x80 else 0)
    return value


_CRC_TABLE = bytes(_crc_of_byte(value) for value in range(256))


def crc8(data: Iterable[int]) -> int:
    """CRC-8/SMBUS of some bytes."""
    crc = 0
    for value in data:
        crc = _CRC_TABLE[crc ^ value]
    return crc


def with_crc(data: bytes) -> bytes:
    """The bytes and their CRC."""
    return data + bytes([crc8(data)])


def write_request(address: int, data: bytes) -> bytes:
    """Frame that writes 1 to `MAX_WORDS` words, given as bytes, to consecutive addresses."""
    return with_crc(_HEADER.pack(WRITE, address, len(data) // 4 - 1)) + with_crc(data)


def read_request(address: int, count: int) -> bytes:
    """Frame that reads 1 to `MAX_WORDS` words from consecutive addresses."""
    return with_crc(_HEADER.pack(READ, address, count - 1))
