"""What an array machine is, as data: engine, sizes, memories, and how its host sees them."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from amaranth.lib import data

from bitwright.hwgen.engines import acttable, bitserial, weighttable
from bitwright.hwgen.isa import address_bits
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
    SIGNED = 0x20
    HALVE = 0x24
    WEIGHT_STRIDE = 0x28
    ACTIVATION_STRIDE = 0x2C
    OFFSET = 0x30


def pair_layout(depth: int) -> data.StructLayout:
    """A pair of planes: where they begin in a block, and how their product counts.

    Pairs of the same weight follow each other; each weight is half of the one before.
    `negate`: as negative. `first`, `last`: of its weight. `opens`: its weight is the highest.
    """
    bits = address_bits(depth)
    flags = dict.fromkeys(("negate", "first", "last", "opens"), 1)
    return data.StructLayout({"weights": bits, "activations": bits, **flags})


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

    def delay(self, row: int) -> int:
        """Cycles that a row is behind row 0; rows with the same delay are a stage."""
        return {
            "acttable": acttable.delay, "weighttable": weighttable.delay,
            "bitserial": bitserial.delay,
        }[self.engine](row)  # fmt: skip

    @property
    def stages(self) -> list[range]:
        """The rows of each stage."""
        rows = range(self.rows)
        starts = [row for row in rows if not row or self.delay(row) != self.delay(row - 1)]
        return [rows[a:b] for a, b in zip(starts, [*starts[1:], self.rows], strict=True)]

    @property
    def stage_slices(self) -> int:
        """Slices of 32 bits of a stage's digits in a word of weights: each stage has its own."""
        return used_slices(len(self.stages[0]) * self.lanes)

    @property
    def results(self) -> int:
        """Results of one word."""
        return self.rows * self.columns

    @property
    def result_stride(self) -> int:
        """The same as the host addresses them: a power of two."""
        return 1 << (self.results - 1).bit_length()

    @property
    def word_bits(self) -> dict[ArrayWindow, int]:
        """Widths of the words that the host writes."""
        weights = 32 * self.stage_slices * len(self.stages)
        activations, corrections = self.lanes, self.acc_bits
        if self.engine == "acttable":
            activations *= self.activation_bits
        elif self.engine == "weighttable":
            weights = weighttable.word_bits(self.lanes, self.weight_bits)
        else:
            activations *= self.columns
            corrections = pair_layout(self.depth).size
        return {
            ArrayWindow.WEIGHTS: weights,
            ArrayWindow.ACTIVATIONS: activations,
            ArrayWindow.CORRECTIONS: corrections,
        }

    def word_address(self, window: ArrayWindow, word: int, part: int = 0) -> int:
        """Byte address of slice `part` of a memory's word."""
        stride = slice_stride(self.word_bits[window])
        return (window << WINDOW_SHIFT) + (word * stride + part) * 4

    def result_address(self, word: int, number: int) -> int:
        """Byte address of result `number` of a word."""
        return (ArrayWindow.RESULTS << WINDOW_SHIFT) + (word * self.result_stride + number) * 4


def slices(width: int) -> list[int]:
    """Widths of the 32-bit slices of a word."""
    return [min(32, width - 32 * part) for part in range(used_slices(width))]
