"""Engines of matrix stages: every lane's activation times every row's weights, each cycle."""

from amaranth.hdl import Const, Module, Shape, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from bitwright.hwgen.dataflow.adders import registered, tree


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
    ) -> None:
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
            planes = [self._plane(m, activations, row, plane) for plane in range(self.weight_bits)]
            if self.weight_bits == 1:
                total = registered(m, (planes[0] << 1) - whole, f"row{row}")
            else:
                total = _combine(m, planes, f"row{row}")
            m.d.comb += self.sums[row].eq(total)
        return m

    def _plane(self, m: Module, activations: list[Value], row: int, plane: int) -> Value:
        name = f"row{row}_plane{plane}"
        terms: list[Value] = []
        for lane, activation in enumerate(activations):
            term = Signal(self.activation, name=f"{name}_{lane}")
            chosen = self.weight(row, lane)[plane]
            m.d.comb += term.eq(activation & _mask(chosen, self.activation))
            terms.append(term)
        return registered(m, terms[0], name) if self.lanes == 1 else tree(m, terms, name)


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


ENGINES = {"lut": LutProducts, "dsp": DspProducts}


def _mask(bit: Value, shape: Shape) -> Value:
    wide = bit.replicate(shape.width)
    return wide.as_signed() if shape.signed else wide


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
