"""Exact cycles of the weights of a program that come from external memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

from bitwright.hwgen import prefetch
from bitwright.hwgen.isa import COMPUTE, Instruction, stream_counts
from bitwright.hwgen.memory_model import Axi4Reads, FixedLatency, MemoryState, WishboneReads, timing
from bitwright.ir.machine import Machine

Bus = Literal["wishbone", "axi4"]
_READS = {"wishbone": WishboneReads, "axi4": Axi4Reads}


@dataclass
class WeightTimes:
    """When each compute instruction of an inference has its weights: golden of `WeightStreamer`.

    Cycles are counted from the one in which the inference's LOAD goes on, `begin`. Its
    instructions ask one after the other: `there`, then `release`, then `there` of the next one.
    The weights lie from address 0 on.
    """

    machine: Machine
    reads: WishboneReads | Axi4Reads
    begin: int
    _counts: list[int]  # weight words of each instruction
    _taken: int = 0  # by the instructions before the next one
    _released: int = 0
    _room: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    _arrived: list[int] = field(default_factory=list[int])  # each word, in cycles from reset
    _bursts: int = 0

    @classmethod
    def of(
        cls, machine: Machine, instructions: Sequence[Instruction], bus: Bus,
        memory: MemoryState | None = None, begin: int = 0,
    ) -> Self:  # fmt: skip
        """Of a program; `memory` as it is when the inference begins."""
        counts = stream_counts(machine, instructions)
        kept = [
            count
            for count, instruction in zip(counts, instructions, strict=True)
            if instruction.opcode in COMPUTE
        ]
        if memory is None:
            memory = MemoryState(timing(machine) if machine.streams else FixedLatency(first=1))
        return cls(machine, _READS[bus](memory), begin, kept[::-1])

    def there(self) -> int:
        """First cycle in which the next instruction may start; 0 where it needs no weights."""
        if not self._counts or not self._counts[-1]:
            return 0
        self._taken += self._counts.pop()
        while len(self._arrived) < self._taken:
            self._burst()
        return self._arrived[self._taken - 1] + prefetch.THERE_CYCLES - self.begin

    def release(self, cycle: int) -> None:
        """The last step of the instruction that `there` was asked for is in this cycle."""
        self._room.append((self._taken, self.begin + cycle + prefetch.ROOM_CYCLES))

    def _burst(self) -> None:
        """The next command of the streamer."""
        burst, slices = self.machine.burst_weights, prefetch.slices(self.machine)
        needed = (self._bursts + 1) * burst - self.machine.weight_words
        asked = self.begin + prefetch.BEGIN_CYCLES
        if needed > 0:
            asked = next(cycle for released, cycle in self._room if released >= needed)
        first = self._bursts * burst * slices
        cycles = self.reads.read(max(asked, self.reads.ready), first, burst * slices)
        self._arrived += cycles[slices - 1 :: slices]
        self._bursts += 1
