"""Adds the counts of one weight, and the weights of a result."""

from amaranth.hdl import Cat, Const, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.add import add, chain_luts
from bitwright.hwgen.ram import COPY_SUFFIX

LATENCY = 2  # cycles from the last count to the result


def inner_bits(count_bits: int, depth: int) -> int:
    """Width of the signed sum of the counts of one weight, of at most `depth` steps."""
    return count_bits + 2 + (depth - 1).bit_length()


def resources(*, count_bits: int, depth: int, acc_bits: int) -> int:
    """Look-up tables on ECP5."""
    return chain_luts(inner_bits(count_bits, depth)) + chain_luts(acc_bits) + 1


class WeightedSum(wiring.Component):
    """Counts of the same weight are added, then onto twice what is there of higher weights.

    Members:
        negate, first: a cycle ahead: the count is negative, the first of its weight.
        count, one: what is counted is both together.
        last: with the count: the last of its weight.
        opens: with the count: of the highest weight.
        result: `LATENCY` cycles after the last count.
    """

    def __init__(self, *, count_bits: int, depth: int, acc_bits: int) -> None:
        self._inner_bits = inner_bits(count_bits, depth)
        self._acc_bits = acc_bits
        super().__init__(
            {
                "negate": In(1),
                "first": In(1),
                "count": In(count_bits),
                "one": In(1),
                "last": In(1),
                "opens": In(1),
                "result": Out(signed(acc_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        copies = {
            name: Signal(name=f"{name}{COPY_SUFFIX}", reset_less=True)
            for name in ("negate", "more", "last", "onto")
        }
        inner = Signal(signed(self._inner_bits), reset_less=True)
        m.d.sync += [
            copies["negate"].eq(self.negate),
            copies["more"].eq(~self.first),
            copies["last"].eq(self.last),
            copies["onto"].eq(~self.opens),
        ]
        count = Signal(signed(len(self.count) + 1))
        m.d.comb += count.eq(self.count)
        next_inner = add(
            m, platform, "counts", inner, count, width=len(inner), a_control=copies["more"],
            a_and=True, b_control=copies["negate"], carry=self.one ^ copies["negate"],
        )  # fmt: skip
        m.d.sync += inner.eq(next_inner)
        twice = Cat(Const(0, 1), self.result[:-1])
        total = add(
            m, platform, "weights", twice, inner, width=self._acc_bits,
            a_control=copies["onto"], a_and=True,
        )  # fmt: skip
        with m.If(copies["last"]):
            m.d.sync += self.result.eq(total)
        return m
