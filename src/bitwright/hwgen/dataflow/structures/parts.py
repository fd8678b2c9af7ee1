"""What the parts of units are made of: numbers, adders, trees, tables of constants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bitwright.hwgen.dataflow.memories import rom_blocks, rom_in_block
from bitwright.hwgen.dataflow.weights import varying_bits, weight_words
from bitwright.hwgen.resources import memory_glue
from bitwright.hwgen.structure import Structure
from bitwright.ir.dataflow import AddStage, ChannelwiseStage, Stage

TABLE_WORDS = 16  # of a look-up table
_SMALL_ADDER = 4  # bits


@dataclass(frozen=True, kw_only=True)
class Part(Structure):
    """A `Structure` whose memories are known to be in block RAM.

    Attributes:
        bram: block RAMs.
        absorbed: flip-flops, among those of `ff`, that go into block RAMs and multiplier blocks.
    """

    bram: int = 0
    absorbed: int = 0


Parts = Mapping[str, Part]


def adder(bits: int) -> int:
    """Look-up tables of an adder; small ones have no carry cells."""
    return chain(bits) if bits > _SMALL_ADDER else bits


def chain(bits: int) -> int:
    """Look-up tables of a chain of carry cells, which are of two bits; one makes the carry in."""
    return bits + 2 - bits % 2


def rom(name: str, width: int, depth: int) -> Part:
    """A table of constants with its second register.

    Bits that are alike in all words are one: of few words, so are many.
    """
    if depth == 1 or not width:
        return Part()
    if rom_in_block(width, depth):
        return Part(
            lut={"block_choices": block_choices(width, depth)}, ff={f"{name}_registers": width},
            bram=rom_blocks(width, depth), absorbed=width,
        )  # fmt: skip
    kinds = 2.0**depth
    alike = width if depth > TABLE_WORDS else kinds * (1 - (1 - 1 / kinds) ** width)
    tables = 0 if depth == 2 else alike  # of two words a bit is the address
    choices = 2 * alike * max(0, depth / TABLE_WORDS - 1)
    return Part(
        lut={f"{name}_tables": tables, f"{name}_choices": choices},
        ff={f"{name}_registers": 2 * alike},
    )


def block_choices(width: int, depth: int) -> float:
    """What chooses among rows of block RAMs."""
    return sum(memory_glue("ecp5", [(width, depth)]).lut.values())


@dataclass(frozen=True)
class Number:
    """The shape of a number."""

    bits: int
    signed: bool
    zeros: int = 0  # mask of bits that are always 0

    def other(self, bits: int) -> int:
        """Mask of the bits that are not, its sign repeated."""
        return (1 << (bits if self.signed else self.bits)) - 1 & ~self.zeros

    @property
    def registers(self) -> int:
        """Flip-flops of a register of it."""
        return self.bits - self.zeros.bit_count()


def added(a: Number, b: Number, *, minus: bool = False) -> tuple[Number, int]:
    """Shape of a + b (a - b), and from which bit on an adder makes it."""
    is_signed = a.signed or b.signed
    bits = max(number.bits + (is_signed and not number.signed) for number in (a, b)) + 1
    both = b.other(bits) if minus else a.other(bits) & b.other(bits)
    start = (both & -both).bit_length() - 1 if both else bits
    zeros = (1 << start) - 1 & ~(a.other(bits) | b.other(bits))
    return Number(bits, is_signed or minus, zeros), start


def tree(terms: Sequence[Number], most: int = 64) -> tuple[Number, int, int]:
    """(sum, LUT, FF) of an adder tree with a register after every adder, of `most` bits."""
    luts = ffs = 0
    level = list(terms)
    while len(level) > 1:
        pairs: list[Number] = []
        for a, b in zip(level[::2], level[1::2], strict=False):
            pair, start = added(a, b)
            pairs.append(replace(pair, bits=min(pair.bits, most)))
            luts += adder(max(pairs[-1].bits - start, 0))
        level = [*pairs, *level[2 * len(pairs) :]]
        ffs += sum(number.registers for number in level)
    return level[0], luts, ffs


def weight_table(stage: Stage) -> tuple[int, int]:
    """(width, depth) of the table of weights."""
    if isinstance(stage, AddStage) or stage.weights is None:
        return 0, 1
    words = weight_words(stage)
    return varying_bits(words, stage.weight_bits), len(words)


def sum_bits(stage: Stage, source: Number) -> int:
    """Bits of a sum that are not all its sign."""
    if isinstance(stage, ChannelwiseStage) and stage.op == "max":
        return min(stage.acc_bits, source.bits)
    return stage.acc_bits
