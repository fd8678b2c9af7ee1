"""A machine with its external memory, for simulation: the host's bus alone is on its pins."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from bitwright.hwgen.memory_model import timing
from bitwright.hwgen.prefetch import ADDRESS_BITS
from bitwright.hwgen.simulated_axi4 import SimulatedAxi4
from bitwright.hwgen.simulated_memory import SimulatedMemory
from bitwright.hwgen.tops import Axi4LiteTop, WishboneTop
from bitwright.ir.machine import MEMORY_BITS, Machine

BYTE_BITS = (MEMORY_BITS // 8).bit_length() - 1


class SimulatedSystem(wiring.Component):
    """`top` and a memory of `words` words on its memory bus, with the contents of `external.hex`.

    Args:
        top: of a machine with external memory, whose cycles the memory has.
        words: a power of two.
    """

    module_name = "bitwright_simulated"

    def __init__(self, *, top: WishboneTop | Axi4LiteTop, machine: Machine, words: int) -> None:
        self._top = top
        wishbone = isinstance(top, WishboneTop)
        self._prefix = "wbm_" if wishbone else "m_axi_"
        kind = SimulatedMemory if wishbone else SimulatedAxi4
        self._memory = kind(
            timing=timing(machine), depth=words, data_bits=MEMORY_BITS, loaded=True,
            address_bits=ADDRESS_BITS + (0 if wishbone else BYTE_BITS),
        )  # fmt: skip
        members = top.signature.members.items()
        super().__init__({n: member for n, member in members if not n.startswith(self._prefix)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.top = top = self._top
        m.submodules.memory = memory = self._memory
        for name, member in top.signature.members.items():
            inner = getattr(top, name)
            if name.startswith(self._prefix):
                other = getattr(memory.bus, name.removeprefix(self._prefix))
            else:
                other = getattr(self, name)
            m.d.comb += inner.eq(other) if member.flow == In else other.eq(inner)
        return m
