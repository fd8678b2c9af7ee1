"""The host side of an array machine: its memories, registers and results."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.array.shape import ArrayRegister, ArrayShape, ArrayWindow, slices
from bitwright.hwgen.host import DATA_BITS, HostSignature
from bitwright.hwgen.isa import address_bits
from bitwright.hwgen.ram import Ram
from bitwright.targets.host_interface import ADDRESS_BITS, WINDOW_SHIFT, slice_stride

REGISTER_BITS = 16


class WordMemory(wiring.Component):
    """A memory of words that the host writes in slices of 32 bits. Golden function: a list.

    Members:
        address, data: a word is read, a cycle later.
        write, write_address, slice, write_data: a slice is written.
    """

    def __init__(self, *, width: int, depth: int) -> None:
        self._slices = slices(width)
        self._depth = depth
        super().__init__(
            {
                "address": In(address_bits(depth)),
                "data": Out(width),
                "write": In(1),
                "write_address": In(address_bits(depth)),
                "slice": In(max(1, (slice_stride(width) - 1).bit_length())),
                "write_data": In(DATA_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        start = 0
        for number, width in enumerate(self._slices):
            m.submodules[f"slice{number}"] = ram = Ram(width=width, depth=self._depth)
            m.d.comb += [
                ram.read_address.eq(self.address),
                self.data[start : start + width].eq(ram.read_data),
                ram.write_enable.eq(self.write & (self.slice == number)),
                ram.write_address.eq(self.write_address),
                ram.write_data.eq(self.write_data),
            ]
            start += width
        return m


class ArrayHost(wiring.Component):
    """Answers the host. A write takes 2 cycles, a read 6. What cannot be read reads as 0.

    Results can be read while the machine is not busy. They are the accumulators' plus their
    correction; a table engine's are halved where MODE bit 1 is set, else as they are.

    Members:
        host: the request port.
        address, word: of what the host writes, counted in slices from the start of its window.
        write_*: one cycle each: write `word` there.
        registers: trip counts, and so on, as the host wrote them.
        result_word, results: the results' word that the host reads, a cycle later.
        correction_address, correction: the same for its correction.
    """

    def __init__(self, *, shape: ArrayShape) -> None:
        self._shape = shape
        self._number_bits = (shape.result_stride - 1).bit_length()
        word_bits = address_bits(shape.depth)
        super().__init__(
            {
                "host": In(HostSignature()),
                "address": Out(WINDOW_SHIFT - 2),
                "word": Out(DATA_BITS),
                "write_weights": Out(1),
                "write_activations": Out(1),
                "write_corrections": Out(1),
                "start": Out(1),
                "busy": In(1),
                "cycles": In(DATA_BITS),
                **{
                    f"register_{register.name.lower()}": Out(REGISTER_BITS)
                    for register in ArrayRegister
                    if register >= ArrayRegister.OUTER
                },
                "result_word": Out(word_bits),
                "results": In(shape.results * shape.acc_bits),
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
        steps = Signal(5)  # a bit that walks on through the stages of a request
        accept = Signal()
        m.d.comb += accept.eq(host.stb & ~host.ack & ~steps.any())
        m.d.sync += steps.eq(Cat(accept, steps[:-1] & ~write.replicate(4)))
        m.d.sync += host.ack.eq((accept & host.we) | steps[4])
        with m.If(accept):
            m.d.sync += [address.eq(host.addr), self.word.eq(host.wdata), write.eq(host.we)]
        m.d.comb += self.address.eq(address[2:WINDOW_SHIFT])
        unused = Signal(name="unused_request_bits")
        m.d.comb += unused.eq(address[:2].any())

        def stores(window: ArrayWindow) -> Value:
            return steps[0] & write & (address[WINDOW_SHIFT:] == window)

        m.d.comb += [
            self.write_weights.eq(stores(ArrayWindow.WEIGHTS)),
            self.write_activations.eq(stores(ArrayWindow.ACTIVATIONS)),
            self.write_corrections.eq(stores(ArrayWindow.CORRECTIONS)),
        ]
        shown = self._registers(m, stores(ArrayWindow.REGISTERS), address)
        result = self._result(m)
        from_results = address[WINDOW_SHIFT:] == ArrayWindow.RESULTS
        m.d.sync += host.rdata.eq(Mux(from_results, result, shown))
        return m

    def _registers(self, m: Module, store: Value, address: Value) -> Value:
        shown = Signal(DATA_BITS)
        with m.Switch(address[2:WINDOW_SHIFT]):
            with m.Case(ArrayRegister.START >> 2):
                m.d.comb += self.start.eq(store)
            with m.Case(ArrayRegister.BUSY >> 2):
                m.d.comb += shown.eq(self.busy)
            with m.Case(ArrayRegister.CYCLES >> 2):
                m.d.comb += shown.eq(self.cycles)
            for register in ArrayRegister:
                if register >= ArrayRegister.OUTER:
                    value = getattr(self, f"register_{register.name.lower()}")
                    with m.Case(register >> 2):
                        with m.If(store):
                            m.d.sync += value.eq(self.word)
        return shown

    def _result(self, m: Module) -> Value:
        """The memory, the choice of a result, the correction: a cycle each."""
        bits = self._shape.acc_bits
        chosen = Signal(signed(bits), reset_less=True)
        corrected = Signal(signed(bits), reset_less=True)
        m.d.comb += self.result_word.eq(self.address[self._number_bits :])
        with m.Switch(self.result_number):
            for number in range(self._shape.results):
                with m.Case(number):
                    m.d.sync += chosen.eq(self.results.word_select(number, bits))
        result = Signal(signed(DATA_BITS))
        if self._shape.engine == "bitserial":
            m.d.sync += corrected.eq((chosen << self._shape.binary) + self.correction)
            m.d.comb += result.eq(corrected)
            return result
        halve = self.register_mode[1]
        m.d.sync += corrected.eq(chosen + (self.correction & halve.replicate(bits)).as_signed())
        m.d.comb += result.eq(Mux(halve, corrected >> 1, corrected))
        return result
