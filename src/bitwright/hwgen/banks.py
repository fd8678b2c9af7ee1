"""Ping-pong ownership of two memory banks."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class PingPong(wiring.Component):
    """Counts the full ones of two banks and says which bank each side has.

    `fill` with both banks full, and `drain` with none full, do nothing.

    Members:
        fill, drain: one cycle: the writer has filled its bank, the reader is done with its own.
        full: number of full banks, 0 to 2.
        write_bank, read_bank: bank of the writer, oldest full bank of the reader.
    """

    full: Out(2)  # pyright: ignore
    fill: In(1)  # pyright: ignore
    drain: In(1)  # pyright: ignore
    write_bank: Out(1)  # pyright: ignore
    read_bank: Out(1)  # pyright: ignore

    def elaborate(self, platform: object) -> Module:
        m = Module()
        filled, drained = Signal(), Signal()
        m.d.comb += [
            filled.eq(self.fill & ~self.full[1]),
            drained.eq(self.drain & (self.full != 0)),
        ]
        m.d.sync += [
            self.full.eq(self.full + filled - drained),
            self.write_bank.eq(self.write_bank ^ filled),
            self.read_bank.eq(self.read_bank ^ drained),
        ]
        return m
