"""The buffer in front of a stage: words of a stream in, in whatever order the steps read them."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.dataflow.loopnest import LoopNest
from bitwright.hwgen.dataflow.loops import Reads
from bitwright.hwgen.dataflow.memories import Buffer
from bitwright.hwgen.dataflow.schedule import Buffer as BufferTimes


class Window(wiring.Component):
    """Keeps the words that steps still read, and says whether the next step's word is there.

    A word that arrives in one cycle can be read by a step from the next on. There is no guard:
    the schedule proves that no word is overwritten before its last read.

    Args:
        own: which words the steps read.
        times: depth of the buffer.
        gate: word of each image that step 0 waits for, or None.
        bits: of one channel.
        pad_value: of every channel outside of the image.

    Members:
        valid, word: the stream of the producer.
        ready: the next step has its operands.
        go: it runs in this cycle.
        operands: `lanes` channels, `latencies.OPERANDS` cycles after `go`.
    """

    def __init__(
        self, *, own: Reads, times: BufferTimes, gate: int | None, bits: int, pad_value: int
    ) -> None:
        self.own, self.times, self.gate = own, times, gate
        self.bits, self.pad_value = bits, pad_value
        super().__init__(
            {
                "valid": In(1),
                "word": In(own.source_lanes * bits),
                "ready": Out(1),
                "go": In(1),
                "operands": Out(own.lanes * bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        own, times = self.own, self.times
        valid, word = self._gather(m)
        m.submodules.loops = loops = LoopNest(own=own, index_bits=times.index_bits)
        m.submodules.buffer = buffer = Buffer(width=len(word), depth=times.words)
        written = Signal(times.index_bits)
        with m.If(valid):
            m.d.sync += written.eq(written + 1)
        behind = Signal(times.index_bits)  # words that the next step's word is followed by
        m.d.comb += [
            loops.go.eq(self.go),
            buffer.write_enable.eq(valid),
            buffer.write_address.eq(written),
            buffer.write_data.eq(word),
            buffer.read_address.eq(loops.index),
            behind.eq(written + ~loops.index),
        ]
        present = ~behind[-1] | loops.pad if own.pads else ~behind[-1]
        if self.gate is not None:
            present = Mux(loops.begins, self._open(m, valid, self.go & loops.begins), present)
        m.d.comb += self.ready.eq(present)

        read: Value = buffer.read_data
        if own.parts > 1:
            part = Signal.like(loops.part, name="part_read", reset_less=True)
            m.d.sync += part.eq(loops.part)
            read = read.word_select(part, len(self.operands))
        if own.pads:
            pad = Signal(name="pad_read", reset_less=True)
            m.d.sync += pad.eq(loops.pad)
            channel = Const(self.pad_value % (1 << self.bits), self.bits)
            read = Mux(pad, channel.replicate(own.lanes), read)
        operands = Signal(len(self.operands), name="operands_read", reset_less=True)
        m.d.sync += operands.eq(read)
        m.d.comb += self.operands.eq(operands)
        return m

    def _gather(self, m: Module) -> tuple[Value, Value]:
        """Several narrow words make a buffer word, which is there with the last of them."""
        if self.own.gather == 1:
            return self.valid, self.word
        kept = Signal(len(self.word) * (self.own.gather - 1), reset_less=True)
        count = Signal(range(self.own.gather), name="gathered")
        last = count == self.own.gather - 1
        whole = Cat(kept, self.word)
        with m.If(self.valid):
            m.d.sync += [kept.eq(whole[len(self.word) :]), count.eq(Mux(last, 0, count + 1))]
        return self.valid & last, whole

    def _open(self, m: Module, valid: Value, begin: Value) -> Value:
        """Whether an image that is not begun yet has got as far as its gate."""
        count = Signal(range(max(self.own.words, 2)), name="word_of_image")
        opened = Signal(2)
        with m.If(valid):
            m.d.sync += count.eq(Mux(count == self.own.words - 1, 0, count + 1))
        m.d.sync += opened.eq(opened + (valid & (count == self.gate)) - begin)
        return opened != 0
