"""Where the cycles of a program go."""

from collections.abc import Sequence

from bitwright.hwgen.cycles import Prediction, last_step
from bitwright.hwgen.isa import COMPUTE, MATRIX, Instruction
from bitwright.ir.machine import Machine


def spent(
    machine: Machine, instructions: Sequence[Instruction], prediction: Prediction
) -> dict[str, int]:
    """Cycles by purpose; they add up to `prediction.total`.

    `matrix` and `channelwise` are steps of those engines, `output` the waits of their tiles for
    the output stage and the steps that only read what is added there, `start` what passes between
    the steps of two instructions.
    """
    counts = {"matrix": 0, "channelwise": 0, "output": 0}
    for instruction in instructions:
        if instruction.opcode in COMPUTE:
            steps = instruction.tiles * instruction.steps
            issued = last_step(machine, instruction) - 1
            engine = "matrix" if instruction.opcode in MATRIX else "channelwise"
            counts[engine] += steps
            counts["output"] += issued - steps
    return {**counts, "start": prediction.total - sum(counts.values())}
