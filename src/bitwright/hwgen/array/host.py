"""The host side of an array machine: its memories, registers and results."""

from collections.abc import Mapping, Sequence

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.array.shape import ArrayRegister, ArrayShape, ArrayWindow, slices
from bitwright.hwgen.host import DATA_BITS, HostSignature
from bitwright.hwgen.isa import address_bits
from bitwright.hwgen.ram import COPY_SUFFIX, Ram
from bitwright.targets.host_interface import ADDRESS_BITS, WINDOW_SHIFT, slice_stride, used_slices


def _part_bits(width: int) -> int:
    """Address bits that choose a slice of a word."""
    return (slice_stride(width) - 1).bit_length()


_REGISTER_BITS = 6  # of a register's byte address; the window's number is 0
READ_LATENCY = 3
"""Cycles of `WordMemory` from an address to the word."""


class WordMemory(wiring.Component):
    """A memory of words that the host writes in slices of 32 bits. Golden function: a list.

    The block RAMs of one memory lie all over the device, so each has its own registers beside it.

    Args:
        width: bits of a word.
        depth: words.
        slices_before: number of its first slice.
        slice_bits: width of a slice's number.

    Members:
        address, data: a word is read, `READ_LATENCY` cycles later.
        write, write_address, slice, write_data: a slice is written.
    """

    def __init__(self, *, width: int, depth: int, slices_before: int, slice_bits: int) -> None:
        self._slices = slices(width)
        self._slices_before = slices_before
        self._depth = depth
        super().__init__(
            {
                "address": In(address_bits(depth)),
                "data": Out(width),
                "write": In(1),
                "write_address": In(address_bits(depth)),
                "slice": In(slice_bits),
                "write_data": In(max(self._slices)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        start = 0
        for number, width in enumerate(self._slices):
            m.submodules[f"slice{number}"] = ram = Ram(width=width, depth=self._depth)
            word = Signal(width, name=f"word{number}", reset_less=True)
            near = (
                (ram.read_address, self.address),
                (ram.write_enable, self.write & (self.slice == self._slices_before + number)),
                (ram.write_address, self.write_address),
                (ram.write_data, self.write_data[:width]),
            )
            for pin, value in near:
                name = f"near_{pin.name}{number}{COPY_SUFFIX}"
                register = Signal(len(pin), name=name, reset_less=True)
                m.d.sync += register.eq(value)
                m.d.comb += pin.eq(register)
            m.d.sync += word.eq(ram.read_data)
            m.d.comb += self.data[start : start + width].eq(word)
            start += width
        return m


class ArrayHost(wiring.Component):
    """Answers the host. A write takes 2 cycles, a read 8 and two for each stage after the first.

    What cannot be read reads as 0. Results can be read while the machine is not busy. They are the
    accumulators' plus their correction; a table engine's are halved where HALVE is 1, else without
    a correction.

    Args:
        shape: the machine.
        registers: widths of the registers that the machine has beside START, BUSY, CYCLES and
            HALVE.

    Members:
        host: the request port.
        address, word: of what the host writes, counted in slices from the start of its window.
        write_*: one cycle each: write `word` there.
        register_*: trip counts, and so on, as the host wrote them.
        result_word, result: result `result_number` of the word that the host reads, five cycles
            and two for each stage after the first later.
        correction: of that result, by then.
    """

    def __init__(self, *, shape: ArrayShape, registers: Mapping[ArrayRegister, int]) -> None:
        self.shape = shape
        self._widths = registers
        self._halve = Signal(name="halve")
        self._number_bits = (shape.result_stride - 1).bit_length()
        depth_bits = address_bits(shape.depth)
        self._address_bits = depth_bits + max(
            self._number_bits, *(_part_bits(width) for width in shape.word_bits.values())
        )
        super().__init__(
            {
                "host": In(HostSignature()),
                "address": Out(self._address_bits),
                "word": Out(DATA_BITS),
                "write_weights": Out(1),
                "write_activations": Out(1),
                "write_corrections": Out(1),
                "start": Out(1),
                "busy": In(1),
                "cycles": In(DATA_BITS),
                **{
                    f"register_{register.name.lower()}": Out(width)
                    for register, width in registers.items()
                },
                "result_word": Out(depth_bits),
                "result": In(signed(shape.acc_bits)),
                "correction": In(signed(shape.acc_bits)),
            }
        )

    @property
    def result_number(self) -> Value:
        """Which result of the word the host reads."""
        return self.address[: self._number_bits]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        host = self.host
        address = Signal(ADDRESS_BITS, reset_less=True)
        write = Signal(reset_less=True)
        last = 6 + 2 * (len(self.shape.stages) - 1)
        steps = Signal(last + 1)  # a bit that walks on through the stages of a request
        to_registers = Signal(reset_less=True)
        taken = Signal()  # a request, until the cycle of its answer
        accept = Signal()
        m.d.comb += accept.eq(host.stb & ~taken)
        m.d.sync += steps.eq(Cat(accept, steps[:-1] & ~write.replicate(last)))
        m.d.sync += host.ack.eq((accept & host.we) | steps[last])
        m.d.sync += taken.eq((accept | taken) & ~host.ack)
        with m.If(~taken):
            m.d.sync += [
                address.eq(host.addr),
                to_registers.eq(host.addr[_REGISTER_BITS:] == 0),
                self.word.eq(host.wdata),
                write.eq(host.we),
            ]
        m.d.comb += self.address.eq(address[2:])
        unused = Signal(name="unused_request_bits")
        m.d.comb += unused.eq(address[:2].any())

        def stores(window: ArrayWindow, width: int = 0) -> Value:
            store = steps[0] & write & (address[WINDOW_SHIFT:] == window)
            if width:
                used = 2 + _part_bits(width) + address_bits(self.shape.depth)
                store &= ~address[used:WINDOW_SHIFT].any()
            return store

        for window, width in self.shape.word_bits.items():
            m.d.comb += getattr(self, f"write_{window.name.lower()}").eq(stores(window, width))
        registers = self._registers(m, to_registers, steps[0] & write, address)
        result = self._result(m)
        from_results = Signal(reset_less=True)
        shown = Signal(DATA_BITS, reset_less=True)
        m.d.sync += [
            from_results.eq(address[WINDOW_SHIFT:] == ArrayWindow.RESULTS),
            shown.eq(registers),
            host.rdata.eq(Mux(from_results, result, shown)),
        ]
        return m

    def _registers(self, m: Module, chosen: Value, write: Value, address: Value) -> Value:
        """Writes registers; returns what a read shows, 0 where none is chosen."""
        shown = Signal(DATA_BITS)
        store = chosen & write
        number = address[2:_REGISTER_BITS]
        m.d.sync += self.start.eq(store & (number == ArrayRegister.START >> 2))
        with m.Switch(Mux(chosen, number, ArrayRegister.START >> 2)):
            with m.Case(ArrayRegister.BUSY >> 2):
                m.d.comb += shown.eq(self.busy)
            with m.Case(ArrayRegister.CYCLES >> 2):
                m.d.comb += shown.eq(self.cycles)
            with m.Case(ArrayRegister.HALVE >> 2):
                with m.If(store):
                    m.d.sync += self._halve.eq(self.word)
            for register in self._widths:
                value = getattr(self, f"register_{register.name.lower()}")
                with m.Case(register >> 2):
                    with m.If(store):
                        m.d.sync += value.eq(self.word)
        return shown

    def _result(self, m: Module) -> Value:
        """The result, then its correction."""
        bits = self.shape.acc_bits
        corrected = Signal(signed(bits), reset_less=True)
        m.d.comb += self.result_word.eq(self.address[self._number_bits :])
        if self.shape.engine == "bitserial":
            m.d.sync += corrected.eq((self.result << self.shape.binary) + self.correction)
            return corrected
        halve = self._halve
        m.d.sync += corrected.eq(
            self.result + (self.correction & halve.replicate(bits)).as_signed()
        )
        low = Mux(halve, corrected[1:], corrected[:-1])
        return Cat(low, corrected[-1]).as_signed()


def connect_memory(
    m: Module, port: ArrayHost, name: str, words: Sequence[Value], depth: int, *, width: int
) -> list[WordMemory]:
    """The buffer called `name` that the host writes, whose words are `width` bits.

    Each of `words` is a stage's part of a word, a memory of its own that is one cycle behind the
    one before.
    """
    parts = _part_bits(width)
    control = 1 + parts + address_bits(depth)
    address = port.address[: control - 1]
    request: Value = Cat(getattr(port, f"write_{name}"), address, port.word)
    stage_slices = used_slices(width) // len(words)
    memories: list[WordMemory] = []
    for stage, data in enumerate(words):
        memory = WordMemory(
            width=len(data), depth=depth, slices_before=stage * stage_slices,
            slice_bits=max(1, parts),
        )  # fmt: skip
        m.submodules[f"{name}{stage}"] = memory
        used = control + len(memory.write_data)
        behind = Signal(used, name=f"{name}_request{stage}", reset_less=True)
        m.d.sync += behind.eq(request)
        request = behind
        m.d.comb += [
            data.eq(memory.data),
            memory.write.eq(request[0]),
            memory.slice.eq(request[1 : 1 + parts]),
            memory.write_address.eq(request[1 + parts : control]),
            memory.write_data.eq(request[control:]),
        ]
        memories.append(memory)
    return memories
