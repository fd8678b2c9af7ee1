"""Cycles between the things that happen in a pipeline: what the units have, and the schedule uses.

Each is stated here once, so that the schedule needs no hardware description.
"""

from bitwright.hwgen.dataflow.products import ENGINES
from bitwright.ir.dataflow import MatrixStage, Output, Requantize, Stage, Sums, Thresholds

LEAST_INTERVAL = 4  # cycles between the starts of two images
SOURCE = 2  # from the start of an image to its first word
OPERANDS = 2  # from a step to its operands
ROM_LATENCY = 2  # from the address of a table of constants to the word


def groups(stage: Stage) -> int:
    """Result words of one tile."""
    whole = stage.fold.rows if isinstance(stage, MatrixStage) else stage.fold.lanes
    return whole // stage.fold.out_lanes


def to_result(stage: Stage) -> int:
    """From the last step of a tile to its first result word."""
    return OPERANDS + terms(stage) + keep(stage) + output(stage.output)


def terms(stage: Stage) -> int:
    """From the operands to what is added to the accumulators."""
    if isinstance(stage, MatrixStage):
        engine = ENGINES[stage.fold.engine]
        return engine.latency(stage.fold.lanes, stage.weight_bits)
    return 1


def keep(stage: Stage) -> int:
    """Accumulators, and the copy that is emptied word by word."""
    return (stage.tile_steps > 1) + (groups(stage) > 1)


def output(form: Output) -> int:
    """From the sums to the result."""
    match form:
        case Sums():
            return 1
        case Thresholds(levels=levels):
            return threshold_bits(levels.shape[1]) * (ROM_LATENCY + 1) - ROM_LATENCY
        case Requantize():
            product = 3 if wide(form) else 2
            return 5 + product + (ROM_LATENCY if form.table is not None else 0)


def threshold_bits(levels: int) -> int:
    """Bits of a count of up to `levels`."""
    return levels.bit_length()


def wide(output: Requantize) -> bool:
    """Whether the multipliers need more than 16 bits, or another rounding than half up."""
    return output.rounding != "half_up" or int(output.multiplier.max()) >= 1 << 16
