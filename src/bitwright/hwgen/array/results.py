"""The memory of a stage's results, and their way to the host."""

from amaranth.hdl import Array, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.array.host import ArrayHost
from bitwright.hwgen.array.shape import ArrayShape
from bitwright.hwgen.delayed import Delayed
from bitwright.hwgen.isa import address_bits
from bitwright.hwgen.ram import Ram


class StageResults(wiring.Component):
    """Results `first` to `first + count - 1` of every word. Golden function: a list.

    Members:
        read_address, read: a word of these results, a cycle later.
        write_enable, write_address, write: such a word is written.
        number, further, chosen: of the word read, result `number` three cycles after the address;
            `further` a cycle later where that is a result of a later stage.
    """

    def __init__(self, *, shape: ArrayShape, first: int, count: int) -> None:
        self._first, self._count = first, count
        self._depth = shape.depth
        bits = self._bits = shape.acc_bits
        super().__init__(
            {
                "read_address": In(address_bits(shape.depth)),
                "read": Out(count * bits),
                "write_enable": In(1),
                "write_address": In(address_bits(shape.depth)),
                "write": In(count * bits),
                "number": In((shape.result_stride - 1).bit_length()),
                "further": In(signed(bits)),
                "chosen": Out(signed(bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.ram = ram = Ram(width=self._count * self._bits, depth=self._depth)
        held = Signal(len(ram.read_data), reset_less=True)
        own = Signal(signed(self._bits), reset_less=True)
        results = [held.word_select(n, self._bits).as_signed() for n in range(self._count)]
        place = Signal(range(self._count))
        later = self.number >= self._first + self._count
        m.d.comb += [
            place.eq(self.number - self._first),
            ram.read_address.eq(self.read_address),
            self.read.eq(ram.read_data),
            ram.write_enable.eq(self.write_enable),
            ram.write_address.eq(self.write_address),
            ram.write_data.eq(self.write),
        ]
        m.d.sync += [
            held.eq(ram.read_data),
            own.eq(Array(results)[place]),
            self.chosen.eq(Mux(later, self.further, own)),
        ]
        return m


def connect_results(m: Module, port: ArrayHost, address: Value) -> list[StageResults]:
    """A memory of results for each stage, and the host's choice of one of them.

    Stage s reads the word at `address` 2 + s cycles later.
    """
    shape = port.shape
    addresses = Delayed(m, "result_address", address)
    numbers = Delayed(m, "result_number", port.result_number)
    stages: list[StageResults] = []
    for number, rows in enumerate(shape.stages):
        own = StageResults(
            shape=shape, first=rows[0] * shape.columns, count=len(rows) * shape.columns
        )
        m.submodules[f"results{number}"] = own
        m.d.comb += [own.read_address.eq(addresses[1 + number]), own.number.eq(numbers[number])]
        if stages:
            m.d.comb += stages[-1].further.eq(own.chosen)
        stages.append(own)
    m.d.comb += port.result.eq(stages[0].chosen)
    return stages
