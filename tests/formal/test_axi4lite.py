"""The AXI4-Lite bridge: every transfer is carried out once and answered once, reads and writes."""

from amaranth.hdl import Assert, Assume, Cat, Elaboratable, Module, Mux, Signal, Value
from proof import Proof, refuted
from tokens import free, held, slow_host, within

from bitwright.hwgen.ports.axi4lite import OKAY, SLVERR, Axi4LiteBridge


class Direction:
    """The transfers of one direction, as the bus and the host see them.

    Attributes:
        waiting: a whole request has been taken and its answer has not begun.
    """

    def __init__(
        self, m: Module, *, host_turn: Value, served: Value, parts: list[tuple[Value, Value]],
        other_begins: Value, host_busy: Value, good: Value, valid: Value, ready: Value,
        response: Value, name: str,
    ) -> None:  # fmt: skip
        """
        Args:
            host_turn: the host port carries a request of this direction.
            served: the host answers it.
            parts: handshake and `ready` of each channel that a request comes in.
            other_begins: a transfer of the other direction begins on the host port.
            host_busy: the host port carries any request.
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
            Assert(~done | begins),
            Assert(~host_turn | whole & good & ~done & ~valid),
            Assert(held(m, valid=valid, ready=ready, payload=response, name=f"{name}_answer")),
        ]
        # Never stuck, and not passed over: while it waits for nothing but the host port, at most
        # one transfer of the other direction is carried out.
        due = self.waiting & ~valid
        passed = Signal(2, name=f"{name}_passed_over")
        m.d.sync += passed.eq(Mux(due, passed + other_begins, 0))
        m.d.comb += [Assert(within(m, due & ~host_busy, 2, name=name)), Assert(passed <= 1)]


class Bridge(Elaboratable):
    """A master that keeps the rules of AXI and a host, both at any speed."""

    def __init__(self, bridge: Axi4LiteBridge) -> None:
        self._bridge = bridge

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.bridge = bridge = self._bridge
        bus, host = bridge.bus, bridge.host
        kept: dict[str, Signal] = {}
        accepted: dict[str, Value] = {}
        for channel, payload in (
            ("aw", ("awaddr",)),
            ("w", ("wdata", "wstrb")),
            ("ar", ("araddr",)),
        ):
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
        m.d.comb += [bus.bready.eq(free(m, name="bready")), bus.rready.eq(free(m, name="rready"))]
        served = slow_host(m, host)
        read = Signal(32)
        with m.If(served):
            m.d.sync += read.eq(host.rdata)

        before = Signal()
        m.d.sync += before.eq(host.stb)
        began = host.stb & ~before
        Direction(
            m,
            other_begins=began & ~host.we,
            host_busy=host.stb,
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
            other_begins=began & host.we,
            host_busy=host.stb,
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
        # What makes the proof inductive: the bridge has kept the requests that it has not answered.
        for channel, mine in (
            ("aw", (bridge.write_address, bridge.write_aligned)),
            ("ar", (bridge.read_address, bridge.read_aligned)),
        ):
            address = kept[channel]
            m.d.comb += Assert(
                getattr(bus, f"{channel}ready")
                | ((mine[0] == address[2:]) & (mine[1] == (address[:2] == 0)))
            )
        m.d.comb += Assert(
            bus.wready
            | (bridge.write_data == kept["w"][:32])
            & (bridge.write_complete == kept["w"][32:].all())
        )
        fresh, read_last = Signal(), Signal()
        m.d.sync += [fresh.eq(bus.rvalid & ~bus.rready), read_last.eq(served & ~host.we)]
        m.d.comb += Assert(~(bus.rvalid & ~fresh & read_last) | (bus.rdata == read))
        return m


def test_axi4lite_bridge(prove) -> None:
    prove(
        "Axi4LiteBridge",
        Proof(
            claim="each transfer is carried out once and answered once; neither direction waits",
            spec=lambda: Bridge(Axi4LiteBridge()),
            depth=5,
            invariants=(
                "(= [spec.bridge.host__stb] (not (= [spec.bridge.fsm_state] #b00)))",
                "(=> [spec.bridge.host__stb] "
                "(= [spec.bridge.fsm_state] (ite [spec.bridge.host__we] #b01 #b10)))",
            ),
        ),
        *refuted(
            lambda unit: Bridge(unit()),
            Axi4LiteBridge,
            14,
            (
                "a read is passed over",
                "have_read_address & ~bus.rvalid",
                "have_read_address & ~bus.rvalid & ~have_write_address",
            ),
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
        ),
    )
