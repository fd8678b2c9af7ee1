"""The accumulators of both engines, and the copy that the output stage empties."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.address import AccOp
from bitwright.hwgen.engines import channelwise, weightserial
from bitwright.hwgen.requantize import add_with_carry
from bitwright.ir.machine import Machine

LATENCY = 2  # from the last term of a tile to `head`


def golden(planes: list[int], acc_bits: int) -> int:
    """The accumulator after bit planes with these sums: up to the sign, with one plane only."""
    acc = planes[0]
    for number, total in enumerate(planes[1:]):
        acc = (-2 if number == 0 else 2) * acc + total
    return acc & (1 << acc_bits) - 1


class Accumulators(wiring.Component):
    """One accumulator per row; the first `lanes` of them also serve the channelwise engine.

    The sign plane is added like all others and negated when the second plane begins; with a
    single plane the output stage negates.

    Members:
        sums, terms: what is added to each row: the matrix engine's, or where `use_terms` is 1
            the channelwise engine's in the first `lanes` rows.
        op, valid, last: of the step whose term is here; `op` is an `AccOp`.
        head: `requant_lanes` accumulators, group g of the tile `LATENCY + g` cycles after `last`.
    """

    def __init__(self, *, machine: Machine) -> None:
        self.machine = machine
        acc = signed(machine.acc_bits)
        super().__init__(
            {
                "sums": In(data.ArrayLayout(signed(weightserial.sum_bits(machine)), machine.rows)),
                "terms": In(data.ArrayLayout(signed(channelwise.TERM_BITS), machine.lanes)),
                "use_terms": In(1),
                "op": In(2),
                "valid": In(1),
                "last": In(1),
                "head": Out(data.ArrayLayout(acc, machine.requant_lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        machine = self.machine
        bits = machine.acc_bits
        full = Signal()
        m.d.sync += full.eq(self.valid & self.last)
        negate = Signal()
        m.d.comb += negate.eq(self.op == AccOp.NEGATE)

        held: list[Signal] = []
        accumulators: list[Signal] = []
        for row in range(machine.rows):
            acc = Signal(signed(bits), name=f"row{row}", reset_less=True)
            base = Signal(signed(bits), name=f"row{row}_base")
            with m.Switch(self.op):
                with m.Case(AccOp.ADD):
                    m.d.comb += base.eq(acc)
                with m.Case(AccOp.DOUBLE):
                    m.d.comb += base.eq(acc << 1)
                with m.Case(AccOp.NEGATE):  # all bits inverted; the carry in makes it negative
                    m.d.comb += base.eq(~(acc << 1))
            term = self.sums[row]
            if row < machine.lanes:
                term = Mux(self.use_terms, self.terms[row], self.sums[row])
            total = Signal(bits, name=f"row{row}_total")
            m.d.comb += add_with_carry(total, base, term, negate)
            with m.If(self.valid):
                m.d.sync += acc.eq(total)
            accumulators.append(acc)
            held.append(Signal(signed(bits), name=f"held{row}", reset_less=True))

        step = machine.requant_lanes
        for row, hold in enumerate(held):
            if row + step < machine.rows:
                m.d.sync += hold.eq(Mux(full, accumulators[row], held[row + step]))
            else:
                with m.If(full):
                    m.d.sync += hold.eq(accumulators[row])
        for v in range(step):
            m.d.comb += self.head[v].eq(held[v])
        return m
