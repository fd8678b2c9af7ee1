"""What a step of a channelwise or add stage gives for each lane."""

from collections.abc import Sequence

from amaranth.hdl import Module, Shape, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.dataflow.adders import registered
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
        lanes = stage.fold.lanes
        members = {
            f"operands{n}": In(data.ArrayLayout(shape, lanes)) for n, shape in enumerate(sources)
        }
        if isinstance(stage, AddStage):
            bits = max(shape.width for shape in sources)
            term = signed(bits + max(map(abs, stage.factors)).bit_length() + 2)
        elif stage.weights is not None:
            term = signed(sources[0].width + stage.weight_bits + 1)
            members["weights"] = In(data.ArrayLayout(signed(stage.weight_bits), lanes))
        else:
            term = sources[0]
        members["terms"] = Out(data.ArrayLayout(term, lanes))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for lane in range(self.stage.fold.lanes):
            m.d.comb += self.terms[lane].eq(registered(m, self._term(lane), f"term{lane}"))
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
