"""A core for tests of the bus bridges: a memory behind the host port, slow on request."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from bitwright.hwgen.host import HostSignature


class MemoryCore(wiring.Component):
    """Answers each request after a number of cycles that walks from 1 to `slowest`."""

    def __init__(self, *, depth: int = 1024, slowest: int = 5) -> None:
        self._depth = depth
        self._slowest = slowest
        super().__init__({"host": In(HostSignature())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        host = self.host
        m.submodules.memory = memory = Memory(shape=32, depth=self._depth, init=[])
        read = memory.read_port()
        write = memory.write_port()
        wait = Signal(range(self._slowest))
        left = Signal.like(wait)
        m.d.comb += [
            read.addr.eq(host.addr[2:]),
            write.addr.eq(host.addr[2:]),
            write.data.eq(host.wdata),
            host.rdata.eq(read.data),
        ]
        with m.If(host.ack):
            m.d.sync += host.ack.eq(0)
            m.d.sync += wait.eq(wait + 1)
            m.d.sync += left.eq(wait)
        with m.Elif(host.stb & (left == 0)):
            m.d.comb += write.en.eq(host.we)
            m.d.sync += host.ack.eq(1)
        with m.Elif(host.stb):
            m.d.sync += left.eq(left - 1)
        return m


@pytest.fixture(scope="session")
def memory_core() -> type[MemoryCore]:
    """The class `MemoryCore`."""
    return MemoryCore
