"""The parts of the units of a stage, as far as look-up tables and flip-flops follow from them.

Each function states what its unit's module has; `resources.py` adds them up with the costs that are
fitted to syntheses (`costs/pipeline_*.json`, by `benchmarks/stage_costs.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd

import numpy as np
from numpy.typing import NDArray

from bitwright.hwgen import requantize
from bitwright.hwgen.dataflow import host_words, latencies
from bitwright.hwgen.dataflow import lanes as lane_terms
from bitwright.hwgen.dataflow.core import host_memories
from bitwright.hwgen.dataflow.finish import (
    PARAMETERS,
    Widths,
    field_values,
    level_tables,
    stored_bits,
)
from bitwright.hwgen.dataflow.loops import Loop, Reads
from bitwright.hwgen.dataflow.memories import (
    blocks,
    ram_in_block,
    ram_luts,
    rom_blocks,
    rom_in_block,
    varying,
)
from bitwright.hwgen.dataflow.weights import varying_bits, weight_words
from bitwright.hwgen.resources import memory_glue
from bitwright.hwgen.serial_product import DigitSerial, SharedBlock
from bitwright.hwgen.structure import Structure
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
from bitwright.ir.machine import SHIFT_BITS
from bitwright.targets.host_interface import Window

_SMALL_ADDER = 4  # bits
_BLOCK_BITS = 18  # of its operands
_TABLE_WORDS = 16  # of a look-up table
_TIME_BITS = 32  # of a counter of cycles or images that the host sees
_SHIFT_WINDOWS = ((4, 24), (2, 12), (0, 9))  # bits of a shift, and of what they choose


@dataclass(frozen=True, kw_only=True)
class Part(Structure):
    """A `Structure` whose memories are known to be in block RAM.

    Attributes:
        bram: block RAMs.
        absorbed: flip-flops, among those of `ff`, that go into block RAMs and multiplier blocks.
    """

    bram: int = 0
    absorbed: int = 0


Parts = Mapping[str, Part]


def adder(bits: int) -> int:
    """Look-up tables of an adder; small ones have no carry cells."""
    return chain(bits) if bits > _SMALL_ADDER else bits


def chain(bits: int) -> int:
    """Look-up tables of a chain of carry cells, which are of two bits; one makes the carry in."""
    return bits + 2 - bits % 2


def rom(name: str, width: int, depth: int) -> Part:
    """A table of constants with its second register.

    Bits that are alike in all words are one: of few words, so are many.
    """
    if depth == 1 or not width:
        return Part()
    if rom_in_block(width, depth):
        return Part(
            lut={"block_choices": _block_choices(width, depth)}, ff={f"{name}_registers": width},
            bram=rom_blocks(width, depth), absorbed=width,
        )  # fmt: skip
    kinds = 2.0**depth
    alike = width if depth > _TABLE_WORDS else kinds * (1 - (1 - 1 / kinds) ** width)
    tables = 0 if depth == 2 else alike  # of two words a bit is the address
    choices = 2 * alike * max(0, depth / _TABLE_WORDS - 1)
    return Part(
        lut={f"{name}_tables": tables, f"{name}_choices": choices},
        ff={f"{name}_registers": 2 * alike},
    )


def _block_choices(width: int, depth: int) -> float:
    """What chooses among rows of block RAMs."""
    return sum(memory_glue("ecp5", [(width, depth)]).lut.values())


# --- what a stage reads ---


def loops(own: Reads, index_bits: int, gated: bool) -> Part:
    """`LoopNest`."""
    merged = [loop for loop in own.merged() if loop.count > 1]
    counters = sum((loop.count - 1).bit_length() for loop in merged)
    moved = [(index_bits - _still(own, merged), "words", own.words)]
    if own.parts > 1:
        moved.append(((own.parts - 1).bit_length(), "part", 0))
    if own.pads:
        moved += [((own.height + 2).bit_length(), "rows", 0)]
        moved += [((own.width + 2).bit_length(), "columns", 0)]
    places = sum(max(bits, 1) for bits, _, _ in moved)
    choices = sum(_away(merged, bits, name, image) for bits, name, image in moved)
    if not choices and not gated:  # all steps alike: nobody asks which one it is
        return Part(lut={"places": places}, ff={"places": places})
    return Part(
        lut={
            "loops": 3 * len(merged), "counters": counters, "places": places,
            "choices": choices * (1 if len(merged) <= 4 else 1.5), "pads": 5 * own.pads,
        },
        ff={"counters": counters + len(merged), "places": places, "nests": int(gated)},
    )  # fmt: skip


def _still(own: Reads, merged: Sequence[Loop]) -> int:
    """The lowest bits of the index that never change."""
    step = gcd(own.words, own.first_word, *(loop.words for loop in merged))
    return (step & -step).bit_length() - 1 if step else 0


def _away(merged: Sequence[Loop], bits: int, name: str, image: int) -> int:
    """Different bits of the constants that a counter of places moves on by."""
    inner, values = 0, list[int]()
    for loop in reversed(merged):
        values.append(getattr(loop, name) - inner)
        inner += (loop.count - 1) * getattr(loop, name)
    values.append(image - inner)
    columns = {tuple(value >> bit & 1 for value in values) for bit in range(max(bits, 1))}
    return sum(0 < sum(column) < len(column) for column in columns)


def window(own: Reads, bits: int, index_bits: int, gated: bool, depth: int) -> Part:
    """`Window` without its loops and its buffer of `depth` words."""
    operands, pads, gate = own.lanes * bits, int(own.pads), int(gated)
    words = (own.words - 1).bit_length() + 2
    gathered = (own.gather - 1).bit_length()
    return Part(
        lut={
            "windows": 3, "counters": 2 * adder(index_bits), "gathered": 2 * gathered,
            "choices": operands * (own.parts - 1) * 2 / 3, "pads": operands * pads,
            "gates": 2 * words * gate,
        },
        ff={
            "operands": operands, "counters": index_bits, "gates": words * gate,
            "gathered": (own.gather - 1) * own.source_lanes * bits + gathered,
            "choices": (own.parts - 1).bit_length() + pads,
        },
        absorbed=operands * (ram_in_block(own.word_lanes * bits, depth) and not pads),
    )  # fmt: skip


def buffer(width: int, depth: int) -> Part:
    """The memory of a window."""
    if ram_in_block(width, depth):
        choices = _block_choices(width, depth)
        return Part(lut={"block_choices": choices}, bram=blocks(width, depth))
    rows = -(-depth // _TABLE_WORDS)
    return Part(
        lut={"words": ram_luts(width, depth), "choices": width * (rows - 1) * 3 / 4, "rows": rows},
        ff={"words": width},
    )


def ends(pipeline: Pipeline, banks: int) -> dict[str, Part]:
    """What is at both ends of a pipeline, but for the host's port: the source, the memories of
    input and output, and which image is in which of the `banks`."""
    memories = host_memories(pipeline)
    source = memories[Window.INPUT].depth
    number = (banks - 1).bit_length()
    shapes = [
        (tensor.bits * lanes, count * host_words.words(tensor, lanes))
        for tensor, lanes, count in (
            (pipeline.input, pipeline.input_lanes, 2),
            (pipeline.output, pipeline.stages[-1].fold.out_lanes, banks),
        )
    ]
    times = [(_TIME_BITS, banks)] * 2
    return {
        **{f"buffer{place}": buffer(*shape) for place, shape in enumerate((*shapes, *times))},
        "ends": Part(
            lut={
                "times": 3 * chain(_TIME_BITS), "banks": 10 * number + 10,
                "source": 2 * (source - 1).bit_length() + 20,
            },
            ff={
                "times": 2 * _TIME_BITS, "banks": 4 * number + 15,
                "source": (source - 1).bit_length() + 15,
                "words": sum(width for width, depth in shapes if not ram_in_block(width, depth)),
            },
        ),
    }  # fmt: skip


# --- what it computes ---


@dataclass(frozen=True)
class Number:
    """The shape of a number."""

    bits: int
    signed: bool
    zeros: int = 0  # mask of bits that are always 0

    def other(self, bits: int) -> int:
        """Mask of the bits that are not, its sign repeated."""
        return (1 << (bits if self.signed else self.bits)) - 1 & ~self.zeros

    @property
    def registers(self) -> int:
        """Flip-flops of a register of it."""
        return self.bits - self.zeros.bit_count()


def _sum(a: Number, b: Number, *, minus: bool = False) -> Number:
    """Shape of a + b (a - b), as Amaranth has it."""
    return _added(a, b, minus=minus)[0]


def _added(a: Number, b: Number, *, minus: bool = False) -> tuple[Number, int]:
    """Shape of a + b (a - b), and from which bit on an adder makes it."""
    is_signed = a.signed or b.signed
    bits = max(number.bits + (is_signed and not number.signed) for number in (a, b)) + 1
    both = b.other(bits) if minus else a.other(bits) & b.other(bits)
    start = (both & -both).bit_length() - 1 if both else bits
    zeros = (1 << start) - 1 & ~(a.other(bits) | b.other(bits))
    return Number(bits, is_signed or minus, zeros), start


def _tree(terms: Sequence[Number], most: int = 64) -> tuple[Number, int, int]:
    """(sum, LUT, FF) of an adder tree with a register after every adder, of `most` bits."""
    luts = ffs = 0
    level = list(terms)
    while len(level) > 1:
        pairs: list[Number] = []
        for a, b in zip(level[::2], level[1::2], strict=False):
            pair, start = _added(a, b)
            pairs.append(replace(pair, bits=min(pair.bits, most)))
            luts += adder(max(pairs[-1].bits - start, 0))
        level = [*pairs, *level[2 * len(pairs) :]]
        ffs += sum(number.registers for number in level)
    return level[0], luts, ffs


def products(stage: MatrixStage, source: Number) -> Part:
    """The engine of a matrix stage."""
    return {"lut": _lut, "dsp": _dsp, "packed": _packed}[stage.fold.engine](stage, source)


def _lut(stage: MatrixStage, source: Number) -> Part:
    rows, lanes, wide = stage.fold.rows, stage.fold.lanes, stage.weight_bits
    pairs, odd = lanes // 2, lanes % 2
    pair = Number(source.bits + 1, source.signed)
    plane, luts, ffs = _tree([pair] * pairs + [source] * odd)
    ffs += pairs * pair.bits + odd * source.bits
    once = [0, 0]
    if wide == 1:
        whole, *once = _tree([source] * lanes)
        join = _sum(Number(plane.bits + 1, plane.signed), whole, minus=True).bits
        joined, kept = adder(join), join
    else:
        joined = kept = 0
        values = [(plane, place) for place in range(wide)]
        level = 0
        while len(values) > 1:
            made: list[tuple[Number, int]] = []
            for (low, place), (high, upper) in zip(values[::2], values[1::2], strict=False):
                shifted = Number(high.bits + upper - place, high.signed)
                total = _sum(low, shifted, minus=upper == wide - 1 and not level)
                joined += adder(total.bits - upper + place)
                made.append((total, place))
            if len(values) % 2:
                value, place = values[-1]
                if place == wide - 1 and not level:
                    value = Number(value.bits + 1, signed=True)
                    joined += adder(value.bits)
                made.append((value, place))
            values, level = made, level + 1
            kept += sum(value.bits for value, _ in values)
    return Part(
        lut={
            "pairs": rows * wide * pairs * chain(pair.bits), "trees": rows * wide * luts + once[0],
            "joins": rows * joined, "last": rows * wide * odd,
        },
        ff={"products": rows * (wide * ffs + kept) + once[1]},
    )  # fmt: skip


def _dsp(stage: MatrixStage, source: Number) -> Part:
    rows, lanes, wide = stage.fold.rows, stage.fold.lanes, stage.weight_bits
    product = Number(source.bits + wide, signed=True)
    _, luts, ffs = _tree([product] * lanes)
    return Part(
        lut={"trees": rows * luts},
        ff={"products": rows * (ffs + lanes * product.bits)},
        dsp=rows * lanes,
        absorbed=rows * lanes * product.bits,
    )


def _packed(stage: MatrixStage, source: Number) -> Part:
    lanes, wide, bits = stage.fold.lanes, stage.weight_bits, source.bits
    shift = _BLOCK_BITS - wide
    overlap = _overlap(stage, bits)
    least = sum(chain(overlap - bit) for bit in range(0, overlap, 2))
    joins = sum(adder(overlap - bit) for bit in range(2, overlap, 2))
    total = wide + bits + lanes.bit_length() + 1
    carried = max(overlap, int(source.signed))
    trees = [
        _tree([Number(_BLOCK_BITS + bits - shift, signed=True)] * lanes, total),
        _tree([Number(carried, source.signed)] * lanes) if carried else (Number(0, False), 0, 0),
        _tree([Number(min(shift, total), signed=False)] * lanes, total),
    ]
    whole, once, once_kept = _tree([source] * lanes)
    pairs = stage.fold.rows // 2
    low = min(max(total - shift, 0), trees[1][0].bits)
    high = min(trees[0][0].bits + 1, total)
    return Part(
        lut={
            "splits": pairs * lanes * (adder(overlap) if overlap else 0),
            "least": pairs * lanes * (least + joins),
            "trees": pairs * sum(tree[1] for tree in trees) + once,
            "joins": pairs * (adder(low) + adder(total - wide + 1) + adder(high) * (carried > 0)),
        },
        ff={
            "products": pairs * lanes * (_BLOCK_BITS + bits - shift + min(shift, total) + overlap),
            "trees": pairs * sum(tree[2] for tree in trees) + once_kept,
            "joins": 2 * pairs * (total + high) + 2 * whole.bits,
        },
        dsp=pairs * lanes,
        absorbed=pairs * lanes * (_BLOCK_BITS + bits - shift + min(shift, total)),
    )  # fmt: skip


def lanes(stage: ChannelwiseStage | AddStage, sources: Sequence[Number]) -> Part:
    """`LaneTerms`."""
    count, source = stage.fold.lanes, sources[0]
    if isinstance(stage, AddStage):
        cycles = lane_terms.latency(stage) - 1
        luts = ffs = 0
        totals: list[Number] = []
        for digits in lane_terms.digits(stage):
            terms = [
                Number(sources[number].bits + place, sources[number].signed, (1 << place) - 1)
                for number, place in digits
            ] or [Number(0, signed=False)]
            total, tables, registers = _tree(terms)
            luts += tables
            ffs += registers
            ffs += total.registers * (cycles - max(len(terms) - 1, 0).bit_length())
            totals.append(total)
        term, start = _added(*totals, minus=True)
        return Part(
            lut={"trees": count * luts, "differences": count * adder(term.bits - start)},
            ff={"trees": count * ffs, "differences": count * term.registers},
        )
    if stage.weights is None:
        return Part(ff={"operands": count * source.bits})
    if stage.fold.engine == "dsp":
        products = count * (source.bits + stage.weight_bits)
        return Part(ff={"products": products}, dsp=count, absorbed=products)
    wide, bits = stage.weight_bits, source.bits
    places = range(0, wide, 2)
    terms = [Number(bits + 2 + place, source.signed, (1 << place) - 1) for place in places]
    _, luts, ffs = _tree(terms)
    term = bits + wide + 1
    return Part(
        lut={
            "pairs": count * len(terms) * chain(bits + 2), "trees": count * luts,
            "differences": count * adder(term),
        },
        ff={
            "pairs": count * len(terms) * (bits + 2), "trees": count * ffs,
            "operands": count * (lane_terms.latency(stage) - 1) * bits,
            "differences": count * term,
        },
    )  # fmt: skip


def _sum_bits(stage: Stage, source: Number) -> int:
    """Bits of a sum that are not all its sign."""
    if isinstance(stage, ChannelwiseStage) and stage.op == "max":
        return min(stage.acc_bits, source.bits)
    return stage.acc_bits


def accumulators(stage: Stage, source: Number) -> Part:
    """`TileSums`."""
    rows = stage.fold.rows if isinstance(stage, MatrixStage) else stage.fold.lanes
    many, words = stage.tile_steps > 1, latencies.groups(stage)
    bits = _sum_bits(stage, source)
    if isinstance(stage, ChannelwiseStage) and stage.op == "max":
        adders = {"maxima": rows * adder(bits) * many, "enables": 2 * rows * many}
    else:
        adders = {"adders": rows * adder(bits) * many}
    held = rows * bits if words > 1 else 0
    return Part(
        lut={**adders, "held": held - held // words, "controls": 3 * many},
        ff={
            "rows": rows * bits * many, "held": held,
            "controls": (2 * -(-rows // 8) + 2) * many,
        },
    )  # fmt: skip


# --- what it makes of the sums ---


def with_blocks(stage: Stage, source: Number, own: Reads, parts: Parts) -> Parts:
    """The parts of a stage, of which the registers that stand around multiplier blocks are absorbed
    if both operands of a block come straight from registers that always take what is new.

    `own` is what the stage reads of its first source.
    """
    name = stage.fold.engine if isinstance(stage, MatrixStage) else "lanes"
    engine = parts.get(name, Part())
    if not engine.dsp:
        return parts
    window, control = parts["window0"], parts["stage"]
    width, words = _weights(stage)
    chosen = own.parts > 1 and parts["buffer0"].bram  # after the registers, in block RAMs
    deep = rom_in_block(width, words) and _block_choices(width, words)
    made = name != "packed" and getattr(stage, "weight_bits", 0) == 1  # -1 or 1, of one bit
    if own.pads or chosen or deep or made or words == 1:
        return {**parts, name: replace(engine, absorbed=0)}
    # The activation and the lowest bits of a weight are read by others, too, where two share one.
    kept, operands = 0, int(window.ff["operands"])
    if isinstance(stage, MatrixStage) and name == "packed":
        kept, operands = engine.dsp * min(_overlap(stage, source.bits), stage.weight_bits), 0
    weights = int(control.ff["weights_registers"])
    if not control.bram:  # the second of two registers
        weights //= 2
    return {
        **parts,
        "window0": replace(window, absorbed=operands),
        "stage": replace(control, absorbed=max(weights - kept, 0)),
    }


def _overlap(stage: MatrixStage, bits: int) -> int:
    """Bits of a product of the upper of two rows that the lower one's reaches into."""
    return max(0, 2 * stage.weight_bits + bits - _BLOCK_BITS)


def control(stage: Stage) -> Part:
    """The stage itself: steps, weights and the words that are announced."""
    steps, words, pace = stage.tile_steps, latencies.groups(stage), latencies.pace(stage)
    cycles = latencies.OPERANDS + latencies.terms(stage)
    tile = (steps - 1).bit_length()
    announced = 0
    if words > 1:
        announced = (words - 1).bit_length() + (pace - 1).bit_length() + 2
    width, depth = _weights(stage)
    weights, address = rom("weights", width, depth), (depth - 1).bit_length()
    return Part(
        lut={
            "stages": 4, "tile": 2 * tile, "announced": 2 * announced,
            "addresses": 2 * address, **weights.lut,
        },
        ff={
            "flags": (3 if steps > 1 else 1) * cycles, "tile": tile + 2 * (steps > 1),
            "announced": announced, "addresses": address, **weights.ff,
        },
        bram=weights.bram,
        absorbed=weights.absorbed,
    )  # fmt: skip


def _weights(stage: Stage) -> tuple[int, int]:
    """(width, depth) of the table of weights."""
    if isinstance(stage, AddStage) or stage.weights is None:
        return 0, 1
    words = weight_words(stage)
    return varying_bits(words, stage.weight_bits), len(words)


def finish(stage: Stage, source: Number) -> Part:
    """`Finish` without its requantizers."""
    output, lanes, acc = stage.output, stage.fold.out_lanes, stage.acc_bits
    sums = _sum_bits(stage, source)
    words = stage.result.channels // lanes
    number = (words - 1).bit_length()
    flags = PARAMETERS + latencies.output(output, latencies.pace(stage))
    lut: dict[str, float] = {"words": 2 * number}
    ff: dict[str, float] = {"words": number, "flags": flags}
    memories = [rom("parameters", stored_bits(field_values(output, acc), lanes), words)]
    if isinstance(output, Thresholds):
        bits = latencies.threshold_bits(output.levels.shape[1])
        memories += [
            rom("levels", varying(levels, acc + 1).bit_count(), len(levels))
            for of_lane in level_tables(output, acc, lanes)
            for levels in of_lane
        ]
        lut["compares"] = lanes * bits * adder(acc + 1)
        ff["numbers"] = 3 * number * (bits - 1)
        ff["sums"] = 3 * lanes * (bits - 1) * sums
        ff["counts"] = lanes * sum(3 * step + 1 for step in range(bits))
    elif isinstance(output, Requantize):
        if output.table is not None:
            memories += [rom("table", stage.result.bits, len(output.table))] * lanes
    else:
        lut["sums"] = lanes * adder(acc)
        ff["sums"] = lanes * acc
    for memory in memories:
        for counts, more in ((lut, memory.lut), (ff, memory.ff)):
            for name, count in more.items():
                counts[name] = counts.get(name, 0) + count
    return Part(
        lut=lut, ff=ff, bram=sum(memory.bram for memory in memories),
        absorbed=sum(memory.absorbed for memory in memories),
    )  # fmt: skip


def requantizers(stage: Stage, source: Number, family: str) -> Parts:
    """The requantizers of a stage, all of one kind of product; none for other outputs."""
    output, count = stage.output, stage.fold.out_lanes
    if not isinstance(output, Requantize):
        return {}
    unit = latencies.product(output, latencies.pace(stage))
    wide, bits = latencies.wide(output), latencies.multiplier_bits(output)
    acc = max(stage.acc_bits, REQUANTIZED_BITS)
    kind = "wide" if wide else "narrow"
    shifts = sum(
        size * (varying(output.shift[lane::count], SHIFT_BITS) >> place & 3).bit_count()
        for place, size in _SHIFT_WINDOWS
        for lane in range(count)
    )
    rest = count * (wide and output.rounding != "half_up")
    twice = count * (output.rounding == "tflite")
    varied, sums = _varying(output.multiplier, bits, count), _sum_bits(stage, source)
    lut = {"shifts": shifts, "rests": 20 * rest, "twice": 10 * twice}
    ff = {
        "shifts": 4 * _varying(output.shift, SHIFT_BITS, count),
        "rests": 4 * rest, "twice": 6 * twice,
    }  # fmt: skip
    if unit is None:
        made = requantize.resources(Widths(acc, bits), count)
        lut |= made.lut | {
            f"{kind}_acc_bits": 4 * count * sums, f"{kind}_varying": varied,
        }  # fmt: skip
        ff |= {**made.ff, "multipliers": varied}
        return {"requantizer": Part(lut=lut, ff=ff, dsp=made.dsp, dsp_of=made.dsp_of)}
    tail = Part(
        lut={f"{kind}_tail": 70 * count, "adders": count * adder(sums), **lut},
        ff={f"{kind}_tail": 70 * count, **ff},
    )
    if unit is DigitSerial:
        cycles = DigitSerial.cycles(bits)
        product = Part(
            lut={"digit": count * 2 * adder(sums + 4), "digit_bits": varied},
            ff={"digit": count * (2 * acc + 4 * cycles + 3), "digit_half": count * 16 * wide},
        )
    else:
        assert unit is SharedBlock
        product = Part(
            lut={f"{kind}_shared": 100 * count, "shared_multiplier": varied},
            ff={
                f"{kind}_shared": count * (115 + 35 * wide), "shared_acc": count * max(acc, 18),
                "shared_multiplier": count * bits,
            },
            dsp=count,
        )  # fmt: skip
    return {"requantizer_tail": tail, "product": product}


def _varying(values: NDArray[np.int64], bits: int, lanes: int) -> int:
    """Bits that are not the same for all channels of their lane."""
    return sum(varying(values[lane::lanes], bits).bit_count() for lane in range(lanes))
