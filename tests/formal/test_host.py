"""The host port: a request is answered once, in its stated time, and reaches its memory once, two
cycles after its answer."""

from amaranth.hdl import Assert, Assume, Cat, Elaboratable, Module, Mux, Signal
from proof import Proof, refuted
from tokens import free, held

from bitwright.hwgen.delayed import delayed
from bitwright.hwgen.host import HostMemory, HostPort
from bitwright.targets.host_interface import WINDOW_SHIFT, Window

WRITE_CYCLES, READ_CYCLES = 2, 6
DONE = 2  # cycles from the answer of a write until it is done
MEMORIES = {
    Window.PARAMS: HostMemory(Window.PARAMS, 72, 3),
    Window.TABLES: HostMemory(Window.TABLES, 40, 2),
    Window.INPUT: HostMemory(Window.INPUT, 16, 6),
    Window.OUTPUT: HostMemory(Window.OUTPUT, 40, 4),
}


class Requests(Elaboratable):
    """A requester that keeps the rule of the port: it holds its request until the answer."""

    def __init__(self, port: HostPort) -> None:
        self._port = port

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.port = port = self._port
        host = port.host
        for name in ("stb", "we", "addr", "wdata"):
            signal = getattr(host, name)
            m.d.comb += signal.eq(free(m, len(signal), name=name))
        request = Cat(host.we, host.addr, host.wdata)
        m.d.comb += Assume(held(m, valid=host.stb, ready=host.ack, payload=request, name="request"))
        cycles, early = Signal(range(READ_CYCLES + 1)), Signal(64)
        m.d.sync += cycles.eq(Mux(host.stb & ~host.ack, cycles + 1, 0))
        due = Mux(host.we, WRITE_CYCLES, READ_CYCLES)
        m.d.comb += [
            Assert(host.ack == (host.stb & (cycles + 1 == due))),
            Assert(cycles < due),
        ]
        answered = delayed(m, host.ack & host.we, DONE, "answered")
        address = delayed(m, host.addr, DONE, "address").as_unsigned()
        word = delayed(m, host.wdata, DONE, "written_word")
        offset = address[2:WINDOW_SHIFT]
        m.d.comb += Assert(port.early == early)
        for window, memory in MEMORIES.items():
            if window == Window.OUTPUT:
                continue
            last = answered & (address[WINDOW_SHIFT:] == window)
            part, row = offset[: memory.slice_bits], offset[memory.slice_bits :]
            data = word
            if memory.slices > 1:
                with m.If(last & (part < memory.slices - 1)):
                    m.d.sync += early.eq(Cat(early[32:], word))
                last &= part == memory.slices - 1
                data = Cat(early[len(early) - 32 * (memory.slices - 1) :], word)
            bits = (memory.depth - 1).bit_length()
            written = getattr(port, f"write_{window.name.lower()}")
            m.d.comb += [
                Assert(written == (last & ~row[bits:].any())),
                Assert(~written | (port.word_address(window) == row[:bits])),
                Assert(~written | (port.data(window) == data[: memory.width])),
            ]
        return m


def port(unit: type = HostPort) -> Requests:
    return Requests(unit(memories=MEMORIES, fingerprint=1))


def test_host_port(prove) -> None:
    prove(
        "HostPort",
        Proof(
            claim="a request is answered once, in its time; a write reaches its memory once",
            spec=port,
            depth=8,
            invariants=(
                "(=> [spec.port.serve] (= [spec.request_offered] (concat [spec.port.asked_word] "
                "[spec.port.asked_address] (ite [spec.port.asked_write] #b1 #b0))))",
            ),
        ),
        *refuted(
            port,
            HostPort,
            12,
            ("answers late", "(accept & host.we) | choosing", "(serve & host.we) | choosing"),
            ("writes twice", "store.eq(accept & host.we)", "store.eq((accept | serve) & host.we)"),
        ),
    )
