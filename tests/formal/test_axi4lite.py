"""The AXI4-Lite bridge: every transfer is carried out once and answered once, reads and writes."""

from amaranth.hdl import Assert, Assume, Cat, Elaboratable, Module, Mux, Signal, Value
from proof import Proof, broken
from tokens import free, held, slow_host

from bitwright.hwgen.ports.axi4lite import OKAY, SLVERR, Axi4LiteBridge

SLOWEST = 1  # cycles that the host port and the master's `ready` wait
# A write waits for the answer before it to be taken, for a read that goes first, for the host.
ANSWERED = 3 * (SLOWEST + 2) + 1


class Direction:
    """The transfers of one direction, as the bus and the host see them.

    Attributes:
        waiting: a whole request has been taken and its answer has not begun.
    """

    def __init__(
        self, m: Module, *, host_turn: Value, served: Value, parts: list[tuple[Value, Value]],
        good: Value, valid: Value, ready: Value, response: Value, name: str,
    ) -> None:  # fmt: skip
        """
        Args:
            host_turn: the host port carries a request of this direction.
            served: the host answers it.
            parts: handshake and `ready` of each channel that a request comes in.
            good: the request that waits is of a whole aligned word.
        """
        answering = Signal(name=f"{name}_answering")  # in the cycle before, and not taken
        begins = Signal(name=f"{name}_begins")
        done = Signal(name=f"{name}_done")  # the host has carried it out
        m.d.sync += answering.eq(valid & ~ready)
        m.d.comb += begins.eq(valid & ~answering)
        taken = [Signal(name=f"{name}_taken{number}") for number in range(len(parts))]
        for kept, (handshake, accepts) in zip(taken, parts, strict=True):
            m.d.sync += kept.eq(kept & ~begins | handshake)
            m.d.comb += Assert(accepts == (~kept | begins))
        m.d.sync += done.eq((done | served) & ~begins)
        self.waiting = Signal(name=f"{name}_waiting")
        whole = Cat(taken).all()
        m.d.comb += [
            self.waiting.eq(whole & ~begins),
            Assert(~begins | whole),
            Assert(~begins | (good & done & (response == OKAY)) | (~good & (response == SLVERR))),
            Assert(~done | good),
            Assert(~host_turn | whole & good & ~done & ~valid),
            Assert(held(m, valid=valid, ready=ready, payload=response, name=f"{name}_answer")),
        ]
        age = Signal(range(ANSWERED + 2), name=f"{name}_age")
        m.d.sync += age.eq(Mux(self.waiting, age + 1, 0))
        m.d.comb += Assert(age <= ANSWERED)


class Bridge(Elaboratable):
    """A master that keeps the rules of AXI and takes answers in time; a host that answers so."""

    def __init__(self, bridge: Axi4LiteBridge) -> None:
        self._bridge = bridge

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.bridge = bridge = self._bridge
        bus, host = bridge.bus, bridge.host
        kept: dict[str, Signal] = {}
        accepted: dict[str, Value] = {}
        for channel, payload in (("aw", ("awaddr",)), ("w", ("wdata", "wstrb")), ("ar", ("araddr",))):
            valid, ready = getattr(bus, f"{channel}valid"), getattr(bus, f"{channel}ready")
            m.d.comb += valid.eq(free(m, name=f"{channel}valid"))
            for name in payload:
                signal = getattr(bus, name)
                m.d.comb += signal.eq(free(m, len(signal), name=name))
            offer = Cat(getattr(bus, name) for name in payload)
            m.d.comb += Assume(held(m, valid=valid, ready=ready, payload=offer, name=channel))
            accepted[channel] = valid & ready
            kept[channel] = Signal.like(offer, name=f"{channel}_kept")
            with m.If(accepted[channel]):
                m.d.sync += kept[channel].eq(offer)
        for channel in ("b", "r"):
            valid, ready = getattr(bus, f"{channel}valid"), getattr(bus, f"{channel}ready")
            m.d.comb += ready.eq(free(m, name=f"{channel}ready"))
            waits = Signal(range(SLOWEST + 2), name=f"{channel}_waits")
            m.d.sync += waits.eq(Mux(valid & ~ready, waits + 1, 0))
            m.d.comb += Assume(waits <= SLOWEST)
        served = slow_host(m, host, SLOWEST)
        read = Signal(32)
        with m.If(served):
            m.d.sync += read.eq(host.rdata)

        Direction(
            m,
            host_turn=host.stb & host.we,
            served=served & host.we,
            parts=[(accepted["aw"], bus.awready), (accepted["w"], bus.wready)],
            good=(kept["aw"][:2] == 0) & kept["w"][32:].all(),
            valid=bus.bvalid,
            ready=bus.bready,
            response=bus.bresp,
            name="write",
        )
        Direction(
            m,
            host_turn=host.stb & ~host.we,
            served=served & ~host.we,
            parts=[(accepted["ar"], bus.arready)],
            good=kept["ar"][:2] == 0,
            valid=bus.rvalid,
            ready=bus.rready,
            response=bus.rresp,
            name="read",
        )
        m.d.comb += [
            Assert(~(host.stb & host.we) | (host.addr == kept["aw"])),
            Assert(~(host.stb & host.we) | (host.wdata == kept["w"][:32])),
            Assert(~(host.stb & ~host.we) | (host.addr == kept["ar"])),
            Assert(held(m, valid=bus.rvalid, ready=bus.rready, payload=bus.rdata, name="rdata")),
        ]
        fresh, read_last = Signal(), Signal()
        m.d.sync += [fresh.eq(bus.rvalid & ~bus.rready), read_last.eq(served & ~host.we)]
        m.d.comb += Assert(~(bus.rvalid & ~fresh & read_last) | (bus.rdata == read))
        return m


def test_axi4lite_bridge(prove) -> None:
    prove(
        "Axi4LiteBridge",
        Proof(
            claim="each transfer is carried out once and answered once, reads and writes take turns",
            spec=lambda: Bridge(Axi4LiteBridge()),
            depth=14,
        ),
        *(
            Proof(
                claim=claim,
                spec=lambda old=old, new=new: Bridge(broken(Axi4LiteBridge, old, new)()),
                depth=20,
                method="refuted",
            )
            for claim, old, new in (
                ("writes always go first", "write_waits & ~(read_waits & wrote_last)", "write_waits"),
                (
                    "an answer is overwritten",
                    "have_write_address & have_write_data & ~bus.bvalid",
                    "have_write_address & have_write_data",
                ),
                (
                    "an unaligned read is carried out",
                    "read_aligned.eq(bus.araddr[:2] == 0)",
                    "read_aligned.eq(1)",
                ),
            )
        ),
    )
