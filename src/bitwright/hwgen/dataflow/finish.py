"""The output stage of one engine: sums of a tile in, result words out."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from bitwright.hwgen.dataflow import latencies
from bitwright.hwgen.dataflow.latencies import ROM_LATENCY
from bitwright.hwgen.dataflow.memories import rom, varying
from bitwright.hwgen.delayed import delayed, registered
from bitwright.hwgen.requantize import Requantizer, flip_sign
from bitwright.ir.dataflow import REQUANTIZED_BITS, Output, Requantize, Sums, Tensor, Thresholds
from bitwright.ir.instructions import Rounding
from bitwright.ir.machine import SHIFT_BITS, WIDE_MULTIPLIER_BITS

PARAMETERS = ROM_LATENCY  # cycles from the announcement of a word to its sums
_ROUNDINGS = {rounding.name.lower(): rounding for rounding in Rounding}

Fields = Mapping[str, tuple[NDArray, int]]


@dataclass(frozen=True)
class Widths:
    """What a `Requantizer` is built for."""

    acc_bits: int
    multiplier_bits: int

    @property
    def wide(self) -> bool:
        return self.multiplier_bits == WIDE_MULTIPLIER_BITS


class Finish(wiring.Component):
    """Makes `lanes` results a cycle. Golden function: `golden.finish`.

    Args:
        output: which arithmetic, with its constants of all channels.
        result: its tensor.
        lanes: channels a cycle.
        acc_bits: of a sum.
        pace: cycles from a word to the next, at least.

    Members:
        announced: `PARAMETERS` cycles before the sums of each word.
        sums: of the next `lanes` channels, channel 0 first, all channels over and over.
        valid, word: the result, `latencies.output` cycles after the sums.
    """

    def __init__(
        self, *, output: Output, result: Tensor, lanes: int, acc_bits: int, pace: int
    ) -> None:
        self.output, self.result = output, result
        self.lanes, self.acc_bits, self.pace = lanes, acc_bits, pace
        super().__init__(
            {
                "announced": In(1),
                "sums": In(data.ArrayLayout(signed(acc_bits), lanes)),
                "valid": Out(1),
                "word": Out(lanes * result.bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = self.result.channels // self.lanes
        number = Signal(range(max(words, 2)))
        if words > 1:
            with m.If(self.announced):
                m.d.sync += number.eq(number + 1)
                with m.If(number == words - 1):
                    m.d.sync += number.eq(0)
        match self.output:
            case Sums():
                results = self._sums(m, number)
            case Thresholds():
                results = self._thresholds(m, number)
            case Requantize():
                results = self._requantize(m, number)
        valid: Value = self.announced
        for cycle in range(PARAMETERS + latencies.output(self.output, self.pace)):
            later = Signal(name=f"valid{cycle}")
            m.d.sync += later.eq(valid)
            valid = later
        m.d.comb += [
            self.valid.eq(valid),
            self.word.eq(Cat(*(result[: self.result.bits] for result in results))),
        ]
        return m

    def _sums(self, m: Module, number: Signal) -> list[Value]:
        fields = field_values(self.output, self.acc_bits)
        biases = constants(m, "bias", number, self.lanes, fields)
        results: list[Value] = []
        for lane in range(self.lanes):
            total = Signal(signed(self.result.bits), name=f"result{lane}", reset_less=True)
            m.d.sync += total.eq(self.sums[lane] + biases[lane]["bias"].as_signed())
            results.append(total)
        return results

    def _requantize(self, m: Module, number: Signal) -> list[Value]:
        output = self.output
        assert isinstance(output, Requantize)
        widths = Widths(max(self.acc_bits, REQUANTIZED_BITS), latencies.multiplier_bits(output))
        product = latencies.product(output, self.pace)
        start = self.announced
        for cycle in range(PARAMETERS if product else 0):
            later = Signal(name=f"start{cycle}")
            m.d.sync += later.eq(start)
            start = later
        fields = constants(m, "parameters", number, self.lanes, field_values(output, self.acc_bits))
        entries: list[Value] = []
        for lane in range(self.lanes):
            m.submodules[f"requantizer{lane}"] = unit = Requantizer(machine=widths, product=product)
            m.d.comb += [
                unit.acc.eq(self.sums[lane]),
                unit.bias.eq(fields[lane]["bias"]),
                unit.multiplier.eq(fields[lane]["multiplier"]),
                unit.shift.eq(fields[lane]["shift"]),
                unit.zero_point.eq(output.zero_point),
                unit.clamp_min.eq(output.clamp[0]),
                unit.clamp_max.eq(output.clamp[1]),
            ]
            if product is not None:
                m.d.comb += unit.start.eq(start)
            if widths.wide:
                m.d.comb += unit.rounding.eq(_ROUNDINGS[output.rounding])
            entries.append(unit.entry)
        if output.table is None:
            return [flip_sign(entry) for entry in entries]
        return [self._look_up(m, lane, entry, output.table) for lane, entry in enumerate(entries)]

    def _look_up(self, m: Module, lane: int, entry: Value, table: NDArray) -> Value:
        bits = (len(table) - 1).bit_length()
        mask = (1 << self.result.bits) - 1
        # entry: plus 128; place in the table: plus half of its length
        place = entry if bits == 8 else Cat(entry[: bits - 1], ~entry[bits - 1])
        words = [int(value) & mask for value in table]
        return rom(m, f"table{lane}", words, self.result.bits, place)

    def _thresholds(self, m: Module, number: Signal) -> list[Value]:
        """A binary search in steps of three cycles: look up the middle level, compare."""
        output = self.output
        assert isinstance(output, Thresholds)
        tables = level_tables(output, self.acc_bits, self.lanes)
        return [
            self._search(m, lane, levels, number) + output.least
            for lane, levels in enumerate(tables)
        ]

    def _search(self, m: Module, lane: int, levels: list[NDArray], number: Signal) -> Value:
        width = self.acc_bits + 1
        found: Value = Const(0, 0)  # the bits of the count that are known, the highest first
        total = self.sums[lane]
        for step, words in enumerate(levels):
            address = Cat(found, number)
            if step:
                number = delayed(m, number, ROM_LATENCY + 1, f"number{lane}_{step}")
                address = Cat(found, number)
                total = delayed(m, total, ROM_LATENCY, f"total{lane}_{step}")
            chosen = (words % (1 << width)).tolist()
            level = rom(m, f"level{lane}_{step}", chosen, width, address)
            later = delayed(m, found, ROM_LATENCY, f"found{lane}_{step}") if step else found
            reached = total >= level.as_signed()
            found = registered(m, Cat(reached, later), f"count{lane}_{step}")
            if step < len(levels) - 1:
                total = registered(m, total, f"sum{lane}_{step}")
        return found


def level_tables(output: Thresholds, acc_bits: int, lanes: int) -> list[list[NDArray[np.int64]]]:
    """For each lane and step of the search the level that a sum is compared with, by its channel's
    word and the bits of the count that are known."""
    channels, count = output.levels.shape
    bits = latencies.threshold_bits(count)
    least, most = -(1 << acc_bits - 1), 1 << acc_bits - 1
    levels = np.full((channels, (1 << bits) - 1), most, np.int64)
    levels[:, :count] = output.levels - output.bias[:, None]
    levels = np.clip(levels, least, most)
    halves = [1 << bits - 1 - step for step in range(bits)]
    return [
        [levels[lane::lanes, half - 1 :: 2 * half].reshape(-1) for half in halves]
        for lane in range(lanes)
    ]


def field_values(output: Output, acc_bits: int) -> Fields:
    """The constants of a channel and their bits, by name; of thresholds they are in the levels."""
    match output:
        case Requantize():
            return {
                "bias": (output.bias, max(acc_bits, REQUANTIZED_BITS)),
                "multiplier": (output.multiplier, latencies.multiplier_bits(output)),
                "shift": (output.shift, SHIFT_BITS),
            }
        case Sums():
            return {"bias": (output.bias, acc_bits)}
        case Thresholds():
            return {}


def stored_bits(fields: Fields, lanes: int) -> int:
    """Bits of a word of the memory that `constants` makes."""
    return sum(
        varying(np.asarray(values)[lane::lanes], bits).bit_count()
        for values, bits in fields.values()
        for lane in range(lanes)
    )


def constants(
    m: Module, name: str, number: Value, lanes: int, fields: Fields
) -> list[dict[str, Value]]:
    """For each lane its channel's constants, two cycles after the number of the word."""
    places: list[tuple[int, str, slice]] = []
    words = [0] * (len(next(iter(fields.values()))[0]) // lanes)
    width = 0
    for lane in range(lanes):
        for field, (values, bits) in fields.items():
            for index, value in enumerate(np.asarray(values)[lane::lanes].tolist()):
                words[index] |= value % (1 << bits) << width
            places.append((lane, field, slice(width, width + bits)))
            width += bits
    word = rom(m, name, words, width, number)
    found: list[dict[str, Value]] = [{} for _ in range(lanes)]
    for lane, field, place in places:
        found[lane][field] = word[place]
    return found
