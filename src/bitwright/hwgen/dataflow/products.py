"""Engines of matrix stages: every lane's activation times every row's weights, each cycle."""

from amaranth.hdl import Const, Module, Mux, Shape, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from bitwright.hwgen.dataflow.adders import tree
from bitwright.hwgen.delayed import registered
from bitwright.hwgen.gated_add import gated_add


def golden(activations: NDArray, weights: NDArray) -> NDArray:
    """Sums [row] of activations [lane] times weights [row, lane]."""
    return weights.astype(int) @ activations.astype(int)


def pack(weights: NDArray, weight_bits: int) -> int:
    """Weights [row, lane] as the member `weights`: row by row; 1 bit is 0 for -1, 1 for 1."""
    if weight_bits == 1:
        weights = (weights + 1) // 2
    word = 0
    for weight in reversed(weights.reshape(-1).tolist()):
        word = word << weight_bits | int(weight) % (1 << weight_bits)
    return word


class Products(wiring.Component):
    """What the engines have in common.

    Args:
        constant: the weights are constants of the design.

    Members:
        activations: one per lane, lane 0 lowest.
        weights: as `pack` makes them.
        sums: of each row, `latency` cycles after the operands.
    """

    def __init__(
        self,
        *,
        rows: int,
        lanes: int,
        weight_bits: int,
        activation_bits: int,
        activation_signed: bool,
        constant: bool = False,
    ) -> None:
        self.constant = constant
        self.rows, self.lanes, self.weight_bits = rows, lanes, weight_bits
        self.activation = Shape(activation_bits, activation_signed)
        self.sum_bits = weight_bits + activation_bits + lanes.bit_length() + 1
        super().__init__(
            {
                "activations": In(data.ArrayLayout(self.activation, lanes)),
                "weights": In(rows * lanes * weight_bits),
                "sums": Out(data.ArrayLayout(signed(self.sum_bits), rows)),
            }
        )

    @staticmethod
    def latency(lanes: int, weight_bits: int) -> int:
        """Cycles from the operands to the sums."""
        raise NotImplementedError

    @staticmethod
    def pack(weights: NDArray, weight_bits: int) -> int:
        """Weights [row, lane] as the member `weights`."""
        return pack(weights, weight_bits)

    def weight(self, row: int, lane: int) -> Value:
        return self.weights.word_select(row * self.lanes + lane, self.weight_bits)


class LutProducts(Products):
    """In look-up tables: for each bit plane of the weights, the sum of the activations whose bit is
    1; then the planes' sums, shifted. The sign plane is subtracted.

    A single plane stands for -1 and 1: twice the sum, less the sum of all activations.
    """

    @staticmethod
    def latency(lanes: int, weight_bits: int) -> int:
        planes = 1 if weight_bits == 1 else (weight_bits - 1).bit_length()
        return max(1, (lanes - 1).bit_length()) + planes

    def elaborate(self, platform: object) -> Module:
        m = Module()
        activations = [self.activations[lane] for lane in range(self.lanes)]
        whole = tree(m, activations, "all") if self.weight_bits == 1 else Const(0)
        if self.weight_bits == 1 and self.lanes == 1:
            whole = registered(m, whole, "all")
        for row in range(self.rows):
            planes = [
                self._plane(m, platform, activations, row, plane)
                for plane in range(self.weight_bits)
            ]
            if self.weight_bits == 1:
                total = registered(m, (planes[0] << 1) - whole, f"row{row}")
            else:
                total = _combine(m, planes, f"row{row}")
            m.d.comb += self.sums[row].eq(total)
        return m

    def _plane(
        self, m: Module, platform: object, activations: list[Value], row: int, plane: int
    ) -> Value:
        """The sum of the activations whose bit is 1: switched and added in pairs first."""
        name = f"row{row}_plane{plane}"
        bits = [self.weight(row, lane)[plane] for lane in range(self.lanes)]
        pair = Shape(self.activation.width + 1, self.activation.signed)
        terms: list[Value] = []
        for lane in range(0, self.lanes - 1, 2):
            operands = (activations[lane], bits[lane], activations[lane + 1], bits[lane + 1])
            if self.constant:
                total = Mux(operands[1], operands[0], 0) + Mux(operands[3], operands[2], 0)
            else:
                total = gated_add(m, platform, f"{name}_{lane}", *operands, pair)
            terms.append(registered(m, total, f"{name}_pair{lane}"))
        if self.lanes % 2:
            last = Mux(bits[-1], activations[-1], 0)
            terms.append(registered(m, last, f"{name}_last"))
        return tree(m, terms, name)


class DspProducts(Products):
    """Each product in a multiplier block of its own."""

    @staticmethod
    def latency(lanes: int, weight_bits: int) -> int:
        return 1 + (lanes - 1).bit_length()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for row in range(self.rows):
            terms: list[Value] = []
            for lane in range(self.lanes):
                weight = self.weight(row, lane)
                if self.weight_bits == 1:
                    weight = (weight << 1) - 1
                product = self.activations[lane] * weight.as_signed()
                terms.append(registered(m, product, f"row{row}_product{lane}"))
            m.d.comb += self.sums[row].eq(tree(m, terms, f"row{row}"))
        return m


def _combine(m: Module, planes: list[Value], name: str) -> Value:
    """Sum of the planes' sums times their powers of two, the last one negative."""
    values = [(value, place) for place, value in enumerate(planes)]
    level = 0
    while len(values) > 1:
        combined: list[tuple[Value, int]] = []
        for (low, place), (high, upper) in zip(values[::2], values[1::2], strict=False):
            shifted = high << upper - place
            top = upper == len(planes) - 1
            combined.append((low - shifted if top and not level else low + shifted, place))
        if len(values) % 2:
            value, place = values[-1]
            negative = place == len(planes) - 1 and not level
            combined.append((-value if negative else value, place))
        values = [
            (registered(m, value, f"{name}_planes{level}_{place}"), place)
            for value, place in combined
        ]
        level += 1
    return values[0][0]
