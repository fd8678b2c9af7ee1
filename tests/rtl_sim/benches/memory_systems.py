"""Masters in front of simulated memories, as units of the benches."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from bitwright.hwgen.memory_model import FixedLatency, MemoryTiming, Sdram, mt48lc16m16
from bitwright.hwgen.ports.memory_port import MemoryPortSignature
from bitwright.hwgen.ports.wishbone_master import WishboneMaster
from bitwright.hwgen.sdram import SdramController
from bitwright.hwgen.simulated_memory import SimulatedMemory
from bitwright.hwgen.simulated_sdram import SimulatedSdram

DEPTH = 4096
BURST_WORDS = 16
TIMINGS: dict[str, MemoryTiming] = {
    "fixed": FixedLatency(first=5),
    "slow": FixedLatency(first=1, following=3),
    "ulx3s": mt48lc16m16(100),
    "ulx3s_fast": mt48lc16m16(133),
    # Small rows and frequent refreshes, so that all of their cases come up.
    "corners": Sdram(
        banks=2, columns=16, columns_per_word=2, cas_latency=3, t_rcd=2, t_rp=3, t_wr=2, t_rfc=7,
        refresh_interval=41,
    ),
}  # fmt: skip
CHIPS = {"ulx3s": 100, "ulx3s_fast": 133, "corners": 95}  # at these MHz
POWER_UP_INTERVALS = 3
PORT = MemoryPortSignature(data_bits=32, address_bits=26, words_bits=20)


class MasterAndMemory(wiring.Component):
    """Member `port`: transfers from a memory."""

    def __init__(self, timing: MemoryTiming) -> None:
        self._timing = timing
        super().__init__({"port": In(PORT)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.master = master = WishboneMaster(burst_words=BURST_WORDS)
        m.submodules.memory = memory = SimulatedMemory(timing=self._timing, depth=DEPTH)
        wiring.connect(m, wiring.flipped(self.port), master.port)
        wiring.connect(m, master.bus, memory.bus)
        return m


class MasterAndChip(wiring.Component):
    """Member `port`: transfers from a chip of SDRAM."""

    def __init__(self, timing: Sdram, clock_mhz: float) -> None:
        row_bits = (DEPTH // timing.words_per_row // timing.banks - 1).bit_length()
        self._controller = SdramController(
            timing=timing, row_bits=row_bits, power_up_intervals=POWER_UP_INTERVALS
        )
        power_up_us = POWER_UP_INTERVALS * timing.refresh_interval / clock_mhz
        self._chip = SimulatedSdram(
            timing=timing, clock_mhz=clock_mhz, row_bits=row_bits, power_up_us=power_up_us
        )
        super().__init__({"port": In(PORT)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.master = master = WishboneMaster(burst_words=BURST_WORDS)
        m.submodules.controller, m.submodules.chip = self._controller, self._chip
        wiring.connect(m, wiring.flipped(self.port), master.port)
        wiring.connect(m, master.bus, self._controller.bus)
        wiring.connect(m, self._controller.chip, self._chip.pins)
        return m
