"""What a step of a channelwise or add stage gives for each lane."""

from collections.abc import Sequence

from amaranth.hdl import Const, Module, Shape, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from bitwright.hwgen.dataflow.adders import tree
from bitwright.hwgen.dataflow.products import pack
from bitwright.hwgen.delayed import delayed, registered
from bitwright.hwgen.gated_add import gated_add
from bitwright.ir.dataflow import AddStage, ChannelwiseStage


def latency(stage: ChannelwiseStage | AddStage) -> int:
    """Cycles from the operands to the terms."""
    if isinstance(stage, AddStage):
        more, less = digits(stage)
        return _levels(max(len(more), len(less))) + 1
    if stage.weights is None or stage.fold.engine != "lut":
        return 1
    return 1 + _levels(-(-stage.weight_bits // 2)) + 1


def pack_weights(stage: ChannelwiseStage, weights: NDArray) -> int:
    """The weights of a step [lane] as the member `weights`: for look-up tables, with half of their
    range added."""
    if stage.fold.engine == "lut" and stage.weight_bits > 1:
        weights = weights + (1 << stage.weight_bits - 1)
    return pack(weights, stage.weight_bits)


class LaneTerms(wiring.Component):
    """Products, weighted sums of two operands, or the operands themselves, `latency` cycles later.

    Members:
        operands0 (operands1): one per lane, lane 0 lowest.
        weights: as `pack_weights` makes them.
        terms: one per lane.
    """

    def __init__(self, *, stage: ChannelwiseStage | AddStage, sources: Sequence[Shape]) -> None:
        self.stage, self.source = stage, sources[0]
        lanes = stage.fold.lanes
        members = {
            f"operands{n}": In(data.ArrayLayout(shape, lanes)) for n, shape in enumerate(sources)
        }
        if isinstance(stage, AddStage):
            bits = max(shape.width for shape in sources)
            term = signed(bits + max(map(abs, stage.factors)).bit_length() + 2)
        elif stage.weights is not None:
            term = signed(self.source.width + stage.weight_bits + 1)
            members["weights"] = In(lanes * stage.weight_bits)
        else:
            term = self.source
        members["terms"] = Out(data.ArrayLayout(term, lanes))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for lane in range(self.stage.fold.lanes):
            m.d.comb += self.terms[lane].eq(self._term(m, platform, lane))
        return m

    def _term(self, m: Module, platform: object, lane: int) -> Value:
        stage, name = self.stage, f"term{lane}"
        if isinstance(stage, AddStage):
            return self._weighted_sum(m, stage, lane)
        operand = self.operands0[lane]
        if stage.weights is None:
            return registered(m, operand, name)
        weight = self.weights.word_select(lane, stage.weight_bits)
        if stage.fold.engine == "lut":
            return self._product(m, platform, lane, operand, weight)
        weight = (weight << 1) - 1 if stage.weight_bits == 1 else weight.as_signed()
        return registered(m, operand * weight, name)

    def _weighted_sum(self, m: Module, stage: AddStage, lane: int) -> Value:
        """Of the operands, shifted to the places of the factors' non-zero digits."""
        operands = (self.operands0[lane], self.operands1[lane])
        cycles = latency(stage) - 1
        totals: list[Value] = []
        for which, own in zip(("more", "less"), digits(stage), strict=True):
            name = f"{which}{lane}"
            terms = [operands[number] << place for number, place in own] or [Const(0)]
            total = tree(m, terms, name)
            totals.append(delayed(m, total, cycles - _levels(len(terms)), f"{name}_kept"))
        return registered(m, totals[0] - totals[1], f"term{lane}")

    def _product(
        self, m: Module, platform: object, lane: int, operand: Value, weight: Value
    ) -> Value:
        """Bits of the weight in pairs; the half of its range that was added is taken off at last.

        A single bit stands for -1 and 1: it counts twice, less 1.
        """
        bits, name = len(weight), f"term{lane}"
        once, off = (1, 0) if bits == 1 else (0, bits - 1)
        terms: list[Value] = []
        for bit in range(0, bits, 2):
            second = weight[bit + 1] if bit + 1 < bits else Const(0)
            shape = Shape(self.source.width + 2, self.source.signed)
            pair = gated_add(
                m, platform, f"{name}_{bit}", operand, weight[bit], operand << 1, second, shape
            )
            terms.append(registered(m, pair, f"{name}_pair{bit}") << bit + once)
        total = tree(m, terms, name)
        half = delayed(m, operand, latency(self.stage) - 1, f"{name}_operand")
        return registered(m, total - (half << off), name)


def _levels(terms: int) -> int:
    return (max(terms, 1) - 1).bit_length()


def digits(stage: AddStage) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(operand, place) of the factors' digits 1, and of those that are -1: canonical form."""
    found: dict[int, list[tuple[int, int]]] = {1: [], -1: []}
    for number, factor in enumerate(stage.factors):
        place = 0
        while factor:
            if factor & 1:
                digit = 2 - (factor & 3)
                found[digit].append((number, place))
                factor -= digit
            factor >>= 1
            place += 1
    return found[1], found[-1]
