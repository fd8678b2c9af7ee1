"""Controller of an SDRAM chip of 16 bits: a Wishbone slave with the cycles of `memory_model`.

JEDEC Standard 21-C, section 3.11.5 (SDR SDRAM): commands, mode register, initialisation.
"""

from enum import IntEnum

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, Signature

from bitwright.hwgen.memory_model import REGISTERS, Sdram
from bitwright.hwgen.ports.wishbone_master import CycleType, burst_signature
from bitwright.hwgen.structure import Structure
from bitwright.ir.machine import MEMORY_BITS, MachineError

CHIP_BITS = 16
ROW_BITS = 13
ALL_BANKS = 10  # bit of the address that makes PRECHARGE close all of them
POWER_UP_INTERVALS = 32  # of refresh: 250 us; the chips ask for 100 or 200 us
FIRST_REFRESHES = 8
MODE = 0b001  # bursts of two columns
MODE_CYCLES = 2  # t_mrd


class Command(IntEnum):
    """Levels of `wen`, `casn`, `rasn`, the first one highest, where `csn` is low."""

    MODE = 0b000
    WRITE = 0b001
    PRECHARGE = 0b010
    ACTIVATE = 0b110
    READ = 0b101
    REFRESH = 0b100


def chip_signature(*, banks: int = 4, row_bits: int = ROW_BITS) -> Signature:
    """Pins of the chip but its clock, seen from the controller; `d` in three parts."""
    return Signature(
        {
            "cke": Out(1),
            "csn": Out(1, init=1),
            "rasn": Out(1, init=1),
            "casn": Out(1, init=1),
            "wen": Out(1, init=1),
            "a": Out(max(row_bits, ALL_BANKS + 1)),
            "ba": Out((banks - 1).bit_length()),
            "dqm": Out(2, init=0b11),
            "d_o": Out(CHIP_BITS),
            "d_oe": Out(1),
            "d_i": In(CHIP_BITS),
        }
    )


class SdramController(wiring.Component):
    """Keeps rows open until another row of their bank, or a refresh, is due. Golden function:
    `memory_model.MemoryState`.

    A word is a burst of two columns. While a burst of the bus stays in a row, words are read ahead
    of their beats, and forgotten where no beat announces them. The pins have one more register
    outside of here, in each direction: what is on an output in one cycle is sampled by the chip at
    the end of the next, and what the chip gives in a cycle is on `d_i` in the next.

    After reset nothing is answered until the chip has been initialised, `power_up_intervals`
    refresh intervals and some cycles later.

    Args:
        timing: cycles, with two columns a word.
        power_up_intervals: at least 2.

    Members:
        bus: a master that keeps the rules of registered-feedback bursts; `err` answers addresses
            that the chip does not have.
        chip: the pins.

    Attributes:
        opened, rows: whether a row of each bank is open, and which.
    """

    def __init__(
        self, *, timing: Sdram, address_bits: int = 26, row_bits: int = ROW_BITS,
        power_up_intervals: int = POWER_UP_INTERVALS,
    ) -> None:  # fmt: skip
        wanted = {"columns_per_word": MEMORY_BITS // CHIP_BITS, "registers": REGISTERS}
        for name, value in wanted.items():
            if getattr(timing, name) != value:
                raise MachineError(
                    f"SdramController has a timing with {name} = {getattr(timing, name)}; expected "
                    f"{value}, which its words of {MEMORY_BITS} bits take"
                )
        if timing.cas_latency not in (2, 3) or timing.t_rfc < 2 or timing.t_wr > 2:
            raise MachineError(
                f"SdramController has cas_latency = {timing.cas_latency}, t_rfc = {timing.t_rfc} "
                f"and t_wr = {timing.t_wr}; expected a latency of 2 or 3, at least 2, and at most 2"
            )
        self._timing = timing
        self._row_bits = row_bits
        self._power_up = power_up_intervals
        self.opened = Signal(timing.banks)
        self.rows = [
            Signal(row_bits, name=f"row{number}", reset_less=True) for number in range(timing.banks)
        ]
        super().__init__(
            {
                "bus": In(burst_signature(data_bits=MEMORY_BITS, address_bits=address_bits)),
                "chip": Out(chip_signature(banks=timing.banks, row_bits=row_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus, chip, sdram = self.bus, self.chip, self._timing
        # Places of a word: its column (of pairs), bank and row.
        in_row = sdram.words_per_row.bit_length() - 1
        in_bank = in_row + len(chip.ba)
        self._column = bus.adr[:in_row]
        self._bank = bus.adr[in_row:in_bank]
        self._row = bus.adr[in_bank : in_bank + self._row_bits]
        self._beyond = bus.adr[in_bank + self._row_bits :].any()
        self._wait, self._over = Signal(range(1 + max(_waits(sdram)))), Signal()
        m.d.comb += self._over.eq(self._wait == 0)
        with m.If(~self._over):
            m.d.sync += self._wait.eq(self._wait - 1)

        due = Signal(range(sdram.refresh_interval))
        self._pending, self._tick, self._ready = Signal(), Signal(), Signal()
        m.d.comb += self._tick.eq(due == sdram.refresh_interval - 1)
        m.d.sync += due.eq(Mux(self._tick, 0, due + 1))
        with m.If(self._tick & self._ready):
            m.d.sync += self._pending.eq(1)

        # A word enters `flight` when its column is asked for, and leaves it when it is on the bus.
        flight = Signal(sdram.cas_latency + REGISTERS - 1)
        self._enter, self._stop = Signal(), Signal()
        m.d.sync += flight.eq(Mux(self._stop, 0, Cat(self._enter, flight)))
        self._arrived = flight[-1]
        first = Signal(CHIP_BITS, reset_less=True)
        m.d.sync += [first.eq(chip.d_i), chip.csn.eq(1)]
        m.d.comb += [
            bus.ack.eq(self._arrived & bus.cyc & bus.stb),
            bus.dat_r.eq(Cat(first, chip.d_i)),
        ]
        with m.FSM() as states:
            self._initialise(m)
            self._find_row(m)
            self._stream(m)
            self._refresh(m)
        starts = states.ongoing("POWER UP") | states.ongoing("INITIALISE")
        m.d.comb += self._ready.eq(~starts)
        self._write(m)
        return m

    def _command(
        self, m: Module, command: Command, *, bank: Value | None = None,
        address: Value | None = None,
    ) -> None:  # fmt: skip
        chip = self.chip
        m.d.sync += [chip.csn.eq(0), Cat(chip.rasn, chip.casn, chip.wen).eq(command)]
        if bank is not None:
            m.d.sync += chip.ba.eq(bank)
        if address is not None:
            m.d.sync += chip.a.eq(address)

    def _initialise(self, m: Module) -> None:
        """From power-up to the first beat."""
        sdram, chip = self._timing, self.chip
        intervals = Signal(range(self._power_up))
        steps = Signal(range(FIRST_REFRESHES + 2))
        with m.State("POWER UP"), m.If(self._tick):
            m.d.sync += [chip.cke.eq(1), intervals.eq(intervals + 1)]
            with m.If(intervals == self._power_up - 1):
                m.next = "INITIALISE"
        with m.State("INITIALISE"), m.If(self._over):
            m.d.sync += steps.eq(steps + 1)
            with m.If(steps == 0):
                self._close_all(m)
            with m.Elif(steps <= FIRST_REFRESHES):
                self._command(m, Command.REFRESH)
                m.d.sync += self._wait.eq(sdram.t_rfc - 1)
            with m.Else():
                mode = Const(MODE | sdram.cas_latency << 4)
                self._command(m, Command.MODE, bank=Const(0), address=mode)
                m.d.sync += self._wait.eq(MODE_CYCLES - 1)
                m.next = "IDLE"

    def _find_row(self, m: Module) -> None:
        """From a beat to the open row that it is in."""
        bus, sdram = self.bus, self._timing
        mine, hit = Signal(), Signal()
        with m.State("IDLE"):
            with m.If(self._pending):
                self._begin_refresh(m)
            with m.Elif(bus.cyc & bus.stb):
                m.next = "LOOK"
        with m.State("LOOK"):
            m.d.sync += [
                mine.eq(Array(self.opened)[self._bank]),
                hit.eq(Array(self.rows)[self._bank] == self._row),
            ]
            m.next = "DECIDE"
        with m.State("DECIDE"):
            m.next = "STREAM"
            with m.If(~mine):
                m.next = "OPEN"
            with m.If(mine & ~hit):
                m.next = "CLOSE"
            with m.If(self._beyond):
                m.next = "BEYOND"
        with m.State("BEYOND"):
            m.d.comb += bus.err.eq(bus.cyc & bus.stb)
            m.next = "IDLE"
        with m.State("CLOSE"):
            self._command(m, Command.PRECHARGE, bank=self._bank, address=Const(0))
            m.d.sync += [
                self.opened.bit_select(self._bank, 1).eq(0),
                self._wait.eq(sdram.t_rp - 1),
            ]
            m.next = "OPEN"
        with m.State("OPEN"), m.If(self._over):
            self._command(m, Command.ACTIVATE, bank=self._bank, address=self._row)
            m.d.sync += [
                self.opened.bit_select(self._bank, 1).eq(1),
                Array(self.rows)[self._bank].eq(self._row),
                self._wait.eq(sdram.t_rcd - 1),
            ]
            m.next = "STREAM"

    def _stream(self, m: Module) -> None:
        """The beats of a burst in one row; a beat that is read is asked for ahead of its time."""
        bus = self.bus
        ahead = Signal.like(self._column, reset_less=True)
        odd = Signal()
        m.d.sync += [odd.eq(0), ahead.eq(self._column)]
        with m.State("STREAM"):
            m.d.sync += [odd.eq(self._over & ~odd), ahead.eq(ahead)]
            with m.If(self._over & ~odd):
                m.d.comb += self._enter.eq(1)
                m.d.sync += ahead.eq(ahead + 1)
                with m.If(~bus.we):
                    self._command(m, Command.READ, bank=self._bank, address=Cat(Const(0), ahead))
            with m.If(bus.ack & bus.we):
                column = Cat(Const(0), self._column)
                self._command(m, Command.WRITE, bank=self._bank, address=column)
            follows = Signal()
            m.d.comb += follows.eq(bus.ack & (bus.cti == CycleType.INCREMENTING))
            m.d.comb += self._stop.eq(
                self._arrived & (~follows | self._pending | self._column.all())
            )
            with m.If(self._stop):
                m.next = "IDLE"
            with m.If(follows & self._column.all() & ~self._pending):
                m.next = "LOOK"
            with m.If(follows & self._pending):
                self._begin_refresh(m)

    def _begin_refresh(self, m: Module) -> None:
        m.d.sync += self._pending.eq(0)
        m.next = "REFRESH"
        with m.If(self.opened.any()):
            m.d.sync += self._wait.eq(self._timing.t_wr)
            m.next = "CLOSE ALL"

    def _close_all(self, m: Module) -> None:
        self._command(m, Command.PRECHARGE, address=Const(1 << ALL_BANKS))
        m.d.sync += [self._wait.eq(self._timing.t_rp - 1), self.opened.eq(0)]

    def _refresh(self, m: Module) -> None:
        bus = self.bus
        with m.State("CLOSE ALL"), m.If(self._over):
            self._close_all(m)
            m.next = "REFRESH"
        with m.State("REFRESH"), m.If(self._over):
            self._command(m, Command.REFRESH)
            m.d.sync += self._wait.eq(self._timing.t_rfc - 2)
            m.next = "RECOVER"
        with m.State("RECOVER"):
            with m.If(self._over):
                m.next = "IDLE"
            with m.If(self._over & bus.cyc & bus.stb):
                m.next = "LOOK"

    def _write(self, m: Module) -> None:
        """Both halves of a word, with the command and a cycle later."""
        bus, chip = self.bus, self.chip
        early, late = Signal(), Signal()
        half, mask = Signal(CHIP_BITS, reset_less=True), Signal.like(chip.dqm)
        data = self.bus.dat_w
        m.d.comb += early.eq(bus.ack & bus.we)
        m.d.sync += [
            late.eq(early),
            half.eq(data[CHIP_BITS:]),
            mask.eq(~bus.sel[len(mask) :]),
            chip.d_oe.eq(early | late),
            chip.d_o.eq(Mux(late, half, data[:CHIP_BITS])),
            chip.dqm.eq(Mux(late, mask, Mux(early, ~bus.sel[: len(mask)], 0))),
        ]
        with m.If(~self._ready):
            m.d.sync += chip.dqm.eq(-1)


def _waits(sdram: Sdram) -> tuple[int, ...]:
    return sdram.t_wr, sdram.t_rp, sdram.t_rcd, sdram.t_rfc, MODE_CYCLES


def resources() -> Structure:
    """The same at every clock, but for a few bits of its counters."""
    return Structure(lut={"controllers": 251}, ff={"controllers": 174})
