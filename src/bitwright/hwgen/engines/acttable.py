"""Matrix engine: tables of sums of four activations in LUT RAM, indexed by weight digits.

A weight is digits of +1 and -1: a w of n bits (two's complement) has 2w + 1 = -2^(n-1) d[n-1] +
... + 2 d[1] + d[0], where d[j] is 1 if bit j is 1, else -1 (offset binary coding, White,
"Applications of distributed arithmetic to digital signal processing", 1989). Of the sixteen sums
of four activations with signs, eight are the negatives of the others. So a table has eight entries,
a fourth digit negates inside of the first adder, and a RAM of 16 words holds two tables: one is
read while the other is built. One builder writes all rows' copies of a table; from row to row its
entries go through registers, since the copies lie all over the device.
"""

import numpy as np
from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from bitwright.hwgen.add import (
    add,
    adder_tree,
    chain_luts,
    ram16,
    ram16_luts,
    tree_levels,
    tree_luts,
)
from bitwright.hwgen.delayed import Delayed
from bitwright.hwgen.ram import COPY_SUFFIX
from bitwright.ir.machine import MachineError

GROUP = 4  # activations of a table
ENTRIES = 1 << (GROUP - 1)
FILL = ENTRIES + 2  # cycles from the first entry's operands to the first use of the new tables
STAGE_ROWS = 2


def delay(row: int) -> int:
    """Cycles that a row is behind row 0: entries go from `STAGE_ROWS` rows on to the next ones."""
    return row // STAGE_ROWS


def latency(lanes: int) -> int:
    """Cycles from the digits to the sums: a register, the table, then one per adder level."""
    return 2 + tree_levels(lanes // GROUP)


def table_bits(activation_bits: int, activation_signed: bool) -> int:
    """Width of the signed sum of three activations with any signs and one with its own."""
    return activation_bits + 2 + (not activation_signed)


def sum_bits(lanes: int, activation_bits: int, activation_signed: bool) -> int:
    """Width of `sums` and `total`."""
    return table_bits(activation_bits, activation_signed) + tree_levels(lanes // GROUP)


def digits(weights: NDArray, bits: int) -> NDArray:
    """Planes [plane, ...] of +1 and -1 of integers [...], the sign plane first.

    One bit is the weight itself, +1 or -1; more are two's complement, of 2w + 1.
    """
    if bits == 1:
        return np.asarray(weights)[None]
    planes = np.arange(bits - 1, -1, -1).reshape(-1, *[1] * np.ndim(weights))
    return 2 * (np.asarray(weights)[None] >> planes & 1) - 1


def golden(activations: NDArray, signs: NDArray) -> NDArray:
    """Sums [row] of activations [lane] with signs [row, lane] of +1 and -1."""
    return signs.astype(int) @ activations.astype(int)


def pack(signs: NDArray) -> int:
    """The word of `digits` for signs [row, lane] of +1 and -1.

    Four bits a group: for its first three lanes whether the sign is the last one's, then whether
    that is -1.
    """
    grouped = np.asarray(signs).reshape(-1, GROUP)
    bits = grouped == grouped[:, -1:]
    bits[:, -1] = grouped[:, -1] < 0
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")


def cycles(*, tables: int, uses: int) -> int:
    """Cycles for `tables` sets of tables that are each read `uses` times, the first build too."""
    return (tables + 1) * max(uses, FILL)


def resources(*, rows: int, lanes: int, activation_bits: int, activation_signed: bool) -> int:
    """Look-up tables of the engine on ECP5, as nextpnr counts them."""
    groups, bits = lanes // GROUP, table_bits(activation_bits, activation_signed)
    row = groups * ram16_luts(bits) + tree_luts(groups, bits)
    builder = 2 * chain_luts(bits - 1) + chain_luts(bits)
    return rows * row + groups * builder + tree_luts(groups, bits)


class ActTable(wiring.Component):
    """`sums[r] + carries[r]` is the dot product of row r's digits, `latency` cycles later.

    Row r is `delay(r)` cycles behind row 0, with its digits as with its sum.

    Args:
        rows: rows of digits.
        lanes: activations, four times a power of two, at least 8.
        activation_bits: 1 to 16.
        activation_signed: whether they are two's complement.

    Members:
        activations: of the tables that are built; the same for all eight entries.
        fill, entry, fill_bank: write that entry of the tables of that bank.
        digits: a word of `pack`, each row's at its time.
        bank: of the tables that those of row 0 index.
        total: the sum of the activations, `total_latency(lanes)` cycles after their last entry.
    """

    def __init__(
        self, *, rows: int, lanes: int, activation_bits: int = 8, activation_signed: bool = True
    ) -> None:
        check_shape("ActTable", rows, lanes)
        if not 1 <= activation_bits <= 16:
            raise MachineError(f"ActTable has activation_bits {activation_bits}; expected 1 to 16")
        self.rows = rows
        self.lanes = lanes
        self.table_bits = table_bits(activation_bits, activation_signed)
        result = sum_bits(lanes, activation_bits, activation_signed)
        shape = signed(activation_bits) if activation_signed else activation_bits
        super().__init__(
            {
                "activations": In(data.ArrayLayout(shape, lanes)),
                "fill": In(1),
                "entry": In(GROUP - 1),
                "fill_bank": In(1),
                "digits": In(rows * lanes),
                "bank": In(1),
                "sums": Out(data.ArrayLayout(signed(result), rows)),
                "carries": Out(rows),
                "total": Out(signed(result)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        builders = [
            _Builder(self.activations[0].shape(), self.table_bits)
            for _ in range(self.lanes // GROUP)
        ]
        for group, builder in enumerate(builders):
            m.submodules[f"builder{group}"] = builder
            m.d.comb += [
                *(
                    own.eq(self.activations[GROUP * group + lane])
                    for lane, own in enumerate(builder.activations)
                ),
                builder.fill.eq(self.fill),
                builder.place.eq(Cat(self.entry, self.fill_bank)),
            ]
        entries = [(b.write, b.address, b.value) for b in builders]
        bank = Delayed(m, "bank", self.bank)
        for number in range(self.rows):
            if number and delay(number) != delay(number - 1):
                entries = [
                    _passed_on(m, f"row{number}_{group}", own) for group, own in enumerate(entries)
                ]
            m.submodules[f"row{number}"] = row = _Row(len(builders), self.table_bits)
            for group, (write, address, value) in enumerate(entries):
                m.d.comb += [
                    row.write[group].eq(write),
                    row.address[group].eq(address),
                    row.value[group].eq(value),
                ]
            m.d.comb += [
                row.digits.eq(self.digits.word_select(number, self.lanes)),
                row.bank.eq(bank[delay(number)]),
                self.sums[number].eq(row.sum),
                self.carries[number].eq(row.carry),
            ]
        total, _ = adder_tree(m, platform, "total", [builder.value for builder in builders])
        m.d.comb += self.total.eq(total)
        return m


def total_latency(lanes: int) -> int:
    """Cycles from the last entry's operands to `total`."""
    return 3 + tree_levels(lanes // GROUP)


def check_shape(name: str, rows: int, lanes: int) -> None:
    """Raises `MachineError` unless there is a row and the lanes make a tree of groups."""
    if rows < 1 or lanes < 2 * GROUP or lanes & (lanes - 1):
        raise MachineError(
            f"{name} has {rows} rows and {lanes} lanes; expected at least one row, and a power of "
            f"two of at least {2 * GROUP} lanes"
        )


def copies(m: Module, name: str, value: Value, count: int) -> list[Signal]:
    """Registers of the same bit, each for a few tables near it."""
    registers = [Signal(name=f"{name}{n}{COPY_SUFFIX}", reset_less=True) for n in range(count)]
    m.d.sync += [register.eq(value) for register in registers]
    return registers


def _passed_on(
    m: Module, name: str, entry: tuple[Value, Value, Value]
) -> tuple[Signal, Signal, Signal]:
    """Write enable, address and value of an entry a cycle later, each group's for itself."""
    write = Signal(name=f"{name}_write{COPY_SUFFIX}", reset_less=True)
    address = Signal(GROUP, name=f"{name}_address{COPY_SUFFIX}", reset_less=True)
    value = Signal(signed(len(entry[2])), name=f"{name}_value", reset_less=True)
    m.d.sync += [write.eq(entry[0]), address.eq(entry[1]), value.eq(entry[2])]
    return write, address, value


class _Builder(wiring.Component):
    """One table's entries: entry e is +-a0 +-a1 +-a2 + a3, bit i of e says + of activation i."""

    def __init__(self, activation: object, bits: int) -> None:
        self._bits = bits
        super().__init__(
            {
                "activations": In(data.ArrayLayout(activation, GROUP)),
                "fill": In(1),
                "place": In(GROUP),
                "write": Out(1),
                "address": Out(GROUP),
                "value": Out(signed(bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lane = [Signal.like(own, name=f"lane{i}", reset_less=True) for i, own in
                enumerate(self.activations)]  # fmt: skip
        minus = Signal(GROUP - 1, reset_less=True)
        m.d.sync += [own.eq(value) for own, value in zip(lane, self.activations, strict=True)]
        m.d.sync += minus.eq(~self.place[: GROUP - 1])
        pairs: list[Value] = []
        for name, a, b in (("low", 0, 3), ("high", 1, 2)):
            full = add(
                m, platform, name, lane[a], lane[b], width=self._bits - 1, a_control=minus[a],
                b_control=minus[b] if b < GROUP - 1 else 0, carry=minus[a],
            )  # fmt: skip
            pair = Signal(signed(self._bits - 1), name=f"{name}_pair", reset_less=True)
            m.d.sync += pair.eq(full)
            pairs.append(pair)
        rest = Signal(reset_less=True)
        m.d.sync += rest.eq(minus[2])
        entry = add(m, platform, "entry", pairs[0], pairs[1], width=self._bits, carry=rest)
        m.d.sync += self.value.eq(entry)
        # The same delays in every builder, so that each has its own registers near its tables.
        write, place = Value.cast(self.fill), Value.cast(self.place)
        for stage in range(3):
            last_write = Signal(name=f"write{stage}{COPY_SUFFIX}", reset_less=True)
            last_place = Signal(GROUP, name=f"place{stage}{COPY_SUFFIX}", reset_less=True)
            m.d.sync += [last_write.eq(write), last_place.eq(place)]
            write, place = last_write, last_place
        m.d.comb += [self.write.eq(write), self.address.eq(place)]
        return m


class _Row(wiring.Component):
    """A copy of every table, read by one row's digits, and the sum."""

    def __init__(self, groups: int, bits: int) -> None:
        self._groups = groups
        self._bits = bits
        super().__init__(
            {
                "write": In(1).array(groups),
                "address": In(GROUP).array(groups),
                "value": In(signed(bits)).array(groups),
                "digits": In(groups * GROUP),
                "bank": In(1),
                "sum": Out(signed(bits + tree_levels(groups))),
                "carry": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        index = Signal(len(self.digits), reset_less=True)
        banks = copies(m, "bank", self.bank, -(-self._groups // 8))
        m.d.sync += index.eq(self.digits)
        values: list[Value] = []
        negate: list[Value] = []
        for group in range(self._groups):
            own = index.word_select(group, GROUP)
            value = Signal(signed(self._bits), name=f"value{group}", reset_less=True)
            minus = Signal(name=f"minus{group}", reset_less=True)
            word = ram16(
                m, platform, f"table{group}", write=self.write[group], address=self.address[group],
                value=self.value[group], read=Cat(own[: GROUP - 1], banks[group // 8]),
            )  # fmt: skip
            m.d.sync += [value.eq(word), minus.eq(own[GROUP - 1])]
            values.append(value)
            negate.append(minus)
        total, carry = adder_tree(m, platform, "sum", values, negate)
        m.d.comb += [self.sum.eq(total), self.carry.eq(carry)]
        return m
