"""The words that a step reads: one for each pixel of a tile, out of banked memories."""

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.delayed import delayed, registered
from bitwright.hwgen.isa import address_bits, coordinate_bits, field_layout
from bitwright.hwgen.structure import Structure
from bitwright.ir.machine import Machine

FIELDS = ("src_space", "pad_value", "width", "s_pixel", "x_pixel")
LATENCY = 6  # cycles from a step to its words
ADDRESS = LATENCY - 4  # cycles from a step to the addresses of its words


def bank_depth(machine: Machine, words: int) -> int:
    """Words of one bank of a memory of `words`."""
    return -(-words // machine.banks)


class Operands(wiring.Component):
    """Word `source + p * s_pixel` for each pixel p of a tile, or padding.

    Neighbouring words lie in neighbouring banks. Of two pixels that need the same bank the lower
    one gets its word.

    Members:
        fields: hold still while steps are on their way.
        source, column, row_outside: of `LoopNest`; with `fused_adds` also other, other_source: word
            `other_source + p` is read then, which is never padding.
        address: what each bank reads, `ADDRESS` cycles after its step.
        main, first: what the banks of the two memories answer a cycle later.
        words: int8 per pixel and lane, `LATENCY` cycles after the step.
    """

    def __init__(self, *, machine: Machine) -> None:
        self.machine = machine
        self._source_bits = address_bits(max(machine.act_words, machine.in_words))
        self._bank_bits = (machine.banks - 1).bit_length()
        row_bits = max(self._source_bits - self._bank_bits, 1)
        banks = data.ArrayLayout(machine.activation_bits, machine.banks)
        others = {"other": In(1), "other_source": In(self._source_bits)}
        super().__init__(
            {
                **(others if machine.fused_adds else {}),
                "fields": In(field_layout(machine, FIELDS)),
                "source": In(self._source_bits),
                "column": In(signed(coordinate_bits(machine))),
                "row_outside": In(1),
                "address": Out(data.ArrayLayout(row_bits, machine.banks)),
                "main": In(banks),
                "first": In(banks),
                "words": Out(data.ArrayLayout(machine.activation_bits, machine.pixels)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        machine, f = self.machine, self.fields
        row_outside = Signal(reset_less=True)
        m.d.sync += row_outside.eq(self.row_outside)
        is_other = registered(m, self.other, "is_other") if machine.fused_adds else Const(0)
        places: list[Signal] = []
        read = self._read(m)
        for pixel in range(machine.pixels):
            place = Signal(self._source_bits, name=f"place{pixel}", reset_less=True)
            column = Signal(self.column.shape(), name=f"column{pixel}", reset_less=True)
            source: Value = self.source
            if pixel:
                source = self.source + _multiple(m, f.s_pixel, pixel, place)
            if machine.fused_adds:
                other = registered(
                    m, (self.other_source + pixel)[: self._source_bits], f"other_place{pixel}"
                )
                source = Mux(self.other, other, source)
            m.d.sync += place.eq(source)
            m.d.sync += column.eq(self.column)
            if pixel:
                m.d.sync += column.eq(self.column + _multiple(m, f.x_pixel, pixel, column))
            places.append(place)
            outside = Signal(name=f"outside{pixel}_1", reset_less=True)
            beyond = row_outside | (column.as_unsigned() >= f.width)
            m.d.sync += outside.eq(beyond & ~is_other if machine.fused_adds else beyond)
            self._word(m, pixel, place, outside, read)
        self._addresses(m, places)
        return m

    def _addresses(self, m: Module, places: list[Signal]) -> None:
        bits = self._bank_bits
        for bank in range(self.machine.banks):
            row = Signal(self.address[bank].shape(), name=f"row{bank}", reset_less=True)
            chosen: Value = places[-1][bits:]
            for place in reversed(places[:-1]):
                chosen = Mux(place[:bits] == bank, place[bits:], chosen)
            m.d.sync += row.eq(chosen)
            m.d.comb += self.address[bank].eq(row)

    def _word(
        self, m: Module, pixel: int, place: Signal, outside: Signal, read: list[Signal]
    ) -> None:
        machine = self.machine
        bank = delayed(m, place[: self._bank_bits], 3, f"bank{pixel}")
        outside = delayed(m, outside, 2, f"outside{pixel}")
        # A sum of products: two tables one behind the other, where a choice by number takes five.
        pad = Mux(outside, self.fields.pad_value.as_unsigned(), 0)
        chosen: Value = registered(m, pad, f"pad{pixel}").replicate(machine.lanes)
        for number, answer in enumerate(read):
            here = registered(m, (bank == number) & ~outside, f"reads{pixel}_{number}")
            chosen |= answer & here.replicate(machine.activation_bits)
        m.d.comb += self.words[pixel].eq(registered(m, chosen, f"word{pixel}"))

    def _read(self, m: Module) -> list[Signal]:
        """The answers of the banks, two registers later, of the memory that the step reads.

        A block RAM takes half of a cycle, and the choice among those of a deep bank the other one.
        """
        found: list[Signal] = []
        for bank in range(self.machine.banks):
            first = registered(m, self.first[bank], f"read_first{bank}")
            main = registered(m, self.main[bank], f"read_main{bank}")
            found.append(registered(m, Mux(self.fields.src_space, first, main), f"read{bank}"))
        return found


def _multiple(m: Module, value: Value, count: int, place: Signal) -> Signal:
    """`count * value` in a register, made of shifts (no multiplier block), as wide as `place`."""
    bits = min(len(value) + (count - 1).bit_length(), len(place))
    total = Signal(bits, name=f"{place.name}_offset", reset_less=True)
    shifts = [bit for bit in range(count.bit_length()) if count >> bit & 1]
    terms = [value.as_unsigned() << shift for shift in shifts]
    m.d.sync += total.eq(sum(terms[1:], terms[0]))
    return total


def resources(machine: Machine) -> Structure:
    """Places and columns of the pixels, their choice by each bank, and of a bank by each pixel."""
    source, column = (
        address_bits(max(machine.act_words, machine.in_words)), coordinate_bits(machine),
    )  # fmt: skip
    row = max(source - (machine.banks - 1).bit_length(), 1)
    word, pixels, banks = machine.activation_bits, machine.pixels, machine.banks
    others = pixels * source if machine.fused_adds else 0
    return Structure(
        lut={
            "others": 2 * others,
            "places": (pixels - 1) * (source + column),
            "rows": banks * (pixels - 1) * (row + 2),
            "reads": banks * word,
            "choices": pixels * (banks + word * -(-2 * banks // 3)),
        },
        ff={
            "others": others,
            "places": pixels * (source + column),
            "multiples": (pixels - 1) * source,
            "rows": banks * row,
            "words": (pixels + 3 * banks) * word,
            "choices": pixels * (banks + 8),
        },
    )
