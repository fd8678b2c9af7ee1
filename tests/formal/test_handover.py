"""From one instruction to the next: as early as the program says, and nothing overtaken or lost.

What `overlap.hand_over` promises of a program is assumed here: see `_promises`.
"""

from amaranth.asserts import AnyConst
from amaranth.hdl import Assert, Assume, Cover, Elaboratable, Module, Mux, Signal
from proof import Proof, refuted
from tokens import free

from bitwright.hwgen.handover import Handover
from bitwright.hwgen.isa import HANDOVER_BITS
from bitwright.hwgen.sequencer import Sequencer
from bitwright.ir.instructions import Opcode

READ_STEPS = 4  # the step that reads a marked word is one of so many
FIRST_STEP = 1  # cycles from the loops' start to step 0


class Overlap(Elaboratable):
    """Sequencer and handover wired as in the core, between any program and units of any speed.

    Instructions are numbered modulo 4. Of one instruction a word of its results is followed, which
    the next instruction reads in step `reading`.
    """

    def __init__(self, over: Handover) -> None:
        self._over = over

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.sequencer = self.sequencer = sequencer = Sequencer()
        m.submodules.over = over = self._over
        self.starts = Signal()  # the loops start a cycle after the sequencer
        self._program(m)
        # How many instructions have begun, have gone on to the output stage and are written.
        begun, gone, done = (Signal(2, name=name) for name in ("begun", "gone", "done"))
        self.begun, self.gone, self.done = begun, gone, done
        steps = Signal()  # its loops run
        age = Signal()  # for more than a cycle
        issued = Signal()  # the last step of the instruction that began last has been
        late = Signal(range(3))  # instructions that are not written
        waits = Signal()  # the sequencer waits for `finished`
        since = Signal(HANDOVER_BITS + 1)  # cycles since the last step
        m.d.comb += [
            over.issued.eq(free(m, name="issue") & steps & age),
            over.written.eq(free(m, name="write") & (gone != done)),
            late.eq((begun - done)[:2]),
            # Results follow the last step.
            Assume(~over.written | (late == 2) | issued | self.starts),
        ]
        m.d.sync += [
            age.eq(steps),
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

        early = over.handover != 0
        self.issued, self.since, self.late, self.early = issued, since, late, early
        self._promises(m)
        at = issued & (since == over.handover)
        whole = over.written & issued & (late == 1) & ~over.start
        fields = self._fields(m)
        m.d.comb += [
            # As early as the program says, and never earlier.
            Assert(~waits | (over.finished == Mux(early, at, whole))),
            # The output stage goes over when it has written the instruction before.
            Assert(over.output_start == ((gone == done) & (begun != gone))),
            Assert(~over.output_start | (fields["next"] == gone)),
            Assert(~over.written | (fields["output"] == done)),
            # A result is given away whole.
            Assert(~sequencer.store | (late == 0) & ~self.starts),
            # Never stuck: what it waits for is a step, the count, or a write that may come.
            Assert(
                ~waits | self.starts | steps | early & (since <= over.handover)
                | (gone != done) | over.output_start
            ),
            # Where everything is.
            Assert((begun == gone) | ((begun - gone)[:2] == 1)),
            Assert((gone == done) | ((gone - done)[:2] == 1)),
            Assert(~(steps & issued)),
            Assert(~age | steps | issued),
            Assert(~self.starts | waits & ~steps & (late != 2)),
            Assert(waits | ~steps & (issued | (late == 0))),
            Assert(~waits | self.starts | steps | issued),
            Assert(~waits | self.starts | ~issued | early | (late != 0)),
            Assert(~issued | (since != 0)),
            Assert(~waits | ~issued | ~early | (since <= over.handover)),
            Assert(waits == ~sequencer.idle),
        ]  # fmt: skip
        self._word(m)
        m.d.comb += Cover((late == 2) & over.finished & early & self.read)
        return m

    def _program(self, m: Module) -> None:
        """Any instructions, fetched at any time; fields stay for two cycles after `take`."""
        sequencer, over = self.sequencer, self._over
        item, store = Signal(HANDOVER_BITS), Signal()
        number = Signal(2)
        taken, later = Signal(), Signal()
        last = Signal(HANDOVER_BITS)  # handover of the instruction that began last
        self._number = number
        m.d.comb += [
            sequencer.fetched.eq(free(m, name="fetched") & ~taken & ~later),
            sequencer.opcode.eq(Mux(store, Opcode.STORE, Opcode.MATMUL)),
            sequencer.finished.eq(over.finished),
            over.start.eq(self.starts),
            # No result is given away by an instruction that does not wait for its own.
            Assume(~store | (last == 0)),
        ]
        m.d.sync += [
            taken.eq(sequencer.take), later.eq(taken), self.starts.eq(sequencer.start),
        ]  # fmt: skip
        with m.If(later):
            m.d.sync += [
                item.eq(free(m, HANDOVER_BITS, name="next_handover")),
                store.eq(free(m, name="next_store")),
                number.eq(number + ~store),
            ]
        with m.If(sequencer.idle):
            m.d.sync += over.handover.eq(item)
        with m.If(sequencer.start):
            m.d.sync += last.eq(item)

    def _fields(self, m: Module) -> dict[str, Signal]:
        """Numbers of the instructions whose fields are kept, as in the core."""
        following, output = Signal(2, name="next_fields"), Signal(2, name="output_fields")
        with m.If(self._over.start):
            m.d.sync += following.eq(self._number)
        with m.If(self._over.output_start):
            m.d.sync += output.eq(following)
        m.d.comb += [
            Assert((self.begun == self.gone) | (following == self.gone)),
            Assert((self.gone == self.done) | (output == self.done)),
        ]
        return {"next": following, "output": output}

    def _promises(self, m: Module) -> None:
        """What an instruction before has left is written a cycle before the next one may start."""
        over = self._over
        m.d.comb += Assume(
            ~self.early
            | (self.late != 2)
            | over.written
            | ~(over.issued & (over.handover == 1) | self.issued & (self.since + 1 >= over.handover))
        )

    def _word(self, m: Module) -> None:
        """A word of one instruction, and the step of the next one that reads it."""
        over = self._over
        reading, marking = Signal(range(READ_STEPS)), free(m, name="mark")
        m.d.comb += reading.eq(AnyConst(len(reading)))
        # One instruction is marked; its word is there; the next one has begun.
        marked, there, next_began = (Signal(name=name) for name in ("marked", "there", "reader"))
        own = Signal(2)
        step = Signal(range(FIRST_STEP + READ_STEPS + 1))
        puts = Signal()
        handover = Signal(HANDOVER_BITS)
        after = Signal(HANDOVER_BITS + 2)  # cycles since its last step
        ended = Signal()
        written = over.written & (self.done == own)
        m.d.comb += [
            puts.eq(free(m, name="put") & marked & ~there & (self.gone != self.done)
                    & (self.done == own)),
            Assume(~(marked & written) | there | puts),
            Assume(
                ~(ended & (handover != 0)) | there | puts
                | (after < handover + (1 + FIRST_STEP) + reading)
            ),
        ]  # fmt: skip
        self.read = Signal()
        m.d.comb += self.read.eq(next_began & (step == FIRST_STEP + reading))
        with m.If(over.start):
            with m.If(~marked):
                m.d.sync += [marked.eq(marking), own.eq(self.begun), handover.eq(over.handover)]
            with m.Else():
                m.d.sync += [next_began.eq(1), step.eq(1)]
        with m.If(next_began & (step != FIRST_STEP + READ_STEPS)):
            m.d.sync += step.eq(step + 1)
        with m.If(puts):
            m.d.sync += there.eq(1)
        with m.If(marked & over.issued & ~next_began & ~ended):
            m.d.sync += [ended.eq(1), after.eq(1)]
        with m.Elif(ended & ~after.all()):
            m.d.sync += after.eq(after + 1)
        m.d.comb += Assert(~self.read | there)


def overlap(unit: type = Handover) -> Overlap:
    return Overlap(unit())


def test_handover(prove) -> None:
    prove(
        "Handover",
        Proof(claim="bounded", spec=overlap, depth=16, method="bounded"),
    )
