"""Machines with their external memory, for simulation: the host's bus alone is on their pins."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.core import Core
from bitwright.hwgen.memory_model import Sdram, timing
from bitwright.hwgen.prefetch import ADDRESS_BITS
from bitwright.hwgen.simulated_axi4 import SimulatedAxi4
from bitwright.hwgen.simulated_memory import SimulatedMemory
from bitwright.hwgen.simulated_sdram import SimulatedSdram
from bitwright.hwgen.tops import SDRAM_PREFIX, Axi4LiteTop, UartTop, WishboneTop
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


class SimulatedBoard(wiring.Component):
    """A machine on a serial line with its controller and an SDRAM chip, pins `uart_*`.

    Args:
        machine: with external memory, of the kind `sdram`.
        divisor: clock cycles per bit.
    """

    module_name = "bitwright_board_simulated"

    def __init__(self, *, machine: Machine, divisor: int) -> None:
        cycles = timing(machine)
        assert isinstance(cycles, Sdram), "the machine's memory is one"
        self._top = UartTop(core=Core(machine=machine), divisor=divisor, sdram=cycles)
        self._chip = SimulatedSdram(timing=cycles, clock_mhz=machine.memory_mhz)
        super().__init__({"uart_rx": In(1, init=1), "uart_tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.top, m.submodules.chip = top, chip = self._top, self._chip
        m.d.comb += [top.uart_rx.eq(self.uart_rx), self.uart_tx.eq(top.uart_tx)]
        for name, member in chip.pins.signature.members.items():
            pin, inner = getattr(top, f"{SDRAM_PREFIX}{name}"), getattr(chip.pins, name)
            m.d.comb += inner.eq(pin) if member.flow == In else pin.eq(inner)
        return m
