"""Exact cycles of a program, from its instructions alone.

They are counted from the cycle in which LOAD goes on to the cycle in which STORE hands the
result over, as the CYCLES register does, and do not depend on data or on the host. With external
memory they depend on that memory (`memory_model.timing`): on its refreshes, too, and so on the
cycle in which an inference begins.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bitwright.errors import BitwrightError
from bitwright.hwgen import output, sequencer
from bitwright.hwgen.address import issue_cycles
from bitwright.hwgen.core import term_latency
from bitwright.hwgen.isa import COMPUTE, Instruction, groups, output_cycles
from bitwright.hwgen.memory_model import MemoryState, timing
from bitwright.hwgen.stream_cycles import Bus, WeightTimes
from bitwright.ir.instructions import Opcode
from bitwright.ir.machine import Machine


class ProgramError(BitwrightError):
    """A list of instructions whose cycles are not defined."""

    exit_code = 9


@dataclass(frozen=True)
class Prediction:
    """Cycles of one inference.

    Attributes:
        total: what the CYCLES register will show.
        per_instruction: of each instruction, its share of `total`: from the cycle after the one
            before it ended to its own end. A compute instruction's share holds the wait for its
            own words where fetching took longer than the instruction before; 0 for END.
        interval: cycles from one inference to the next when the host never keeps the machine
            waiting (at least `total`: the program is read again from its start).
    """

    total: int
    per_instruction: list[int]
    interval: int


def last_step(machine: Machine, instruction: Instruction) -> int:
    """From the start of a compute instruction to its last step: two cycles to start the loops, the
    steps with their stalls."""
    count = groups(machine, instruction.opcode)
    return 2 + issue_cycles(instruction, count, machine.requant_pixels)


def written(machine: Machine, instruction: Instruction) -> int:
    """From the start of a compute instruction to the cycle in which its last word leaves the output
    stage: to the last step, its way to the accumulators, and the output stage's groups."""
    to_output = term_latency(machine, instruction.opcode) - 1
    last = output_cycles(machine, instruction.opcode, instruction.last_pixels)
    return last_step(machine, instruction) + to_output + output.latency(machine) + last - 1


def instruction_cycles(machine: Machine, instruction: Instruction) -> int:
    """From the start of a compute instruction to the first cycle in which another may start.

    That is when its last word has left, or as soon after its last step as its field
    `handover` says.
    """
    if instruction["handover"]:
        return last_step(machine, instruction) + instruction["handover"] + 1
    return written(machine, instruction) + 1


def _fetch_cycles(instruction: Instruction) -> int:
    return sequencer.fetch_cycles(instruction.opcode)


def predict(
    machine: Machine, instructions: Sequence[Instruction], *, bus: Bus = "wishbone"
) -> Prediction:
    """Cycles of LOAD, compute instructions, STORE, END; one inference per program.

    `bus`: that of the external memory, whose time begins with the inference.
    """
    return _predict(machine, instructions, WeightTimes.of(machine, instructions, bus))


def predict_all(
    machine: Machine, instructions: Sequence[Instruction], begins: Sequence[int],
    *, bus: Bus = "wishbone",
) -> list[int]:  # fmt: skip
    """Cycles of inferences whose LOAD goes on in the cycles `begins`, counted from reset."""
    if not machine.streams:
        return [predict(machine, instructions).total] * len(begins)
    memory = MemoryState(timing(machine))
    return [
        _predict(
            machine, instructions, WeightTimes.of(machine, instructions, bus, memory, begin)
        ).total
        for begin in begins
    ]


def _predict(
    machine: Machine, instructions: Sequence[Instruction], weights: WeightTimes
) -> Prediction:
    opcodes = [instruction.opcode for instruction in instructions]
    compute = instructions[1:-2]
    if (
        len(opcodes) < 3
        or (opcodes[0], *opcodes[-2:]) != (Opcode.LOAD, Opcode.STORE, Opcode.END)
        or any(instruction.opcode not in COMPUTE for instruction in compute)
    ):
        shown = " ".join(opcode.name for opcode in opcodes)
        raise ProgramError(
            f"The program is {shown or 'empty'}; expected LOAD, compute instructions, STORE, END"
        )
    if compute and compute[-1]["handover"]:
        raise ProgramError(
            f"The last {compute[-1].opcode.name} has the field handover = "
            f"{compute[-1]['handover']}; expected 0, since STORE gives its results away"
        )
    shares = [0]
    # of the instruction at hand, counted from the cycle in which LOAD goes on
    start = max(1, weights.there())
    counted = 0
    for instruction, following in zip(compute, instructions[2:], strict=False):
        free = start + instruction_cycles(machine, instruction)
        shares.append(free - counted)
        counted = free
        weights.release(start + last_step(machine, instruction))
        start = max(free, start + _fetch_cycles(following), weights.there())
    shares += [start - counted, 0]
    # STORE, END, LOAD and the first compute instruction are fetched one after the other.
    again = sequencer.FETCH_CYCLES_END + sequencer.FETCH_CYCLES + _fetch_cycles(instructions[1])
    return Prediction(start, shares, start + again)
