"""AXI4-Lite slave in front of the internal host port."""

from amaranth.hdl import C, Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, Signature

from bitwright.hwgen.host import HostSignature
from bitwright.hwgen.structure import Structure
from bitwright.targets.host_interface import ADDRESS_BITS

OKAY = 0b00
SLVERR = 0b10


def axi4lite_signature() -> Signature:
    """Signature of a 32-bit AXI4-Lite bus, seen from the master, with the names of the standard."""
    return Signature(
        {
            "awaddr": Out(ADDRESS_BITS),
            "awvalid": Out(1),
            "awready": In(1),
            "wdata": Out(32),
            "wstrb": Out(4),
            "wvalid": Out(1),
            "wready": In(1),
            "bresp": In(2),
            "bvalid": In(1),
            "bready": Out(1),
            "araddr": Out(ADDRESS_BITS),
            "arvalid": Out(1),
            "arready": In(1),
            "rdata": In(32),
            "rresp": In(2),
            "rvalid": In(1),
            "rready": Out(1),
        }
    )


class Axi4LiteBridge(wiring.Component):
    """One transfer at a time; where a read and a write both wait, they take turns.

    Write address and write data may come in any order. A transfer that is not of a whole word
    (some of `wstrb` low, or an address that is not a multiple of 4) is answered with SLVERR and
    changes nothing. The protection signals are left out, as a slave may.

    AMBA AXI protocol specification (ARM IHI 0022), chapter B1.

    Attributes:
        write_address, write_data, read_address: of the requests that wait; addresses count words.
        write_complete, write_aligned, read_aligned: whether they are of whole words.
    """

    def __init__(self) -> None:
        self.write_address, self.read_address = (
            Signal(ADDRESS_BITS - 2, name=name) for name in ("write_address", "read_address")
        )
        self.write_data = Signal(32)
        self.write_complete, self.write_aligned, self.read_aligned = (
            Signal(name=name) for name in ("write_complete", "write_aligned", "read_aligned")
        )
        super().__init__({"bus": In(axi4lite_signature()), "host": Out(HostSignature())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus, host = self.bus, self.host
        have_write_address = Signal()
        have_write_data = Signal()
        have_read_address = Signal()

        m.d.comb += [
            bus.awready.eq(~have_write_address),
            bus.wready.eq(~have_write_data),
            bus.arready.eq(~have_read_address),
        ]
        with m.If(bus.awvalid & bus.awready):
            m.d.sync += [
                have_write_address.eq(1),
                self.write_address.eq(bus.awaddr[2:]),
                self.write_aligned.eq(bus.awaddr[:2] == 0),
            ]
        with m.If(bus.wvalid & bus.wready):
            m.d.sync += [
                have_write_data.eq(1),
                self.write_data.eq(bus.wdata),
                self.write_complete.eq(bus.wstrb.all()),
            ]
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += [
                have_read_address.eq(1),
                self.read_address.eq(bus.araddr[2:]),
                self.read_aligned.eq(bus.araddr[:2] == 0),
            ]

        # Neither direction is passed over: its transfer is followed by its answer, during which it
        # does not wait and the other one begins.
        write_waits = have_write_address & have_write_data & ~bus.bvalid
        read_waits = have_read_address & ~bus.rvalid
        with m.If(bus.bvalid & bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        with m.If(bus.rvalid & bus.rready):
            m.d.sync += bus.rvalid.eq(0)

        with m.FSM():
            with m.State("IDLE"):
                with m.If(write_waits):
                    m.d.sync += [
                        host.addr.eq(Cat(C(0, 2), self.write_address)),
                        host.we.eq(1),
                        host.wdata.eq(self.write_data),
                    ]
                    with m.If(self.write_complete & self.write_aligned):
                        m.next = "WRITE"
                    with m.Else():
                        m.d.sync += [
                            have_write_address.eq(0),
                            have_write_data.eq(0),
                            bus.bvalid.eq(1),
                            bus.bresp.eq(SLVERR),
                        ]
                with m.Elif(read_waits):
                    m.d.sync += [
                        host.addr.eq(Cat(C(0, 2), self.read_address)),
                        host.we.eq(0),
                    ]
                    with m.If(self.read_aligned):
                        m.next = "READ"
                    with m.Else():
                        m.d.sync += [
                            have_read_address.eq(0),
                            bus.rvalid.eq(1),
                            bus.rresp.eq(SLVERR),
                        ]
            with m.State("WRITE"):
                m.d.comb += host.stb.eq(1)
                with m.If(host.ack):
                    m.d.sync += [
                        have_write_address.eq(0),
                        have_write_data.eq(0),
                        bus.bvalid.eq(1),
                        bus.bresp.eq(OKAY),
                    ]
                    m.next = "IDLE"
            with m.State("READ"):
                m.d.comb += host.stb.eq(1)
                with m.If(host.ack):
                    m.d.sync += [
                        have_read_address.eq(0),
                        bus.rvalid.eq(1),
                        bus.rresp.eq(OKAY),
                        bus.rdata.eq(host.rdata),
                    ]
                    m.next = "IDLE"
        return m


def resources() -> Structure:
    """The same on every machine."""
    return Structure(lut={"bridges": 65}, ff={"bridges": 187})
