"""The masters for external memory: rules of their buses, and every word once, in order."""

from amaranth.hdl import Assert, Assume, Cat, Const, Elaboratable, Module, Mux, Signal, Value
from proof import Proof, refuted
from tokens import Marked, free, held, in_order, within

from bitwright.hwgen.ports.axi4_master import Axi4Master
from bitwright.hwgen.ports.wishbone_master import BUFFER_DEPTH, CycleType, WishboneMaster

BURST_WORDS = 4
OUTSTANDING = 2


class Commands:
    """Someone who gives commands and takes and gives data, at any speed.

    Attributes:
        taken: a command is being taken.
        address, left, write: of the last command: the next word, words that are left.
    """

    def __init__(self, m: Module, port: object, *, begins: Value, step: Value) -> None:
        """
        Args:
            begins: `step` words of the command are being transferred or asked for.
        """
        command, read, written = port.command, port.read_data, port.write_data
        payload = command.payload
        self.address, self.left = Signal.like(payload.address), Signal.like(payload.words)
        self.write, self.taken = Signal(name="command_write"), Signal(name="command_taken")
        m.d.comb += [
            command.valid.eq(free(m, name="command_valid")),
            payload.eq(free(m, len(payload.as_value()), name="command_payload")),
            written.valid.eq(free(m, name="write_valid")),
            written.payload.eq(free(m, 2, name="write_mark")),
            read.ready.eq(free(m, name="read_ready")),
            self.taken.eq(command.valid & command.ready),
            Assume(~self.taken | (payload.words != 0)),
            Assume(
                held(
                    m,
                    valid=written.valid,
                    ready=written.ready,
                    payload=written.payload,
                    name="write_data",
                )
            ),
            Assert(
                held(m, valid=read.valid, ready=read.ready, payload=read.payload, name="read_data")
            ),
        ]
        with m.If(begins):
            m.d.sync += [self.address.eq(self.address + step), self.left.eq(self.left - step)]
            m.d.comb += [Assert(step != 0), Assert(step <= self.left)]
        with m.If(self.taken):
            m.d.sync += [
                self.address.eq(payload.address),
                self.left.eq(payload.words),
                self.write.eq(payload.write),
            ]
            m.d.comb += Assert(self.left == Mux(begins, step, 0))


def marks(m: Module, master: object, *, read: Value, given: Value, wrote: Value) -> None:
    """Follows the words of both directions through the master.

    Args:
        read: the bus gives the word `given`.
        wrote: the bus takes the word at the head of `master.writes`.
    """
    port = master.port
    took = port.read_data.valid & port.read_data.ready
    gave = port.write_data.valid & port.write_data.ready
    streams = (
        ("read", master.reads, read, given, took, port.read_data.payload),
        ("write", master.writes, gave, port.write_data.payload, wrote, master.writes.o.payload),
    )
    for name, buffer, enters, first, leaves, last in streams:
        came = Marked(m, transfer=enters, mark=first, name=f"{name}_came")
        went = Marked(m, transfer=leaves, mark=last, name=f"{name}_went")
        came.assume(m, enters)
        went.check(m, leaves)
        in_order(m, came, went, [(buffer.level > n, slot) for n, slot in enumerate(buffer.slots)])
        m.d.comb += [
            Assert(buffer.level <= len(buffer.slots)),
            Assert(~enters | buffer.i.ready),
            Assert(~leaves | buffer.o.valid),
        ]


class WishboneBus(Elaboratable):
    """A slave that answers with `ack` or `err` when it likes."""

    def __init__(self, master: WishboneMaster) -> None:
        self._master = master

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.master = master = self._master
        bus, port = master.bus, master.port
        done, wrong, given = Signal(), free(m, name="wrong"), free(m, 2, name="given")
        answer = free(m, name="answer")
        m.d.comb += [
            bus.ack.eq(answer & ~wrong),
            bus.err.eq(answer & wrong),
            bus.dat_r.eq(given),
            done.eq(bus.stb & answer),
        ]
        commands = Commands(m, port, begins=done, step=Const(1))
        marks(m, master, read=done & ~bus.we, given=given, wrote=done & bus.we)

        announced, ended = Signal(), Signal()
        beat = Cat(bus.adr, bus.we, bus.cti)
        following = Signal.like(bus.adr)
        beats = Signal(range(BURST_WORDS + 2))  # of this burst, before this one
        more = bus.cti == CycleType.INCREMENTING
        m.d.sync += [
            announced.eq(done & more),
            ended.eq(done & ~more),
            following.eq(bus.adr + 1),
        ]
        with m.If(done):
            m.d.sync += beats.eq(Mux(more, beats + 1, 0))
        m.d.comb += [
            Assert(held(m, valid=bus.stb, ready=answer, payload=beat, name="beat")),
            Assert(
                held(
                    m,
                    valid=bus.stb & bus.we,
                    ready=answer,
                    payload=bus.dat_w,
                    name="written_word",
                )
            ),
            Assert(bus.cyc == bus.stb),
            Assert(~announced | (bus.stb & (bus.adr == following))),
            Assert(~ended | ~bus.cyc),
            Assert(~bus.stb | (bus.adr == commands.address) & (bus.we == commands.write)),
            Assert(~bus.stb | more | (bus.cti == CycleType.END)),
            Assert(~bus.stb | ~more | (commands.left > 1)),
            Assert(~bus.stb | (beats + more < BURST_WORDS)),
            Assert(bus.stb | (beats == 0)),
            Assert(commands.left == master.left),
            Assert(
                ~bus.stb
                | (commands.write & (master.writes.level > more))
                | (~commands.write & (master.reads.level + more < BUFFER_DEPTH))
            ),
            Assert(~bus.stb | (master.room + beats == BURST_WORDS - 1)),
            Assert(port.idle == (commands.left == 0)),
            Assert((commands.left != 0) | ~bus.stb),
            Assert((bus.adr == commands.address) & (bus.we == commands.write)),
        ]
        # With a stream that goes on, the next burst begins.
        willing = Mux(bus.we, port.write_data.valid, port.read_data.ready)
        idle = (commands.left != 0) & ~bus.stb
        m.d.comb += Assert(within(m, idle & willing, 4, name="idle"))
        return m


class Axi4Bus(Elaboratable):
    """A slave that keeps the rules of AXI, at any speed."""

    def __init__(self, master: Axi4Master) -> None:
        self._master = master

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.master = master = self._master
        bus, port = master.bus, master.port
        begins = {name: Signal(name=f"{name}_begins") for name in ("aw", "ar")}
        for name in ("aw", "ar", "w"):
            valid, ready = getattr(bus, f"{name}valid"), getattr(bus, f"{name}ready")
            m.d.comb += ready.eq(free(m, name=f"{name}ready"))
            offer = (
                Cat(bus.wdata, bus.wlast)
                if name == "w"
                else Cat(getattr(bus, f"{name}addr"), getattr(bus, f"{name}len"))
            )
            m.d.comb += [
                Assert(held(m, valid=valid, ready=ready, payload=offer, name=name)),
            ]
            if name != "w":
                waiting = Signal(name=f"{name}_offered")
                m.d.sync += waiting.eq(valid & ~ready)
                m.d.comb += begins[name].eq(valid & ~waiting)
        length = Mux(bus.arvalid, bus.arlen, bus.awlen)
        address = Mux(bus.arvalid, bus.araddr, bus.awaddr)
        begin = begins["aw"] | begins["ar"]
        # The unit counts a burst from the cycle before it is offered.
        commands = Commands(
            m, port, begins=begin, step=(length + 1)[: len(port.command.payload.words)]
        )
        m.d.comb += [
            Assert(~(bus.awvalid & bus.arvalid)),
            Assert(~begin | (address == commands.address)),
            Assert(~begin | (begins["aw"] == commands.write)),
            Assert(~(bus.arvalid | bus.awvalid) | (length < BURST_WORDS)),
            Assert(~begin | (length < commands.left)),
            Assert(~begin | (address[:12] + length < 4096)),
            Assert(commands.left == master.left + Mux(begin, length + 1, 0)),
            Assert((master.left == 0) | (commands.write == master.write)),
            Assert(
                (master.left == 0)
                | (master.address == (commands.address + Mux(begin, length + 1, 0))[:13])
            ),
        ]
        reads = self._reads(m, bus)
        writes = self._writes(m, bus, begins["aw"], master.beats_left)
        marks(
            m, master,
            read=bus.rvalid & bus.rready, given=bus.rdata[:2], wrote=bus.wvalid & bus.wready,
        )  # fmt: skip
        m.d.comb += [
            Assert(~begins["ar"] | (writes == 0)),
            Assert(~begins["aw"] | (reads == 0)),
            Assert(master.flying == reads + writes + begin),
            Assert(reads + writes + begin <= OUTSTANDING),
            Assert(port.idle == ((commands.left == 0) & (reads == 0) & (writes == 0) & ~begin)),
            Assert((reads == 0) | (writes == 0)),
            Assert((reads <= OUTSTANDING) & (writes <= OUTSTANDING)),
            Assert(master.ends | (Mux(master.write, reads, writes) == 0)),
            Assert(~master.ends | (Mux(master.write, writes, reads) == 0)),
        ]
        # Where it waits for no one, it begins a burst.
        waits = bus.arvalid | bus.awvalid | (reads != 0) | (writes != 0) | (master.beats_left != 0)
        m.d.comb += Assert(within(m, (commands.left != 0) & ~waits, 2, name="idle"))
        return m

    def _reads(self, m: Module, bus: object) -> Signal:
        """Answers reads in order; returns the bursts under way, after their first cycle."""
        lengths = [Signal(range(BURST_WORDS + 1), name=f"read{n}") for n in range(OUTSTANDING)]
        count = Signal(range(OUTSTANDING + 1), name="reads_taken")
        under_way = Signal(range(OUTSTANDING + 2), name="reads_under_way")
        taken, ends = Signal(name="ar_taken"), Signal(name="read_ends")
        valid, moved = bus.rvalid, bus.rvalid & bus.rready
        m.d.comb += [
            valid.eq(free(m, name="rvalid")),
            bus.rlast.eq(lengths[0] == 1),
            bus.rdata.eq(free(m, 2, name="rdata")),
            bus.rresp.eq(0),
            Assume(~valid | (count != 0)),
            Assume(held(m, valid=valid, ready=bus.rready, payload=bus.rdata, name="r")),
            taken.eq(bus.arvalid & bus.arready),
            ends.eq(moved & bus.rlast),
        ]
        with m.If(moved):
            m.d.sync += lengths[0].eq(lengths[0] - 1)
        with m.If(ends):
            m.d.sync += [lengths[0].eq(lengths[1]), lengths[1].eq(0)]
        place = Signal.like(count, name="read_place")
        m.d.comb += place.eq(count - ends)
        with m.If(taken):
            for number, kept in enumerate(lengths):
                with m.If(place == number):
                    m.d.sync += kept.eq(bus.arlen + 1)
        m.d.sync += count.eq(count + taken - ends)
        waiting = Signal(name="ar_waiting")
        m.d.sync += waiting.eq(bus.arvalid & ~bus.arready)
        m.d.comb += [
            Assert(~taken | (place < OUTSTANDING)),
            Assert(count <= OUTSTANDING),
            *(Assert((kept != 0) == (count > n)) for n, kept in enumerate(lengths)),
            *(Assert(kept <= BURST_WORDS) for kept in lengths),
            under_way.eq(count + waiting),
        ]
        return under_way

    def _writes(self, m: Module, bus: object, begins: Value, beats_left: Value) -> Signal:
        """Answers writes; returns how many bursts are under way, after their first cycle."""
        beats = Signal(range(BURST_WORDS + 1), name="write_beats")
        addresses = Signal(range(OUTSTANDING + 1), name="aw_unanswered")
        bursts = Signal(range(OUTSTANDING + 1), name="w_unanswered")
        offered = Signal(name="aw_waiting")
        under_way = Signal(range(OUTSTANDING + 2), name="writes_under_way")
        moved, taken, answered = bus.wvalid & bus.wready, Signal(), bus.bvalid & bus.bready
        now = Signal.like(beats, name="beats_now")
        m.d.sync += offered.eq(bus.awvalid & ~bus.awready)
        m.d.comb += [
            bus.bvalid.eq(free(m, name="bvalid")),
            bus.bresp.eq(0),
            Assume(~bus.bvalid | (addresses != 0) & (bursts != 0)),
            taken.eq(bus.awvalid & bus.awready),
            now.eq(Mux(begins, bus.awlen + 1, beats)),
            Assert(~begins | (beats == 0)),
            Assert(now == beats_left),
            Assert(~bus.wvalid | (now != 0)),
            Assert(~bus.wvalid | (bus.wlast == (now == 1))),
            Assert(bus.bready),
        ]
        m.d.sync += [
            beats.eq(now - moved),
            addresses.eq(addresses + taken - answered),
            bursts.eq(bursts + (moved & bus.wlast) - answered),
        ]
        m.d.comb += [
            under_way.eq(addresses + offered),
            Assert((addresses <= OUTSTANDING) & (bursts <= OUTSTANDING)),
            Assert(addresses + offered == bursts + (beats != 0)),
        ]
        return under_way


def wishbone(unit: type = WishboneMaster) -> WishboneBus:
    return WishboneBus(unit(data_bits=8, address_bits=4, words_bits=4, burst_words=BURST_WORDS))


def axi4(unit: type = Axi4Master) -> Axi4Bus:
    return Axi4Bus(
        unit(
            data_bits=8, address_bits=13, words_bits=4, burst_words=BURST_WORDS,
            outstanding=OUTSTANDING,
        )
    )  # fmt: skip


def test_wishbone_master(prove) -> None:
    prove(
        "WishboneMaster",
        Proof(
            claim="rules of bursts; every word of every command once, in order; never stuck",
            spec=wishbone,
            depth=6,
        ),
        *refuted(
            wishbone,
            WishboneMaster,
            20,
            ("announces without room", "(left > 2) & (possible > 2)", "(left > 2)"),
            ("bursts too long", "(possible > 2) & (room > 1)", "(possible > 2)"),
            ("announces a beat after the last", "(left > 2) &", "(left > 1) &"),
            ("writes the word twice", "done & bus.we)", "done & bus.we & ~bus.err)"),
        ),
    )


def test_axi4_master(prove) -> None:
    prove(
        "Axi4Master",
        Proof(
            claim="rules of AXI; every word of every command once, in order; never stuck",
            spec=axi4,
            depth=5,
        ),
        *refuted(
            axi4,
            Axi4Master,
            20,
            (
                "crosses 4 KiB",
                "to_boundary.eq(self._burst_words - position)",
                "to_boundary.eq(self._burst_words)",
            ),
            ("reads overtake writes", "& (flying != 0)),", "& 0),"),
            ("too many bursts", "& (flying != self._outstanding)", ""),
            ("data of two bursts mix", "& (beats_left == 0)", ""),
        ),
    )
