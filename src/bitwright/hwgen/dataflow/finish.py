"""The output stage of one engine: sums of a tile in, result words out."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from bitwright.hwgen.dataflow import latencies
from bitwright.hwgen.dataflow.adders import delayed, registered
from bitwright.hwgen.dataflow.latencies import ROM_LATENCY
from bitwright.hwgen.dataflow.memories import rom
from bitwright.hwgen.requantize import Requantizer, flip_sign
from bitwright.ir.dataflow import Output, Requantize, Sums, Tensor, Thresholds
from bitwright.ir.instructions import Rounding
from bitwright.ir.machine import NARROW_MULTIPLIER_BITS, SHIFT_BITS, WIDE_MULTIPLIER_BITS

PARAMETERS = ROM_LATENCY  # cycles from the announcement of a word to its sums
_ROUNDINGS = {rounding.name.lower(): rounding for rounding in Rounding}

_LEAST_ACC_BITS = 16  # of a requantizer


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

    Members:
        announced: `PARAMETERS` cycles before the sums of each word.
        sums: of the next `lanes` channels, channel 0 first, all channels over and over.
        valid, word: the result, `latencies.output` cycles after the sums.
    """

    def __init__(self, *, output: Output, result: Tensor, lanes: int, acc_bits: int) -> None:
        self.output, self.result = output, result
        self.lanes, self.acc_bits = lanes, acc_bits
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
        for cycle in range(PARAMETERS + latencies.output(self.output)):
            later = Signal(name=f"valid{cycle}")
            m.d.sync += later.eq(valid)
            valid = later
        m.d.comb += [
            self.valid.eq(valid),
            self.word.eq(Cat(*(result[: self.result.bits] for result in results))),
        ]
        return m

    def _sums(self, m: Module, number: Signal) -> list[Value]:
        fields = {"bias": (self.output.bias, self.acc_bits)}
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
        wide = latencies.wide(output)
        widths = Widths(
            max(self.acc_bits, _LEAST_ACC_BITS),
            WIDE_MULTIPLIER_BITS if wide else NARROW_MULTIPLIER_BITS,
        )
        fields = constants(
            m, "parameters", number, self.lanes,
            {
                "bias": (output.bias, widths.acc_bits),
                "multiplier": (output.multiplier, widths.multiplier_bits),
                "shift": (output.shift, SHIFT_BITS),
            },
        )  # fmt: skip
        entries: list[Value] = []
        for lane in range(self.lanes):
            m.submodules[f"requantizer{lane}"] = unit = Requantizer(machine=widths)
            m.d.comb += [
                unit.acc.eq(self.sums[lane]),
                unit.bias.eq(fields[lane]["bias"]),
                unit.multiplier.eq(fields[lane]["multiplier"]),
                unit.shift.eq(fields[lane]["shift"]),
                unit.zero_point.eq(output.zero_point),
                unit.clamp_min.eq(output.clamp[0]),
                unit.clamp_max.eq(output.clamp[1]),
            ]
            if wide:
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
        channels, count = output.levels.shape
        bits = latencies.threshold_bits(count)
        least, most = -(1 << self.acc_bits - 1), 1 << self.acc_bits - 1
        levels = np.full((channels, (1 << bits) - 1), most, np.int64)
        levels[:, :count] = output.levels - output.bias[:, None]
        levels = np.clip(levels, least, most)
        results: list[Value] = []
        for lane in range(self.lanes):
            own = levels[lane :: self.lanes]
            results.append(self._search(m, lane, own, bits, number) + output.least)
        return results

    def _search(self, m: Module, lane: int, levels: NDArray, bits: int, number: Signal) -> Value:
        width = self.acc_bits + 1
        found: Value = Const(0, 0)  # the bits of the count that are known, the highest first
        total = self.sums[lane]
        for step in range(bits):
            half = 1 << bits - 1 - step
            chosen = levels[:, half - 1 :: 2 * half].reshape(-1) % (1 << width)
            address = Cat(found, number)
            if step:
                number = delayed(m, number, ROM_LATENCY + 1, f"number{lane}_{step}")
                address = Cat(found, number)
                total = delayed(m, total, ROM_LATENCY, f"total{lane}_{step}")
            level = rom(m, f"level{lane}_{step}", chosen.tolist(), width, address)
            later = delayed(m, found, ROM_LATENCY, f"found{lane}_{step}") if step else found
            reached = total >= level.as_signed()
            found = registered(m, Cat(reached, later), f"count{lane}_{step}")
            if step < bits - 1:
                total = registered(m, total, f"sum{lane}_{step}")
        return found


def constants(
    m: Module, name: str, number: Value, lanes: int, fields: Mapping[str, tuple[NDArray, int]]
) -> list[dict[str, Value]]:
    """For each lane its channel's constants, two cycles after the number of the word.

    A field that is the same for all channels takes no memory.
    """
    found: list[dict[str, Value]] = [{} for _ in range(lanes)]
    places, width = list[tuple[int, str, int, int]](), 0
    channels = max(np.size(values) for values, _ in fields.values())
    packed = [0] * (channels // lanes)
    for field, (values, bits) in fields.items():
        every = np.broadcast_to(values, channels)
        if (every == every[0]).all():
            for lane in range(lanes):
                found[lane][field] = Const(int(every[0]) % (1 << bits), bits)
            continue
        for lane in range(lanes):
            for word, value in enumerate(every[lane::lanes].tolist()):
                packed[word] |= (value % (1 << bits)) << width
            places.append((lane, field, width, bits))
            width += bits
    if width:
        word = rom(m, name, packed, width, number)
        for lane, field, start, bits in places:
            found[lane][field] = word[start : start + bits]
    return found
