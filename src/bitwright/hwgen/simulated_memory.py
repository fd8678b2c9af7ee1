"""External memory for simulation, with the cycles of `memory_model`."""

from amaranth.hdl import Array, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from bitwright.hwgen.memory_model import FixedLatency, MemoryTiming, Sdram
from bitwright.hwgen.ports.wishbone_master import CycleType, burst_signature
from bitwright.hwgen.ram import EXTERNAL, Ram


class SimulatedMemory(wiring.Component):
    """A Wishbone memory with registered-feedback bursts: an announced beat is served as soon as the
    one before it is acknowledged. Golden function: `memory_model.MemoryState`.

    Args:
        timing: the memory's cycles.
        depth: words that it holds, a power of two; higher address bits choose rows of the SDRAM but
            no other words.
        loaded: the first words are those of `external.hex`, in the folder in which a Verilog
            simulation runs.

    Members:
        bus: `err` is never 1.
    """

    def __init__(
        self, *, timing: MemoryTiming, depth: int, data_bits: int = 32, address_bits: int = 26,
        loaded: bool = False,
    ) -> None:  # fmt: skip
        self._timing = timing
        self._depth = depth
        self._data_bits = data_bits
        self._loaded = loaded
        super().__init__(
            {"bus": In(burst_signature(data_bits=data_bits, address_bits=address_bits))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus = self.bus
        m.submodules.words = words = Ram(
            width=self._data_bits, depth=self._depth, contents=EXTERNAL if self._loaded else ""
        )
        address = Signal.like(bus.adr)
        begin, active, announced = Signal(), Signal(), Signal()
        slowest = self._timing.slowest if isinstance(self._timing, Sdram) else 0
        if isinstance(self._timing, FixedLatency):
            slowest = max(self._timing.first, self._timing.following)
        delay, left = Signal(range(slowest + 1)), Signal(range(slowest + 1))
        m.d.comb += [
            announced.eq(bus.ack & (bus.cti == CycleType.INCREMENTING)),
            begin.eq(announced | (bus.cyc & bus.stb & ~active)),
            address.eq(bus.adr + bus.ack),
            words.read_address.eq(address),
            bus.dat_r.eq(words.read_data),
            words.write_address.eq(bus.adr),
            words.write_data.eq(bus.dat_w),
            words.write_enable.eq(bus.ack & bus.we),
        ]
        m.d.sync += bus.ack.eq(0)
        with m.If(begin):
            m.d.sync += [active.eq(1), left.eq(delay - 1), bus.ack.eq(delay == 1)]
        with m.Elif(bus.ack):
            m.d.sync += active.eq(0)
        with m.Elif(active):
            m.d.sync += [left.eq(left - 1), bus.ack.eq(left == 1)]
        if isinstance(self._timing, FixedLatency):
            m.d.comb += delay.eq(Mux(announced, self._timing.following, self._timing.first))
        else:
            self._sdram(m, self._timing, begin, announced, active, address, delay)
        return m

    def _sdram(
        self, m: Module, sdram: Sdram, begin: Value, announced: Value, active: Value,
        address: Value, delay: Value,
    ) -> None:  # fmt: skip
        in_row = sdram.words_per_row.bit_length() - 1
        in_banks = in_row + sdram.banks.bit_length() - 1
        row = address[in_banks:]
        bank = address[in_row:in_banks] if sdram.banks > 1 else 0
        opened = Signal(sdram.banks)
        rows = Array(Signal(len(row), name=f"row{number}") for number in range(sdram.banks))

        timer, pending = Signal(range(sdram.refresh_interval)), Signal()
        refreshing = Signal(range(sdram.t_wr + sdram.t_rp + sdram.t_rfc + 1))
        takes, wait = Signal.like(refreshing), Signal.like(refreshing)
        m.d.comb += [
            takes.eq(sdram.t_rfc + Mux(opened.any(), sdram.t_wr + sdram.t_rp, 0)),
            wait.eq(Mux(pending, takes, refreshing)),
        ]
        refresh = Signal()
        m.d.comb += refresh.eq(pending & (begin | ~active))
        with m.If(refreshing != 0):
            m.d.sync += refreshing.eq(refreshing - 1)
        with m.If(refresh):
            m.d.sync += [pending.eq(0), opened.eq(0), refreshing.eq(takes - 1)]
        with m.If(begin):
            m.d.sync += refreshing.eq(0)
        m.d.sync += timer.eq(timer + 1)
        with m.If(timer == sdram.refresh_interval - 1):
            m.d.sync += [timer.eq(0), pending.eq(1)]

        mine, hit, follows = Signal(), Signal(), Signal()
        m.d.comb += [
            mine.eq(Array(opened)[bank] & ~pending),
            hit.eq(mine & (rows[bank] == row)),
            follows.eq(announced & (wait == 0) & (address[:in_row] != 0)),
            delay.eq(
                wait
                + sdram.columns_per_word
                + Mux(follows, 0, sdram.registers + sdram.cas_latency)
                + Mux(hit, 0, sdram.t_rcd)
                + Mux(mine & ~hit, sdram.t_rp, 0)
            ),
        ]
        with m.If(begin):
            m.d.sync += [rows[bank].eq(row), opened.bit_select(bank, 1).eq(1)]
