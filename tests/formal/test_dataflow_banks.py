"""Both ends of a pipeline: the source of its words, and the banks of its results."""

from amaranth.hdl import Array, Assert, Cat, Elaboratable, Module, Mux, Signal
from proof import Proof, refuted
from tokens import Marked, free, in_order

from bitwright.hwgen.dataflow.latencies import SOURCE
from bitwright.hwgen.dataflow.ring import Banks
from bitwright.hwgen.dataflow.source import Source

WORDS, PACE, INTERVAL = 3, 2, 9


class Starts(Elaboratable):
    """Inputs and banks that come and go at any time; `since` a start are so many cycles."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.source = source = self._source
        since = Signal(range(INTERVAL + 1), init=INTERVAL)
        sends = Signal(SOURCE + 1)
        m.d.comb += [
            source.input_ready.eq(free(m, name="input")),
            source.output_free.eq(free(m, name="bank")),
            sends[0].eq(
                source.start | Cat(since == PACE * word for word in range(1, WORDS)).any()
            ),
            # Neither sooner nor later than input, bank and interval allow.
            Assert(source.start == (source.input_ready & source.output_free & (since == INTERVAL))),
            # Every word of it, once and in order.
            Assert(~source.start | (source.address == 0)),
            *(
                Assert((since != PACE * word) | (source.address == word))
                for word in range(1, WORDS)
            ),
            Assert(source.done == (since == PACE * (WORDS - 1))),
            Assert(source.valid == sends[SOURCE]),
            Assert((since != 0) & (since <= INTERVAL)),
            Assert((since <= PACE * (WORDS - 1)) | (source.address == 0)),
            *(
                Assert((since <= PACE * word) | (since > PACE * (word + 1))
                       | (source.address == word + 1))
                for word in range(WORDS - 1)
            ),
        ]  # fmt: skip
        m.d.sync += [
            since.eq(Mux(source.start, 1, Mux(since == INTERVAL, since, since + 1))),
            sends[1:].eq(sends[:-1]),
        ]
        return m


def _waits() -> str:
    """Cycles to the next word, by the cycles since a start."""
    found = "#b0"
    for since in range(1, PACE * WORDS):
        wait = (PACE - since) % PACE
        found = f"(ite (= [spec.since] #b{since:04b}) #b{wait:01b} {found})"
    return found


def test_source(prove) -> None:
    def make(unit: type = Source) -> Starts:
        return Starts(unit(words=WORDS, pace=PACE, interval=INTERVAL))

    prove(
        "Source",
        Proof(
            claim="images as soon as allowed, every word of each once and in order",
            spec=make,
            depth=3,
            invariants=(
                f"(= [spec.source.gap] (bvsub #b{INTERVAL:04b} [spec.since]))",
                f"(= (bvult #b{PACE * (WORDS - 1):04b} [spec.since]) (not [spec.source.sending]))",
                f"(= (ite [spec.source.wait] #b1 #b0) {_waits()})",
            ),
        ),
        *refuted(
            make,
            Source,
            2 * INTERVAL,
            ("a cycle too soon", "self.interval - 1, Mux(gap", "self.interval - 2, Mux(gap"),
            ("without a bank", "self.input_ready & self.output_free &", "self.input_ready &"),
            ("words follow too soon", "sending & (wait == 0)", "sending"),
            ("the last word is missing", "self.address == self.words - 1",
             "self.address == self.words - 2"),
        ),
    )  # fmt: skip


class Ring(Elaboratable):
    """Images that start when a bank is free, results in their order, a host of any speed.

    An image's mark lies in its bank from its start to its release.
    """

    def __init__(self, banks: Banks) -> None:
        self._banks = banks

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.banks = banks = self._banks
        count = banks.banks
        begun, whole, gone = (
            Signal(banks.bits + 1, name=name) for name in ("begun", "whole", "gone")
        )
        flying, shown = Signal(banks.bits + 1), Signal(banks.bits + 1)
        mark = free(m, 2, name="mark")
        marks = Array(Signal(2, name=f"mark{number}") for number in range(count))
        release = free(m, name="give_back")
        m.d.comb += [
            banks.run.eq(1),
            banks.start.eq(free(m, name="wish") & banks.free),
            banks.publish.eq(free(m, name="finish") & banks.busy),
            banks.release.eq(release),
            flying.eq(begun - whole),
            shown.eq(whole - gone),
        ]
        taken = release & (shown != 0)
        m.d.sync += [
            begun.eq(begun + banks.start),
            whole.eq(whole + banks.publish),
            gone.eq(gone + taken),
        ]
        with m.If(banks.start):
            m.d.sync += marks[begun[: banks.bits]].eq(mark)
        came = Marked(m, transfer=banks.start, mark=mark, name="came")
        went = Marked(m, transfer=taken, mark=marks[banks.read_bank], name="went")
        came.assume(m, banks.start)
        went.check(m, taken)
        held = (begun - gone)[: banks.bits + 1]
        places = [(held > number, marks[(gone + number)[: banks.bits]]) for number in range(count)]
        in_order(m, came, went, places)
        m.d.comb += [
            Assert(held <= count),
            Assert(flying <= held),
            # Never stuck: an image waits only where all banks are the host's or under way.
            Assert(banks.free == (held != count)),
            Assert(banks.busy == (flying != 0)),
            Assert(banks.shown == shown),
            Assert(banks.write_bank == whole[: banks.bits]),
            Assert(banks.read_bank == gone[: banks.bits]),
        ]
        return m


def test_banks(prove) -> None:
    prove(
        "Result banks",
        Proof(
            claim="every result once, in order, from its own bank; never stuck",
            spec=lambda: Ring(Banks(banks=2)),
            depth=2,
            invariants=(
                "(= [spec.banks.started] [spec.begun])",
                "(= [spec.banks.published] [spec.whole])",
                "(= [spec.banks.released] [spec.gone])",
            ),
        ),
        *refuted(
            lambda unit: Ring(unit(banks=2)),
            Banks,
            10,
            ("starts without a bank", "taken != self.banks", "taken != self.banks + 1"),
            ("gives back what is not there", "self.release & (whole != 0)", "self.release"),
            ("shows another bank", "self.read_bank.eq(released)", "self.read_bank.eq(published)"),
        ),
    )
