"""The loops of the table engines: tables of one tile are written while those before are used."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.array.shape import INNER_BITS

PLANE_BITS = 4
PERIOD_BITS = 12


def cycles(*, outer: int, tiles: int, period: int, drain: int) -> int:
    """Cycles of a job: a period for every tile and one for the first tables."""
    return (outer * tiles + 1) * period + drain


class TableControl(wiring.Component):
    """Two loop nests side by side: tables of (outer, tile), and one period later their uses.

    A period writes `fill` words of tables, one a cycle, and makes `inner * planes` steps, planes
    innermost; the longer of the two and the engine's delay set its length, which is the host's
    to give. Golden function: `cycles`.

    Args:
        fill: words of tables of one tile.
        bits: width of the words' addresses.
        drain: cycles from the last period's end until its results are written.

    Members:
        start: begins a job, only while `busy` is 0; the trip counts, each less one, hold still
            until it is 0 again.
        write, count, table, word, write_bank: word `count` of the tables of tile number `table`;
            `word` counts all of them.
        write_first, write_last, write_outer: whether it is an outer step's first, last tile.
        step, index, bank: a use of the tables of that bank; `index` begins anew with each `outer`.
        first_plane, last_plane, first_tile: which step of a result it is.
        result: outer and inner counter.
    """

    def __init__(self, *, fill: int, bits: int, drain: int) -> None:
        self._fill = fill
        self._drain = drain
        outer_bits = bits - INNER_BITS
        super().__init__(
            {
                "start": In(1),
                "outer": In(outer_bits),
                "tiles": In(bits),
                "inner": In(INNER_BITS),
                "planes": In(PLANE_BITS),
                "period": In(PERIOD_BITS),
                "busy": Out(1),
                "write": Out(1),
                "count": Out(range(fill)),
                "table": Out(bits),
                "word": Out(bits),
                "write_bank": Out(1),
                "write_first": Out(1),
                "write_last": Out(1),
                "write_outer": Out(outer_bits),
                "step": Out(1),
                "index": Out(bits),
                "bank": Out(1),
                "first_plane": Out(1),
                "last_plane": Out(1),
                "first_tile": Out(1),
                "result": Out(bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tick = Signal(PERIOD_BITS)  # one ahead of the period's cycles, for a register at its end
        writing, using, left = Signal(), Signal(), Signal(range(self._drain + 1))
        draining, at_end, turn = Signal(), Signal(), Signal()
        m.d.comb += [
            self.busy.eq(writing | using | draining),
            turn.eq((writing | using) & at_end),
        ]
        m.d.sync += [tick.eq(tick + 1), at_end.eq(tick == self.period)]
        with m.If(turn):
            m.d.sync += tick.eq(1)
        with m.If(draining):
            m.d.sync += left.eq(left - 1)
            with m.If(left == 1):
                m.d.sync += draining.eq(0)
        self._tables(m, turn, writing)
        self._uses(m, turn, writing, using)
        with m.If(turn & using & ~writing):
            m.d.sync += [using.eq(0), draining.eq(1), left.eq(self._drain)]
        with m.If(self.start):
            m.d.sync += [writing.eq(1), tick.eq(1), at_end.eq(0)]
        return m

    def _tables(self, m: Module, turn: Signal, writing: Signal) -> None:
        tile = Signal(len(self.tiles))
        last_outer = Signal()
        m.d.sync += [  # these hold still through a period
            self.write_first.eq(tile == 0),
            self.write_last.eq(tile == self.tiles),
            last_outer.eq(self.write_outer == self.outer),
        ]
        with m.If(self.write):
            m.d.sync += [self.word.eq(self.word + 1), self.count.eq(self.count + 1)]
            with m.If(self.count == self._fill - 1):
                m.d.sync += self.write.eq(0)
        with m.If((turn & writing) | (self.start)):
            m.d.sync += [self.write.eq(1), self.count.eq(0)]
        with m.If(turn):
            m.d.sync += [self.write_bank.eq(~self.write_bank), tile.eq(tile + 1)]
            m.d.sync += self.table.eq(self.table + 1)
            with m.If(self.write_last):
                m.d.sync += [tile.eq(0), self.write_outer.eq(self.write_outer + 1)]
                with m.If(last_outer):
                    m.d.sync += [writing.eq(0), self.write.eq(0)]
        with m.If(self.start):
            m.d.sync += [
                tile.eq(0), self.table.eq(0), self.word.eq(0), self.write_outer.eq(0),
                self.write_bank.eq(0),
            ]  # fmt: skip

    def _uses(self, m: Module, turn: Signal, writing: Signal, using: Signal) -> None:
        plane = Signal(PLANE_BITS)
        inner = Signal(INNER_BITS)
        outer = Signal(len(self.outer))
        m.d.comb += [
            self.first_plane.eq(plane == 0),
            self.last_plane.eq(plane == self.planes),
            self.result.eq(Cat(inner, outer)),
        ]
        with m.If(self.step):
            m.d.sync += [self.index.eq(self.index + 1), plane.eq(plane + 1)]
            with m.If(self.last_plane):
                m.d.sync += [plane.eq(0), inner.eq(inner + 1)]
                with m.If(inner == self.inner):
                    m.d.sync += self.step.eq(0)
        with m.If(turn & writing):
            m.d.sync += [
                using.eq(1), self.step.eq(1), inner.eq(0), outer.eq(self.write_outer),
                self.bank.eq(self.write_bank), self.first_tile.eq(self.write_first),
            ]  # fmt: skip
            with m.If(self.write_first):
                m.d.sync += self.index.eq(0)
