"""Adds up what the steps of a tile give, and hands the sums to the output stage in words."""

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

_ROWS_PER_COPY = 8  # rows that share one copy of the control registers


class TileSums(wiring.Component):
    """One accumulator per row (lane), and where a tile is several words, a copy to empty.

    Members:
        terms: of one step.
        valid, first, last: a cycle before... the step's terms are there; its place in the tile.
        sums: `lanes` rows of a tile: the first `latencies.keep` cycles after its last step.
    """

    def __init__(
        self, *, terms: int, term_bits: int, acc_bits: int, lanes: int, steps: int, maximum: bool
    ) -> None:
        self.rows, self.acc_bits, self.lanes = terms, acc_bits, lanes
        self.steps, self.maximum = steps, maximum
        super().__init__(
            {
                "terms": In(data.ArrayLayout(signed(term_bits), terms)),
                "valid": In(1),
                "first": In(1),
                "last": In(1),
                "sums": Out(data.ArrayLayout(signed(acc_bits), lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        totals: list[Value] = [self.terms[row] for row in range(self.rows)]
        full: Value = self.last
        if self.steps > 1:
            totals = [self._accumulator(m, row, term) for row, term in enumerate(totals)]
            full = Signal(name="full")
            m.d.sync += full.eq(self.last)
        if self.rows > self.lanes:
            totals = self._hold(m, totals, full)
        m.d.comb += [self.sums[lane].eq(totals[lane]) for lane in range(self.lanes)]
        return m

    def _accumulator(self, m: Module, row: int, term: Value) -> Value:
        acc = Signal(signed(self.acc_bits), name=f"row{row}", reset_less=True)
        if self.maximum:
            with m.If(self.valid & (self.first | (term > acc))):
                m.d.sync += acc.eq(term)
            return acc
        with m.If(self.valid):
            m.d.sync += acc.eq(Mux(self.first, 0, acc) + term)
        return acc

    def _hold(self, m: Module, totals: list[Value], full: Value) -> list[Value]:
        held = [
            Signal(signed(self.acc_bits), name=f"held{row}", reset_less=True)
            for row in range(self.rows)
        ]
        for row, total in enumerate(totals):
            after = row + self.lanes
            if after < self.rows:
                m.d.sync += held[row].eq(Mux(full, total, held[after]))
            else:
                with m.If(full):
                    m.d.sync += held[row].eq(total)
        return list(held)
