"""What a unit of hardware is made of, as far as its resources follow from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Structure:
    """What the function `resources` of a unit returns.

    Attributes:
        lut, ff: parts of the unit by name, in look-up tables (flip-flops) as far as the structure
            tells: the bits of an adder, of a register, twice the bits of a choice of four. What
            each part really costs, as a factor, is fitted to syntheses (`costs/`).
        dsp: multiplier blocks.
        dsp_of: the same of families that take another number, by their names.
        memories: (width, depth) of each.
    """

    lut: Mapping[str, float] = field(default_factory=dict[str, float])
    ff: Mapping[str, float] = field(default_factory=dict[str, float])
    dsp: int = 0
    dsp_of: Mapping[str, int] = field(default_factory=dict[str, int])
    memories: tuple[tuple[int, int], ...] = ()


def adder_tree_bits(terms: int, bits: int) -> int:
    """Bits of all adders that add `terms` (a power of two) numbers of `bits` in pairs."""
    total = 0
    while terms > 1:
        terms, bits = terms // 2, bits + 1
        total += terms * bits
    return total
