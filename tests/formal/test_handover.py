"""From one instruction to the next: as early as the program says, nothing lost or overtaken.

What `overlap.hand_over` promises of a program is assumed: see `_promise` and `_word`.
"""

from amaranth.asserts import AnyConst
from amaranth.hdl import Assert, Assume, Cover, Elaboratable, Module, Mux, Signal
from proof import Proof, refuted
from tokens import free

from bitwright.hwgen.handover import Handover
from bitwright.hwgen.isa import HANDOVER_BITS
from bitwright.hwgen.sequencer import Sequencer
from bitwright.ir.instructions import Opcode

READ_STEPS = 4  # the step that reads the word that is followed is one of so many
READS = 1  # cycles from the loops' start to the read of step 0


class Overlap(Elaboratable):
    """Sequencer and handover wired as in the core, between any program and units of any speed.

    Instructions are numbered modulo 4; `begun`, `gone` and `done` of them have begun, have gone on
    to the output stage, are written.
    """

    def __init__(self, over: Handover) -> None:
        self._over = over

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.sequencer = self._sequencer = sequencer = Sequencer()
        m.submodules.over = over = self._over
        self._begun = begun = Signal(2, name="begun")
        self._gone = gone = Signal(2, name="gone")
        self._done = done = Signal(2, name="done")
        self._starts = starts = Signal(name="starts")  # the loops, a cycle after the sequencer
        self._waits = waits = Signal(name="waits")  # the sequencer, for `finished`
        self._issued = issued = Signal(
            name="last_issued"
        )  # the last step of the one that began last
        self._since = since = Signal(HANDOVER_BITS + 1, name="since")  # cycles since then
        self._late = late = Signal(2, name="late")  # instructions that are not written
        self._early = early = Signal(name="early")
        steps = Signal()  # the loops run
        long = Signal()  # and have run in the cycle before
        m.d.comb += [
            over.issued.eq(free(m, name="issue") & steps & long),
            over.written.eq(free(m, name="write") & (gone != done)),
            late.eq(begun - done),
            early.eq(over.handover != 0),
            # The last word of an instruction follows its last step.
            Assume(~over.written | (late == 2) | issued | starts),
        ]
        m.d.sync += [
            long.eq(steps),
            begun.eq(begun + over.start),
            gone.eq(gone + over.output_start),
            done.eq(done + over.written),
            since.eq(Mux(over.issued, 1, Mux(since.all(), since, since + 1))),
        ]
        with m.If(over.start):
            m.d.sync += steps.eq(1)
        with m.Elif(over.issued):
            m.d.sync += [steps.eq(0), issued.eq(1)]
        with m.If(sequencer.start):
            m.d.sync += [waits.eq(1), issued.eq(0)]
        with m.Elif(sequencer.finished):
            m.d.sync += waits.eq(0)
        following, output = self._program(m)
        self._promise(m)
        at = issued & (since == over.handover)
        whole = over.written & issued & (late == 1)
        m.d.comb += [
            # As early as the program says, and never earlier.
            Assert(~waits | (over.finished == Mux(early, at, whole))),
            # The output stage goes over in the cycle after it has written the one before.
            Assert(over.output_start == ((gone == done) & (begun != gone))),
            Assert(~over.output_start | (following == gone)),
            Assert(~over.written | (output == done)),
            # An inference's result is given away when all is written.
            Assert(~sequencer.store | (late == 0) & ~starts),
            # Never stuck: what it waits for is a step, the count, or a word that may be written.
            Assert(
                ~waits | starts | steps | early & (since <= over.handover)
                | (gone != done) | over.output_start
            ),
            # Where everything is.
            Assert((begun == gone) | ((begun - gone)[:2] == 1)),
            Assert((gone == done) | ((gone - done)[:2] == 1)),
            Assert(~(steps & issued)),
            Assert(~steps | (late != 0) & (late != 3)),
            Assert(~long | steps | issued),
            Assert(~starts | waits & ~steps & ~issued & (late != 2)),
            Assert(waits | ~steps & (issued | (late == 0)) & (late != 2)),
            Assert(~waits | ~issued | ~early | (since != over.handover) | (late != 2)),
            Assert(waits | (self._last != 0) | (late == 0)),
            Assert(~waits | starts | steps | issued),
            Assert(~waits | ~issued | early | (late != 0)),
            Assert(~issued | (since != 0)),
            Assert(~waits | ~issued | ~early | (since <= over.handover)),
        ]  # fmt: skip
        reads = self._word(m)
        m.d.comb += Cover((late == 2) & steps & reads)
        return m

    def _program(self, m: Module) -> tuple[Signal, Signal]:
        """Any instructions, fetched at any time, whose fields stay for two cycles after `take`.

        Returns the numbers of the instructions whose fields are kept, as in the core: of the one
        that began last, of the one in the output stage.
        """
        sequencer, over = self._sequencer, self._over
        field = Signal(HANDOVER_BITS)
        number = Signal(2)
        store = Signal()
        taken = Signal()
        later = Signal()
        self._last = last = Signal(HANDOVER_BITS, name="last")  # field of the one that began last
        following = Signal(2, name="following")
        output = Signal(2, name="output")
        m.d.comb += [
            sequencer.fetched.eq(free(m, name="fetched") & ~taken & ~later),
            sequencer.opcode.eq(Mux(store, Opcode.STORE, Opcode.MATMUL)),
            sequencer.finished.eq(over.finished),
            over.start.eq(self._starts),
            # The last instruction before a STORE waits for its own words.
            Assume(~store | (last == 0)),
        ]
        m.d.sync += [
            taken.eq(sequencer.take),
            later.eq(taken),
            self._starts.eq(sequencer.start),
        ]
        with m.If(later):
            m.d.sync += [
                field.eq(free(m, HANDOVER_BITS, name="next_field")),
                store.eq(free(m, name="next_store")),
                number.eq(number + ~store),
            ]
        with m.If(sequencer.idle):
            m.d.sync += over.handover.eq(field)
        with m.If(sequencer.start):
            m.d.sync += last.eq(field)
        with m.If(over.start):
            m.d.sync += following.eq(number)
        with m.If(over.output_start):
            m.d.sync += output.eq(following)
        m.d.comb += [
            Assert(~taken | ~later),
            Assert(~self._starts | taken & ~store),
            Assert(number == (self._begun - (later & ~store))[:2]),
            Assert(~self._waits | (over.handover == last)),
            Assert((self._begun == self._gone) | (following == self._gone)),
            Assert((self._gone == self._done) | (output == self._done)),
        ]
        return following, output

    def _promise(self, m: Module) -> None:
        """Words of the instruction before are written a cycle before the next one may start."""
        over = self._over
        last_step_was = Mux(self._issued, self._since + 1, 1)
        due = (self._issued | over.issued) & (last_step_was >= over.handover)
        m.d.comb += Assume(~self._early | (self._late != 2) | over.written | ~due)

    def _word(self, m: Module) -> Signal:
        """A word that any one instruction writes is there when the next one reads it in any step.

        It is written before the cycle `handover` + 3 + step after the last step. Returns whether it
        is read.
        """
        over, begun, starts, waits = self._over, self._begun, self._starts, self._waits
        step_read = Signal(range(READ_STEPS))
        marked = Signal()  # that instruction has begun,
        ended = Signal()  # its last step has been, for `after` cycles,
        there = Signal()  # its word is written,
        reader = Signal()  # the next instruction has begun, `cycle` cycles ago
        own = Signal(2)
        handover = Signal(HANDOVER_BITS)
        after = Signal(HANDOVER_BITS + 2)
        cycle = Signal(range(READS + READ_STEPS + 1))
        puts = Signal()
        reads = Signal()
        in_output = marked & (self._gone != self._done) & (self._done == own)
        soonest = (handover + READS + 1)[: len(after)]
        m.d.comb += [
            step_read.eq(AnyConst(len(step_read))),
            puts.eq(free(m, name="put") & in_output & ~there),
            Assume(~(in_output & over.written) | there | puts),
            Assume(~ended | (handover == 0) | there | puts | (after < soonest + step_read)),
            reads.eq(reader & (cycle == READS + step_read)),
        ]
        with m.If(over.start & ~marked):
            m.d.sync += [marked.eq(free(m, name="mark")), own.eq(begun)]
            m.d.sync += handover.eq(over.handover)
        with m.If(over.start & marked & ~reader):
            m.d.sync += [reader.eq(1), cycle.eq(1)]
        with m.Elif(reader & (cycle != READS + READ_STEPS)):
            m.d.sync += cycle.eq(cycle + 1)
        with m.If(puts):
            m.d.sync += there.eq(1)
        with m.If(marked & over.issued):
            m.d.sync += ended.eq(1)
        m.d.sync += after.eq(Mux(ended, Mux(after.all(), after, after + 1), 1))
        alone = marked & ~reader
        m.d.comb += [
            Assert(~reads | there),
            Assert(marked | ~(there | reader | ended)),
            Assert(~alone | (begun == (own + 1)[:2])),
            Assert(~reader | ended & (cycle != 0)),
            Assert(cycle <= READS + READ_STEPS),
            Assert(~alone | (ended == (self._issued | starts))),
            Assert(~alone | waits | ended),
            Assert(~alone | starts | (handover == self._last)),
            Assert(~alone | starts | ~ended | ~waits | (handover == 0) | (after == self._since)),
            Assert(~alone | ~ended | waits & ~starts | (after > handover + starts)),
            Assert(~reader | (after.all()) | (after >= soonest + cycle)),
            Assert(~ended | (handover != 0) | alone & waits & ~starts | there),
            Assert(~alone | there | (self._late != 0)),
            Assert(~reader | there | (self._late == 2) & (self._done == own)),
        ]
        return reads


INVARIANTS = (
    "(= [spec.waits] (= [spec.sequencer.fsm_state] #b10))",
    "(not (= [spec.sequencer.fsm_state] #b01))",
    "(= [spec.over.pending] (not (= [spec.begun] [spec.gone])))",
    "(= [spec.over.active] (not (= [spec.gone] [spec.done])))",
    "(= [spec.over.counting] (and [spec.waits] [spec.last_issued] [spec.early]))",
    "(=> [spec.over.counting] (= (bvadd (concat #b0 [spec.over.left]) [spec.since]) "
    "(bvadd (concat #b0 [spec.over.handover]) #b0000001)))",
)


def overlap(unit: type = Handover) -> Overlap:
    return Overlap(unit())


def test_handover(prove) -> None:
    prove(
        "Handover",
        Proof(
            claim="the next instruction begins when the program says, nothing is read too early, "
            "none is lost or overtaken; never stuck",
            spec=overlap,
            depth=2,
            invariants=INVARIANTS,
        ),
        Proof(
            claim="a word is read while two instructions are on their way",
            spec=overlap,
            depth=14,
            method="reachable",
        ),
        *refuted(
            overlap,
            Handover,
            16,
            ("a cycle early", "(counting & (left == 1))", "(counting & (left == 2))"),
            ("a cycle late", "left.eq(self.handover)", "left.eq(self.handover + 1)"),
            ("it does not wait for its own words", "whole & self.written & ~waiting", "whole"),
            ("words of the one before are taken for its own", "self.written & ~waiting",
             "self.written"),
            ("the output stage goes over too soon", "pending & ~active", "pending"),
            ("the output stage never goes over again", "active.eq(0)", "active.eq(1)"),
            ("one is forgotten", "m.d.sync += pending.eq(1)", "m.d.sync += pending.eq(~active)"),
        ),
    )  # fmt: skip
