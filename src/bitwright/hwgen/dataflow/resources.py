"""What the stages of a pipeline take of an FPGA, without synthesis.

Block RAM and multiplier blocks follow from the structure. LUT and FF are the bits of the adders,
registers and memories that the structure has, with what control takes beside them.
"""

from math import prod

from bitwright.hwgen.dataflow import latencies
from bitwright.hwgen.dataflow.loops import Reads, reads
from bitwright.hwgen.dataflow.memories import blocks, ram_in_block, ram_luts, rom_in_block
from bitwright.hwgen.dataflow.schedule import StageTimes
from bitwright.ir.dataflow import (
    AddStage,
    ChannelwiseStage,
    MatrixStage,
    Pipeline,
    Requantize,
    Stage,
    Thresholds,
)
from bitwright.targets.target import Resources

_LOOP_LUTS, _LOOP_FFS = 8, 8  # of a loop's counter and flags
_STAGE_LUTS, _STAGE_FFS = 40, 30  # of the flags that follow the steps


def resources(
    pipeline: Pipeline, stage: Stage, family: str, times: StageTimes | None = None
) -> Resources:
    """One stage with its buffers.

    Args:
        pipeline: with the folds of the stage's sources; other stages' folds do not count.
        family: of the FPGA, as in `targets`.
        times: of the schedule, for the depth of the buffers; without it a window's rows are
            assumed, a pixel for an addition's operands.
    """
    del family  # both have look-up tables of four inputs
    parts = [_engine(pipeline, stage), _sums(stage), _finish(stage)]
    for number, own in enumerate(reads(pipeline, stage)):
        depth = _rows_deep(stage, own) if times is None else times.buffers[number].words
        parts.append(_window(own, pipeline.tensor(stage.sources[number]).bits, depth))
    lut, ff, bram, dsp = (sum(column) for column in zip(*parts, strict=True))
    return Resources(lut=round(lut) + _STAGE_LUTS, ff=round(ff) + _STAGE_FFS, bram=bram, dsp=dsp)


_Counts = tuple[float, float, int, int]


def _rows_deep(stage: Stage, own: Reads) -> int:
    window = getattr(stage, "window", None)
    if window is None:
        words = own.pixel_words
    else:
        rows = (window.kernel[0] - 1) * window.dilation[0]
        words = (rows * own.width + window.kernel[1] * window.dilation[1]) * own.pixel_words
    return max(2, 1 << (min(words, own.words) - 1).bit_length())


def _window(own: Reads, bits: int, depth: int) -> _Counts:
    width, loops = own.word_lanes * bits, own.merged()
    index = depth.bit_length() + 2
    control = sum(_LOOP_LUTS + 2 * loop.count.bit_length() for loop in loops) + 5 * index
    registers = sum(_LOOP_FFS + loop.count.bit_length() for loop in loops) + 2 * index
    if own.pads:
        control += 40
        registers += 16
    operands = own.lanes * bits * (own.parts + own.pads) / 2
    if ram_in_block(width, depth):
        return control + operands, registers + own.lanes * bits, blocks(width, depth), 0
    memory = ram_luts(width, depth)
    return control + operands + memory, registers + own.lanes * bits + width, 0, 0


def _rom(width: int, depth: int) -> tuple[float, int]:
    """(LUT, block RAM) of a table of constants."""
    if depth == 1:
        return 0, 0
    if rom_in_block(width, depth):
        return 0, blocks(width, depth)
    return width * max(1, depth / 16), 0


def tree_bits(terms: int, bits: int) -> int:
    """Bits of all adders of a tree of `terms` terms of `bits` bits."""
    total = 0
    while terms > 1:
        bits += 1
        total += terms // 2 * bits
        terms -= terms // 2
    return total


def _engine(pipeline: Pipeline, stage: Stage) -> _Counts:
    bits = pipeline.tensor(stage.sources[0]).bits
    if isinstance(stage, AddStage):
        adders = sum(bin(abs(factor)).count("1") for factor in stage.factors)
        return stage.fold.lanes * adders * (bits + 8), stage.fold.lanes * (bits + 8), 0, 0
    if isinstance(stage, ChannelwiseStage):
        return _channelwise(stage, bits)
    lanes, rows, wide = stage.fold.lanes, stage.fold.rows, stage.weight_bits
    words = stage.result.channels // rows * stage.tile_steps
    lut, bram = _rom(rows * lanes * wide, words)
    memory_ffs = 0 if words == 1 else rows * lanes * wide
    address = 2 * words.bit_length()
    if stage.fold.engine == "lut":
        gates = lanes * wide * bits / (2 if words == 1 else 1)
        adders = wide * tree_bits(lanes, bits) + (wide - 1) * (bits + wide + lanes.bit_length())
        return (
            rows * (gates + adders) + lut + address, rows * adders * 1.1 + memory_ffs, bram, 0
        )  # fmt: skip
    tree = tree_bits(lanes, bits + wide)
    return (
        rows * tree + lut + address,
        rows * (tree + lanes * (bits + wide)) + memory_ffs, bram, rows * lanes,
    )  # fmt: skip


def _channelwise(stage: ChannelwiseStage, bits: int) -> _Counts:
    lanes, wide = stage.fold.lanes, stage.weight_bits
    if stage.weights is None:
        return 0, lanes * bits, 0, 0
    words = prod(stage.weights.shape) // lanes
    lut, bram = _rom(lanes * wide, words)
    ffs = lanes * (bits + 2 * wide)
    return lut + 2 * words.bit_length(), ffs, bram, lanes


def _sums(stage: Stage) -> _Counts:
    lanes = stage.fold.rows if isinstance(stage, MatrixStage) else stage.fold.lanes
    bits = lanes * stage.acc_bits
    lut = 2 * bits * (stage.tile_steps > 1) + bits * (latencies.groups(stage) > 1)
    return lut, bits * latencies.keep(stage), 0, 0


def _finish(stage: Stage) -> _Counts:
    lanes, channels = stage.fold.out_lanes, stage.result.channels
    words, acc = channels // lanes, stage.acc_bits
    match stage.output:
        case Requantize() as output:
            wide = latencies.wide(output)
            multiplier = 31 if wide else 16
            lut, bram = _rom(lanes * (acc + multiplier + 6), words)
            if output.table is not None:
                more, blocks_more = _rom(stage.result.bits, len(output.table))
                lut, bram = lut + lanes * more, bram + lanes * blocks_more
            return (
                lut + lanes * (260 if wide else 190), lanes * (acc * 6 + 100), bram,
                lanes * (4 if wide else 2),
            )  # fmt: skip
        case Thresholds(levels=levels):
            lut, bram = 0.0, 0
            steps = latencies.threshold_bits(levels.shape[1])
            for step in range(steps):
                more, blocks_more = _rom(acc + 1, words << step)
                lut, bram = lut + lanes * more, bram + lanes * blocks_more
            return lut + lanes * steps * acc, lanes * steps * 4 * acc, bram, 0
        case _:
            lut, bram = _rom(lanes * acc, words)
            return lut + lanes * acc, lanes * acc, bram, 0
