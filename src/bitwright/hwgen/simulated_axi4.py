"""External memory on AXI4 for simulation, with the cycles of `memory_model`."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from bitwright.hwgen.memory_model import MemoryTiming
from bitwright.hwgen.ports.axi4_master import axi4_signature
from bitwright.hwgen.ports.wishbone_master import CycleType
from bitwright.hwgen.simulated_memory import SimulatedMemory


class SimulatedAxi4(wiring.Component):
    """A memory that is read in bursts, one after the other. Golden: `memory_model.Axi4Reads`.

    Args: as of `SimulatedMemory`; addresses of the bus count bytes.

    Members:
        bus: writes are never taken; a word that is read is there for one cycle.
    """

    def __init__(
        self, *, timing: MemoryTiming, depth: int, data_bits: int = 32, address_bits: int = 28,
        loaded: bool = False,
    ) -> None:  # fmt: skip
        self._byte_bits = (data_bits // 8).bit_length() - 1
        self._memory = SimulatedMemory(
            timing=timing, depth=depth, data_bits=data_bits,
            address_bits=address_bits - self._byte_bits, loaded=loaded,
        )  # fmt: skip
        super().__init__(
            {"bus": In(axi4_signature(data_bits=data_bits, address_bits=address_bits))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus = self.bus
        m.submodules.memory = self._memory
        words = self._memory.bus
        left = Signal(8)  # beats after the one at hand
        m.d.comb += [
            bus.arready.eq(~words.cyc),
            words.cyc.eq(words.stb),
            words.sel.eq(~0),
            words.cti.eq(Mux(left == 0, CycleType.END, CycleType.INCREMENTING)),
        ]
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += [
                words.stb.eq(1),
                words.adr.eq(bus.araddr[self._byte_bits :]),
                left.eq(bus.arlen),
            ]
        m.d.sync += [
            bus.rvalid.eq(words.ack),
            bus.rlast.eq(words.ack & (left == 0)),
            bus.rdata.eq(words.dat_r),
        ]
        with m.If(words.ack):
            m.d.sync += [left.eq(left - 1), words.adr.eq(words.adr + 1), words.stb.eq(left != 0)]
        return m
