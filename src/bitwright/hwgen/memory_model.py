"""Exact cycles of transfers from external memory, as `SimulatedMemory` and `SdramController` take
them.

The exactness claim for external memory is: these functions equal the simulation of
`WishboneMaster` with `SimulatedMemory`, and with `SdramController` and a chip, cycle for cycle,
where the master's data streams never make it wait. Another controller takes other times.

Cycle 0 is the first one after reset.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil

from bitwright.ir.machine import BURST_WORDS, FIXED_MEMORY, SDRAM_MHZ, Machine, MachineError

REGISTERS = 5
"""Of `SdramController`: to look up the open row, to compare it; before, at and behind the pins."""


@dataclass(frozen=True, kw_only=True)
class FixedLatency:
    """Every burst takes the same time.

    Attributes:
        first: cycles from the first cycle of a burst's first beat to its acknowledgement.
        following: cycles from one acknowledgement to the next of the same burst.
    """

    first: int
    following: int = 1

    def __post_init__(self) -> None:
        for name in ("first", "following"):
            if getattr(self, name) < 1:
                raise MachineError(
                    f"FixedLatency has {name} = {getattr(self, name)} cycles; expected at least 1"
                )


@dataclass(frozen=True, kw_only=True)
class Sdram:
    """An SDRAM whose rows stay open until another row of their bank, or a refresh, is due.

    A word of the bus is `columns_per_word` columns. A word takes `registers` and `cas_latency`
    cycles and one per column, read or written; in a burst within a row only the columns. To open a
    row takes `t_rcd`, to close another one before it `t_rp`. A refresh is due every
    `refresh_interval` cycles and takes `t_rfc`, and where rows are open `t_wr` and `t_rp` before
    that, to close them; it begins before the next beat, or at once where none is under way.

    All times are in cycles.

    Attributes:
        registers: between the bus and the chip's pins and back.
    """

    banks: int
    columns: int
    columns_per_word: int
    cas_latency: int
    t_rcd: int
    t_rp: int
    t_wr: int
    t_rfc: int
    refresh_interval: int
    registers: int = REGISTERS

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise MachineError(f"Sdram has {name} = {value}; expected at least 1")
        for name in ("banks", "columns", "columns_per_word"):
            value = getattr(self, name)
            if value & (value - 1):
                raise MachineError(f"Sdram has {name} = {value}; expected a power of two")
        if self.slowest >= self.refresh_interval:
            raise MachineError(
                f"Sdram has a refresh every {self.refresh_interval} cycles and beats of up to "
                f"{self.slowest}; expected the beats to be shorter: check the times or raise the "
                f"clock frequency"
            )

    @property
    def words_per_row(self) -> int:
        """Words of the bus in a row of a bank."""
        return self.columns // self.columns_per_word

    @property
    def slowest(self) -> int:
        """Cycles of the slowest beat: a refresh, and a row to open."""
        access = self.t_rcd + self.registers + self.cas_latency + self.columns_per_word
        return self.t_wr + self.t_rp + self.t_rfc + access


def mt48lc16m16(clock_mhz: float, *, word_bits: int = 32) -> Sdram:
    """The SDRAM of the ULX3S (32 MiB: 4 banks, 8192 rows, 512 columns of 16 bits).

    Boards have chips of several makers. The times are the longest of Micron MT48LC16M16A2-75, ISSI
    IS42S16160G-7 and Alliance AS4C32M16SB-7 (t_rcd and t_rp 21 ns, t_rfc 66 ns, t_wr two cycles),
    CAS latency 2 up to 100 MHz, 3 above; 8192 refreshes in 64 ms, for any clock above
    `clock_mhz - 1`.
    """
    slowest, fastest = SDRAM_MHZ
    if not slowest <= clock_mhz <= fastest:
        raise MachineError(
            f"The SDRAM MT48LC16M16 has a clock of {clock_mhz} MHz; expected {slowest} to "
            f"{fastest} MHz"
        )

    def cycles(nanoseconds: float) -> int:
        return ceil(nanoseconds * clock_mhz / 1000)

    return Sdram(
        banks=4, columns=512, columns_per_word=max(word_bits // 16, 1),
        cas_latency=2 if clock_mhz <= 100 else 3,
        t_rcd=cycles(21), t_rp=cycles(21), t_wr=max(cycles(15), 2), t_rfc=cycles(66),
        refresh_interval=int(64e6 / 8192 * (clock_mhz - 1) / 1000),
    )  # fmt: skip


MemoryTiming = FixedLatency | Sdram


def timing(machine: Machine) -> MemoryTiming:
    """The external memory for which a machine's cycles are predicted."""
    if machine.memory == FIXED_MEMORY:
        return FixedLatency(first=machine.memory_latency)
    return mt48lc16m16(machine.memory_mhz)


@dataclass
class MemoryState:
    """A memory at one moment of its time; beats must come in the order of their cycles.

    Attributes:
        timing: what it is.
    """

    timing: MemoryTiming
    _rows: dict[int, int] = field(default_factory=dict[int, int])  # bank to its open row
    _refresh_due: int = 0  # refreshes that have begun
    _idle_from: int = 0  # first cycle after the last beat

    def beat(self, cycle: int, address: int, *, announced: bool) -> int:
        """The cycle in which a beat is acknowledged.

        Args:
            cycle: first one of the beat, or, where it is `announced`, that of the acknowledgement
                of the beat that announced it.
            address: in words of the bus.
        """
        if isinstance(self.timing, FixedLatency):
            return cycle + (self.timing.following if announced else self.timing.first)
        acknowledged = cycle + self._sdram(self.timing, cycle, address, announced)
        self._idle_from = acknowledged + 1
        return acknowledged

    def burst(self, cycle: int, address: int, words: int) -> list[int]:
        """The cycles in which the beats of a burst of reads are acknowledged; see `beat`."""
        ends = [self.beat(cycle, address, announced=False)]
        if isinstance(self.timing, FixedLatency):
            return list(itertools.islice(itertools.count(ends[0], self.timing.following), words))
        sdram = self.timing
        # Up to the end of the row or the next refresh a word follows every few columns.
        due = (self._refresh_due + 1) * sdram.refresh_interval
        in_row = sdram.words_per_row - address % sdram.words_per_row
        quick = max(1, min(words, in_row, (due - ends[0] - 1) // sdram.columns_per_word + 2))
        ends += [ends[0] + number * sdram.columns_per_word for number in range(1, quick)]
        self._idle_from = ends[-1] + 1
        for number in range(quick, words):
            ends.append(self.beat(ends[-1], address + number, announced=True))
        return ends

    def _sdram(self, sdram: Sdram, cycle: int, address: int, announced: bool) -> int:
        wait = 0
        while True:
            due = (self._refresh_due + 1) * sdram.refresh_interval
            begin = cycle if announced else max(due, self._idle_from)
            if max(begin, due) > cycle:
                break
            wait = max(0, self._refresh(sdram) - (cycle - begin))
        bank = address // sdram.words_per_row % sdram.banks
        row = address // sdram.words_per_row // sdram.banks
        opening = 0
        if self._rows.get(bank) != row:
            opening = sdram.t_rcd + (sdram.t_rp if bank in self._rows else 0)
            self._rows[bank] = row
        in_row = announced and not wait and address % sdram.words_per_row
        latency = 0 if in_row else sdram.registers + sdram.cas_latency
        return wait + opening + latency + sdram.columns_per_word

    def _refresh(self, sdram: Sdram) -> int:
        takes = sdram.t_rfc
        if self._rows:
            takes += sdram.t_wr + sdram.t_rp
        self._rows.clear()
        self._refresh_due += 1
        return takes


def wishbone_transfer(
    memory: MemoryState, cycle: int, address: int, words: int, *, burst_words: int
) -> list[int]:
    """The cycles in which `WishboneMaster` gets the acknowledgements of a command.

    Read words leave `port.read_data` one cycle after their acknowledgement. The next command may be
    taken one cycle after the last one.

    Args:
        cycle: in which the command is taken. The words of a write are offered without a gap, and
            the first three (or all) of them are in the buffer one cycle later.
    """
    acknowledged: list[int] = []
    for number in range(words):
        announced = number % burst_words != 0
        start = acknowledged[-1] + (0 if announced else 2) if number else cycle + 2
        acknowledged.append(memory.beat(start, address + number, announced=announced))
    return acknowledged


def wishbone_transfers(
    timing: MemoryTiming, commands: Iterable[tuple[int, int]], *, burst_words: int,
    cycle: int = 0,
) -> list[int]:  # fmt: skip
    """Last acknowledgements of commands (address, words), of which the first is taken in
    `cycle` and each other one as soon as it can be."""
    memory = MemoryState(timing)
    ends: list[int] = []
    for address, words in commands:
        ends.append(wishbone_transfer(memory, cycle, address, words, burst_words=burst_words)[-1])
        cycle = ends[-1] + 1
    return ends


@dataclass
class WishboneReads:
    """Commands to read that `WishboneMaster` takes one after the other, in bursts of `BURST_WORDS`.

    Attributes:
        ready: first cycle in which the next command can be taken.
    """

    memory: MemoryState
    ready: int = 0

    def read(self, cycle: int, address: int, words: int) -> list[int]:
        """When the words of the command that is taken in `cycle` are at the port."""
        at_port: list[int] = []
        self.ready = cycle
        for first in range(0, words, BURST_WORDS):
            count = min(BURST_WORDS, words - first)
            acknowledged = self.memory.burst(
                self.ready + (1 if first else 2), address + first, count
            )
            at_port += [end + 1 for end in acknowledged]
            self.ready = acknowledged[-1] + 1
        return at_port


@dataclass
class Axi4Reads:
    """As `WishboneReads`, of `Axi4Master` with `SimulatedAxi4`; addresses are whole bursts."""

    memory: MemoryState
    ready: int = 0
    _accepted: int = -1  # cycle of the last address
    _idle: int = 0  # first cycle in which the memory takes another one

    def read(self, cycle: int, address: int, words: int) -> list[int]:
        """See `WishboneReads`."""
        at_port: list[int] = []
        for first in range(0, words, BURST_WORDS):
            cycle = max(cycle, self._accepted) + 1
            self._accepted = max(cycle + 1, self._idle)
            count = min(BURST_WORDS, words - first)
            acknowledged = self.memory.burst(self._accepted + 1, address + first, count)
            at_port += [end + 2 for end in acknowledged]
            self._idle = acknowledged[-1] + 1
        self.ready = cycle + 1
        return at_port
