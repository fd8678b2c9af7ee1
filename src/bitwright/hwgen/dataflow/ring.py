"""Ownership of the output banks, from the start of an image to the host's release."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.dataflow.memories import Buffer
from bitwright.targets.host_interface import STATUS_COUNT_MASK


class Banks(wiring.Component):
    """A ring of banks. An image takes its bank when it starts, so that it need never wait.

    Args:
        banks: a power of two.

    Members:
        run: 0 drops the images that are under way.
        start, publish, release: one cycle each: an image starts; its result is whole; the host is
            done with the oldest whole one. `release` without one does nothing.
        free: an image may start.
        busy: one is under way.
        write_bank, read_bank: of the next result, of the oldest whole one.
        shown: number of whole ones, as far as the status register can show it.
        cycles: of the oldest whole one, from `start` to `publish`.
        inferences: results published so far.
    """

    def __init__(self, *, banks: int) -> None:
        self.bits = (banks - 1).bit_length()
        self.banks = banks
        super().__init__(
            {
                "run": In(1),
                "start": In(1),
                "publish": In(1),
                "release": In(1),
                "free": Out(1),
                "busy": Out(1),
                "write_bank": Out(self.bits),
                "read_bank": Out(self.bits),
                "shown": Out(2),
                "cycles": Out(32),
                "inferences": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # How many images, modulo twice the banks.
        started, published, released = (
            Signal(self.bits + 1, name=name) for name in ("started", "published", "released")
        )
        whole, taken = Signal(self.bits + 1), Signal(self.bits + 1)
        now = Signal(32)
        m.submodules.starts = starts = Buffer(width=32, depth=self.banks)
        m.submodules.lengths = lengths = Buffer(width=32, depth=self.banks)
        m.d.comb += [
            whole.eq(published - released),
            taken.eq(started - released),
            self.free.eq(taken != self.banks),
            self.busy.eq(started != published),
            self.write_bank.eq(published),
            self.read_bank.eq(released),
            self.shown.eq(Mux(whole > STATUS_COUNT_MASK, STATUS_COUNT_MASK, whole)),
            starts.write_enable.eq(self.start),
            starts.write_address.eq(started),
            starts.write_data.eq(now),
            starts.read_address.eq(published),
            lengths.write_enable.eq(self.publish),
            lengths.write_address.eq(published),
            lengths.write_data.eq(now - starts.read_data),
            lengths.read_address.eq(released),
            self.cycles.eq(lengths.read_data),
        ]
        m.d.sync += [
            now.eq(now + 1),
            started.eq(Mux(self.run, started + self.start, published)),
            published.eq(published + self.publish),
            released.eq(released + (self.release & (whole != 0))),
            self.inferences.eq(self.inferences + self.publish),
        ]
        return m
