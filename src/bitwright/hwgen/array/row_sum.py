"""Adds the planes of a result, and the tiles of it."""

from amaranth.hdl import Cat, Const, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.add import add, chain_luts
from bitwright.hwgen.ram import COPY_SUFFIX

LATENCY = 2  # cycles from a plane's sum to the result with it


def resources(*, term_bits: int, acc_bits: int) -> int:
    """Look-up tables on ECP5."""
    return chain_luts(term_bits) + chain_luts(acc_bits) + 1


class RowSum(wiring.Component):
    """A result's planes from the highest down, each twice the next, onto what it was before.

    Args:
        plane_bits: width of a plane's sum.
        term_bits: width of all planes' sum.
        acc_bits: width of the result.

    Members:
        first, negate: a cycle ahead: whether `plane` is the first, and counts negative.
        plane, carry: the sum of a plane is both together.
        first_tile: with the last plane: the result begins with this tile.
        old: with the last plane: the result so far.
        new: the result, `LATENCY` cycles after the last plane.
    """

    def __init__(self, *, plane_bits: int, term_bits: int, acc_bits: int) -> None:
        self._term_bits = term_bits
        self._acc_bits = acc_bits
        super().__init__(
            {
                "first": In(1),
                "negate": In(1),
                "plane": In(signed(plane_bits)),
                "carry": In(1),
                "first_tile": In(1),
                "old": In(signed(acc_bits)),
                "new": Out(signed(acc_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        more = Signal(name=f"more{COPY_SUFFIX}", reset_less=True)
        negate = Signal(name=f"negate{COPY_SUFFIX}", reset_less=True)
        onto = Signal(name=f"onto{COPY_SUFFIX}", reset_less=True)
        term = Signal(signed(self._term_bits), reset_less=True)
        old = Signal(signed(self._acc_bits), reset_less=True)
        m.d.sync += [
            more.eq(~self.first),
            negate.eq(self.negate),
            onto.eq(~self.first_tile),
            old.eq(self.old),
        ]
        twice = Cat(Const(0, 1), term[: self._term_bits - 1])
        next_term = add(
            m, platform, "planes", twice, self.plane, width=self._term_bits, a_control=more,
            a_and=True, b_control=negate, carry=self.carry ^ negate,
        )  # fmt: skip
        total = add(
            m, platform, "tiles", old, term, width=self._acc_bits, a_control=onto, a_and=True
        )
        m.d.sync += [term.eq(next_term), self.new.eq(total)]
        return m
