"""What is shared by specifications: free inputs, and two marked elements in a stream.

A unit that moves data without looking at it treats all values alike. So a queue is proved to keep
every element, once and in order, by following two elements among others: the first marked 1, the
second marked 2, all others 0 (Wolper, "Expressing interesting properties of programs in
propositional temporal logic", POPL 1986).
"""

from collections.abc import Sequence

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Cat, Module, Mux, Signal, Value


def free(m: Module, bits: int = 1, *, name: str) -> Signal:
    """A signal of any value in every cycle."""
    signal = Signal(bits, name=name)
    m.d.comb += signal.eq(AnySeq(bits))
    return signal


class Marked:
    """A stream of marks: 0s with a 1 and later a 2 among them, each once.

    Attributes:
        seen: marks that have passed: 0, 1, or 2 for both.
        legal: the mark of a transfer in this cycle continues the stream.
    """

    def __init__(self, m: Module, *, transfer: Value, mark: Value, name: str) -> None:
        self.seen = Signal(2, name=f"{name}_seen")
        self.legal = Signal(name=f"{name}_legal")
        m.d.comb += self.legal.eq((mark == 0) | ((mark == self.seen + 1) & (mark != 3)))
        with m.If(transfer & (mark != 0)):
            m.d.sync += self.seen.eq(mark)

    def assume(self, m: Module, transfer: Value) -> None:
        """The source of the stream keeps to it."""
        m.d.comb += [Assume(~transfer | self.legal), Assume(self.seen != 3)]

    def check(self, m: Module, transfer: Value) -> None:
        """The sink sees the same: no mark is lost, comes twice or overtakes."""
        m.d.comb += [Assert(~transfer | self.legal), Assert(self.seen != 3)]


def in_order(m: Module, came: Marked, went: Marked, places: Sequence[tuple[Value, Value]]) -> None:
    """Asserts where the marks are that came and have not gone: in `places` (used, content), from
    the oldest to the newest. This is what makes the proof inductive."""
    seen: Value = went.seen
    for number, (used, content) in enumerate(places):
        m.d.comb += Assert(~used | (content == 0) | ((content == seen + 1) & (content != 3)))
        upto = Signal(2, name=f"{went.seen.name}_upto{number}")
        m.d.comb += upto.eq(Mux(used & (content != 0), content, seen))
        seen = upto
    m.d.comb += [Assert(seen == came.seen), Assert(came.seen != 3), Assert(went.seen != 3)]


def held(m: Module, *, valid: Value, ready: Value, payload: Value, name: str) -> Value:
    """Whether a stream keeps its rule: what is offered stays until it is taken."""
    waiting = Signal(name=f"{name}_waiting")
    offered = Signal.like(payload, name=f"{name}_offered")
    m.d.sync += [waiting.eq(valid & ~ready), offered.eq(payload)]
    return ~waiting | (valid & (payload == offered))


def slow_host(m: Module, host: Value, slowest: int | None = None) -> Signal:
    """A core behind the host port that answers a request after at most `slowest` more cycles.

    Also checks that the request holds still. Returns the cycle of the answer.
    """
    m.d.comb += [
        host.ack.eq(free(m, name="host_ack")),
        host.rdata.eq(free(m, 32, name="host_rdata")),
        Assume(host.stb | ~host.ack),
        Assert(
            held(
                m,
                valid=host.stb,
                ready=host.ack,
                payload=Cat(host.addr, host.we, host.wdata),
                name="host",
            )
        ),
    ]
    if slowest is not None:
        m.d.comb += Assume(within(m, host.stb & ~host.ack, slowest, name="host"))
    served = Signal(name="host_served")
    m.d.comb += served.eq(host.stb & host.ack)
    return served


def within(m: Module, waits: Value, slowest: int, *, name: str) -> Value:
    """Whether a wait has never lasted longer than `slowest` cycles at a time."""
    count = Signal(range(slowest + 2), name=f"{name}_count")
    m.d.sync += count.eq(Mux(waits, Mux(count > slowest, count, count + 1), 0))
    return count <= slowest
