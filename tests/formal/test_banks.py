"""Ping-pong banks: tokens and what they guard."""

from amaranth.hdl import Array, Assert, Cat, Cover, Elaboratable, Module, Signal
from proof import Proof, refuted
from tokens import Marked, free, in_order

from bitwright.hwgen.banks import PingPong


class Banks(Elaboratable):
    """A writer and a reader of any speed, and two banks of one mark each.

    An element is a bank's whole content. The writer may write as long as it owns a bank, the reader
    reads in the cycle of `drain`.
    """

    def __init__(self, banks: PingPong) -> None:
        self._banks = banks

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.banks = banks = self._banks
        content = Array(Signal(2, name=f"bank{number}") for number in range(2))
        mark, write = free(m, 2, name="mark"), free(m, name="write")
        fill, drain = free(m, name="fill"), free(m, name="drain")
        m.d.comb += [banks.fill.eq(fill), banks.drain.eq(drain)]
        filled, drained = Signal(), Signal()
        m.d.comb += [filled.eq(fill & (banks.full != 2)), drained.eq(drain & (banks.full != 0))]
        with m.If((write | filled) & (banks.full != 2)):
            m.d.sync += content[banks.write_bank].eq(mark)

        came = Marked(m, transfer=filled, mark=mark, name="came")
        went = Marked(m, transfer=drained, mark=content[banks.read_bank], name="went")
        came.assume(m, filled)
        went.check(m, drained)
        in_order(
            m,
            came,
            went,
            [
                (banks.full != 0, content[banks.read_bank]),
                (banks.full == 2, content[~banks.read_bank]),
            ],
        )
        m.d.comb += [
            Assert(banks.full <= 2),
            Assert((banks.full == 1) == (banks.write_bank != banks.read_bank)),
        ]
        # Someone can always go on.
        count = Signal(2)
        m.d.sync += count.eq(banks.full + filled - drained)
        m.d.comb += Assert(count == banks.full)
        m.d.comb += Cover(Cat(banks.full == 2, went.seen == 2).all())
        return m


def test_ping_pong(prove) -> None:
    prove(
        "PingPong",
        Proof(
            claim="every full bank is read once, in order; never stuck",
            spec=lambda: Banks(PingPong()),
            depth=2,
        ),
        Proof(
            claim="both marks pass",
            spec=lambda: Banks(PingPong()),
            depth=6,
            method="reachable",
        ),
        *refuted(
            lambda unit: Banks(unit()),
            PingPong,
            8,
            ("filling both banks again", "self.fill & ~self.full[1]", "self.fill"),
            ("draining no bank", "self.drain & (self.full != 0)", "self.drain"),
            ("the reader stays", "self.read_bank ^ drained", "self.read_bank"),
        ),
    )
