"""What an array machine is, as data: engine, sizes, memories, and how its host sees them."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from bitwright.ir.machine import MachineError
from bitwright.targets.host_interface import WINDOW_SHIFT, slice_stride, used_slices

Kind = Literal["acttable", "weighttable", "bitserial"]
INNER_BITS = 4  # of a result's address: its place among the results that share a table


class ArrayWindow(IntEnum):
    """Address bits 27 to 24."""

    REGISTERS = 0
    WEIGHTS = 3
    ACTIVATIONS = 5
    CORRECTIONS = 4
    RESULTS = 6


class ArrayRegister(IntEnum):
    """Byte addresses of the registers. START takes any write, and starts the job."""

    START = 0x00
    BUSY = 0x04
    CYCLES = 0x08
    OUTER = 0x0C
    TILES = 0x10
    INNER = 0x14
    PLANES = 0x18
    PERIOD = 0x1C
    MODE = 0x20
    WEIGHT_STRIDE = 0x24
    ACTIVATION_STRIDE = 0x28
    OFFSET = 0x2C


@dataclass(frozen=True, kw_only=True)
class ArrayShape:
    """An array machine.

    Attributes:
        engine: what multiplies.
        rows: rows of weights that are multiplied at once.
        columns: columns of activations at once; more than one for `bitserial` only.
        lanes: products of a row at once.
        binary: the bits of `bitserial` stand for +1 and -1.
        weight_bits: greatest width of a weight.
        activation_bits: greatest width of an activation.
        acc_bits: width of a result before its correction.
        depth: words of each memory.
    """

    engine: Kind
    rows: int
    lanes: int
    columns: int = 1
    binary: bool = False
    weight_bits: int = 4
    activation_bits: int = 8
    acc_bits: int = 24
    depth: int = 512

    def __post_init__(self) -> None:
        if not 2 <= self.acc_bits <= 32:
            raise MachineError(f"ArrayShape has acc_bits {self.acc_bits}; expected 2 to 32")

    @property
    def results(self) -> int:
        """Results of one word."""
        return self.rows * self.columns

    @property
    def result_stride(self) -> int:
        """The same as the host addresses them: a power of two."""
        return 1 << (self.results - 1).bit_length()

    def word_address(self, window: ArrayWindow, width: int, word: int, part: int = 0) -> int:
        """Byte address of slice `part` of a memory's word of `width` bits."""
        return (window << WINDOW_SHIFT) + (word * slice_stride(width) + part) * 4

    def result_address(self, word: int, number: int) -> int:
        """Byte address of result `number` of a word."""
        return (ArrayWindow.RESULTS << WINDOW_SHIFT) + (word * self.result_stride + number) * 4


def slices(width: int) -> list[int]:
    """Widths of the 32-bit slices of a word."""
    return [min(32, width - 32 * part) for part in range(used_slices(width))]
