"""Matrix engine: tables of sums of four weights in LUT RAM, indexed by activation digits.

Distributed arithmetic (White, "Applications of distributed arithmetic to digital signal
processing", 1989) with the digits +1 and -1 of `acttable`: a table holds eight of the sixteen sums
of four weights with signs, and a fourth digit negates inside of the first adder. All rows share
the index, so their tables stand side by side in one RAM; the other half of its 16 words takes the
next tables. With constant weights a table is pure logic, one 4-input table per bit.
"""

import numpy as np
from amaranth.hdl import Array, Cat, Const, Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from bitwright.hwgen.add import adder_tree, ram16, ram16_luts, tree_levels, tree_luts
from bitwright.hwgen.delayed import Delayed
from bitwright.hwgen.engines.acttable import (
    ENTRIES,
    GROUP,
    check_shape,
    copies,
    digits,
    latency,
    table_bits,
)
from bitwright.hwgen.ram import COPY_SUFFIX
from bitwright.ir.machine import MachineError

__all__ = ["digits", "latency"]  # those of acttable: the digits are the activations'

BUNDLE = 4  # rows whose tables are written at once


def delay(row: int) -> int:
    """Cycles that a row is behind row 0: words and digits go from bundle on to bundle."""
    return row // BUNDLE


def fill_cycles(rows: int) -> int:
    """Words of tables of all rows."""
    return ENTRIES * rows // BUNDLE


def word_bits(lanes: int, weight_bits: int) -> int:
    """Width of a word of tables: an entry of each group, of `BUNDLE` rows."""
    return BUNDLE * lanes // GROUP * table_bits(weight_bits, activation_signed=True)


def sum_bits(lanes: int, weight_bits: int) -> int:
    """Width of `sums`."""
    return table_bits(weight_bits, activation_signed=True) + tree_levels(lanes // GROUP)


def golden(weights: NDArray, signs: NDArray) -> NDArray:
    """Sums [row] of weights [row, lane] with signs [lane] of +1 and -1."""
    return weights.astype(int) @ signs.astype(int)


def entries(weights: NDArray) -> NDArray:
    """Tables [row, group, entry] of weights [row, lane].

    Bit i of an entry's number says whether weight i of the group counts positive; the last does.
    """
    grouped = np.asarray(weights, int).reshape(len(weights), -1, GROUP)
    number = np.arange(ENTRIES)
    signs = np.array([*(2 * (number >> i & 1) - 1 for i in range(GROUP - 1)), np.ones(ENTRIES)])
    return grouped @ signs.astype(int)


def pack(weights: NDArray, *, weight_bits: int) -> list[int]:
    """The words of tables of weights [row, lane], entry by entry, bundle by bundle."""
    bits = table_bits(weight_bits, activation_signed=True)
    tables = entries(weights) & ((1 << bits) - 1)
    words: list[int] = []
    for bundle in range(len(weights) // BUNDLE):
        for entry in range(ENTRIES):
            values = tables[BUNDLE * bundle :][:BUNDLE, :, entry].T.reshape(-1)
            words.append(sum(int(value) << (bits * n) for n, value in enumerate(values)))
    return words


def pack_digits(signs: NDArray) -> int:
    """The word of `digits` for signs [lane] of +1 and -1: see `acttable.pack`."""
    grouped = np.asarray(signs).reshape(-1, GROUP)
    bits = grouped == grouped[:, -1:]
    bits[:, -1] = grouped[:, -1] < 0
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")


def cycles(*, tables: int, uses: int, rows: int) -> int:
    """Cycles for `tables` sets of tables that are each read `uses` times, the first fill too."""
    return (tables + 1) * max(uses, fill_cycles(rows))


def resources(*, rows: int, lanes: int, weight_bits: int) -> int:
    """Look-up tables of the engine on ECP5, as nextpnr counts them, without its write enables."""
    groups, bits = lanes // GROUP, table_bits(weight_bits, activation_signed=True)
    bundle = groups * ram16_luts(BUNDLE * bits) + BUNDLE * tree_luts(groups, bits)
    return rows // BUNDLE * bundle


class WeightTable(wiring.Component):
    """`sums[r] + carries[r]` is row r's weights times the digits, `latency` cycles later.

    Row r takes `delay(r)` cycles more.

    Args:
        rows: rows of weights, a multiple of `BUNDLE`.
        lanes: weights of a row, four times a power of two, at least 8.
        weight_bits: 1 to 8; two's complement.
        constant: weights [row, lane] that never change; there are no tables to fill then.

    Members:
        tables, fill, entry, fill_bank: word number `entry` of `pack` for the tables of that bank.
        digits: a word of `pack_digits`.
        bank: of the tables that they index.
    """

    def __init__(
        self, *, rows: int, lanes: int, weight_bits: int = 4, constant: NDArray | None = None
    ) -> None:
        check_shape("WeightTable", rows, lanes)
        if rows % BUNDLE:
            raise MachineError(
                f"WeightTable has {rows} rows; expected a multiple of {BUNDLE}: so many are "
                f"written at once"
            )
        if not 1 <= weight_bits <= 8:
            raise MachineError(f"WeightTable has weight_bits {weight_bits}; expected 1 to 8")
        self.rows = rows
        self.lanes = lanes
        self.table_bits = table_bits(weight_bits, activation_signed=True)
        self._constant = None if constant is None else entries(constant)
        super().__init__(
            {
                "tables": In(word_bits(lanes, weight_bits)),
                "fill": In(1),
                "entry": In(range(fill_cycles(rows))),
                "fill_bank": In(1),
                "digits": In(lanes),
                "bank": In(1),
                "sums": Out(data.ArrayLayout(signed(sum_bits(lanes, weight_bits)), rows)),
                "carries": Out(rows),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        groups = self.lanes // GROUP
        word = Delayed(m, "word", self.tables)
        place = Delayed(m, "place", Cat(self.entry[: GROUP - 1], self.fill_bank))
        write = Delayed(m, "write", Cat(self.fill, self.entry[GROUP - 1 :]))
        digits = Delayed(m, "digits", self.digits)
        bank = Delayed(m, "bank", self.bank)
        for number in range(self.rows // BUNDLE):
            constant = self._constant
            if constant is not None:
                constant = constant[BUNDLE * number :][:BUNDLE]
            m.submodules[f"bundle{number}"] = bundle = _Bundle(groups, self.table_bits, constant)
            m.d.comb += [
                bundle.digits.eq(digits[number]),
                bundle.bank.eq(bank[number]),
                bundle.word.eq(word[number + 1]),
                bundle.place.eq(place[number + 1]),
            ]
            m.d.sync += bundle.write.eq(write[number] == (number << 1 | 1))
            for row in range(BUNDLE):
                m.d.comb += [
                    self.sums[BUNDLE * number + row].eq(bundle.sums[row]),
                    self.carries[BUNDLE * number + row].eq(bundle.carries[row]),
                ]
        return m


class _Bundle(wiring.Component):
    """The tables of some rows side by side, read with one index, and each row's sum."""

    def __init__(self, groups: int, bits: int, constant: NDArray | None) -> None:
        self._groups = groups
        self._bits = bits
        self._constant = constant
        super().__init__(
            {
                "word": In(groups * BUNDLE * bits),
                "write": In(1),
                "place": In(GROUP),
                "digits": In(groups * GROUP),
                "bank": In(1),
                "sums": Out(data.ArrayLayout(signed(bits + tree_levels(groups)), BUNDLE)),
                "carries": Out(BUNDLE),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        index = Signal(len(self.digits), name=f"index{COPY_SUFFIX}", reset_less=True)
        minus = Signal(self._groups, reset_less=True)
        m.d.sync += index.eq(self.digits)
        banks = copies(m, "bank", self.bank, -(-self._groups // 8))
        width = BUNDLE * self._bits
        values: list[Signal] = []
        for group in range(self._groups):
            own = index.word_select(group, GROUP)
            value = Signal(width, name=f"value{group}", reset_less=True)
            m.d.sync += [
                value.eq(self._table(m, platform, group, own[: GROUP - 1], banks[group // 8])),
                minus[group].eq(own[GROUP - 1]),
            ]
            values.append(value)
        for row in range(BUNDLE):
            terms = [value.word_select(row, self._bits).as_signed() for value in values]
            total, carry = adder_tree(m, platform, f"row{row}", terms, list(minus))
            m.d.comb += [self.sums[row].eq(total), self.carries[row].eq(carry)]
        return m

    def _table(self, m: Module, platform: object, group: int, index: Value, bank: Value) -> Value:
        width = BUNDLE * self._bits
        if self._constant is not None:
            mask = (1 << self._bits) - 1
            words = [
                sum((int(value) & mask) << (self._bits * row) for row, value in enumerate(column))
                for column in self._constant[:, group].T
            ]
            return Array(Const(word, width) for word in words)[index]
        return ram16(
            m, platform, f"table{group}", write=self.write, address=self.place,
            value=self.word.word_select(group, width), read=Cat(index, bank),
        )  # fmt: skip
