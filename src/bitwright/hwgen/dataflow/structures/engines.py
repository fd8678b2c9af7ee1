"""What a stage computes: products, weighted sums, accumulators."""

from collections.abc import Sequence
from dataclasses import replace

from bitwright.hwgen.dataflow import lanes as lane_terms
from bitwright.hwgen.dataflow import latencies
from bitwright.hwgen.dataflow.loops import Reads
from bitwright.hwgen.dataflow.memories import rom_in_block
from bitwright.hwgen.dataflow.structures.parts import (
    Number,
    Part,
    Parts,
    added,
    adder,
    block_choices,
    chain,
    sum_bits,
    tree,
    weight_table,
)
from bitwright.ir.dataflow import (
    AddStage,
    ChannelwiseStage,
    MatrixStage,
    Stage,
)

_BLOCK_BITS = 18  # of the operands of a multiplier block


def products(stage: MatrixStage, source: Number) -> Part:
    """The engine of a matrix stage."""
    return {"lut": _lut, "dsp": _dsp, "packed": _packed}[stage.fold.engine](stage, source)


def _lut(stage: MatrixStage, source: Number) -> Part:
    rows, lanes, wide = stage.fold.rows, stage.fold.lanes, stage.weight_bits
    pairs, odd = lanes // 2, lanes % 2
    pair = Number(source.bits + 1, source.signed)
    plane, luts, ffs = tree([pair] * pairs + [source] * odd)
    ffs += pairs * pair.bits + odd * source.bits
    once = [0, 0]
    if wide == 1:
        whole, *once = tree([source] * lanes)
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
    _, luts, ffs = tree([product] * lanes)
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
        tree([Number(_BLOCK_BITS + bits - shift, signed=True)] * lanes, total),
        tree([Number(carried, source.signed)] * lanes) if carried else (Number(0, False), 0, 0),
        tree([Number(min(shift, total), signed=False)] * lanes, total),
    ]
    whole, once, once_kept = tree([source] * lanes)
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
            total, tables, registers = tree(terms)
            luts += tables
            ffs += registers
            ffs += total.registers * (cycles - max(len(terms) - 1, 0).bit_length())
            totals.append(total)
        term, start = added(*totals, minus=True)
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
    _, luts, ffs = tree(terms)
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


def accumulators(stage: Stage, source: Number) -> Part:
    """`TileSums`."""
    rows = stage.fold.rows if isinstance(stage, MatrixStage) else stage.fold.lanes
    many, words = stage.tile_steps > 1, latencies.groups(stage)
    bits = sum_bits(stage, source)
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
    width, words = weight_table(stage)
    chosen = own.parts > 1 and parts["buffer0"].bram  # after the registers, in block RAMs
    deep = rom_in_block(width, words) and block_choices(width, words)
    made = name != "packed" and getattr(stage, "weight_bits", 0) == 1  # -1 or 1, of one bit
    if own.pads or chosen or deep or made or words == 1 or not width:
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


def _sum(a: Number, b: Number, *, minus: bool = False) -> Number:
    """Shape of a + b (a - b), as Amaranth has it."""
    return added(a, b, minus=minus)[0]
