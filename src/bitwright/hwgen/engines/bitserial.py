"""Matrix engine: one bit of every weight and of every activation at a time, and their count.

The product of two bits is an AND, of +1 and -1 an XNOR. A counter of 2n + 1 lanes is two counters
of n lanes, whose sum takes the last lane as its carry (Swartzlander, "Parallel counters", 1973): no
carry of any adder is left unused. Serial weights and activations follow BISMO (Umuroglu et
al., 2018): a product of w and a bits takes w times a cycles.
"""

import numpy as np
from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from bitwright.hwgen.add import COUNT_LANES, COUNT_LUTS, add, chain_luts, count7
from bitwright.hwgen.delayed import Delayed
from bitwright.ir.machine import MachineError

_CHAIN_FROM = 5  # width of the sums from which on a carry chain is smaller than tables


def latency(lanes: int) -> int:
    """Cycles from the bits to the counts: a register, then one per level of counters."""
    return (lanes // (COUNT_LANES + 1)).bit_length() + 1


def delay(row: int) -> int:
    """Cycles that a row is behind row 0: activations go from row on to row."""
    return row


def count_bits(lanes: int) -> int:
    """Width of `counts`."""
    return lanes.bit_length() - 1


def golden(weights: NDArray, activations: NDArray, *, binary: bool = False) -> NDArray:
    """Counts [row, column] of lanes whose bits [row, lane], [column, lane] are 1, or are equal."""
    if binary:
        return (weights[:, None] == activations[None]).sum(-1)
    return weights.astype(int) @ activations.astype(int).T


def pack(bits: NDArray) -> int:
    """The word of `weights` or `activations` for bits [row or column, lane]."""
    flat = np.asarray(bits, np.uint8).reshape(-1)
    return int.from_bytes(np.packbits(flat, bitorder="little").tobytes(), "little")


def cycles(*, weight_bits: int, activation_bits: int, tiles: int) -> int:
    """Cycles of one result over `tiles` sets of lanes."""
    return weight_bits * activation_bits * tiles


def resources(*, rows: int, columns: int, lanes: int) -> int:
    """Look-up tables of the engine on ECP5, as nextpnr counts them."""
    units = lanes // (COUNT_LANES + 1)
    counter, width = units * COUNT_LUTS + 1, COUNT_LANES.bit_length()
    while units > 1:
        units //= 2
        width += 1
        counter += units * (chain_luts(width) + 1 if width >= _CHAIN_FROM else 2 * width - 1)
    return rows * columns * counter


class BitSerial(wiring.Component):
    """`counts[r * columns + c] + ones[...]` is the count of row r and column c, `latency` later.

    Row r is `delay(r)` cycles behind row 0, with its weights as with its counts.

    Args:
        rows, columns: sizes of the two operands.
        lanes: bits of a row or column at once, a power of two, at least 8.
        binary: bits stand for +1 and -1; lanes whose bits are equal count.

    Members:
        weights, activations: words of `pack`.
    """

    def __init__(self, *, rows: int, columns: int, lanes: int, binary: bool = False) -> None:
        if min(rows, columns) < 1 or lanes < COUNT_LANES + 1 or lanes & (lanes - 1):
            raise MachineError(
                f"BitSerial has {rows} rows, {columns} columns and {lanes} lanes; expected at "
                f"least one row and column, and a power of two of at least {COUNT_LANES + 1} lanes"
            )
        self.rows = rows
        self.columns = columns
        self.lanes = lanes
        self._binary = binary
        super().__init__(
            {
                "weights": In(rows * lanes),
                "activations": In(columns * lanes),
                "counts": Out(data.ArrayLayout(count_bits(lanes), rows * columns)),
                "ones": Out(rows * columns),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows = [
            self._delayed(m, f"row{row}", bits)
            for row, bits in enumerate(_split(self.weights, self.lanes))
        ]
        columns = [
            Delayed(m, f"column{column}_row", self._delayed(m, f"column{column}", bits))
            for column, bits in enumerate(_split(self.activations, self.lanes))
        ]
        for number in range(self.rows * self.columns):
            row, column = divmod(number, self.columns)
            m.submodules[f"counter{row}_{column}"] = counter = _Counter(self.lanes, self._binary)
            m.d.comb += [
                counter.weights.eq(rows[row]),
                counter.activations.eq(columns[column][delay(row)]),
                self.counts[number].eq(counter.count),
                self.ones[number].eq(counter.one),
            ]
        return m

    def _delayed(self, m: Module, name: str, bits: Value) -> Value:
        """Each lane in the cycle in which its level of the counters wants it."""
        parts: list[Value] = []
        start = 0
        for level, lanes in enumerate(_level_lanes(self.lanes)):
            value = bits[start : start + lanes]
            for stage in range(level + 1):
                later = Signal(lanes, name=f"{name}_level{level}_{stage}", reset_less=True)
                m.d.sync += later.eq(value)
                value = later
            parts.append(value)
            start += lanes
        return Cat(*parts)


def _split(word: Value, bits: int) -> list[Value]:
    return [word[start : start + bits] for start in range(0, len(word), bits)]


def _level_lanes(lanes: int) -> list[int]:
    """How many lanes enter at each level: those of the units, one for each sum, one at the end."""
    sums = lanes // (COUNT_LANES + 1)
    counts = [sums * COUNT_LANES]
    while sums > 1:
        sums //= 2
        counts.append(sums)
    return [*counts, 1]


class _Counter(wiring.Component):
    """The lanes that count, of one row and one column."""

    def __init__(self, lanes: int, binary: bool) -> None:
        self._lanes = lanes
        self._binary = binary
        super().__init__(
            {
                "weights": In(lanes),
                "activations": In(lanes),
                "count": Out(count_bits(lanes)),
                "one": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        levels = _level_lanes(self._lanes)
        singles = Signal(sum(levels[1:]))
        a, b = self.weights[levels[0] :], self.activations[levels[0] :]
        m.d.comb += singles.eq(~(a ^ b) if self._binary else a & b)
        counts: list[Value] = []
        for unit in range(levels[0] // COUNT_LANES):
            lanes = slice(COUNT_LANES * unit, COUNT_LANES * (unit + 1))
            a, b = self.weights[lanes], self.activations[lanes]
            full = count7(m, platform, f"seven{unit}", a, b, equal=self._binary)
            count = Signal.like(full, name=f"unit{unit}", reset_less=True)
            m.d.sync += count.eq(full)
            counts.append(count)
        start = 0
        for level, sums in enumerate(levels[1:-1], 1):
            width = len(counts[0]) + 1
            following: list[Value] = []
            for number in range(sums):
                a, b, last = counts[2 * number], counts[2 * number + 1], singles[start + number]
                total = Signal(width, name=f"level{level}_{number}", reset_less=True)
                name = f"add{level}_{number}"
                if width < _CHAIN_FROM:
                    m.d.sync += total.eq(_ripple(m, name, a, b, last))
                else:
                    zero = Cat(a, 0), Cat(b, 0)
                    full = add(m, platform, name, *zero, width=width, carry=last)
                    m.d.sync += total.eq(full)
                following.append(total)
            counts = following
            start += sums
        m.d.comb += [self.count.eq(counts[0]), self.one.eq(singles[start])]
        return m


def _ripple(m: Module, name: str, a: Value, b: Value, carry: Value) -> Value:
    """a + b + carry in full adders of two tables."""
    bits: list[Value] = []
    for place, (x, y) in enumerate(zip(a, b, strict=True)):
        bits.append(x ^ y ^ carry)
        following = Signal(name=f"{name}_carry{place}")
        m.d.comb += following.eq((x & y) | ((x ^ y) & carry))
        carry = following
    return Cat(*bits, carry)
