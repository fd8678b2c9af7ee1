"""Fetches instructions and starts them one after the other."""

from itertools import pairwise

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen import fused_add
from bitwright.hwgen.delayed import registered
from bitwright.hwgen.isa import (
    BASIC,
    COMPUTE,
    OPCODE_BITS,
    address_bits,
    count_bits,
    field_layout,
    kept_bits,
    program_bits,
)
from bitwright.hwgen.structure import Structure
from bitwright.ir.instructions import ADD_FIELD_NAMES, ADD_FIELDS, FIELDS, Field, Opcode, fields_of
from bitwright.ir.machine import Machine

# Cycles from starting an instruction to the earliest start of the next one.
FETCH_CYCLES = 4
FETCH_CYCLES_COMPUTE = FETCH_CYCLES + 1 + len(FIELDS)
FETCH_CYCLES_END = 4  # an END in between


def fetch_cycles(opcode: Opcode) -> int:
    """Cycles from starting an instruction to the earliest start of the next one, of that opcode."""
    if opcode not in COMPUTE:
        return FETCH_CYCLES
    prepare = fused_add.PREPARE_CYCLES if opcode == Opcode.MATMUL_ADD else 0
    return FETCH_CYCLES + 1 + len(fields_of(opcode)) + prepare


def _fields(machine: Machine) -> tuple[Field, ...]:
    """All that an instruction of the machine may have."""
    return FIELDS + ADD_FIELDS if machine.fused_adds else FIELDS


class Fetch(wiring.Component):
    """Reads the next instruction while the current one runs.

    Fields of one width are a chain of registers: a word of that width is shifted in, so that
    after the last word every field is in its place. Those that only a MATMUL_ADD has are in chains
    of their own.

    Members:
        address, data: read port of the program memory.
        ready: `opcode` and `fields` are complete and hold still until the cycle of `take`.
        count: what stands beside the opcode, of a machine with external memory.
    """

    def __init__(self, *, machine: Machine) -> None:
        self.machine = machine
        names = [name for name, (_, bits) in kept_bits(machine).items() if bits]
        super().__init__(
            {
                "address": Out(address_bits(machine.program_words)),
                "data": In(program_bits(machine)),
                "ready": Out(1),
                "take": In(1),
                "opcode": Out(OPCODE_BITS),
                "fields": Out(field_layout(machine, names)),
                **({"count": Out(count_bits(machine))} if machine.streams else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        adds = self.machine.fused_adds
        count = Signal(range(len(_fields(self.machine))))
        last = Signal()  # `count` is that of the last field
        store = Signal()  # the word that comes after the next is a field: number `count` by then
        data = Signal.like(self.data, name="word", reset_less=True)
        m.d.sync += data.eq(self.data)
        m.d.sync += last.eq(count == len(FIELDS) - 2)
        if adds:
            with m.If(self.opcode == Opcode.MATMUL_ADD):
                m.d.sync += last.eq(count == len(_fields(self.machine)) - 2)
        self._chains(m, data, count, store)
        # A word is here two cycles after its address, which runs ahead. That of an opcode has
        # stood since the cycle before `read`.
        with m.FSM():
            with m.State("restart"):
                m.next = "read"
            with m.State("read"):
                m.d.sync += self.address.eq(self.address + 1)
                m.next = "opcode"
            with m.State("opcode"):
                m.d.sync += [self.opcode.eq(data[:OPCODE_BITS]), count.eq(0)]
                if self.machine.streams:
                    m.d.sync += self.count.eq(data[OPCODE_BITS:])
                m.next = "decode"
            with m.State("decode"):
                with m.Switch(self.opcode):
                    with m.Case(Opcode.LOAD, Opcode.STORE):
                        m.next = "ready"
                    with m.Case(*COMPUTE if adds else BASIC):
                        m.d.comb += store.eq(1)
                        m.d.sync += self.address.eq(self.address + 1)
                        m.next = "fields"
                    with m.Default():
                        m.d.sync += self.address.eq(0)
                        m.next = "restart"
            with m.State("fields"):
                m.d.sync += count.eq(count + 1)
                with m.If(last):
                    m.next = "last"
                with m.Else():
                    m.d.comb += store.eq(1)
                    m.d.sync += self.address.eq(self.address + 1)
            with m.State("last"):
                m.next = "ready"
            with m.State("ready"):
                m.d.comb += self.ready.eq(1)
                with m.If(self.take):
                    m.next = "read"
        return m

    def _chains(self, m: Module, data: Signal, count: Signal, store: Signal) -> None:
        chains: dict[tuple[tuple[int, int], bool], list[str]] = {}
        for name, kept in kept_bits(self.machine).items():
            chains.setdefault((kept, name in ADD_FIELD_NAMES), []).append(name)
        positions = {item.name: number for number, item in enumerate(_fields(self.machine))}
        stored = registered(m, store, "stored")
        for ((offset, bits), added), names in chains.items():
            if not bits:
                continue
            kind = "_added" if added else ""
            here = Signal(name=f"is_{bits}_bits_from_{offset}{kind}", reset_less=True)
            m.d.sync += here.eq(0)
            with m.Switch(count):
                with m.Case(*(positions[name] for name in names)):
                    m.d.sync += here.eq(stored)
            stages = [Signal(bits, name=f"next_{name}", reset_less=True) for name in names]
            with m.If(here):
                m.d.sync += stages[-1].eq(data[offset:][:bits])
                m.d.sync += [a.eq(b) for a, b in pairwise(stages)]
            m.d.comb += [
                self.fields[name].eq(stage) for name, stage in zip(names, stages, strict=True)
            ]


class Sequencer(wiring.Component):
    """Runs the program: LOAD waits for the host, compute instructions run one by one, STORE
    hands the result over.

    Members:
        fetched, opcode, take: of `Fetch`.
        input_ready, output_free: a full input bank, a free output bank.
        idle: no instruction runs; the next one may start in this cycle.
        start: one cycle, with the fetched fields; `finished`: that instruction is done.
        matmul: the running instruction is a MATMUL, or with `adds` a MATMUL_ADD.
        store: one cycle: free the input bank, publish the output bank.
        busy: from a LOAD going on to its STORE. `cycles`: how long, valid with `store`.
    """

    def __init__(self, *, adds: bool = False) -> None:
        self._adds = adds
        super().__init__(
            {
                "fetched": In(1),
                "opcode": In(OPCODE_BITS),
                "take": Out(1),
                "input_ready": In(1),
                "output_free": In(1),
                "idle": Out(1),
                "start": Out(1),
                "finished": In(1),
                "matmul": Out(1),
                "store": Out(1),
                "busy": Out(1),
                "cycles": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.cycles.eq(self.cycles + 1)
        with m.FSM():
            with m.State("next"):
                m.d.comb += self.idle.eq(1)
                with m.If(self.fetched):
                    m.d.comb += self.take.eq(1)
                    with m.Switch(self.opcode):
                        with m.Case(Opcode.LOAD):
                            m.next = "load"
                        with m.Case(Opcode.STORE):
                            m.d.comb += self.store.eq(1)
                            m.d.sync += self.busy.eq(0)
                        with m.Default():
                            m.d.comb += self.start.eq(1)
                            matmul = self.opcode == Opcode.MATMUL
                            if self._adds:
                                matmul = self.opcode != Opcode.CHANNELWISE
                            m.d.sync += self.matmul.eq(matmul)
                            m.next = "compute"
            with m.State("load"):
                m.d.sync += self.cycles.eq(1)
                with m.If(self.fetched & self.input_ready & self.output_free):
                    m.d.sync += self.busy.eq(1)
                    m.next = "next"
            with m.State("compute"):
                with m.If(self.finished):
                    m.next = "next"
        return m


def resources(machine: Machine) -> Structure:
    """`Fetch` and `Sequencer`."""
    fields = sum(bits for _, bits in kept_bits(machine).values())
    address = address_bits(machine.program_words)
    return Structure(
        lut={"sequencers": 135, "addresses": 2 * address},
        ff={
            "sequencers": 60, "addresses": address, "words": program_bits(machine),
            "fields": fields + count_bits(machine),
        },
    )  # fmt: skip
