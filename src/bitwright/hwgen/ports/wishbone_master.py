"""Wishbone B4 master for external memory, with registered-feedback bursts."""

from enum import IntEnum

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, Signature

from bitwright.hwgen.ports.memory_port import MemoryPortSignature
from bitwright.hwgen.stream_buffer import StreamBuffer
from bitwright.hwgen.structure import Structure
from bitwright.ir.machine import MachineError

BUFFER_DEPTH = 4  # of words that are read or written; with 4 a burst never ends for want of room


class CycleType(IntEnum):
    """What `cti` says of a beat: the next address follows in the next beat, or none does."""

    INCREMENTING = 0b010
    END = 0b111


def burst_signature(*, data_bits: int, address_bits: int) -> Signature:
    """A Wishbone B4 bus with the burst tags, seen from the master; `adr` counts words."""
    return Signature(
        {
            "cyc": Out(1),
            "stb": Out(1),
            "we": Out(1),
            "adr": Out(address_bits),
            "sel": Out(data_bits // 8),
            "cti": Out(3),
            "bte": Out(2),
            "dat_w": Out(data_bits),
            "dat_r": In(data_bits),
            "ack": In(1),
            "err": In(1),
        }
    )


class WishboneMaster(wiring.Component):
    """Carries out commands in linear bursts of at most `burst_words` beats.

    Within a burst `stb` stays high: a beat announces another one only when that one's data, or
    room for it, is there already. All outputs of the bus are registers or lead from one; `cyc` is
    low for a cycle after each burst, so that an arbiter can choose another master.

    Wishbone B4 specification (OpenCores, 2010), chapter 4.

    Members:
        port: commands and data.
        bus: `err` ends a beat as `ack` does, and sets `port.failed`.

    Attributes:
        reads, writes: buffers of the data.
        left: beats that are left of the command.
        room: beats that may follow this one in its burst.
    """

    def __init__(
        self, *, data_bits: int = 32, address_bits: int = 26, words_bits: int = 20,
        burst_words: int = 64,
    ) -> None:  # fmt: skip
        if burst_words < 1:
            raise MachineError(
                f"WishboneMaster has bursts of {burst_words} words; expected at least 1"
            )
        self._burst_words = burst_words
        self._data_bits = data_bits
        self.reads = StreamBuffer(width=data_bits, depth=BUFFER_DEPTH)
        self.writes = StreamBuffer(width=data_bits, depth=BUFFER_DEPTH)
        self.left, self.room = Signal(words_bits), Signal(range(burst_words))
        super().__init__(
            {
                "port": In(
                    MemoryPortSignature(
                        data_bits=data_bits, address_bits=address_bits, words_bits=words_bits
                    )
                ),
                "bus": Out(burst_signature(data_bits=data_bits, address_bits=address_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        port, bus = self.port, self.bus
        m.submodules.reads, m.submodules.writes = reads, writes = self.reads, self.writes
        left, room = self.left, self.room
        done = Signal()
        m.d.comb += [
            bus.sel.eq(Const(-1, self._data_bits // 8)),
            bus.bte.eq(0),
            bus.dat_w.eq(writes.o.payload),
            done.eq(bus.stb & (bus.ack | bus.err)),
            reads.i.payload.eq(bus.dat_r),
            reads.i.valid.eq(done & ~bus.we),
            writes.o.ready.eq(done & bus.we),
            port.command.ready.eq(left == 0),
            port.idle.eq(left == 0),
        ]
        wiring.connect(m, wiring.flipped(port.read_data), reads.o)
        wiring.connect(m, wiring.flipped(port.write_data), writes.i)

        # Beats that can begin with what is buffered, of which the first is the one at hand. A burst
        # waits for three, or for all that are left: with less it would end at once.
        possible = Signal(range(BUFFER_DEPTH + 1))
        enough = Signal()
        m.d.comb += [
            possible.eq(Mux(bus.we, writes.level, BUFFER_DEPTH - reads.level)),
            enough.eq((left != 0) & ((possible > 2) | (possible >= left))),
        ]
        with m.If(port.command.valid & port.command.ready):
            m.d.sync += [
                left.eq(port.command.payload.words),
                bus.adr.eq(port.command.payload.address),
                bus.we.eq(port.command.payload.write),
            ]
        with m.If(done):
            m.d.sync += [
                left.eq(left - 1),
                bus.adr.eq(bus.adr + 1),
                room.eq(room - 1),
                port.failed.eq(port.failed | bus.err),
                bus.stb.eq(bus.cti == CycleType.INCREMENTING),
                bus.cyc.eq(bus.cti == CycleType.INCREMENTING),
                bus.cti.eq(
                    Mux(
                        (left > 2) & (possible > 2) & (room > 1),
                        CycleType.INCREMENTING,
                        CycleType.END,
                    )
                ),
            ]
        with m.Elif(~bus.stb & enough):
            m.d.sync += [
                bus.stb.eq(1),
                bus.cyc.eq(1),
                room.eq(self._burst_words - 1),
                bus.cti.eq(
                    Mux(
                        (left > 1) & (possible > 1) & (self._burst_words > 1),
                        CycleType.INCREMENTING,
                        CycleType.END,
                    )
                ),
            ]
        return m


def resources(*, data_bits: int, address_bits: int, words_bits: int) -> Structure:
    """Two buffers; addresses and counts."""
    words = 2 * BUFFER_DEPTH * data_bits
    counts = address_bits + words_bits
    return Structure(
        lut={"buffers": 3 * words / 2, "counts": 4 * counts},
        ff={"buffers": words, "counts": 17 + counts},
    )
