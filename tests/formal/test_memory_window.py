"""The host's window into external memory: the host and the streamer share a master.

The window is proved with the master behind it, whose buffers it relies on being empty, and a bus of
any speed; how long someone waits, with one that answers every beat within `BEAT_CYCLES`.
"""

from typing import Any

from amaranth.hdl import Assert, Assume, Cat, Cover, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring
from proof import Proof, refuted
from tokens import free, held, slow_host

from bitwright.hwgen.ports.memory_window import MemoryWindow
from bitwright.hwgen.ports.wishbone_master import CycleType, WishboneMaster
from bitwright.ir.machine import MEMORY_BITS
from bitwright.targets.host_interface import EXTERNAL_BASE

SIZES = {"address_bits": 4, "words_bits": 2}
MOST_WORDS = 3  # of a command of the streamer
BURST_WORDS = 2
BEAT_CYCLES = 2  # of the slowest beat
WORD_CYCLES = 1 + BEAT_CYCLES  # a burst begins a cycle after it can
# Cycles before the host's answer: it is heard, the words of a command that was taken before and its
# own word come, which takes a cycle each to be asked for, to arrive and to be answered.
HOST_CYCLES = 1 + MOST_WORDS * WORD_CYCLES + 1 + WORD_CYCLES + 1
# Cycles before a command of the streamer is taken: those words, and one word of the host.
STREAMER_CYCLES = MOST_WORDS * WORD_CYCLES + 1 + WORD_CYCLES
PAUSE = BEAT_CYCLES  # of the host after an answer, in which a written word leaves


class Shared(Elaboratable):
    """A host that keeps the rule of its port; a core and a streamer; a slave behind the master."""

    def __init__(
        self, window: MemoryWindow, *, pause: int | None = None, places: bool = True
    ) -> None:
        """
        Args:
            pause: look at how long everyone waits, too, with a host that pauses for so many cycles
                after an answer of the memory.
            places: claim where everything is as well, which makes the proof inductive.
        """
        self._window, self._pause, self._places = window, pause, places

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.window = window = self._window
        m.submodules.master = self._master = master = WishboneMaster(
            data_bits=MEMORY_BITS, burst_words=BURST_WORDS, **SIZES
        )
        wiring.connect(m, window.port, master.port)
        self._requests(m)
        self._words(m)
        if self._pause is not None:
            self._waits(m, self._pause)
        return m

    def _requests(self, m: Module) -> None:
        """All sides; the core's requests and answers pass unchanged."""
        window, bus = self._window, self._master.bus
        host, core, weights, port = window.host, window.core, window.weights, window.port
        for name in ("stb", "we", "addr", "wdata"):
            signal = getattr(host, name)
            m.d.comb += signal.eq(free(m, len(signal), name=f"request_{name}"))
        request = Cat(host.addr, host.we, host.wdata)
        served = slow_host(m, core)
        self._external = external = Signal(name="external")
        self._answered = answered = Signal(name="answered")
        m.d.comb += [
            external.eq(host.stb & (host.addr >= EXTERNAL_BASE)),
            answered.eq(host.ack & external),
            Assume(held(m, valid=host.stb, ready=host.ack, payload=request, name="request")),
            Assert(core.stb == (host.stb & ~external)),
            Assert(~core.stb | (Cat(core.addr, core.we, core.wdata) == request)),
            Assert(host.ack == (served | answered)),
            Assert(~served | (host.rdata == core.rdata)),
        ]
        wanted = weights.command.payload
        self._taken, self._asked = Signal(name="taken"), Signal(name="asked")
        m.d.comb += [
            weights.command.valid.eq(free(m, name="command_valid")),
            wanted.eq(free(m, len(wanted.as_value()), name="command_payload")),
            weights.read_data.ready.eq(1),
            Assume((wanted.words != 0) & ~wanted.write),
            self._taken.eq(weights.command.valid & weights.command.ready),
            self._asked.eq(port.command.valid & port.command.ready & ~self._taken),
        ]
        answer, wrong = free(m, name="answer"), free(m, name="wrong")
        failed = Signal(name="failed")
        self._beat = Signal(name="beat")
        m.d.comb += [
            bus.ack.eq(answer & ~wrong),
            bus.err.eq(answer & wrong),
            bus.dat_r.eq(free(m, MEMORY_BITS, name="given")),
            self._beat.eq(bus.stb & answer),
            Assert(weights.failed == failed),
        ]
        m.d.sync += failed.eq(failed | (self._beat & wrong))

    def _words(self, m: Module) -> None:
        """Every beat is of the command that was taken last, and its word goes to who asked."""
        window, master = self._window, self._master
        host, weights, bus = window.host, window.weights, master.bus
        external, answered, taken, asked = self._external, self._answered, self._taken, self._asked
        beat, place = self._beat, host.addr[2:][: len(bus.adr)]
        wanted = weights.command.payload
        # What is on its way: words of the streamer, a word that the host reads or writes.
        left, address = Signal.like(master.left, name="left"), Signal.like(bus.adr, name="address")
        streams, reads, writes = (Signal(name=name) for name in ("streams", "reads", "writes"))
        self._left, self._writes = left, writes
        to, written = Signal.like(bus.adr, name="to"), Signal(MEMORY_BITS, name="written")
        # What has come, and for whom.
        came, fetched, gives, takes = (
            Signal(name=name) for name in ("came", "fetched", "gives", "takes")
        )
        word, given_word = Signal(MEMORY_BITS, name="word"), Signal(MEMORY_BITS, name="given_word")
        m.d.comb += streams.eq(left != 0)
        with m.If(beat):
            m.d.sync += [reads.eq(0), writes.eq(0), word.eq(bus.dat_r)]
        with m.If(beat & streams):
            m.d.sync += [left.eq(left - 1), address.eq(address + 1)]
        with m.If(taken):
            m.d.sync += [left.eq(wanted.words), address.eq(wanted.address)]
        with m.If(asked):
            m.d.sync += [
                reads.eq(~host.we), writes.eq(host.we), to.eq(place), written.eq(host.wdata)
            ]  # fmt: skip
        m.d.sync += [
            came.eq(beat & streams), fetched.eq(beat & reads), gives.eq(fetched),
            given_word.eq(word), takes.eq(asked & host.we),
        ]  # fmt: skip
        m.d.comb += [
            # One command after the other; of the host one for each request.
            Assert(~(taken | asked) | ~(streams | reads | writes)),
            Assert(~asked | external & ~(fetched | gives | takes)),
            # Every beat is asked for.
            Assert(~beat | streams | reads | writes),
            Assert(~beat | (bus.we == writes) & (bus.adr == Mux(streams, address, to))),
            Assert(~(beat & writes) | (bus.dat_w == written) & bus.sel.all()),
            # The streamer has its word in the next cycle, the host its answer in the one after.
            Assert(weights.read_data.valid == came),
            Assert(~came | (weights.read_data.payload == word)),
            Assert(answered == (gives | takes)),
            Assert(~gives | ~host.we & (host.rdata == given_word)),
        ]
        wrote = Signal()
        m.d.sync += wrote.eq(wrote | (beat & writes))
        m.d.comb += Cover(fetched & taken & wrote)
        self._reads, self._fetched, self._writes = reads, fetched, writes
        if not self._places:
            return
        m.d.comb += [
            Assert(~window.asks | external & ~(reads | fetched | gives | takes)),
            Assert(window.waits == (reads | fetched)),
            Assert(window.answer == (gives | takes)),
            Assert(streams + reads + writes <= 1),
            Assert(reads + fetched + gives + takes <= 1),
            Assert(~(reads | fetched | gives) | external & ~host.we),
            Assert(~takes | external & host.we & writes & ~bus.stb),
            Assert(~reads | (to == place)),
            Assert(master.left == Mux(streams, left, reads | writes)),
            Assert(~(streams | reads | writes) | (bus.adr == Mux(streams, address, to))),
            Assert(~(streams | reads | writes) | (bus.we == writes)),
            Assert(master.writes.level == writes),
            Assert(~writes | (master.writes.slots[0] == written)),
            Assert(master.reads.level == (came | fetched)),
            Assert(~(came | fetched) | (master.reads.slots[0] == word)),
            Assert(~bus.stb | (master.left != 0)),
            Assert(~bus.stb | (bus.cti == CycleType.END) | (master.left > 1)),
            Assert((bus.cti == CycleType.END) | (bus.cti == CycleType.INCREMENTING) | ~bus.stb),
        ]

    def _waits(self, m: Module, pause: int) -> None:
        """Nobody waits for longer than the words that go before his take."""
        window, master, external = self._window, self._master, self._external
        bus, command = master.bus, window.weights.command
        reads, writes, fetched = self._reads, self._writes, self._fetched
        waited = Signal(range(BEAT_CYCLES + 1), name="waited")  # for this beat
        work, before, begun = Signal(8, name="work"), Signal(8), Signal()
        m.d.sync += [
            waited.eq(Mux(bus.stb & ~self._beat, waited + 1, 0)),
            before.eq(work),
            begun.eq(self._taken | self._asked),
        ]
        quiet = Signal(range(pause + 1), name="quiet")  # cycles of the host's pause that are left
        m.d.sync += quiet.eq(Mux(self._answered, pause, Mux(quiet == 0, 0, quiet - 1)))
        waits = external & ~self._answered
        host = _bounded(m, waits, HOST_CYCLES, "host")
        wants = command.valid & ~command.ready
        streamer = _bounded(m, wants, STREAMER_CYCLES, "streamer")
        m.d.comb += [
            Assume(waited < BEAT_CYCLES),
            Assume(~external | (quiet == 0)),
            # Cycles until the master takes a command.
            work.eq(master.left * WORD_CYCLES - Mux(bus.stb, waited + 1, 0)),
            Assert(begun | (before == 0) | (work < before)),
        ]
        if not self._places:
            return
        asks, own = window.asks, 1 + WORD_CYCLES
        more = Mux(asks, work + own + 1, Mux(reads, work + 1, fetched))
        m.d.comb += [
            Assert(work <= MOST_WORDS * WORD_CYCLES),
            Assert(~writes | self._answered | (work <= quiet)),
            Assert(~waits | (host + more <= HOST_CYCLES)),
            Assert(~waits | asks | reads | fetched | (host == 0)),
            Assert(~wants | (streamer + work + Mux(reads | writes, 0, own) <= STREAMER_CYCLES)),
        ]


def _bounded(m: Module, waits: Value, most: int, name: str) -> Signal:
    """Asserts that a wait lasts for `most` cycles; returns how many it has lasted."""
    count = Signal(range(most + 2), name=f"{name}_waited")
    m.d.sync += count.eq(Mux(waits, Mux(count > most, count, count + 1), 0))
    m.d.comb += Assert(count <= most)
    return count


def window(unit: type = MemoryWindow, **look: Any) -> Shared:
    return Shared(unit(**SIZES), **look)


def test_memory_window(prove) -> None:
    prove(
        "MemoryWindow",
        Proof(
            claim="every word of both sides once and in order, to who asked; nothing else written",
            spec=window,
            depth=2,
        ),
        Proof(
            claim=f"the host waits for {HOST_CYCLES} cycles at most, the streamer for "
            f"{STREAMER_CYCLES}",
            spec=lambda: window(pause=PAUSE),
            depth=2,
        ),
        Proof(
            claim="the streamer's command is taken while the host's word comes, after a write",
            spec=window,
            depth=16,
            method="reachable",
        ),
        Proof(
            claim="a host that writes again too soon goes before the streamer",
            spec=lambda: window(pause=PAUSE - 1, places=False),
            depth=28,
            method="refuted",
        ),
        *refuted(
            lambda unit: window(unit, places=False),
            MemoryWindow,
            20,
            ("the streamer's command is lost", "port.command.ready & ~asks)",
             "port.command.ready)"),
            ("the host's word goes to the streamer", "port.read_data.valid & ~waits)",
             "port.read_data.valid)"),
            ("a word is read twice", "~(taken | waits | answer)", "~(taken | answer)"),
            ("a word is written twice", "~(taken | waits | answer)", "~(taken | waits)"),
            ("a word without its command", "asks & port.command.ready & host.we)",
             "asks & host.we)"),
            ("a read is answered as a write is", "answer.eq(came | (taken & host.we))",
             "answer.eq(came | taken)"),
            ("the core sees what is the memory's", "core.stb.eq(host.stb & ~mine)",
             "core.stb.eq(host.stb)"),
            ("the streamer reads from the host's address", "with m.If(asks):", "with m.If(mine):"),
            ("the host has the core's word", "Mux(answer, word, core.rdata)", "core.rdata"),
        ),
        *refuted(
            lambda unit: window(unit, pause=PAUSE),
            MemoryWindow,
            8,
            ("the host waits while the streamer asks", "asks.eq(host.stb & mine",
             "asks.eq(host.stb & mine & ~weights.command.valid"),
        ),
    )  # fmt: skip
