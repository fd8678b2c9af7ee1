"""What a step of a channelwise or add stage gives for each lane."""

from collections.abc import Sequence

from amaranth.hdl import Module, Shape, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from bitwright.ir.dataflow import AddStage, ChannelwiseStage


class LaneTerms(wiring.Component):
    """Products, weighted sums of two operands, or the operands themselves, a cycle later.

    Members:
        operands0 (operands1): one per lane, lane 0 lowest.
        weights: one per lane.
        terms: one per lane.
    """

    def __init__(self, *, stage: ChannelwiseStage | AddStage, sources: Sequence[Shape]) -> None:
        self.stage = stage
        self._shape = sources
        lanes = stage.fold.lanes
        bits = max(shape.width for shape in sources) + 1
        members = {
            f"operands{n}": In(data.ArrayLayout(shape, lanes)) for n, shape in enumerate(sources)
        }
        if isinstance(stage, AddStage):
            bits += max(abs(factor) for factor in stage.factors).bit_length() + 1
        elif stage.weights is not None:
            bits += stage.weight_bits
            members["weights"] = In(data.ArrayLayout(signed(stage.weight_bits), lanes))
        members["terms"] = Out(data.ArrayLayout(signed(bits), lanes))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for lane in range(self.stage.fold.lanes):
            term = Signal(self.terms[lane].shape(), name=f"term{lane}", reset_less=True)
            m.d.sync += term.eq(self._term(lane))
            m.d.comb += self.terms[lane].eq(term)
        return m

    def _term(self, lane: int) -> Value:
        stage, operand = self.stage, self.operands0[lane]
        if isinstance(stage, AddStage):
            return operand * stage.factors[0] + self.operands1[lane] * stage.factors[1]
        if stage.weights is None:
            return operand
        weight = self.weights[lane]
        if stage.weight_bits == 1:
            weight = (weight.as_unsigned() << 1) - 1
        return operand * weight
