"""How soon an instruction may start while the results of the one before are still on their way.

Everything that it must not meet is a function of both instructions: fields that steps of the one
before still need, the output stage, and results that it reads. So the program says how long it
waits (the field `handover`), and the machine counts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise, product
from operator import mul

from bitwright.hwgen import operands
from bitwright.hwgen.address import LOOPS
from bitwright.hwgen.core import OPERANDS, term_latency
from bitwright.hwgen.cycles import last_step, written
from bitwright.hwgen.engines import accumulator
from bitwright.hwgen.isa import (
    COMPUTE,
    HANDOVER_BITS,
    MATRIX,
    Instruction,
    field_bits,
    output_cycles,
)
from bitwright.hwgen.output import hop_cycles
from bitwright.hwgen.sequencer import FETCH_CYCLES_COMPUTE
from bitwright.ir.instructions import Space
from bitwright.ir.machine import Machine

SOURCE_LOOPS = [loop for loop in LOOPS if loop != "plane"]  # a plane reads the same words again
_MOST = (1 << HANDOVER_BITS) - 1


def hand_over(machine: Machine, instructions: Sequence[Instruction]) -> list[Instruction]:
    """The program with every `handover` as short as it may be; 0 where waiting is as good."""
    result = list(instructions)
    late = 0  # cycles from the last step of an instruction to the last result of the one before
    for number, (now, after) in enumerate(pairwise(instructions)):
        if now.opcode not in COMPUTE:
            continue
        drain = written(machine, now) - last_step(machine, now)
        wait = 0
        if after.opcode in COMPUTE:
            wait = max(late + 1, _least(machine, now, after, drain))
            wait = 0 if wait >= min(drain, _MOST + 1) else wait
        result[number] = replace(now, fields={**now.fields, "handover": wait})
        start = wait + 1 if wait else drain + 1
        late = drain - start - last_step(machine, after) if after.opcode in COMPUTE else 0
    return result


def _least(machine: Machine, now: Instruction, after: Instruction, drain: int) -> int:
    """Cycles from the last step of `now` to just before the start of `after`.

    `drain`: cycles from that step to the last result.
    """
    read = operands.LATENCY if machine.dsp else OPERANDS
    least = read  # pad_value and src_space have been used
    if not _same_engine(machine, now, after):
        least = 1 + accumulator.LATENCY + max(
            term_latency(machine, opcode) for opcode in (now.opcode, after.opcode)
        )  # fmt: skip
    # The output stage has gone over when the first tile comes.
    least = max(least, drain + 2 - after.tile_steps - term_latency(machine, after.opcode))
    if now.adds:  # its tables are in use until the instruction after the next one is fetched
        least = max(least, drain - FETCH_CYCLES_COMPUTE)
    if now["dst_space"] == after["src_space"] == Space.MAIN:
        # Step i of `after` reads a word not before cycle `least + 3 + late + i`.
        late = operands.ADDRESS - hop_cycles(machine) if machine.dsp else 0
        steps = max(drain - least - 2 - late, 0)
        first: dict[int, int] = {}
        for step, words in zip(range(steps), _reads(machine, after), strict=False):
            for word in words:
                first.setdefault(word, step)
        # The tile before the last is written when the last one's groups begin, or sooner.
        before = 0
        for words in _writes(now):
            if before >= steps:
                break
            found = [first[word] for word in words if word in first]
            if found:
                least = max(least, drain - before - 2 - late - min(found))
            last = output_cycles(machine, now.opcode, now.last_pixels)
            before += now.tile_steps if before else last
    return least


def _same_engine(machine: Machine, now: Instruction, after: Instruction) -> bool:
    """Whether steps of both may be in the engines at once."""
    if (now.opcode in MATRIX) != (after.opcode in MATRIX):
        return False
    names = ["channel_op", *(["pixels", "w_same_steps"] if machine.dsp else [])]
    return now.opcode in MATRIX or all(now[name] == after[name] for name in names)


def _reads(machine: Machine, i: Instruction) -> Iterator[list[int]]:
    """The words that each step reads, inside of the source."""
    size = 1 << field_bits(machine)["src_base"]
    others = _others(machine, i) if i.adds else iter(())
    base, y0, x0 = i["src_base"], i["y0"], i["x0"]
    strides = {
        axis: [i[f"{axis}_{loop}"] if loop in loops else 0 for loop in LOOPS]
        for axis, loops in (("s", SOURCE_LOOPS), ("y", ("oy", "ky")), ("x", ("ox", "kx")))
    }
    height, width = range(i["height"]), range(i["width"])
    pixels = [(pixel * i["s_pixel"], pixel * i["x_pixel"]) for pixel in range(machine.pixels)]
    for number, count in enumerate(product(*(range(i[f"n_{loop}"]) for loop in LOOPS))):
        place = base + sum(map(mul, count, strides["s"]))
        x = x0 + sum(map(mul, count, strides["x"]))
        inside = y0 + sum(map(mul, count, strides["y"])) in height
        yield [(place + s) % size for s, right in pixels if inside and x + right in width]
        if i.adds and number % i.steps == i.steps - 1:
            yield next(others)


def _others(machine: Machine, i: Instruction) -> Iterator[list[int]]:
    """The words that the last step of each tile reads."""
    rows = i["n_block"] * i["n_oy"]
    counts = ([i["pixels_first"]] * (i["n_ox"] - 1) + [i.last_pixels]) * rows
    for begin in accumulate(counts[:-1], initial=i["add_base"]):
        yield list(range(begin, begin + machine.pixels))


def _writes(i: Instruction) -> Iterator[list[int]]:
    """The words that each tile writes, the last tile first."""
    counts = [i["pixels"]] * i["n_ox"]
    counts[-1], counts[0] = i["pixels_last"], i["pixels_first"]
    row, blocks = i.row_pixels, i["n_block"]
    begins = [0, *accumulate(counts)]
    for block, oy, ox in product(*(reversed(range(i[f"n_{loop}"])) for loop in LOOPS[:3])):
        words = i["dst_words_last"] if block == blocks - 1 else i["dst_words"]
        yield [
            i["dst_base"] + (block * i["dst_words"] + word) * i["dst_word_stride"]
            + oy * row + begins[ox] + pixel
            for word in range(words) for pixel in range(counts[ox])
        ]  # fmt: skip
