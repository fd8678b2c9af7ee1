"""What the stages of a pipeline take of an FPGA, without synthesis.

Block RAM and multiplier blocks follow from the structure. LUT and FF are the bits of the adders,
registers and memories that the structure has, with what control takes beside them.
"""

import numpy as np

from bitwright.hwgen import requantize
from bitwright.hwgen.dataflow import lanes as lane_terms
from bitwright.hwgen.dataflow import latencies
from bitwright.hwgen.dataflow.finish import field_values, stored_bits
from bitwright.hwgen.dataflow.loops import Reads, reads
from bitwright.hwgen.dataflow.memories import blocks, ram_in_block, ram_luts, rom_in_block
from bitwright.hwgen.dataflow.schedule import StageTimes
from bitwright.hwgen.serial_product import DigitSerial, SharedBlock
from bitwright.ir.dataflow import (
    REQUANTIZED_BITS,
    AddStage,
    ChannelwiseStage,
    MatrixStage,
    Pipeline,
    Requantize,
    Stage,
    Thresholds,
)
from bitwright.targets.target import Resources

_LEAST_PRODUCT_BITS = 9  # of a product that synthesis puts into a multiplier block
_BLOCK_BITS = 18  # of its operands
_LOOP_LUTS, _LOOP_FFS = 6, 4  # of a loop, beside its counter
_STAGE_LUTS, _STAGE_FFS = 30, 30  # of the flags that follow the steps
# Of a requantizer's shift, rounding and clamp; and of what its product takes beside the blocks.
_TAIL_LUTS, _TAIL_FFS = 90, 100
_PRODUCT_LUTS = {None: (60, 140), SharedBlock: (90, 160), DigitSerial: (0, 0)}

_Counts = tuple[float, float, int, int]


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
    parts = [_engine(pipeline, stage), _sums(stage), _finish(stage, family)]
    for number, own in enumerate(reads(pipeline, stage)):
        depth = _rows_deep(stage, own) if times is None else times.buffers[number].words
        parts.append(_window(own, pipeline.tensor(stage.sources[number]).bits, depth))
    lut, ff, bram, dsp = (sum(column) for column in zip(*parts, strict=True))
    return Resources(
        lut=round(lut) + _STAGE_LUTS, ff=round(ff) + _STAGE_FFS, bram=int(bram), dsp=int(dsp)
    )


def _rows_deep(stage: Stage, own: Reads) -> int:
    if isinstance(stage, AddStage):
        words = own.pixel_words
    else:
        window = stage.window
        rows = (window.kernel[0] - 1) * window.dilation[0]
        words = (rows * own.width + window.kernel[1] * window.dilation[1]) * own.pixel_words
    return max(2, 1 << (min(words, own.words) - 1).bit_length())


def _window(own: Reads, bits: int, depth: int) -> _Counts:
    width, loops = own.word_lanes * bits, own.merged()
    index, counters = depth.bit_length() + 2, sum(loop.count.bit_length() for loop in loops)
    control = _LOOP_LUTS * len(loops) + 1.5 * counters + 5 * index
    registers = _LOOP_FFS * len(loops) + counters + 2 * index
    if own.pads:
        control += 30
        registers += 12
    operands = own.lanes * bits * (own.pads + (own.parts - 1) * 2 / 3)
    registers += own.lanes * bits + (own.gather - 1) * own.source_lanes * bits
    if ram_in_block(width, depth):
        return control + operands, registers, blocks(width, depth), 0
    return control + operands + ram_luts(width, depth), registers + width, 0, 0


def _rom(width: int, depth: int) -> _Counts:
    """A table of constants with its second register."""
    if depth == 1 or not width:
        return 0, 0, 0, 0
    if rom_in_block(width, depth):
        return 0, width, blocks(width, depth), 0
    return width * max(1, depth / 16), 2 * width, 0, 0


def _adder(bits: int) -> int:
    """Look-up tables of an adder: carry cells are of two bits."""
    return bits + bits % 2


def _tree(terms: int, bits: int) -> tuple[int, int]:
    """(LUT, FF) of an adder tree of `terms` terms of `bits` bits."""
    luts = ffs = 0
    while terms > 1:
        pairs, bits = terms // 2, bits + 1
        terms -= pairs
        luts += pairs * _adder(bits)
        ffs += terms * bits
    return luts, ffs


def _engine(pipeline: Pipeline, stage: Stage) -> _Counts:
    source = pipeline.tensor(stage.sources[0])
    if isinstance(stage, AddStage):
        digits = sum(bin(abs(factor)).count("1") for factor in stage.factors)
        bits = stage.fold.lanes * (source.bits + 6)
        return bits * max(digits - 1, 1), bits * max(digits - 1, 1), 0, 0
    if isinstance(stage, ChannelwiseStage):
        return _channelwise(stage, source.bits)
    fold, wide = stage.fold, stage.weight_bits
    words = stage.blocks * stage.tile_steps
    make = {"lut": _lut, "dsp": _dsp, "packed": _packed}[fold.engine]
    signed_bits = source.bits + (not source.signed)
    lut, ff, dsp = make(fold.rows, fold.lanes, wide, source.bits, signed_bits)
    rom = _rom(fold.rows * fold.lanes * wide, words)
    return (
        lut + rom[0] + 2 * words.bit_length(), ff + rom[1] + words.bit_length(), rom[2], dsp
    )  # fmt: skip


def _lut(rows: int, lanes: int, wide: int, bits: int, signed_bits: int) -> tuple[int, int, int]:
    pairs, half = lanes // 2, -(-lanes // 2)
    luts, ffs = _tree(half, bits + 1)
    luts += pairs * _adder(bits + 1) + lanes % 2 * bits
    ffs += half * (bits + 1)
    whole = bits + lanes.bit_length()
    join = sum(_adder(whole + place) for place in range(1, wide)) or _adder(whole)
    return rows * (wide * luts + join), rows * (wide * ffs + join), 0


def _dsp(rows: int, lanes: int, wide: int, bits: int, signed_bits: int) -> tuple[int, int, int]:
    luts, ffs = _tree(lanes, bits + wide)
    product = lanes * (bits + wide)
    if signed_bits + wide >= _LEAST_PRODUCT_BITS:
        return rows * luts, rows * (ffs + product), rows * lanes
    return rows * (luts + lanes * bits * wide), rows * (ffs + product), 0


def _packed(rows: int, lanes: int, wide: int, bits: int, signed_bits: int) -> tuple[int, int, int]:
    shift = _BLOCK_BITS - wide
    overlap = max(0, wide + bits - shift)
    least = sum(_adder(overlap - bit) for bit in range(0, overlap, 2))
    joins = sum(_adder(overlap - bit) for bit in range(2, overlap, 2))
    split = least + joins + _adder(overlap)
    trees = [_tree(lanes, part) for part in (_BLOCK_BITS + bits - shift, max(overlap, 1), shift)]
    levels = lanes.bit_length()
    join = _adder(wide + bits + levels) * 2 + _adder(wide + bits + levels)
    luts = lanes * split + sum(tree[0] for tree in trees) + join
    ffs = lanes * (_BLOCK_BITS + bits + overlap) + sum(tree[1] for tree in trees) + join
    return rows // 2 * luts, rows // 2 * ffs, rows // 2 * lanes


def _channelwise(stage: ChannelwiseStage, bits: int) -> _Counts:
    lanes, wide = stage.fold.lanes, stage.weight_bits
    if stage.weights is None:
        return 0, lanes * bits, 0, 0
    words = stage.weights.size // lanes
    lut, ff, bram, _ = _rom(lanes * wide, words)
    lut, ff = lut + 2 * words.bit_length(), ff + words.bit_length()
    if stage.fold.engine == "lut":
        pairs = -(-wide // 2)
        tree = _tree(pairs, bits + 4)
        luts = pairs * _adder(bits + 2) + tree[0] + _adder(bits + 1)
        ffs = pairs * (bits + 2) + tree[1] + lane_terms.latency(stage) * bits + bits + wide
        return lut + lanes * luts, ff + lanes * ffs, bram, 0
    blocks_used = lanes if bits + wide >= _LEAST_PRODUCT_BITS else 0
    return lut, ff + lanes * (bits + wide), bram, blocks_used


def _sums(stage: Stage) -> _Counts:
    rows = stage.fold.rows if isinstance(stage, MatrixStage) else stage.fold.lanes
    bits = rows * stage.acc_bits
    lut = rows * _adder(stage.acc_bits) if stage.tile_steps > 1 else 0
    held = bits if latencies.groups(stage) > 1 else 0
    return lut + held, bits * latencies.keep(stage), 0, 0


def _finish(stage: Stage, family: str) -> _Counts:
    output, lanes = stage.output, stage.fold.out_lanes
    words, acc = stage.result.channels // lanes, stage.acc_bits
    parameters = _rom(stored_bits(field_values(output, acc), lanes), words)
    if isinstance(output, Requantize):
        return _total(parameters, *[_requantizer(stage, output, family)] * lanes)
    if isinstance(output, Thresholds):
        search = [
            _rom(acc + 1, words << step)
            for step in range(latencies.threshold_bits(output.levels.shape[1]))
        ]
        compare = acc + 2, 4 * acc + 8, 0, 0
        return _total(*([*search, *[compare] * len(search)] * lanes))
    return _total(parameters, (lanes * acc, lanes * acc, 0, 0))


def _requantizer(stage: Stage, output: Requantize, family: str) -> _Counts:
    unit = latencies.product(output, latencies.pace(stage))
    bits, acc = latencies.multiplier_bits(output), stage.acc_bits
    lut, ff = _PRODUCT_LUTS[unit]
    whole = requantize.blocks(max(acc, REQUANTIZED_BITS), bits, family)
    dsp = {None: whole, SharedBlock: 1, DigitSerial: 0}[unit]
    if unit is DigitSerial:
        lut, ff = 2 * _adder(acc + 4) + bits, 2 * acc + 2 * bits
    table = (0, 0, 0, 0)
    if output.table is not None:
        table = _rom(stage.result.bits, len(output.table))
    return _total((lut + _TAIL_LUTS + _adder(acc), ff + _TAIL_FFS, 0, dsp), table)


def _total(*parts: _Counts) -> _Counts:
    lut, ff, bram, dsp = np.array(parts, float).sum(axis=0).tolist()
    return lut, ff, int(bram), int(dsp)
