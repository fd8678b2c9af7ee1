"""A short queue between two streams."""

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from bitwright.ir.machine import MachineError


class StreamBuffer(wiring.Component):
    """Keeps up to `depth` elements in registers, the oldest in `slots[0]`.

    No input reaches an output in the same cycle: a full buffer that gives an element away takes
    the next one a cycle later, so two elements are enough for one element a cycle.

    Members:
        i, o: streams of `width` bits.
        level: elements in it.
    """

    def __init__(self, *, width: int, depth: int = 2) -> None:
        if depth < 2:
            raise MachineError(
                f"StreamBuffer has depth {depth}; expected at least 2, with which it passes an "
                f"element every cycle"
            )
        self._depth = depth
        self.slots = [Signal(width, name=f"slot{n}", reset_less=True) for n in range(depth)]
        super().__init__(
            {
                "i": In(stream.Signature(width)),
                "o": Out(stream.Signature(width)),
                "level": Out(range(depth + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        push, pop = Signal(), Signal()
        free = Signal.like(self.level)
        m.d.comb += [
            self.i.ready.eq(self.level != self._depth),
            self.o.valid.eq(self.level != 0),
            self.o.payload.eq(self.slots[0]),
            push.eq(self.i.valid & self.i.ready),
            pop.eq(self.o.valid & self.o.ready),
            free.eq(self.level - pop),
        ]
        m.d.sync += self.level.eq(free + push)
        with m.If(pop):
            m.d.sync += [a.eq(b) for a, b in zip(self.slots, self.slots[1:], strict=False)]
        with m.If(push):
            m.d.sync += Array(self.slots)[free].eq(self.i.payload)
        return m
