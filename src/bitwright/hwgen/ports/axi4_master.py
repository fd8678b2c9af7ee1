"""AXI4 master for external memory."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, Signature

from bitwright.hwgen.ports.memory_port import MemoryPortSignature
from bitwright.hwgen.stream_buffer import StreamBuffer
from bitwright.ir.machine import MachineError

INCR = 0b01
BOUNDARY_BYTES = 4096  # no burst crosses a multiple of it
MAX_BURST = 256


def axi4_signature(*, data_bits: int, address_bits: int) -> Signature:
    """An AXI4 bus of one ID, seen from the master, with the names of the standard.

    Signals that a master may leave out are left out; a bridge gives them their default values.
    Addresses count bytes.
    """
    return Signature(
        {
            **{
                f"{prefix}{name}": member
                for prefix in ("aw", "ar")
                for name, member in {
                    "addr": Out(address_bits),
                    "len": Out(8),
                    "size": Out(3),
                    "burst": Out(2),
                    "valid": Out(1),
                    "ready": In(1),
                }.items()
            },
            "wdata": Out(data_bits),
            "wstrb": Out(data_bits // 8),
            "wlast": Out(1),
            "wvalid": Out(1),
            "wready": In(1),
            "bresp": In(2),
            "bvalid": In(1),
            "bready": Out(1),
            "rdata": In(data_bits),
            "rresp": In(2),
            "rlast": In(1),
            "rvalid": In(1),
            "rready": Out(1),
        }
    )


class Axi4Master(wiring.Component):
    """Carries out commands in incrementing bursts that end at multiples of `burst_words` words.

    So no burst crosses a boundary of 4 KiB. Up to `outstanding` bursts of one direction are under
    way; a command of the other direction waits until all of them are answered. Write data do not
    wait for their address to be taken. No input reaches an output in the same cycle.

    AMBA AXI protocol specification (ARM IHI 0022), chapters A2 and A3.

    Members:
        port: commands and data.
        bus: an answer with an error sets `port.failed`.

    Attributes:
        reads, writes: buffers of the data.
        address, left, write: of the words for which no burst has begun.
        ends: bursts of the other direction are under way and must be answered first.
        flying: bursts that have begun and are not answered.
        beats_left: of the write burst whose data are being sent.
    """

    def __init__(
        self, *, data_bits: int = 32, address_bits: int = 26, words_bits: int = 20,
        burst_words: int = 16, outstanding: int = 4,
    ) -> None:  # fmt: skip
        largest = min(MAX_BURST, BOUNDARY_BYTES * 8 // data_bits)
        if burst_words & (burst_words - 1) or not 0 < burst_words <= largest:
            raise MachineError(
                f"Axi4Master has bursts of {burst_words} words of {data_bits} bits; expected a "
                f"power of two, at most {largest}"
            )
        if outstanding < 1:
            raise MachineError(
                f"Axi4Master has {outstanding} outstanding bursts; expected at least 1"
            )
        self._data_bits = data_bits
        self._address_bits = address_bits
        self._burst_words = burst_words
        self._outstanding = outstanding
        self.reads = StreamBuffer(width=data_bits)
        self.writes = StreamBuffer(width=data_bits)
        self.address, self.left = Signal(address_bits), Signal(words_bits)
        self.write, self.ends = Signal(), Signal()
        self.flying = Signal(range(outstanding + 1))
        self.beats_left = Signal(range(burst_words + 1))
        self._byte_bits = (data_bits // 8).bit_length() - 1
        super().__init__(
            {
                "port": In(
                    MemoryPortSignature(
                        data_bits=data_bits, address_bits=address_bits, words_bits=words_bits
                    )
                ),
                "bus": Out(
                    axi4_signature(data_bits=data_bits, address_bits=address_bits + self._byte_bits)
                ),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        port, bus = self.port, self.bus
        m.submodules.reads, m.submodules.writes = reads, writes = self.reads, self.writes
        address, left, write, ends = self.address, self.left, self.write, self.ends
        flying, beats_left = self.flying, self.beats_left
        asking, answered = Signal(), Signal()
        m.d.comb += [
            asking.eq(bus.awvalid | bus.arvalid),
            answered.eq((bus.bvalid & bus.bready) | (bus.rvalid & bus.rready & bus.rlast)),
            port.idle.eq((left == 0) & (flying == 0)),
            bus.bready.eq(1),
        ]
        wiring.connect(m, wiring.flipped(port.read_data), reads.o)
        wiring.connect(m, wiring.flipped(port.write_data), writes.i)

        # Commands: one waits while bursts of the other direction are under way.
        m.d.comb += port.command.ready.eq((left == 0) & ~ends)
        with m.If(port.command.valid & port.command.ready):
            m.d.sync += [
                address.eq(port.command.payload.address),
                left.eq(port.command.payload.words),
                write.eq(port.command.payload.write),
                ends.eq((port.command.payload.write != write) & (flying != 0)),
            ]
        with m.Elif(flying == 0):
            m.d.sync += ends.eq(0)

        # Bursts: from `address` to the next multiple of the burst, or to the end.
        beats = Signal(range(self._burst_words + 1))
        to_boundary = Signal.like(beats)
        position = address[: self._burst_words.bit_length() - 1]
        m.d.comb += [
            to_boundary.eq(self._burst_words - position),
            beats.eq(Mux(left < to_boundary, left, to_boundary)),
        ]
        begin = Signal()
        m.d.comb += begin.eq(
            (left != 0) & ~ends & ~asking & (beats_left == 0) & (flying != self._outstanding)
        )
        with m.If(bus.awready):
            m.d.sync += bus.awvalid.eq(0)
        with m.If(bus.arready):
            m.d.sync += bus.arvalid.eq(0)
        where, length = Signal(self._address_bits), Signal(8)
        with m.If(begin):
            m.d.sync += [
                bus.awvalid.eq(write),
                bus.arvalid.eq(~write),
                where.eq(address),
                length.eq(beats - 1),
                address.eq(address + beats),
                left.eq(left - beats),
            ]
        m.d.sync += flying.eq(flying + begin - answered)
        for prefix in ("aw", "ar"):
            m.d.comb += [
                getattr(bus, f"{prefix}addr").eq(Cat(Const(0, self._byte_bits), where)),
                getattr(bus, f"{prefix}len").eq(length),
                getattr(bus, f"{prefix}size").eq(self._byte_bits),
                getattr(bus, f"{prefix}burst").eq(INCR),
            ]

        # Data.
        m.d.comb += [
            bus.wvalid.eq(writes.o.valid & (beats_left != 0)),
            bus.wdata.eq(writes.o.payload),
            bus.wstrb.eq(Const(-1, self._data_bits // 8)),
            bus.wlast.eq(beats_left == 1),
            writes.o.ready.eq(bus.wready & (beats_left != 0)),
            reads.i.valid.eq(bus.rvalid),
            reads.i.payload.eq(bus.rdata),
            bus.rready.eq(reads.i.ready),
        ]
        with m.If(begin & write):
            m.d.sync += beats_left.eq(beats)
        with m.Elif(bus.wvalid & bus.wready):
            m.d.sync += beats_left.eq(beats_left - 1)
        wrong = Signal()
        m.d.comb += wrong.eq(
            (bus.bvalid & bus.bready & bus.bresp.any())
            | (bus.rvalid & bus.rready & bus.rresp.any())
        )
        with m.If(wrong):
            m.d.sync += port.failed.eq(1)
        return m
