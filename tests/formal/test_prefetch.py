"""The weight streamer: every word at its place in the ring, none over words that are needed."""

from types import SimpleNamespace

from amaranth.hdl import Assert, Assume, Cat, Elaboratable, Module, Mux, Signal
from proof import Proof, refuted
from tokens import free

from bitwright.hwgen.prefetch import WeightStreamer

DEPTH = 8
SLICES = 2
BURST = 2
MACHINE = SimpleNamespace(burst_weights=BURST, weight_bits=32 * SLICES, weight_words=DEPTH)


class Streamed(Elaboratable):
    """Any program and any stops; a master of any speed that gives the words it was asked for."""

    def __init__(self, streamer: WeightStreamer) -> None:
        self._streamer = streamer

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.streamer = streamer = self._streamer
        port, command = streamer.port, streamer.port.command
        for name, signal in (
            ("run", streamer.run), ("begin", streamer.begin), ("bursts", streamer.bursts),
            ("base", streamer.base), ("need", streamer.need), ("start", streamer.start),
            ("release", streamer.release), ("command_ready", command.ready),
            ("data_valid", port.read_data.valid), ("data", port.read_data.payload),
        ):  # fmt: skip
            m.d.comb += signal.eq(free(m, len(signal), name=name))
        asks, gives, writes = Signal(), Signal(), streamer.write_enable
        m.d.comb += [asks.eq(command.valid & command.ready), gives.eq(port.read_data.valid)]

        # The core: one instruction after the other, each a while after the one before and after a
        # stop, with a number of words that has been there for a cycle.
        running, last_start, stopped = Signal(), Signal(), Signal(2, init=3)
        last_need = Signal.like(streamer.need)
        left = Signal(len(streamer.bursts))
        m.d.sync += [
            last_start.eq(streamer.start),
            last_need.eq(streamer.need),
            stopped.eq(Cat(~streamer.run, stopped)),
        ]
        with m.If(streamer.start):
            m.d.sync += running.eq(1)
        with m.Elif(streamer.release | ~streamer.run):
            m.d.sync += running.eq(0)
        quiet = stopped.any() | ~streamer.run
        m.d.comb += [
            Assume(~quiet | ~(streamer.start | streamer.release | streamer.begin)),
            Assume(~streamer.start | streamer.there & (streamer.need == last_need)),
            Assume(~streamer.start | (streamer.need != 0) & ~last_start & ~running),
            Assume(~streamer.release | running),
            Assume(~streamer.begin | (left == 0)),
        ]

        # What is asked for and not written, what is there and not taken, and what is in use.
        owed = Signal(range(SLICES * DEPTH + 1))  # words that the master has not given
        asked = Signal(range(DEPTH + 1))
        loaded, held = Signal.like(asked, name="loaded"), Signal.like(asked, name="held")
        head, place = Signal(range(DEPTH)), Signal(range(DEPTH))
        draining = Signal(init=1)
        room = Signal()
        address = Signal.like(streamer.base)
        parts = Signal(32 * SLICES)  # the last words of the port
        used = Signal(range(3 * DEPTH + 1))
        m.d.comb += [used.eq(asked + loaded + held), Assume((owed != 0) | ~gives)]
        m.d.sync += [
            owed.eq(owed + Mux(asks, SLICES * BURST, 0) - gives),
            asked.eq(asked + Mux(asks, BURST, 0) - writes),
            loaded.eq(loaded + writes - Mux(streamer.start, streamer.need, 0)),
            place.eq(place + writes),
            room.eq((used + BURST <= DEPTH) & ~asks),
        ]
        with m.If(streamer.start):
            m.d.sync += [held.eq(streamer.need), head.eq(head + streamer.need)]
        with m.Elif(streamer.release):
            m.d.sync += held.eq(0)
        with m.If(draining):
            m.d.sync += [signal.eq(0) for signal in (asked, loaded, held, head, place)]
        with m.If(~streamer.run):
            m.d.sync += draining.eq(1)
        with m.Elif(owed == 0):
            m.d.sync += draining.eq(0)
        with m.If(streamer.begin):
            m.d.sync += [left.eq(streamer.bursts), address.eq(streamer.base)]
        with m.Elif(asks):
            m.d.sync += [left.eq(left - 1), address.eq(address + SLICES * BURST)]
        with m.If(~streamer.run):
            m.d.sync += left.eq(0)
        with m.If(gives):
            m.d.sync += parts.eq(Cat(parts, port.read_data.payload)[32:])
        m.d.comb += [
            # Never over words that are asked for, there or in use.
            Assert(draining | (used <= DEPTH)),
            Assert(draining | (place == (head + loaded)[:3])),
            Assert(draining | ~writes | (asked != 0) & (streamer.write_address == place)),
            Assert(~writes | (streamer.write_data == parts)),
            Assert(draining | (streamer.head == head)),
            # An instruction starts with all of its words.
            Assert(~streamer.start | ~draining & (loaded >= streamer.need)),
            Assert(~streamer.there | last_start | quiet | draining | (loaded >= last_need)),
            # Every word of an inference is asked for once, as soon as there is room.
            Assert(command.valid == ((left != 0) & room & ~draining)),
            Assert(~command.valid | (command.payload.address == address)),
            Assert(~command.valid | (command.payload.words == SLICES * BURST)),
            Assert(~command.valid | ~command.payload.write),
            Assert(port.read_data.ready),
            # Those that are owed and those that are written are those that were asked for.
            Assert(draining | ((owed + 1)[1:] + writes == asked)),
            Assert(owed <= SLICES * DEPTH),
            Assert(running == ((held != 0) & ~draining)),
        ]
        return m


def streamed(unit: type = WeightStreamer) -> Streamed:
    return Streamed(unit(machine=MACHINE))


def test_weight_streamer(prove) -> None:
    prove(
        "WeightStreamer",
        Proof(
            claim="every word once and in order, none over one that is needed, after stops too",
            spec=streamed,
            depth=3,
            invariants=(
                "(= [spec.streamer.flush] [spec.draining])",
                "(= [spec.streamer.loaded] [spec.loaded])",
                "(= [spec.streamer.left] [spec.left])",
                "(= [spec.streamer.room] [spec.room])",
                "(= [spec.streamer.address] [spec.address])",
                "(= [spec.streamer.owed] [spec.owed])",
                "(= [spec.streamer.write_data] [spec.parts])",
                "(= [spec.streamer.free] (bvsub #b1000 (bvadd [spec.asked] [spec.loaded] "
                "[spec.held])))",
                "(= [spec.streamer.write_address] [spec.place])",
                "(=> (not (= [spec.held] #b0000)) (= (concat #b0 [spec.streamer.held]) "
                "[spec.held]))",
                "(= [spec.streamer.part] (= ((_ extract 0 0) [spec.owed]) #b1))",
            ),
        ),
        *refuted(
            streamed,
            WeightStreamer,
            16,
            ("asks without room", "(left != 0) & room", "(left != 0)"),
            ("starts a word early", "loaded >= self.need", "loaded + 1 >= self.need"),
            ("gives words back at the start", "Mux(self.release, held, 0)",
             "Mux(self.start, self.need, 0)"),
            ("counts words from before a stop", "m.Elif(owed == 0)", "m.Else()"),
        ),
    )  # fmt: skip
