"""What a stage reads: loops, windows and buffers; and what is at the ends of a pipeline."""

from collections.abc import Sequence
from math import gcd

from bitwright.hwgen.dataflow import host_words
from bitwright.hwgen.dataflow.core import host_memories
from bitwright.hwgen.dataflow.loops import Loop, Reads
from bitwright.hwgen.dataflow.memories import blocks, ram_in_block, ram_luts
from bitwright.hwgen.dataflow.structures.parts import (
    TABLE_WORDS,
    Part,
    adder,
    block_choices,
    chain,
)
from bitwright.ir.dataflow import Pipeline
from bitwright.targets.host_interface import Window

_TIME_BITS = 32  # of a counter of cycles or images that the host sees


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
        choices = block_choices(width, depth)
        return Part(lut={"block_choices": choices}, bram=blocks(width, depth))
    rows = -(-depth // TABLE_WORDS)
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
