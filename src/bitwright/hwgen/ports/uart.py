"""UART and the master behind it that turns serial frames into transfers on the host port.

The frames are described in `bitwright.targets.serial_frames`.
"""

from amaranth.hdl import C, Cat, Const, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from bitwright.errors import BitwrightError
from bitwright.hwgen.host import HostSignature
from bitwright.hwgen.structure import Structure
from bitwright.targets import serial_frames
from bitwright.targets.host_interface import ADDRESS_BITS

_BITS_PER_BYTE = 10
MIN_DIVISOR = 4


class UartDivisorError(BitwrightError):
    """A baud rate that the clock is too slow for."""

    exit_code = 5


class UartReceiver(wiring.Component):
    """Bytes from a line; a byte that is not taken before the next one is complete is lost.

    Each bit is sampled in its middle. A byte whose stop bit is low is dropped.
    """

    def __init__(self, *, divisor: int) -> None:
        self._divisor = divisor
        super().__init__({"rx": In(1, init=1), "o": Out(stream.Signature(8))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, line, init=1)
        timer = Signal(range(self._divisor))
        bits_left = Signal(range(_BITS_PER_BYTE + 1))
        shift = Signal(8)

        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(bits_left == 0):
            with m.If(~line):
                m.d.sync += [bits_left.eq(_BITS_PER_BYTE), timer.eq(self._divisor // 2)]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [
                timer.eq(self._divisor - 1),
                bits_left.eq(bits_left - 1),
                shift.eq(Cat(shift[1:], line)),
            ]
            with m.If((bits_left == 1) & line):
                m.d.sync += [self.o.payload.eq(shift), self.o.valid.eq(1)]
        return m


class UartTransmitter(wiring.Component):
    """Bytes to a line."""

    def __init__(self, *, divisor: int) -> None:
        self._divisor = divisor
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        timer = Signal(range(self._divisor))
        bits_left = Signal(range(_BITS_PER_BYTE + 1))
        shift = Signal(_BITS_PER_BYTE - 1, init=-1)

        ready = Signal()  # a cycle later than it could be: a short way to those who wait for it
        m.d.sync += ready.eq((bits_left == 0) & (timer == 0) & ~(ready & self.i.valid))
        m.d.comb += self.i.ready.eq(ready)
        with m.If(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Elif(bits_left != 0):
            m.d.sync += [
                self.tx.eq(shift[0]),
                shift.eq(Cat(shift[1:], C(1, 1))),
                bits_left.eq(bits_left - 1),
                timer.eq(self._divisor - 1),
            ]
        with m.Elif(ready & self.i.valid):
            m.d.sync += [
                self.tx.eq(0),
                shift.eq(Cat(self.i.payload, C(1, 1))),
                bits_left.eq(_BITS_PER_BYTE - 1),
                timer.eq(self._divisor - 1),
            ]
        return m


class Crc8(wiring.Component):
    """CRC-8/SMBUS of the bytes since `start`. Golden function: `serial_frames.crc8`.

    Members:
        start: forget all bytes.
        valid, data: one more byte.
        crc: of the bytes before this cycle.
    """

    def __init__(self) -> None:
        super().__init__({"start": In(1), "valid": In(1), "data": In(8), "crc": Out(8)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        mixed = Signal(8)
        m.d.comb += mixed.eq(self.crc ^ self.data)
        # The CRC is linear: each of its bits is the parity of some bits of the two.
        of_bit = [serial_frames.crc8([1 << position]) for position in range(8)]
        following = [
            Cat(mixed[position] for position in range(8) if of_bit[position] >> bit & 1).xor()
            for bit in range(8)
        ]
        with m.If(self.start):
            m.d.sync += self.crc.eq(0)
        with m.Elif(self.valid):
            m.d.sync += self.crc.eq(Cat(following))
        return m


def _reply(good: Value) -> Value:
    """ACK or NAK."""
    choices = {(0, 0): Const(0, 1), (0, 1): ~good, (1, 0): good, (1, 1): Const(1, 1)}
    return Cat(
        choices[serial_frames.ACK >> bit & 1, serial_frames.NAK >> bit & 1] for bit in range(8)
    )


class FrameServer(wiring.Component):
    """Carries out the requests in a stream of bytes and sends the replies.

    A byte that comes while a request is carried out or answered is not taken.

    Args:
        silence_cycles: after this many cycles without a byte, a request that stopped in its middle
            is forgotten.
    """

    def __init__(self, *, silence_cycles: int) -> None:
        self._silence_cycles = silence_cycles
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "o": Out(stream.Signature(8)),
                "host": Out(HostSignature()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = Crc8()
        i, o, host = self.i, self.o, self.host

        header = Signal(56)
        operation = header[0:8]
        address = header[8 : 8 + ADDRESS_BITS]
        words_left = header[40:56]
        word = Signal(32)
        position = Signal(3)
        last_word = words_left == 0
        word_end = position == 3
        good = Signal()

        silence = Signal(range(self._silence_cycles + 1))
        silent = silence == self._silence_cycles
        with m.If(i.valid):
            m.d.sync += silence.eq(0)
        with m.Elif(~silent):
            m.d.sync += silence.eq(silence + 1)

        m.d.comb += [
            crc.data.eq(i.payload),
            host.addr.eq(address),
            host.wdata.eq(word),
        ]
        next_address = [address.eq(address + 4), words_left.eq(words_left - 1)]

        # No `m.If` inside of an `m.If` chooses a state: that keeps the Verilog free of unused bits.
        with m.FSM():
            with m.State("HEADER"):
                m.d.comb += i.ready.eq(1)
                with m.If(i.valid):
                    m.d.comb += crc.valid.eq(1)
                    m.d.sync += position.eq(position + 1)
                    with m.If(position != 7):
                        m.d.sync += header.eq(Cat(header[8:], i.payload))
                with m.Elif(silent):
                    m.d.comb += crc.start.eq(1)
                    m.d.sync += position.eq(0)
                with m.If(i.valid & (position == 7)):
                    m.next = "HEADER CRC"
            with m.State("HEADER CRC"):
                m.d.comb += crc.start.eq(1)
                m.d.sync += [position.eq(0), good.eq(0)]
                with m.If((crc.crc == 0) & (operation == serial_frames.READ)):
                    m.d.sync += good.eq(1)
                with m.If((crc.crc == 0) & (operation == serial_frames.WRITE)):
                    m.next = "WORD"
                with m.If((crc.crc != 0) | (operation != serial_frames.WRITE)):
                    m.next = "REPLY"
            with m.State("WORD"):
                m.d.comb += i.ready.eq(1)
                with m.If(i.valid):
                    m.d.comb += crc.valid.eq(1)
                    m.d.sync += [word.eq(Cat(word[8:], i.payload)), position.eq(position + 1)]
                    with m.If(word_end):
                        m.d.sync += position.eq(0)
                with m.If(i.valid & word_end & ~last_word):
                    m.next = "WRITE"
                with m.If(i.valid & word_end & last_word):
                    m.next = "WORD CRC"
                with m.If(silent):
                    m.next = "FORGET"
            with m.State("WORD CRC"):
                m.d.comb += i.ready.eq(1)
                with m.If(i.valid):
                    m.d.comb += crc.valid.eq(1)
                    m.next = "CHECK"
                with m.If(silent):
                    m.next = "FORGET"
            with m.State("CHECK"):
                m.d.comb += crc.start.eq(1)
                m.d.sync += good.eq(crc.crc == 0)
                with m.If(crc.crc == 0):
                    m.next = "WRITE"
                with m.If(crc.crc != 0):
                    m.next = "REPLY"
            with m.State("WRITE"):
                m.d.comb += [host.stb.eq(1), host.we.eq(1)]
                with m.If(host.ack):
                    m.d.sync += next_address
                with m.If(host.ack & ~last_word):
                    m.next = "WORD"
                with m.If(host.ack & last_word):
                    m.next = "REPLY"
            with m.State("REPLY"):
                m.d.comb += [o.valid.eq(1), o.payload.eq(_reply(good))]
                with m.If(o.ready & ~good):
                    m.next = "IGNORE"
                with m.If(o.ready & good & (operation == serial_frames.READ)):
                    m.next = "READ"
                with m.If(o.ready & good & (operation != serial_frames.READ)):
                    m.next = "HEADER"
            with m.State("READ"):
                m.d.comb += host.stb.eq(1)
                with m.If(host.ack):
                    m.d.sync += word.eq(host.rdata)
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [
                    o.valid.eq(1),
                    o.payload.eq(word[:8]),
                    crc.data.eq(word[:8]),
                    crc.valid.eq(o.ready),
                ]
                with m.If(o.ready):
                    m.d.sync += [word.eq(word >> 8), position.eq(position + 1)]
                    with m.If(word_end):
                        m.d.sync += [position.eq(0), *next_address]
                with m.If(o.ready & word_end & ~last_word):
                    m.next = "READ"
                with m.If(o.ready & word_end & last_word):
                    m.next = "SEND CRC"
            with m.State("SEND CRC"):
                m.d.comb += [o.valid.eq(1), o.payload.eq(crc.crc)]
                with m.If(o.ready):
                    m.next = "FORGET"
            with m.State("IGNORE"):
                m.d.comb += i.ready.eq(1)
                with m.If(silent):
                    m.next = "FORGET"
            with m.State("FORGET"):
                m.d.comb += crc.start.eq(1)
                m.d.sync += position.eq(0)
                m.next = "HEADER"
        return m


class UartBridge(wiring.Component):
    """Serves write and read bursts that come as frames on a serial line.

    Args:
        divisor: clock cycles per bit, at least 4.
        silence_bytes: after this many byte times without a byte, a request that stopped in its
            middle is forgotten.
    """

    def __init__(self, *, divisor: int, silence_bytes: int = serial_frames.SILENCE_BYTES) -> None:
        if divisor < MIN_DIVISOR:
            raise UartDivisorError(
                f"UART divisor is {divisor}; expected at least {MIN_DIVISOR} clock cycles per "
                f"bit: lower the baud rate or raise the clock frequency"
            )
        self._divisor = divisor
        self._silence_cycles = silence_bytes * _BITS_PER_BYTE * divisor
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "host": Out(HostSignature())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.receiver = receiver = UartReceiver(divisor=self._divisor)
        m.submodules.transmitter = transmitter = UartTransmitter(divisor=self._divisor)
        m.submodules.frames = frames = FrameServer(silence_cycles=self._silence_cycles)
        m.d.comb += [receiver.rx.eq(self.rx), self.tx.eq(transmitter.tx)]
        wiring.connect(m, receiver.o, frames.i)
        wiring.connect(m, frames.o, transmitter.i)
        wiring.connect(m, frames.host, wiring.flipped(self.host))
        return m


def resources() -> Structure:
    """The same on every machine, but for a few bits of the divisor."""
    return Structure(lut={"bridges": 320}, ff={"bridges": 190})
