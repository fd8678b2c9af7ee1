"""The host's way into external memory, beside the machine's."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.host import HostSignature
from bitwright.hwgen.ports.memory_port import MemoryPortSignature, ReadPortSignature
from bitwright.hwgen.structure import Structure
from bitwright.ir.machine import MEMORY_BITS
from bitwright.targets.host_interface import EXTERNAL_BASE


class MemoryWindow(wiring.Component):
    """Requests to addresses from `EXTERNAL_BASE` on read and write external memory, one word each;
    all others go to the core.

    The core's commands pass unchanged in the same cycle, but wait while a request of the host is
    carried out. In memory the host's request is the next one: a host that lets less than the time
    of a word pass after each write can keep the core waiting.

    Args:
        address_bits, words_bits: of the memory's port.

    Members:
        host: the bridge's requests.
        core: what of them is the core's.
        weights: the core's memory; it takes every word at once.
        port: for a master.

    Attributes:
        asks, waits, answer: a request of the host's to memory waits to be taken; for the word that
            it reads; is answered.
    """

    def __init__(self, *, address_bits: int, words_bits: int) -> None:
        self.asks, self.waits, self.answer = (
            Signal(name=name) for name in ("asks", "waits", "answer")
        )
        sizes = {"data_bits": MEMORY_BITS, "address_bits": address_bits, "words_bits": words_bits}
        super().__init__(
            {
                "host": In(HostSignature()),
                "core": Out(HostSignature()),
                "weights": In(ReadPortSignature(**sizes)),
                "port": Out(MemoryPortSignature(**sizes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        host, core, weights, port = self.host, self.core, self.weights, self.port
        mine, asks, waits, answer = Signal(name="mine"), self.asks, self.waits, self.answer
        word = Signal(MEMORY_BITS, reset_less=True)
        m.d.comb += [
            mine.eq(host.addr & EXTERNAL_BASE != 0),
            core.stb.eq(host.stb & ~mine),
            core.addr.eq(host.addr),
            core.we.eq(host.we),
            core.wdata.eq(host.wdata),
            host.ack.eq(core.ack | answer),
            host.rdata.eq(Mux(answer, word, core.rdata)),
            # The buffer for written words is empty whenever a command can be taken.
            port.command.valid.eq(asks | weights.command.valid),
            port.command.payload.eq(weights.command.payload),
            weights.command.ready.eq(port.command.ready & ~asks),
            port.write_data.valid.eq(asks & port.command.ready & host.we),
            port.write_data.payload.eq(host.wdata),
            weights.read_data.valid.eq(port.read_data.valid & ~waits),
            weights.read_data.payload.eq(port.read_data.payload),
            port.read_data.ready.eq(waits | weights.read_data.ready),
            weights.failed.eq(port.failed),
        ]
        with m.If(asks):
            m.d.comb += [
                port.command.payload.address.eq((host.addr & (EXTERNAL_BASE - 1)) >> 2),
                port.command.payload.words.eq(1),
                port.command.payload.write.eq(host.we),
            ]
        taken, came = Signal(), Signal()
        m.d.comb += [taken.eq(asks & port.command.ready), came.eq(waits & port.read_data.valid)]
        m.d.sync += [
            asks.eq(host.stb & mine & ~(taken | waits | answer)),
            waits.eq((waits & ~came) | (taken & ~host.we)),
            answer.eq(came | (taken & host.we)),
            word.eq(port.read_data.payload),
        ]
        return m


def resources(address_bits: int) -> Structure:
    """The choice between two commands and two answers; a word."""
    return Structure(
        lut={"windows": 20, "choices": address_bits + MEMORY_BITS},
        ff={"windows": 3, "words": MEMORY_BITS},
    )
