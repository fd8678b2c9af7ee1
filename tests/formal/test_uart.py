"""The frames of the serial line: a request happens as a whole or not at all, and is answered."""

from amaranth.asserts import AnyConst
from amaranth.hdl import Array, Assert, Assume, Cat, Const, Elaboratable, Module, Mux, Signal
from proof import ACCEPTANCE, Proof, refuted
from tokens import free, held, slow_host

from bitwright.hwgen.ports.uart import Crc8, FrameServer
from bitwright.targets.serial_frames import ACK, NAK, READ, WRITE

SILENCE = 6
SLOWEST = 1  # cycles that the host port and the line wait


class Feeder:
    """Sends the bytes of a request, each as soon as it is taken.

    The CRC is that of the bytes as they should be; `damage` is added to one of them.

    Attributes:
        address, data: of the request.
        intact: nothing is damaged.
        sent: the request has been sent.
    """

    def __init__(
        self, m: Module, frames: FrameServer, operation: int, words: int, *, begun: int,
        damaged: bool,
    ) -> None:  # fmt: skip
        """
        Args:
            begun: bytes of the beginning of a request that come first, before a silence.
            damaged: one byte may be damaged.

        With one of the two the request is one certain one, else any: the CRC is linear, so what it
        says of a damage does not depend on the bytes.
        """
        self.address, self.data = Signal(28, init=0x9ABCDE4), Signal(32, init=0x1234567)
        stop = Const(begun, 4)
        where, damage = Signal(4), Signal(8)
        self.intact, self.sent = Signal(), Signal()
        free_constants = [where, damage] if damaged else []
        if not damaged and not begun:
            free_constants = [self.address, self.data]
        m.d.comb += [signal.eq(AnyConst(len(signal))) for signal in free_constants]
        header = [Const(operation, 8), *(self.address[i : i + 8] for i in range(0, 24, 8))]
        header += [Cat(self.address[24:], Const(0, 4)), Const(words - 1, 8), Const(0, 8)]
        body = [self.data[i : i + 8] for i in range(0, 32, 8)] if operation == WRITE else []
        m.submodules.ghost_crc = crc = Crc8()
        bytes_ = Array([*header, crc.crc, *body, *([crc.crc] if body else [])])
        length = len(bytes_)
        place, pause, second = Signal(range(length + 1)), Signal(4), Signal(init=begun == 0)
        valid, first_ends = Signal(), Signal()
        m.d.comb += [
            first_ends.eq(~second & (place == stop)),
            valid.eq((place != length) & ~first_ends),
            frames.i.valid.eq(valid),
            frames.i.payload.eq(bytes_[place] ^ Mux(second & (place == where), damage, 0)),
            Assume(where < length),
            self.intact.eq(damage == 0),
            self.sent.eq(second & (place == length)),
            crc.data.eq(bytes_[place]),
            crc.valid.eq(valid & frames.i.ready),
        ]
        with m.If(valid & frames.i.ready):
            m.d.sync += place.eq(place + 1)
            with m.If(place == 7):  # the CRC of the words begins anew
                m.d.comb += crc.start.eq(1)
        with m.If(first_ends):
            m.d.sync += pause.eq(pause + 1)
            with m.If(pause == SILENCE + 3):
                m.d.sync += [second.eq(1), place.eq(0)]
                m.d.comb += crc.start.eq(1)


class Writes(Elaboratable):
    """A write of one word. Host and line are always ready, except with `damaged`; that they may
    wait at any time is in `AnyBytes`."""

    def __init__(self, frames: FrameServer, *, begun: int = 0, damaged: bool = False) -> None:
        self._frames = frames
        self._options = {"begun": begun, "damaged": damaged}

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.frames = frames = self._frames
        feeder = Feeder(m, frames, WRITE, 1, **self._options)
        waits = SLOWEST if self._options["damaged"] else 0
        served = slow_host(m, frames.host, waits)
        m.d.comb += frames.o.ready.eq(free(m, name="line_ready") if waits else 1)
        written, replied, late = Signal(), Signal(), Signal(4)
        replies = frames.o.valid & frames.o.ready
        m.d.sync += [
            written.eq(written | served),
            replied.eq(replied | replies),
            late.eq(Mux(feeder.sent & ~replied & ~(frames.o.valid & ~frames.o.ready), late + 1, 0)),
        ]
        m.d.comb += [
            Assert(
                ~served
                | feeder.sent
                & feeder.intact
                & ~written
                & frames.host.we
                & (frames.host.addr == feeder.address)
                & (frames.host.wdata == feeder.data)
            ),
            Assert(~replies | ~replied),
            Assert(~replies | (frames.o.payload == Mux(feeder.intact, ACK, NAK))),
            Assert(~replies | ~feeder.intact | written),
            Assert(late <= 3 + waits),
        ]
        return m


class Reads(Elaboratable):
    """A read of two words; host and line are always ready (that they may wait: `AnyBytes`)."""

    def __init__(self, frames: FrameServer) -> None:
        self._frames = frames

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.frames = frames = self._frames
        feeder = Feeder(m, frames, READ, 2, begun=0, damaged=False)
        served = slow_host(m, frames.host, 0)
        m.d.comb += frames.o.ready.eq(1)
        m.submodules.reply_crc = crc = Crc8()
        count = Signal(2)
        sent = Signal(4)
        word = Signal(32)
        reply_check = Signal(8)
        replies = frames.o.valid & frames.o.ready
        with m.If(served):
            m.d.sync += [count.eq(count + 1), word.eq(frames.host.rdata)]
        with m.If(replies):
            m.d.sync += sent.eq(sent + 1)
        m.d.comb += [
            reply_check.eq(crc.crc),
            crc.data.eq(frames.o.payload),
            crc.valid.eq(replies & (sent != 0)),
            Assert(~served | ~frames.host.we),
            Assert(~served | (frames.host.addr == (feeder.address + 4 * count)[:28])),
            Assert(~served | (count < 2) & (sent == 1 + 4 * count)),
            Assert(~replies | (sent < 10) & feeder.sent),
            Assert(~replies | (sent != 0) | (frames.o.payload == ACK)),
            Assert(~replies | (sent != 9) | (frames.o.payload == reply_check)),
        ]
        with m.If(replies & (sent != 0) & (sent != 9)):
            byte = word.word_select((sent - 1)[:2], 8)
            m.d.comb += Assert(frames.o.payload == byte)
        return m


class AnyBytes(Elaboratable):
    """Any bytes at all."""

    def __init__(self, frames: FrameServer) -> None:
        self._frames = frames

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.frames = frames = self._frames
        i, o = frames.i, frames.o
        m.d.comb += [
            i.valid.eq(free(m, name="byte_comes")),
            i.payload.eq(free(m, 8, name="byte")),
            o.ready.eq(free(m, name="line_ready")),
        ]
        served = slow_host(m, frames.host, SLOWEST)
        stuck, slow = Signal(4), Signal(2)
        m.d.sync += [
            slow.eq(Mux(o.valid & ~o.ready, slow + 1, 0)),
            stuck.eq(Mux(i.ready | (o.valid & o.ready) | served, 0, stuck + 1)),
        ]
        m.d.comb += [
            Assume(slow <= SLOWEST),
            Assert(held(m, valid=o.valid, ready=o.ready, payload=o.payload, name="reply")),
            Assert(i.ready + o.valid + frames.host.stb <= 1),
            Assert(stuck <= SLOWEST + 3),
        ]
        return m


def test_frames(prove) -> None:
    slow = [
        Proof(
            claim="a write of which any byte is damaged does not happen and is refused",
            spec=lambda: Writes(FrameServer(silence_cycles=SILENCE), damaged=True),
            depth=22,
            method="bounded",
        ),
    ]
    prove(
        "FrameServer",
        Proof(
            claim="it always takes a byte, sends one or has asked the host, within a bound",
            spec=lambda: AnyBytes(FrameServer(silence_cycles=SILENCE)),
            depth=8,
        ),
        Proof(
            claim="a write happens once and is acknowledged",
            spec=lambda: Writes(FrameServer(silence_cycles=SILENCE)),
            depth=22,
            method="bounded",
        ),
        *(
            Proof(
                claim=f"a write happens after {begun} bytes of another one and a silence",
                spec=lambda begun=begun: Writes(FrameServer(silence_cycles=SILENCE), begun=begun),
                depth=45,
                method="bounded",
            )
            for begun in (1, 8, 12)
        ),
        *refuted(
            lambda unit: Writes(unit(silence_cycles=SILENCE), begun=5),
            FrameServer,
            45,
            ("a beginning is not forgotten", "with m.Elif(silent):", "with m.Elif(0):"),
        ),
        *(slow if ACCEPTANCE else []),
        Proof(
            claim="a read gives each word once, in order, with its CRC",
            spec=lambda: Reads(FrameServer(silence_cycles=SILENCE)),
            depth=24,
            method="bounded",
            invariants=(
                "(=> (and (bvuge [spec.sent] #x1) (bvule [spec.sent] #x9)) "
                "(= [spec.frames.crc] [spec.reply_check]))",
            ),
        ),
        *refuted(
            lambda unit: AnyBytes(unit(silence_cycles=SILENCE)),
            FrameServer,
            18,
            (
                "a damaged header is not answered",
                "with m.If((crc.crc != 0) | (operation != serial_frames.WRITE)):",
                "with m.If(0):",
            ),
        ),
        *refuted(
            lambda unit: Writes(unit(silence_cycles=SILENCE), damaged=True),
            FrameServer,
            22,
            ("what is damaged is written", "with m.If(crc.crc != 0):", "with m.If(0):"),
        ),
        *refuted(
            lambda unit: Reads(unit(silence_cycles=SILENCE)),
            FrameServer,
            24,
            ("a word is sent twice", "word_end = position == 3", "word_end = position == 7"),
        ),
    )
