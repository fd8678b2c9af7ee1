"""Fetch, and the token scheme: sequencer and banks between a host and the engines."""

from amaranth.asserts import AnyConst
from amaranth.hdl import Array, Assert, Assume, Cat, Elaboratable, Module, Mux, Signal, Value
from proof import ACCEPTANCE, Proof, refuted
from tokens import Marked, free, in_order

from bitwright.hwgen.banks import PingPong
from bitwright.hwgen.isa import kept_bits, program_bits
from bitwright.hwgen.sequencer import FETCH_CYCLES_COMPUTE, Fetch, Sequencer
from bitwright.ir.instructions import FIELDS, Opcode
from bitwright.ir.machine import Machine

# Few and narrow fields' registers: their number and order are that of every machine.
MACHINE = Machine(
    lanes=2, rows=8, requant_lanes=1, acc_bits=16, act_words=2, in_words=2, out_words=2,
    weight_words=2, param_words=2, program_words=64,
)  # fmt: skip
COMPUTE = (Opcode.MATMUL, Opcode.CHANNELWISE)
INSTRUCTIONS = 2  # compute instructions of an inference, at most


class Program(Elaboratable):
    """A program of any words, of which the one at any one address is looked at.

    `at`, `state` and `count` follow where the unit must be: every instruction takes its exact time.
    """

    STATES = ("restart", "read", "opcode", "decode", "ready", "fields", "last")

    def __init__(self, fetch: Fetch, *, fields: bool = False) -> None:
        """
        Args:
            fields: look at what the fields hold as well (see `_fields`).
        """
        self._fetch = fetch
        self._with_fields = fields

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fetch = fetch = self._fetch
        width = program_bits(fetch.machine)
        where = Signal(len(fetch.address))
        what = Signal(width)
        asked, asked_before = Signal.like(fetch.address), Signal.like(fetch.address)
        word, started = Signal(width), Signal()
        m.d.sync += [
            asked.eq(fetch.address), asked_before.eq(asked), word.eq(fetch.data), started.eq(1),
        ]  # fmt: skip
        m.d.comb += [
            where.eq(AnyConst(len(where))),
            what.eq(AnyConst(width)),
            fetch.data.eq(free(m, width, name="data")),
            fetch.take.eq(free(m, name="take") & fetch.ready),
            Assume((asked != where) | (fetch.data == what)),
        ]
        at = Signal.like(fetch.address)
        state = Signal(3)
        count = Signal(range(len(FIELDS) + 1))
        restart, read, opcode, decode, ready, fields, last = range(len(self.STATES))
        compute = Cat(fetch.opcode == code for code in COMPUTE).any()
        single = Cat(fetch.opcode == code for code in (Opcode.LOAD, Opcode.STORE)).any()
        distance = Signal(range(len(FIELDS) + 2))  # of `address` from `at`
        come = Signal(range(len(FIELDS) + 1))  # so many fields are in their registers
        with m.Switch(state):
            with m.Case(restart):
                m.d.sync += state.eq(read)
            with m.Case(read):
                m.d.sync += state.eq(opcode)
            with m.Case(opcode):
                m.d.comb += distance.eq(1)
                m.d.sync += [state.eq(decode), count.eq(0)]
            with m.Case(decode):
                m.d.comb += distance.eq(1)
                m.d.sync += state.eq(Mux(compute, fields, Mux(single, ready, restart)))
                with m.If(~compute & ~single):
                    m.d.sync += at.eq(0)
            with m.Case(fields):
                m.d.comb += [distance.eq(count + 2), come.eq(Mux(count == 0, 0, count - 1))]
                m.d.sync += count.eq(count + 1)
                with m.If(count == len(FIELDS) - 1):
                    m.d.sync += state.eq(last)
            with m.Case(last):
                m.d.comb += [distance.eq(1 + len(FIELDS)), come.eq(len(FIELDS) - 1)]
                m.d.sync += state.eq(ready)
            with m.Case(ready):
                m.d.comb += distance.eq(Mux(compute, 1 + len(FIELDS), 1))
                m.d.comb += come.eq(len(FIELDS))
                with m.If(fetch.take):
                    m.d.sync += [state.eq(read), at.eq(fetch.address)]
        here = where == at
        m.d.comb += [
            Assert(fetch.ready == (state == ready)),
            Assert(fetch.address == (at + distance)[: len(at)]),
            Assert(started | (state == restart)),
            Assert(~started | (asked_before != where) | (word == what)),
            Assert((state != read) | (asked == at)),
            Assert((state != opcode) | (asked_before == at)),
            Assert((state != fields) | (asked == (at + count + 1)[: len(at)])),
            Assert((state != fields) | (count == 0) | (asked_before == (at + count)[: len(at)])),
            Assert((state != last) | (asked_before == (at + len(FIELDS))[: len(at)])),
            Assert((state != decode) | (asked == fetch.address)),
            Assert((state < decode) | ~here | (fetch.opcode == what[: len(fetch.opcode)])),
            Assert((state != fields) | compute & (count < len(FIELDS))),
            Assert((state != last) | compute & (count == len(FIELDS))),
            Assert((state != ready) | single | compute & (count == len(FIELDS))),
            Assert((state != ready) | (asked == fetch.address)),
            Assert(state < len(self.STATES)),
        ]
        if self._with_fields:
            number = (where - at - 1)[: len(at)]
            self._fields(m, number, what, come, (state >= ready) & compute)
        return m

    def _fields(self, m: Module, number: Value, what: Value, come: Value, here: Value) -> None:
        """The fields that have come, each in the register up to which its chain was shifted."""
        fetch = self._fetch
        chains: dict[tuple[int, int], list[int]] = {}
        for position, item in enumerate(FIELDS):
            chains.setdefault(kept_bits(fetch.machine)[item.name], []).append(position)
        with m.Switch(come):
            for count in range(1, len(FIELDS) + 1):
                with m.Case(count):
                    for (offset, bits), chain in chains.items():
                        stored = [position for position in chain if position < count]
                        for position, kept in zip(stored, chain[-len(stored) :], strict=False):
                            if bits:
                                field = fetch.fields[FIELDS[kept].name].as_unsigned()
                                right = field == what[offset:][:bits]
                                m.d.comb += Assert(~here | (number != position) | right)


class Inferences(Elaboratable):
    """The sequencer and both pairs of banks, wired as in the core.

    An inference is LOAD, one or more compute instructions, STORE. An element is an input; its
    result is its mark. The host fills a bank that it owns and reads a result in the cycle in which
    it gives the bank back; the engines read the input at `start` and write the result when they
    finish.
    """

    def __init__(self, sequencer: Sequencer, inputs: PingPong, outputs: PingPong) -> None:
        self._units = sequencer, inputs, outputs

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sequencer, inputs, outputs = self._units
        m.submodules.sequencer, m.submodules.inputs, m.submodules.outputs = self._units
        commit, release = free(m, name="commit"), free(m, name="release")
        mark = free(m, 2, name="mark")
        m.d.comb += [
            inputs.fill.eq(commit & (inputs.full != 2)),
            inputs.drain.eq(sequencer.store),
            outputs.fill.eq(sequencer.store),
            outputs.drain.eq(release & (outputs.full != 0)),
            sequencer.input_ready.eq(inputs.full != 0),
            sequencer.output_free.eq(~outputs.full[1]),
        ]
        loaded, running, computed = self._program(m, sequencer)

        given = Array(Signal(2, name=f"input{bank}") for bank in range(2))
        found = Array(Signal(2, name=f"output{bank}") for bank in range(2))
        working = Signal(2)
        with m.If(inputs.fill):
            m.d.sync += given[inputs.write_bank].eq(mark)
        with m.If(sequencer.start):
            m.d.sync += working.eq(given[inputs.read_bank])
        with m.If(sequencer.finished):
            m.d.sync += found[outputs.write_bank].eq(working)
        came = Marked(m, transfer=inputs.fill, mark=mark, name="came")
        went = Marked(m, transfer=outputs.drain, mark=found[outputs.read_bank], name="went")
        came.assume(m, inputs.fill)
        went.check(m, outputs.drain)

        # From the oldest to the newest: results in their banks, then inputs in theirs.
        places = [
            (outputs.full != 0, found[outputs.read_bank]),
            (outputs.full == 2, found[~outputs.read_bank]),
            (inputs.full != 0, given[inputs.read_bank]),
            (inputs.full == 2, given[~inputs.read_bank]),
        ]
        in_order(m, came, went, places)
        m.d.comb += [
            Assert((inputs.full != 3) & (outputs.full != 3)),
            *(
                Assert((banks.write_bank ^ banks.read_bank) == (banks.full == 1))
                for banks in (inputs, outputs)
            ),
            Assert(sequencer.busy == loaded),
            Assert(~loaded | (inputs.full != 0) & (outputs.full != 2)),
            Assert(~running | (working == given[inputs.read_bank])),
            Assert(~computed | (found[outputs.write_bank] == given[inputs.read_bank])),
        ]
        return m

    def _program(self, m: Module, sequencer: Sequencer) -> tuple[Signal, Signal, Signal]:
        """Fetched instructions and running ones; returns: an inference is under way, one of its
        instructions runs, and all that have been taken are done."""
        loaded, computed, running = Signal(), Signal(), Signal()
        begins, loading = Signal(), Signal()  # LOAD has been taken and waits
        went_on = Signal()  # and the cycle before had a full input bank and a free output bank
        count = Signal(range(INSTRUCTIONS + 1))
        waiting = Signal()
        fetched, kind = free(m, name="fetched"), free(m, name="kind")
        held_kind = Signal()
        m.d.sync += [
            waiting.eq(sequencer.fetched & ~sequencer.take),
            held_kind.eq(kind),
        ]
        more = kind & (count != INSTRUCTIONS) | (count == 0)
        compute = Mux(free(m, name="which"), Opcode.MATMUL, Opcode.CHANNELWISE)
        begun = loaded | loading
        m.d.comb += [
            sequencer.fetched.eq(fetched),
            Assume(~waiting | fetched & (kind == held_kind)),
            sequencer.opcode.eq(Mux(begun, Mux(more, compute, Opcode.STORE), Opcode.LOAD)),
            sequencer.finished.eq(free(m, name="finished") & running),
        ]
        m.d.comb += loading.eq(begins & ~sequencer.busy)
        banks = sequencer.input_ready & sequencer.output_free
        m.d.sync += [begins.eq(loading), went_on.eq(loading & fetched & banks)]
        with m.If(sequencer.take & ~begun):
            m.d.sync += [begins.eq(1), count.eq(0)]
        m.d.comb += [
            loaded.eq(sequencer.busy),
            # Never stuck: it waits for fetching, for a running instruction or, in LOAD, for banks.
            Assert(sequencer.take == (fetched & ~running & ~loading)),
            Assert(~went_on | ~loading),
            Assert(sequencer.store == (sequencer.take & (sequencer.opcode == Opcode.STORE))),
            Assert(
                sequencer.start == (sequencer.take & (sequencer.opcode != Opcode.STORE) & begun)
            ),
            Assert(~running | (loaded & (count != 0))),
            Assert(~loading | (count == 0)),
            Assert((count == 0) | (loaded & (count <= INSTRUCTIONS))),
            Assert(computed == ((count != 0) & ~running & loaded)),
        ]
        with m.If(sequencer.finished):
            m.d.sync += [running.eq(0), computed.eq(1)]
        with m.If(sequencer.start):
            m.d.sync += [running.eq(1), computed.eq(0), count.eq(count + 1)]
        with m.If(sequencer.store):
            m.d.sync += [computed.eq(0), count.eq(0)]
        return loaded, running, computed


def test_fetch(prove) -> None:
    def proof(claim: str, *, fields: bool) -> Proof:
        return Proof(
            claim=claim,
            spec=lambda: Program(Fetch(machine=MACHINE), fields=fields),
            depth=3,
            invariants=(
                "(= [spec.fetch.fsm_state] [spec.state])",
                "(= [spec.fetch.count] [spec.count])",
            ),
        )

    prove(
        "Fetch",
        proof("every instruction once, in order, in its stated time", fields=False),
        *([proof("each with its own fields", fields=True)] if ACCEPTANCE else []),
        *refuted(
            lambda unit: Program(unit(machine=MACHINE)),
            Fetch,
            10,
            ("fields are left out", "count == len(FIELDS) - 2", "count == 0"),
            ("it goes on after the end", "m.d.sync += self.address.eq(0)", "pass"),
        ),
        *(
            refuted(
                lambda unit: Program(unit(machine=MACHINE), fields=True),
                Fetch,
                FETCH_CYCLES_COMPUTE + 2,
                (
                    "fields are not shifted",
                    "m.d.sync += [a.eq(b) for a, b in pairwise(stages)]",
                    "pass",
                ),
            )
            if ACCEPTANCE
            else []
        ),
    )


def test_tokens(prove) -> None:
    prove(
        "Sequencer, banks",
        Proof(
            claim="every input gives one result, in order; no bank is in two hands; never stuck",
            spec=lambda: Inferences(Sequencer(), PingPong(), PingPong()),
            depth=3,
            invariants=(
                "(= [spec.sequencer.fsm_state] "
                "(ite [spec.loading] #b01 (ite [spec.running] #b10 #b00)))",
            ),
        ),
        *refuted(
            lambda unit: Inferences(unit(), PingPong(), PingPong()),
            Sequencer,
            16,
            (
                "it begins without an input",
                "self.fetched & self.input_ready & self.output_free",
                "self.fetched & self.output_free",
            ),
            (
                "it begins without a free output bank",
                "self.fetched & self.input_ready & self.output_free",
                "self.fetched & self.input_ready",
            ),
            ("an instruction does not end", "with m.If(self.finished):", "with m.If(0):"),
        ),
    )
