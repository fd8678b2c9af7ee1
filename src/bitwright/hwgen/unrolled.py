"""A whole network of unrolled layers: a new input vector every cycle, no control at all."""

from collections.abc import Sequence

from amaranth.hdl import Module, Shape, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.engines.constant import Constant, Layer


class Unrolled(wiring.Component):
    """`results` are the last layer's, `latency` cycles after `activations`.

    Golden function: that of `engines/constant.py`, layer by layer.

    Members:
        activations: one per lane of the first layer, registered; lane 0 lowest.
        results: one per row of the last layer.
    """

    def __init__(self, *, layers: Sequence[Layer], activation_shape: Shape) -> None:
        shapes = [Shape(layer.result.bits, layer.result.signed) for layer in layers]
        inputs = [activation_shape, *shapes[:-1]]
        self._units = [
            Constant(layer=layer, activation_shape=shape)
            for layer, shape in zip(layers, inputs, strict=True)
        ]
        self.latency = 1 + sum(layer.latency for layer in layers)
        super().__init__(
            {
                "activations": In(data.ArrayLayout(activation_shape, layers[0].graph.inputs)),
                "results": Out(data.ArrayLayout(shapes[-1], len(layers[-1].graph.outputs))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word = Signal.like(self.activations.as_value(), name="registered", reset_less=True)
        m.d.sync += word.eq(self.activations.as_value())
        for number, unit in enumerate(self._units):
            m.submodules[f"layer{number}"] = unit
            m.d.comb += unit.activations.as_value().eq(word)
            word = unit.results.as_value()
        m.d.comb += self.results.as_value().eq(word)
        return m
