"""The accumulators of both engines, and the copy that the output stage empties."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.address import AccOp
from bitwright.hwgen.engines import channelwise, weightserial
from bitwright.hwgen.ram import COPY_SUFFIX
from bitwright.hwgen.requantize import add_with_carry
from bitwright.hwgen.structure import Structure
from bitwright.ir.machine import Machine

LATENCY = 2  # from the cycle of the last term of a tile to its first group at `head`
ROWS_PER_COPY = 8  # rows that share one copy of the control registers


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
        op, valid, last: of the step whose term comes in the next cycle; `op` is an `AccOp`.
        head: `requant_lanes` accumulators, group g of a tile `LATENCY + 1 + g` cycles after the
            `last` of the tile.
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
        bits, step = machine.acc_bits, machine.requant_lanes
        groups = range(-(-machine.rows // ROWS_PER_COPY))
        controls = [self._control(m, group) for group in groups]
        accumulators = [
            Signal(signed(bits), name=f"row{row}", reset_less=True) for row in range(machine.rows)
        ]
        held = [
            Signal(signed(bits), name=f"held{row}", reset_less=True) for row in range(machine.rows)
        ]
        for row, acc in enumerate(accumulators):
            control = controls[row // ROWS_PER_COPY]
            self._add(m, row, acc, control)
            if row + step < machine.rows:
                m.d.sync += held[row].eq(Mux(control.full, acc, held[row + step]))
            else:
                with m.If(control.full):
                    m.d.sync += held[row].eq(acc)
        for v in range(step):
            m.d.comb += self.head[v].eq(held[v])
        return m

    def _control(self, m: Module, group: int) -> "_Control":
        """Registers of the same contents for each few rows, so that none drives too many."""
        control = _Control(
            *(
                Signal(bits, name=f"{name}{group}{COPY_SUFFIX}", reset_less=True)
                for name, bits in (("op", 2), ("valid", 1), ("last", 1), ("full", 1), ("terms", 1))
            )
        )
        m.d.sync += [
            control.op.eq(self.op),
            control.valid.eq(self.valid),
            control.last.eq(self.valid & self.last),
            control.full.eq(control.last),
            control.use_terms.eq(self.use_terms),
        ]
        return control

    def _add(self, m: Module, row: int, acc: Signal, control: "_Control") -> None:
        bits = self.machine.acc_bits
        base = Signal(signed(bits), name=f"row{row}_base")
        total = Signal(bits, name=f"row{row}_total")
        doubled = Cat(Const(0, 1), acc[:-1])
        with m.Switch(control.op):
            with m.Case(AccOp.ADD):
                m.d.comb += base.eq(acc)
            with m.Case(AccOp.DOUBLE):
                m.d.comb += base.eq(doubled)
            with m.Case(AccOp.NEGATE):  # all bits inverted; the carry in makes it negative
                m.d.comb += base.eq(~doubled)
        term = self.sums[row]
        if row < self.machine.lanes:
            term = Mux(control.use_terms, self.terms[row], term)
        m.d.comb += add_with_carry(total, base, term, control.op == AccOp.NEGATE)
        with m.If(control.valid):
            m.d.sync += acc.eq(total)


@dataclass(frozen=True)
class _Control:
    op: Signal
    valid: Signal
    last: Signal
    full: Signal
    use_terms: Signal


def resources(machine: Machine) -> Structure:
    """Per row an adder with its choice of operands, and a copy that is loaded or shifted."""
    bits, rows = machine.acc_bits, machine.rows
    copies = -(-rows // ROWS_PER_COPY)
    return Structure(
        lut={
            "adders": 2 * rows * bits,
            "copies": (rows - machine.requant_lanes) * bits,
            "terms": machine.lanes * channelwise.TERM_BITS,
            "controls": 8 * copies,
        },
        ff={"rows": 2 * rows * bits, "controls": 6 * copies},
    )
