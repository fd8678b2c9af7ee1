"""Cycles between the things that happen in a pipeline: what the units have, and the schedule uses.

Each is stated here once, so that the schedule needs no hardware description.
"""

from bitwright.hwgen.dataflow import lanes
from bitwright.hwgen.dataflow.engines import ENGINES
from bitwright.hwgen.serial_product import DigitSerial, SerialProduct, SharedBlock
from bitwright.ir.dataflow import MatrixStage, Output, Requantize, Stage, Sums, Thresholds
from bitwright.ir.machine import NARROW_MULTIPLIER_BITS, WIDE_MULTIPLIER_BITS

SOURCE = 2  # from the start of an image to its first word
OPERANDS = 2  # from a step to its operands
ROM_LATENCY = 2  # from the address of a table of constants to the word


def groups(stage: Stage) -> int:
    """Result words of one tile."""
    whole = stage.fold.rows if isinstance(stage, MatrixStage) else stage.fold.lanes
    return whole // stage.fold.out_lanes


def to_result(stage: Stage) -> int:
    """From the last step of a tile to its first result word."""
    return OPERANDS + terms(stage) + keep(stage) + output(stage.output, pace(stage))


def terms(stage: Stage) -> int:
    """From the operands to what is added to the accumulators."""
    if isinstance(stage, MatrixStage):
        return ENGINES[stage.fold.engine].latency(stage.fold.lanes, stage.weight_bits)
    return lanes.latency(stage)


def keep(stage: Stage) -> int:
    """Accumulators, and the copy that is emptied word by word."""
    return (stage.tile_steps > 1) + (groups(stage) > 1)


def pace(stage: Stage) -> int:
    """Cycles from one result word of a tile to the next, at least."""
    if not isinstance(stage.output, Requantize):
        return 1
    unit = product(stage.output, stage.tile_steps // groups(stage))
    return 1 if unit is None else unit.cycles(multiplier_bits(stage.output))


def product(output: Requantize, cycles: int) -> type[SerialProduct] | None:
    """What multiplies where a result is wanted every `cycles` cycles at most: the least that can;
    None for one in every cycle."""
    bits = multiplier_bits(output)
    return next((u for u in (DigitSerial, SharedBlock) if u.cycles(bits) <= cycles), None)


def output(form: Output, cycles: int) -> int:
    """From the sums to the result, of which one is wanted every `cycles` cycles."""
    match form:
        case Sums():
            return 1
        case Thresholds(levels=levels):
            return threshold_bits(levels.shape[1]) * (ROM_LATENCY + 1) - ROM_LATENCY
        case Requantize():
            table = ROM_LATENCY if form.table is not None else 0
            unit = product(form, cycles)
            if unit is not None:
                return 5 + unit.latency(multiplier_bits(form)) + table
            return 6 + (3 if wide(form) else 2) + table


def multiplier_bits(output: Requantize) -> int:
    """Of the requantizer."""
    return WIDE_MULTIPLIER_BITS if wide(output) else NARROW_MULTIPLIER_BITS


def threshold_bits(levels: int) -> int:
    """Bits of a count of up to `levels`."""
    return levels.bit_length()


def wide(output: Requantize) -> bool:
    """Whether the multipliers need more than 16 bits, or another rounding than half up."""
    return output.rounding != "half_up" or int(output.multiplier.max()) >= 1 << 16
