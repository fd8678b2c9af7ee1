"""Fetch, and the token scheme: sequencer and banks between a host and the engines."""

from amaranth.asserts import AnyConst
from amaranth.hdl import Array, Assert, Assume, Cat, Elaboratable, Module, Mux, Signal
from proof import Proof, broken
from tokens import Marked, free, in_order

from bitwright.hwgen.banks import PingPong
from bitwright.hwgen.isa import kept_bits, program_bits
from bitwright.hwgen.sequencer import FETCH_CYCLES_COMPUTE, FETCH_CYCLES_END, Fetch, Sequencer
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
    """A program of any words, of which one at any address is looked at, and the one at 0."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fetch = fetch = self._fetch
        width = program_bits(fetch.machine)
        where, what, first = Signal(len(fetch.address)), Signal(width), Signal(width)
        m.d.comb += [where.eq(AnyConst(len(where))), what.eq(AnyConst(width))]
        m.d.comb += first.eq(AnyConst(width))
        asked = Signal.like(fetch.address)
        m.d.sync += asked.eq(fetch.address)
        m.d.comb += [
            fetch.data.eq(free(m, width, name="data")),
            fetch.take.eq(free(m, name="take") & fetch.ready),
            Assume((asked != where) | (fetch.data == what)),
            Assume((asked != 0) | (fetch.data == first)),
            Assume((where != 0) | (what == first)),
            Assume(first[:3] == Opcode.LOAD),
        ]
        # The memory has no word after the last one, and no program reaches it.
        at = Signal.like(fetch.address)  # of the instruction that is ready
        following = Signal.like(fetch.address)  # of the one after the last that was taken
        compute = Cat(fetch.opcode == opcode for opcode in COMPUTE).any()
        m.d.comb += at.eq(fetch.address - Mux(compute, 1 + len(FIELDS), 1))
        waited = Signal(range(64))
        m.d.sync += waited.eq(Mux(fetch.ready, 0, waited + 1))
        with m.If(fetch.take):
            m.d.sync += following.eq(fetch.address)
        ends = Cat(
            what[:3] == opcode for opcode in range(8) if opcode not in (*COMPUTE, 1, 2)
        ).any()
        with m.If(fetch.ready):
            m.d.comb += [
                Assert((at == following) | (at == 0)),
                Assert((where != following) | ends | (at == following)),
                Assert((where != following) | ~ends | (at == 0)),
                Assert((where != at) | (fetch.opcode == what[:3])),
            ]
            with m.If(compute):
                for number, item in enumerate(FIELDS):
                    offset, bits = kept_bits(fetch.machine)[item.name]
                    if bits:
                        field = fetch.fields[item.name].as_unsigned()
                        claim = field == what[offset:][:bits]
                        m.d.comb += Assert((where != (at + 1 + number)[: len(at)]) | claim)
        m.d.comb += Assert(waited < FETCH_CYCLES_COMPUTE + FETCH_CYCLES_END)
        return m


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
                sequencer.start
                == (sequencer.take & (sequencer.opcode != Opcode.STORE) & begun)
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
    depth = FETCH_CYCLES_COMPUTE + FETCH_CYCLES_END + 2
    prove(
        "Fetch",
        Proof(
            claim="every instruction comes once, in order, with its own words",
            spec=lambda: Program(Fetch(machine=MACHINE)),
            depth=depth,
        ),
        Proof(
            claim="a field is one word late",
            spec=lambda: Program(
                broken(Fetch, "m.d.sync += [a.eq(b) for a, b in pairwise(stages)]", "pass")(
                    machine=MACHINE
                )
            ),
            depth=2 * depth,
            method="refuted",
        ),
        Proof(
            claim="the last field is left out",
            spec=lambda: Program(
                broken(Fetch, "count == len(FIELDS) - 1", "count == len(FIELDS) - 2")(
                    machine=MACHINE
                )
            ),
            depth=2 * depth,
            method="refuted",
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
        *(
            Proof(
                claim=claim,
                spec=lambda old=old, new=new: Inferences(
                    broken(Sequencer, old, new)(), PingPong(), PingPong()
                ),
                depth=30,
                method="refuted",
            )
            for claim, old, new in (
                (
                    "begins without an input",
                    "self.fetched & self.input_ready & self.output_free",
                    "self.fetched & self.output_free",
                ),
                (
                    "begins without a free output bank",
                    "self.fetched & self.input_ready & self.output_free",
                    "self.fetched & self.input_ready",
                ),
                ("an instruction does not end", "with m.If(self.finished):", "with m.If(0):"),
            )
        ),
    )


