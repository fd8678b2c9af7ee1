"""Adds up what the steps of a tile give, and hands the sums to the output stage in words."""

from amaranth.hdl import Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.gated_add import gated_add
from bitwright.hwgen.ram import COPY_SUFFIX

_ROWS_PER_COPY = 8  # rows that share one copy of the control registers


class TileSums(wiring.Component):
    """One accumulator per row (lane), and where a tile is several words, a copy to empty.

    Members:
        terms: of one step.
        valid, first, last: a cycle before its terms: there is a step; its place in the tile.
        taken: the next word of sums is wanted in the next cycle.
        sums: `lanes` rows of a tile, its first ones `latencies.keep` cycles after its last step.
    """

    def __init__(
        self, *, rows: int, term: Shape, acc_bits: int, lanes: int, steps: int, maximum: bool
    ) -> None:
        self.rows, self.acc_bits, self.lanes = rows, acc_bits, lanes
        self.steps, self.maximum = steps, maximum
        super().__init__(
            {
                "terms": In(data.ArrayLayout(term, rows)),
                "valid": In(1),
                "first": In(1),
                "last": In(1),
                "taken": In(1),
                "sums": Out(data.ArrayLayout(signed(acc_bits), lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        totals: list[Value] = [self.terms[row] for row in range(self.rows)]
        full = Signal(name="full")
        m.d.sync += full.eq(self.last)
        if self.steps > 1:
            later = Signal(name="full_later")
            m.d.sync += later.eq(full)
            full = later
            for first in range(0, self.rows, _ROWS_PER_COPY):
                rows = range(first, min(first + _ROWS_PER_COPY, self.rows))
                valid, fresh = (
                    Signal(name=f"{name}{first}{COPY_SUFFIX}") for name in ("valid", "fresh")
                )
                m.d.sync += [valid.eq(self.valid), fresh.eq(self.valid & self.first)]
                for row in rows:
                    totals[row] = self._accumulator(m, platform, row, valid, fresh)
        if self.rows > self.lanes:
            totals = self._hold(m, totals, full)
        m.d.comb += [self.sums[lane].eq(totals[lane]) for lane in range(self.lanes)]
        return m

    def _accumulator(
        self, m: Module, platform: object, row: int, valid: Value, fresh: Value
    ) -> Value:
        term = self.terms[row]
        acc = Signal(signed(self.acc_bits), name=f"row{row}", reset_less=True)
        if self.maximum:
            with m.If(valid & (fresh | (term > acc))):
                m.d.sync += acc.eq(term)
        else:
            total = gated_add(m, platform, f"total{row}", acc, ~fresh, term, valid, acc.shape())
            m.d.sync += acc.eq(total)
        return acc

    def _hold(self, m: Module, totals: list[Value], full: Value) -> list[Value]:
        held = [
            Signal(signed(self.acc_bits), name=f"held{row}", reset_less=True)
            for row in range(self.rows)
        ]
        for row, total in enumerate(totals):
            after = row + self.lanes
            if after < self.rows:
                with m.If(full | self.taken):
                    m.d.sync += held[row].eq(Mux(full, total, held[after]))
            else:
                with m.If(full):
                    m.d.sync += held[row].eq(total)
        return list(held)
