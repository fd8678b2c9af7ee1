"""What a stage makes of its sums, and its own steps."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bitwright.hwgen import requantize
from bitwright.hwgen.dataflow import latencies
from bitwright.hwgen.dataflow.finish import (
    PARAMETERS,
    Widths,
    field_values,
    level_tables,
    stored_bits,
)
from bitwright.hwgen.dataflow.memories import varying
from bitwright.hwgen.dataflow.structures.parts import (
    Number,
    Part,
    Parts,
    adder,
    rom,
    sum_bits,
    weight_table,
)
from bitwright.hwgen.serial_product import DigitSerial, SharedBlock
from bitwright.ir.dataflow import (
    REQUANTIZED_BITS,
    Requantize,
    Stage,
    Thresholds,
)
from bitwright.ir.machine import SHIFT_BITS

_SHIFT_WINDOWS = ((4, 24), (2, 12), (0, 9))  # bits of a shift, and of what they choose


def control(stage: Stage) -> Part:
    """The stage itself: steps, weights and the words that are announced."""
    steps, words, pace = stage.tile_steps, latencies.groups(stage), latencies.pace(stage)
    cycles = latencies.OPERANDS + latencies.terms(stage)
    tile = (steps - 1).bit_length()
    announced = 0
    if words > 1:
        announced = (words - 1).bit_length() + (pace - 1).bit_length() + 2
    width, depth = weight_table(stage)
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


def finish(stage: Stage, source: Number) -> Part:
    """`Finish` without its requantizers."""
    output, lanes, acc = stage.output, stage.fold.out_lanes, stage.acc_bits
    sums = sum_bits(stage, source)
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
    varied, sums = _varying(output.multiplier, bits, count), sum_bits(stage, source)
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
        taken = {
            kind: _multiplier_blocks(output.multiplier, requantize.factors(acc, bits, kind), count)
            for kind in ("ecp5", *requantize.SMALL_BLOCKS)
        }
        return {"requantizer": Part(lut=lut, ff=ff, dsp=taken["ecp5"], dsp_of=taken)}
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


def _multiplier_blocks(
    multipliers: NDArray[np.int64], factors: Sequence[tuple[int, int, bool]], lanes: int
) -> int:
    """Of all lanes, without those that synthesis leaves out: where a lane has one multiplier, and a
    factor of it is 0 or a power of two, or its negative if it is signed."""
    count = 0
    for own in (multipliers[lane::lanes] for lane in range(lanes)):
        for low, high, is_signed in factors:
            factor = int(own[0]) >> low & (1 << high - low) - 1
            least = 1 << high - low - 1 if is_signed else 1  # power of two that is a shift
            needed = factor & factor - 1 or 0 < factor < least
            count += bool(needed) or len(set(own.tolist())) > 1
    return count


def _varying(values: NDArray[np.int64], bits: int, lanes: int) -> int:
    """Bits that are not the same for all channels of their lane."""
    return sum(varying(values[lane::lanes], bits).bit_count() for lane in range(lanes))
