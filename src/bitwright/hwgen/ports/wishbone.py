"""Wishbone B4 slave in front of the internal host port."""

from amaranth.hdl import C, Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, Signature

from bitwright.hwgen.host import HostSignature
from bitwright.hwgen.structure import Structure
from bitwright.targets.host_interface import ADDRESS_BITS


def wishbone_signature() -> Signature:
    """Signature of a 32-bit Wishbone B4 bus, seen from the master; `adr` counts words."""
    return Signature(
        {
            "cyc": Out(1),
            "stb": Out(1),
            "we": Out(1),
            "adr": Out(ADDRESS_BITS - 2),
            "sel": Out(4),
            "dat_w": Out(32),
            "dat_r": In(32),
            "ack": In(1),
            "err": In(1),
            "stall": In(1),
        }
    )


class WishboneBridge(wiring.Component):
    """Serves pipelined masters, and classic ones that do not look at `stall`.

    One transfer is under way at a time. `stall` is high from the cycle after a request was taken
    to the cycle of its `ack`, so a classic master, which holds `stb` until `ack`, is never taken
    to ask twice. A write with some of `sel` low is answered with `err` and changes nothing.
    When the master drops `cyc`, the transfer under way still happens, without an answer.

    Wishbone B4 specification (OpenCores, 2010), sections 3.1.3 and 5.2.
    """

    def __init__(self) -> None:
        super().__init__({"bus": In(wishbone_signature()), "host": Out(HostSignature())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus, host = self.bus, self.host
        wanted = Signal()
        data = Signal(32)
        m.d.comb += bus.dat_r.eq(data)
        m.d.sync += wanted.eq(wanted & bus.cyc)

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [  # a request or not: `stb` comes late, from afar
                    host.addr.eq(Cat(C(0, 2), bus.adr)),
                    host.we.eq(bus.we),
                    host.wdata.eq(bus.dat_w),
                ]
                with m.If(bus.cyc & bus.stb):
                    m.d.sync += wanted.eq(1)
                    with m.If(bus.we & ~bus.sel.all()):
                        m.next = "REFUSE"
                    with m.Else():
                        m.next = "TRANSFER"
            with m.State("TRANSFER"):
                m.d.comb += [bus.stall.eq(1), host.stb.eq(1)]
                with m.If(host.ack):
                    m.d.sync += data.eq(host.rdata)
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += [bus.stall.eq(1), bus.ack.eq(wanted & bus.cyc)]
                m.next = "IDLE"
            with m.State("REFUSE"):
                m.d.comb += [bus.stall.eq(1), bus.err.eq(wanted & bus.cyc)]
                m.next = "IDLE"
        return m


def resources() -> Structure:
    """The same on every machine."""
    return Structure(lut={"bridges": 15}, ff={"bridges": 94})
