"""The Wishbone bridge: a request is answered once, never lost or carried out twice."""

from amaranth.hdl import Assert, Cat, Elaboratable, Module, Signal
from proof import Proof, refuted
from tokens import free, slow_host

from bitwright.hwgen.ports.wishbone import WishboneBridge

SLOWEST = 2  # cycles that the host port waits
ANSWERED = SLOWEST + 3  # a request is, at the latest


class Bridge(Elaboratable):
    """Any master, pipelined or classic, that may drop `cyc` at any time; any host."""

    def __init__(self, bridge: WishboneBridge) -> None:
        self._bridge = bridge

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.bridge = bridge = self._bridge
        bus, host = bridge.bus, bridge.host
        for name in ("cyc", "stb", "we", "adr", "sel", "dat_w"):
            signal = getattr(bus, name)
            m.d.comb += signal.eq(free(m, len(signal), name=name))
        served = slow_host(m, host, SLOWEST)

        taken, answer = Signal(), Signal()
        pending, whole = Signal(), Signal()  # a request waits for its answer; all of `sel`
        owed, read = Signal(), Signal(32)  # the host has not seen it yet; what the host answered
        request = Cat(bus.adr, bus.we, bus.dat_w)
        kept = Signal.like(request)
        age, stalled = Signal(4), Signal(4)
        m.d.comb += [taken.eq(bus.cyc & bus.stb & ~bus.stall), answer.eq(bus.ack | bus.err)]
        m.d.sync += [
            pending.eq((taken | pending & ~answer) & (taken | bus.cyc)),
            age.eq((age + 1) & (pending & ~answer).replicate(4)),
            stalled.eq((stalled + 1) & bus.stall.replicate(4)),
        ]
        with m.If(taken):
            m.d.sync += [kept.eq(request), whole.eq(~bus.we | bus.sel.all())]
            m.d.sync += owed.eq(~bus.we | bus.sel.all())
        with m.If(served):
            m.d.sync += [owed.eq(0), read.eq(host.rdata)]
        m.d.comb += [
            Assert(~taken | ~owed & (~pending | answer)),
            Assert(~answer | pending),
            Assert(~bus.ack | whole & ~owed),
            Assert(~bus.err | ~whole),
            Assert(~bus.ack | kept[26] | (bus.dat_r == read)),
            Assert(host.stb == owed),
            Assert(~host.stb | (Cat(host.addr[2:], host.we, host.wdata) == kept)),
            Assert(host.addr[:2] == 0),
            Assert(age <= ANSWERED),
            Assert(stalled <= ANSWERED),
        ]
        return m


def test_wishbone_bridge(prove) -> None:
    prove(
        "WishboneBridge",
        Proof(
            claim="a request is carried out once and answered once, within a bound",
            spec=lambda: Bridge(WishboneBridge()),
            depth=8,
        ),
        *refuted(
            lambda unit: Bridge(unit()),
            WishboneBridge,
            12,
            (
                "a broken cycle is answered in the next",
                "wanted.eq(wanted & bus.cyc)",
                "wanted.eq(wanted)",
            ),
            (
                "a partial write is carried out",
                "with m.If(bus.we & ~bus.sel.all()):",
                "with m.If(bus.we & ~bus.sel.any()):",
            ),
            (
                "a request is taken while one is under way",
                "[bus.stall.eq(1), host.stb.eq(1)]",
                "[bus.stall.eq(0), host.stb.eq(1)]",
            ),
        ),
    )
