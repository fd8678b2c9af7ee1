"""Channelwise engine: each lane on its own, a product or a running maximum per step."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from bitwright.hwgen.structure import Structure
from bitwright.ir.machine import Machine

LATENCY = 2
TERM_BITS = 16


def golden(activations: NDArray, weights: NDArray, maximum: bool) -> NDArray:
    """Terms [lane] after the steps of a tile: int8 operands [step, lane]."""
    if maximum:
        return activations.astype(int).max(axis=0)
    return (activations.astype(int) * weights.astype(int)).sum(axis=0)


class Channelwise(wiring.Component):
    """Multiplies each lane's activation and weight, or keeps the maximum since `first`.

    `terms` follow the operands by `LATENCY` cycles: products to be added up, or maxima so far.

    Members:
        activations, weights: int8 per lane, lane 0 lowest.
        valid, first: one cycle after the operands: there is a step; it is its tile's first.
        maximum: which of the two; holds still while steps are on their way.
    """

    def __init__(self, *, machine: Machine) -> None:
        self.machine = machine
        lanes = data.ArrayLayout(signed(8), machine.lanes)
        super().__init__(
            {
                "activations": In(lanes),
                "weights": In(lanes),
                "valid": In(1),
                "first": In(1),
                "maximum": In(1),
                "terms": Out(data.ArrayLayout(signed(TERM_BITS), machine.lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for lane in range(self.machine.lanes):
            a = Signal(signed(8), name=f"activation{lane}", reset_less=True)
            w = Signal(signed(8), name=f"weight{lane}", reset_less=True)
            product = Signal(signed(TERM_BITS), name=f"product{lane}", reset_less=True)
            largest = Signal(signed(8), name=f"largest{lane}", reset_less=True)
            greater = Signal(name=f"greater{lane}")
            m.d.sync += [a.eq(self.activations[lane]), w.eq(self.weights[lane])]
            # The one that is not wanted is 0, so that an OR chooses.
            m.d.sync += product.eq(Mux(self.maximum, 0, a * w))
            m.d.comb += greater.eq(a > largest)
            with m.If(~self.maximum):
                m.d.sync += largest.eq(0)
            with m.Elif(self.valid & (self.first | greater)):
                m.d.sync += largest.eq(a)
            m.d.comb += self.terms[lane].eq(product | largest)
        return m


def resources(machine: Machine) -> Structure:
    """Per lane a multiplier and a comparison; the matrix engine has the same operands."""
    return Structure(
        lut={"lanes": 32 * machine.lanes}, ff={"lanes": 40 * machine.lanes}, dsp=machine.lanes
    )
