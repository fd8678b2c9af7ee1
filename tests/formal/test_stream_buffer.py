"""The buffer between two streams."""

from amaranth.hdl import Assert, Assume, Cover, Elaboratable, Module
from proof import Proof, refuted
from tokens import Marked, free, held, in_order

from bitwright.hwgen.stream_buffer import StreamBuffer


class Queue(Elaboratable):
    """A source that keeps the rule of streams, and a sink of any speed."""

    def __init__(self, buffer: StreamBuffer) -> None:
        self._buffer = buffer

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.buffer = buffer = self._buffer
        i, o = buffer.i, buffer.o
        m.d.comb += [
            i.valid.eq(free(m, name="valid")),
            i.payload.eq(free(m, 2, name="payload")),
            o.ready.eq(free(m, name="ready")),
            Assume(held(m, valid=i.valid, ready=i.ready, payload=i.payload, name="source")),
            Assert(held(m, valid=o.valid, ready=o.ready, payload=o.payload, name="sink")),
            Assert(buffer.level <= len(buffer.slots)),
            Assert(i.ready | o.valid),
        ]
        came = Marked(m, transfer=i.valid & i.ready, mark=i.payload, name="came")
        went = Marked(m, transfer=o.valid & o.ready, mark=o.payload, name="went")
        came.assume(m, i.valid & i.ready)
        went.check(m, o.valid & o.ready)
        in_order(m, came, went, [(buffer.level > n, slot) for n, slot in enumerate(buffer.slots)])
        m.d.comb += Cover((buffer.level == len(buffer.slots)) & (came.seen == 2))
        return m


def test_stream_buffer(prove) -> None:
    prove(
        "StreamBuffer",
        *(
            Proof(
                claim=f"{depth} elements: none is lost, comes twice or overtakes; never stuck",
                spec=lambda depth=depth: Queue(StreamBuffer(width=2, depth=depth)),
                depth=2,
            )
            for depth in (2, 3, 4)
        ),
        Proof(
            claim="it is full, with both marks in it",
            spec=lambda: Queue(StreamBuffer(width=2, depth=4)),
            depth=8,
            method="reachable",
        ),
        *refuted(
            lambda unit: Queue(unit(width=2, depth=4)),
            StreamBuffer,
            8,
            ("takes one too many", "self.level != self._depth", "self.level <= self._depth"),
            (
                "puts it into the wrong place",
                "free.eq(self.level - pop)",
                "free.eq(self.level)",
            ),
            ("gives one twice", "with m.If(pop):", "with m.If(pop & ~push):"),
        ),
    )
