"""What every Bitwright machine looks like to its host: address windows and registers, as data.

Addresses are byte addresses of 28 bits, data words are 32 bits wide. The hardware generator
decodes this map and the drivers use it.
"""

from enum import IntEnum

ADDRESS_BITS = 28
WINDOW_SHIFT = 24
EXTERNAL_BASE = 1 << (ADDRESS_BITS - 1)
"""Byte addresses from here on are external memory, where a machine has a controller of ours."""
MACHINE_ID = 0x4257_5231
"""Value of the ID register: "BWR1"."""


class Window(IntEnum):
    """Address bits 27 to 24: which part of the machine an address means."""

    CSR = 0
    PROGRAM = 1
    WEIGHTS = 2
    PARAMS = 3
    TABLES = 4
    INPUT = 5
    OUTPUT = 6

    @property
    def base(self) -> int:
        """First byte address of the window."""
        return self.value << WINDOW_SHIFT


class Register(IntEnum):
    """Byte addresses of the control and status registers."""

    ID = 0x00
    MACHINE_HASH = 0x04
    CONTROL = 0x08
    STATUS = 0x0C
    INPUT_COMMIT = 0x10
    OUTPUT_RELEASE = 0x14
    CYCLES = 0x18
    INFERENCES = 0x1C
    ENDED = 0x20
    MEMORY_BASE = 0x24


MEMORY_WORD_BITS = 30
"""Of the number of a word (4 bytes) in external memory."""

CONTROL_RUN = 1 << 0
STATUS_BUSY = 1 << 0
STATUS_MEMORY_FAILED = 1 << 1
STATUS_INPUT_FULL_SHIFT = 2
STATUS_OUTPUT_FULL_SHIFT = 4
STATUS_COUNT_MASK = 0b11
BANKS = 2
"""Input banks, and output banks: the host uses one while the machine uses the other."""


def used_slices(width: int) -> int:
    """Number of 32-bit slices that hold one memory word of `width` bits."""
    return (width + 31) // 32


def slice_stride(width: int) -> int:
    """Distance of two memory words of `width` bits, in 32-bit slices: a power of two."""
    return 1 << (used_slices(width) - 1).bit_length()
