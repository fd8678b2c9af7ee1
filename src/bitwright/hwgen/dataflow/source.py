"""Starts the images of a pipeline and reads their words from the input bank."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.dataflow.latencies import SOURCE
from bitwright.hwgen.isa import address_bits


class Source(wiring.Component):
    """One image from start to end, then the next; the only unit of a pipeline that waits.

    Args:
        words: of an image.
        pace: cycles from a word to the next.
        interval: least number of cycles from one start to the next.

    Members:
        input_ready, output_free: there is an image, and a bank for its result.
        start, done: the image's first, and last, word is read in this cycle.
        address: of the word.
        valid: a word follows its address by `SOURCE` cycles; it is there.
    """

    def __init__(self, *, words: int, pace: int, interval: int) -> None:
        self.words, self.pace, self.interval = words, pace, interval
        super().__init__(
            {
                "input_ready": In(1),
                "output_free": In(1),
                "start": Out(1),
                "done": Out(1),
                "address": Out(address_bits(words)),
                "valid": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        gap = Signal(range(self.interval))  # cycles until the next image may start
        wait = Signal(range(self.pace))
        sending = Signal()
        fire = Signal()
        last = Signal()
        m.d.comb += [
            self.start.eq(self.input_ready & self.output_free & (gap == 0)),
            fire.eq(self.start | (sending & (wait == 0))),
            last.eq(self.address == self.words - 1),
            self.done.eq(fire & last),
        ]
        m.d.sync += [
            gap.eq(Mux(self.start, self.interval - 1, Mux(gap == 0, 0, gap - 1))),
            wait.eq(Mux(fire, self.pace - 1, Mux(wait == 0, 0, wait - 1))),
        ]
        with m.If(fire):
            m.d.sync += [
                sending.eq(~last),
                self.address.eq(Mux(last, 0, self.address + 1)),
            ]
        valid = fire
        for cycle in range(SOURCE):
            later = Signal(name=f"valid{cycle}")
            m.d.sync += later.eq(valid)
            valid = later
        m.d.comb += self.valid.eq(valid)
        return m
