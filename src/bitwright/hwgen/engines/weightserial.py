"""Matrix engine: activations in parallel, weights one bit plane at a time.

A row's two weight bits make one of 0, a, b, a + b of each pair (a, b) of neighbouring lanes. A
carry chain of the ECP5 does so in one table a bit, whose four inputs take both weight bits. On an
iCE40 a + b is made once for all rows, and each row chooses: an adder less for each pair and row.
"""

from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from bitwright.hwgen.choose import choose
from bitwright.hwgen.gated_add import gated_add
from bitwright.hwgen.ram import RamPlatform
from bitwright.hwgen.structure import Structure, adder_tree_bits
from bitwright.ir.machine import Machine

TERM_BITS = 9


def latency(machine: Machine) -> int:
    """Cycles from the operands to the sums: pair sums, then one cycle per adder level."""
    return 1 + max(1, machine.lanes.bit_length() - 2)


def sum_bits(machine: Machine) -> int:
    """Width of the signed sum of `lanes` activations."""
    return 8 + machine.lanes.bit_length() - 1


def golden(activations: NDArray, weights: NDArray) -> NDArray:
    """Sums [row] of int8 activations [lane] whose weight bit [row, lane] is 1."""
    return weights.astype(int) @ activations.astype(int)


class WeightSerial(wiring.Component):
    """`sums[r]` is the sum of the activations whose weight bit is 1, `latency` cycles later.

    Members:
        activations: int8 per lane; lane 0 lowest.
        weights: bit `r * lanes + l` belongs to row r and lane l.
    """

    def __init__(self, *, machine: Machine) -> None:
        self.machine = machine
        super().__init__(
            {
                "activations": In(data.ArrayLayout(signed(8), machine.lanes)),
                "weights": In(machine.weight_bits),
                "sums": Out(data.ArrayLayout(signed(sum_bits(machine)), machine.rows)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pairs: list[tuple[Value, Value, Value]] = []
        for pair in range(self.machine.lanes // 2):
            low, high = self.activations[2 * pair], self.activations[2 * pair + 1]
            a = Signal(signed(8), name=f"lane{2 * pair}", reset_less=True)
            b = Signal(signed(8), name=f"lane{2 * pair + 1}", reset_less=True)
            both = Signal(
                signed(TERM_BITS), name=f"lanes{2 * pair}_{2 * pair + 1}", reset_less=True
            )
            m.d.sync += [a.eq(low), b.eq(high), both.eq(low + high)]
            pairs.append((a, b, both))
        bits = Signal(self.machine.weight_bits, reset_less=True)
        m.d.sync += bits.eq(self.weights)
        for row in range(self.machine.rows):
            own = bits.word_select(row, self.machine.lanes)
            terms = self._terms(m, platform, pairs, own, row)
            m.d.comb += self.sums[row].eq(self._sum(m, terms, row))
        return m

    def _terms(
        self, m: Module, platform: object, pairs: list[tuple[Value, Value, Value]], bits: Value,
        row: int,
    ) -> list[Value]:  # fmt: skip
        """Of each pair of lanes what the row's bits choose."""
        added = [
            gated_add(
                m, platform, f"row{row}_pair{pair}", a, bits[2 * pair], b, bits[2 * pair + 1],
                signed(TERM_BITS),
            )
            for pair, (a, b, _) in enumerate(pairs)
        ]  # fmt: skip
        if not isinstance(platform, RamPlatform):
            return list(added)
        picked: list[Value] = []
        for pair, (a, b, both) in enumerate(pairs):
            term = Signal(signed(TERM_BITS), name=f"row{row}_picked{pair}")
            with m.Switch(bits.word_select(pair, 2)):
                with m.Case(0b01):
                    m.d.comb += term.eq(a)
                with m.Case(0b10):
                    m.d.comb += term.eq(b)
                with m.Case(0b11):
                    m.d.comb += term.eq(both)
            picked.append(term)
        chosen = Signal(TERM_BITS * len(pairs), name=f"row{row}_terms")
        choose(m, f"choose{row}", chosen, Cat(added), Cat(picked))
        return [chosen.word_select(n, TERM_BITS).as_signed() for n in range(len(pairs))]

    def _sum(self, m: Module, terms: list[Value], row: int) -> Value:
        for level in range(latency(self.machine) - 1):
            if len(terms) > 1:
                terms = [a + b for a, b in zip(terms[::2], terms[1::2], strict=True)]
            registers: list[Value] = []
            for number, value in enumerate(terms):
                total = Signal(
                    value.shape(), name=f"row{row}_level{level}_{number}", reset_less=True
                )
                m.d.sync += total.eq(value)
                registers.append(total)
            terms = registers
        return terms[0]


def resources(machine: Machine) -> Structure:
    """A choice of four, or an adder, per row and pair, and the adders of each row's tree."""
    rows, lanes = machine.rows, machine.lanes
    pairs = lanes // 2
    tree = adder_tree_bits(pairs, TERM_BITS) if pairs > 1 else TERM_BITS
    return Structure(
        lut={
            "choices": 2 * rows * pairs * TERM_BITS,
            "pairs": pairs * 10,
            "trees": rows * adder_tree_bits(pairs, TERM_BITS),
        },
        ff={
            "operands": lanes * 8 + machine.weight_bits, "pairs": pairs * TERM_BITS,
            "sums": rows * tree,
        },
    )  # fmt: skip
