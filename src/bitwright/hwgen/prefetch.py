"""Loads the weights of the next instructions while the machine computes this one."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.isa import STREAM_BITS, address_bits
from bitwright.hwgen.ports.memory_port import ReadPortSignature
from bitwright.hwgen.structure import Structure
from bitwright.ir.machine import MEMORY_BITS, Machine
from bitwright.targets.host_interface import MEMORY_WORD_BITS

ADDRESS_BITS = MEMORY_WORD_BITS
ROOM_CYCLES = 2  # from the last step of an instruction to a command that uses its room
BEGIN_CYCLES = 2  # from the cycle in which LOAD goes on to the first command
THERE_CYCLES = 3  # from a word at the port to the first start that may use it
OVERWRITE_CYCLES = 7  # at least, from the last step of an instruction to a write over its words


def words_bits(machine: Machine) -> int:
    """Width of the number of words of a command."""
    return (machine.burst_weights * slices(machine)).bit_length()


def slices(machine: Machine) -> int:
    """Words of external memory that hold a weight word."""
    return -(-machine.weight_bits // MEMORY_BITS)


def memory_signature(machine: Machine) -> ReadPortSignature:
    """The port for a master of external memory."""
    return ReadPortSignature(
        data_bits=MEMORY_BITS, address_bits=ADDRESS_BITS, words_bits=words_bits(machine)
    )


class WeightStreamer(wiring.Component):
    """Keeps a ring of weight words filled, in the order of their use.

    External memory holds the weights of all instructions one after the other, each word in
    consecutive words of the port, the lowest bits first. They are asked for in commands of
    `machine.burst_weights` weight words, as soon as the ring has room for one. Each instruction
    takes the next words, and gives them back with its last step.

    Members:
        run: 0: forgets all words, also those that are on their way.
        begin: one cycle: an inference begins; so many `bursts` make all of its weights.
        base: first word of the weights in external memory.
        port: for a master; it only reads, and takes every word at once.
        write_enable, write_address, write_data: write port of the weight memory.
        need: words of the next instruction. `there`: they were loaded a cycle ago.
        head: the first of them.
        start: one cycle: the next instruction starts.
        release: one cycle: its last step.
    """

    def __init__(self, *, machine: Machine) -> None:
        self._burst = machine.burst_weights
        self._slices = slices(machine)
        self._width = machine.weight_bits
        self._depth = machine.weight_words
        bits = address_bits(machine.weight_words)
        super().__init__(
            {
                "run": In(1),
                "begin": In(1),
                "bursts": In(STREAM_BITS),
                "base": In(ADDRESS_BITS),
                "port": Out(memory_signature(machine)),
                "write_enable": Out(1),
                "write_address": Out(bits),
                "write_data": Out(machine.weight_bits),
                "need": In(bits),
                "there": Out(1),
                "head": Out(bits),
                "start": In(1),
                "release": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        port = self.port
        left = Signal(STREAM_BITS)  # commands of this inference
        address = Signal(ADDRESS_BITS, reset_less=True)
        free = Signal(range(self._depth + 1), init=self._depth)
        loaded = Signal(range(self._depth + 1))
        held = Signal.like(self.need)  # words of the instruction that runs
        room = Signal()
        asks = Signal()
        flush = Signal(init=1)
        m.d.comb += [
            port.command.valid.eq((left != 0) & room & ~flush),
            port.command.payload.address.eq(address),
            port.command.payload.words.eq(self._burst * self._slices),
            asks.eq(port.command.valid & port.command.ready),
            port.read_data.ready.eq(1),
        ]
        self._words(m)
        m.d.sync += [
            free.eq(free - Mux(asks, self._burst, 0) + Mux(self.release, held, 0)),
            loaded.eq(loaded + self.write_enable - Mux(self.start, self.need, 0)),
            room.eq((free >= self._burst) & ~asks),
            self.there.eq(loaded >= self.need),
        ]
        with m.If(asks):
            m.d.sync += [left.eq(left - 1), address.eq(address + self._burst * self._slices)]
        with m.If(self.start):
            m.d.sync += [held.eq(self.need), self.head.eq(self.head + self.need)]
        with m.If(self.begin):
            m.d.sync += [left.eq(self.bursts), address.eq(self.base)]

        # After a stop, words that have been asked for still come.
        owed = Signal(range(self._depth * self._slices + 1))
        m.d.sync += owed.eq(owed + Mux(asks, self._burst * self._slices, 0) - port.read_data.valid)
        with m.If(~self.run):
            m.d.sync += [flush.eq(1), left.eq(0)]
        with m.Elif(owed == 0):
            m.d.sync += flush.eq(0)
        with m.If(flush):
            m.d.sync += [
                free.eq(self._depth), loaded.eq(0), self.head.eq(0), self.write_address.eq(0)
            ]  # fmt: skip
        return m

    def _words(self, m: Module) -> None:
        """Puts words of the port together and writes them."""
        data = self.port.read_data
        part = Signal(range(self._slices))
        parts = Signal(self._slices * MEMORY_BITS, reset_less=True)
        last = Signal()
        m.d.comb += [
            last.eq(part == self._slices - 1),
            self.write_data.eq(parts[: self._width]),
        ]
        m.d.sync += self.write_enable.eq(data.valid & last)
        with m.If(data.valid):
            m.d.sync += [
                parts.eq(Cat(parts, data.payload)[MEMORY_BITS:]),
                part.eq(Mux(last, 0, part + 1)),
            ]
        with m.If(self.write_enable):
            m.d.sync += self.write_address.eq(self.write_address + 1)


def resources(machine: Machine) -> Structure:
    """Counts and addresses; the words that are put together."""
    counts = 6 * address_bits(machine.weight_words) + 2 * STREAM_BITS + 2 * ADDRESS_BITS
    return Structure(
        lut={"streamers": 40, "streamed": counts},
        ff={"streamers": 20, "streamed": counts + slices(machine) * MEMORY_BITS},
    )
