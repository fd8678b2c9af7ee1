"""Matrix engine: activations in parallel, weights one bit plane at a time.

Neighbouring lanes share work: for each pair (a, b) the sum a + b is made once for all rows, and a
row picks one of 0, a, b, a + b with its two weight bits. That is one adder per pair less than
adding gated activations.
"""

from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from bitwright.hwgen.structure import Structure, adder_tree_bits
from bitwright.ir.machine import Machine


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
            both = Signal(signed(9), name=f"lanes{2 * pair}_{2 * pair + 1}", reset_less=True)
            m.d.sync += [a.eq(low), b.eq(high), both.eq(low + high)]
            pairs.append((a, b, both))
        bits = Signal(self.machine.weight_bits, reset_less=True)
        m.d.sync += bits.eq(self.weights)
        for row in range(self.machine.rows):
            own = bits.word_select(row, self.machine.lanes)
            m.d.comb += self.sums[row].eq(self._row(m, pairs, own, row))
        return m

    def _row(
        self, m: Module, pairs: list[tuple[Value, Value, Value]], bits: Value, row: int
    ) -> Value:
        terms: list[Value] = []
        for pair, (a, b, both) in enumerate(pairs):
            term = Signal(signed(9), name=f"row{row}_pair{pair}")
            with m.Switch(bits.word_select(pair, 2)):
                with m.Case(0b01):
                    m.d.comb += term.eq(a)
                with m.Case(0b10):
                    m.d.comb += term.eq(b)
                with m.Case(0b11):
                    m.d.comb += term.eq(both)
            terms.append(term)
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
    """A choice of four per row and pair, and the adders of the pairs and of each row's tree."""
    rows, lanes = machine.rows, machine.lanes
    pairs = lanes // 2
    tree = adder_tree_bits(pairs, 9) if pairs > 1 else 9
    return Structure(
        lut={
            "choices": 2 * rows * pairs * 9,
            "pairs": pairs * 10,
            "trees": rows * adder_tree_bits(pairs, 9),
        },
        ff={"operands": lanes * 8 + pairs * 9 + machine.weight_bits, "sums": rows * tree},
    )
