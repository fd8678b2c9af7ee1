"""What the stages of a pipeline take of an ECP5, without synthesis.

Block RAM and multiplier blocks follow from the structure. Look-up tables are counted adder by
adder: an adder takes one for each bit of its result, and the first level of a tree of masked
operands takes the masks with it.
"""

from collections.abc import Sequence

from bitwright.hwgen.dataflow import host_words, latencies
from bitwright.hwgen.dataflow.memories import (
    blocks,
    ram_in_block,
    ram_luts,
    rom_in_block,
)  # fmt: skip
from bitwright.ir.dataflow import (
    AddStage,
    ChannelwiseStage,
    MatrixStage,
    Pipeline,
    Requantize,
    Stage,
    Sums,
    Tensor,
    Thresholds,
)  # fmt: skip
from bitwright.targets.target import Resources

Memory = tuple[int, int]  # look-up tables and block RAMs
_CONTROL = 160  # look-up tables of a stage's loops, and of one more source's
_HOST = Resources(lut=900, ff=900, bram=0, dsp=0)  # port and bus, source, banks' owners
_REQUANTIZE = 12.9, 169  # for each bit of the sums, and for a wide one
_REGISTERS = 1.1  # flip-flops for each look-up table


def stage_resources(pipeline: Pipeline, stage: Stage, words: Sequence[int]) -> Resources:
    """Of one stage with its buffers.

    Args:
        words: of the buffer of each source, as wide as the stage's own lanes.
    """
    sources = [pipeline.tensor(name) for name in stage.sources]
    lut, bram, dsp = _engine(stage, sources)
    memories = [
        _ram(stage.fold.lanes * source.bits, depth)
        for source, depth in zip(sources, words, strict=True)
    ]
    finish_lut, finish_bram, finish_dsp = _finish(stage)
    lut += finish_lut + _CONTROL * len(sources) + sum(count for count, _ in memories)
    lut += sum(stage.fold.lanes * source.bits for source in sources)
    return Resources(
        lut=lut, ff=round(lut * _REGISTERS), dsp=dsp + finish_dsp,
        bram=bram + finish_bram + sum(count for _, count in memories),
    )  # fmt: skip


def host_resources(pipeline: Pipeline, banks: int = 2) -> Resources:
    """Of the banks of input and output, and of what is there once."""
    bram = 0
    for tensor, lanes, count in (
        (pipeline.input, pipeline.input_lanes, 2),
        (pipeline.output, pipeline.stages[-1].fold.out_lanes, banks),
    ):
        bram += blocks(lanes * tensor.bits, count * host_words.words(tensor, lanes))
    return Resources(lut=_HOST.lut, ff=_HOST.ff, bram=bram, dsp=0)


def _engine(stage: Stage, sources: Sequence[Tensor]) -> tuple[int, int, int]:
    fold, bits = stage.fold, sources[0].bits
    match stage:
        case MatrixStage():
            products = fold.lanes * fold.rows
            words = stage.tile_steps * (stage.result.channels // fold.rows)
            lut, bram = _rom(products * stage.weight_bits, words)
            if fold.engine == "lut":
                lut += fold.rows * _planes(fold.lanes, bits, stage.weight_bits)
                dsp = 0
            else:
                dsp = products if fold.engine == "dsp" else products // 2
                lut += fold.rows * _tree(fold.lanes, bits + stage.weight_bits)
                lut += 15 * products if fold.engine == "packed" else 0
            return lut + _sums(stage, fold.rows), bram, dsp
        case ChannelwiseStage():
            lut = bram = dsp = 0
            if stage.weights is not None:
                words = stage.tile_steps * (stage.result.channels // fold.lanes)
                lut, bram = _rom(fold.lanes * stage.weight_bits, words)
                if fold.engine == "lut":
                    lut += round(1.1 * fold.lanes * bits * stage.weight_bits)
                else:
                    dsp = fold.lanes
            lut += 2 * bits * fold.lanes if stage.op == "max" else 0
            return lut + _sums(stage, fold.lanes), bram, dsp
        case AddStage():
            digits = sum(bin(abs(factor)).count("1") for factor in stage.factors)
            return fold.lanes * (digits * (bits + 2) + stage.acc_bits), 0, 0


def _tree(terms: int, bits: int) -> int:
    """Adders of a tree of `terms` operands of `bits` bits."""
    total = 0
    while terms > 1:
        bits += 1
        total += (terms // 2) * (bits + 1)
        terms -= terms // 2
    return total


def _planes(lanes: int, bits: int, weight_bits: int) -> int:
    """One row of masked operands, a tree for each bit of the weights, and the trees' sum."""
    tree = _tree(lanes, bits) if lanes > 1 else bits
    total = weight_bits * tree
    width = bits + (lanes - 1).bit_length()
    return total + (weight_bits - 1) * (width + 3)


def _sums(stage: Stage, rows: int) -> int:
    """Accumulators, and the copy that is emptied word by word."""
    kept = (stage.tile_steps > 1) + (latencies.groups(stage) > 1)
    return kept * rows * stage.acc_bits


def _finish(stage: Stage) -> tuple[int, int, int]:
    lanes, channels, output = stage.fold.out_lanes, stage.result.channels, stage.output
    words = channels // lanes
    match output:
        case Sums():
            lut, bram = (0, 0) if not output.bias.any() else _rom(lanes * stage.acc_bits, words)
            return lut + lanes * stage.acc_bits, bram, 0
        case Thresholds(levels=levels):
            bits = latencies.threshold_bits(levels.shape[1])
            lut, bram = lanes * bits * (stage.acc_bits + 4), 0
            for step in range(bits):
                more, block = _rom(stage.acc_bits + 1, words << step)
                lut, bram = lut + lanes * more, bram + lanes * block
            return lut, bram, 0
        case Requantize():
            wide = latencies.wide(output)
            constant = int(output.multiplier.max()) == 1
            width = (31 if wide else 16) + 6 + stage.acc_bits
            varying = len({*output.multiplier.tolist()}) > 1
            lut, bram = _rom(lanes * (width if varying else stage.acc_bits), words)
            for_table = _rom(8, 256) if output.table is not None else (0, 0)
            per_bit, more = _REQUANTIZE
            each = round(per_bit * stage.acc_bits) + more * wide + for_table[0]
            return (
                lut + lanes * each, bram + lanes * for_table[1],
                0 if constant else lanes * (4 if wide else 2),
            )  # fmt: skip


def _rom(width: int, words: int) -> Memory:
    if words <= 1:
        return 0, 0
    if rom_in_block(width, words):
        return 0, blocks(width, words)
    return width * -(-words // 16), 0


def _ram(width: int, words: int) -> Memory:
    if ram_in_block(width, words):
        return 0, blocks(width, words)
    return ram_luts(width, words), 0
