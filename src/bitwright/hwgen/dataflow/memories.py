"""The memories of a pipeline: buffers and read-only tables, in block RAM or in the fabric.

Which of the two is chosen here, by size, and the Verilog says so (the name's ending becomes an
attribute in `hwgen.verilog`), so that their number is known without synthesis.
"""

from collections.abc import Sequence
from functools import reduce
from operator import or_

import numpy as np
from amaranth.hdl import Cat, Const, Module, Signal, Value, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from bitwright.hwgen.isa import address_bits
from bitwright.hwgen.ram import Ram
from bitwright.hwgen.verilog import RAM_STYLES

_BLOCK_WORTH = 64  # look-up tables that a block RAM may save
_RAM_LUTS = 6  # of 16 words of 4 bits, address decoder included
# (bits, words) that one block RAM of an ECP5 can be
_BLOCK_SHAPES = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))


def blocks(width: int, depth: int) -> int:
    """Block RAMs of one buffer that is in block RAM."""
    return min(-(-width // bits) * -(-depth // words) for bits, words in _BLOCK_SHAPES)


def rom_blocks(width: int, depth: int) -> int:
    """Block RAMs of one table of constants that is in block RAM.

    What is too deep is read side by side, and a block RAM has bits of any of the words; those of a
    buffer have bits of one word only, since it is written alone.
    """
    return min(-(-width * -(-depth // words) // bits) for bits, words in _BLOCK_SHAPES)


def rom_in_block(width: int, depth: int) -> bool:
    """Whether a table of constants is in block RAM."""
    return depth > 4 and width * depth / 16 > _BLOCK_WORTH * rom_blocks(width, depth)


def ram_in_block(width: int, depth: int) -> bool:
    """Whether a buffer is in block RAM."""
    return ram_luts(width, depth) > _BLOCK_WORTH * blocks(width, depth)


def ram_luts(width: int, depth: int) -> int:
    """Look-up tables of a buffer in the fabric."""
    return -(-width // 4) * -(-depth // 16) * _RAM_LUTS


class Buffer(wiring.Component):
    """`depth` words of `width` bits; `read_data` follows `read_address` by a cycle.

    What a read returns of a word that is written in the same cycle is undefined.

    Members:
        read_address, read_data, write_enable, write_address, write_data.
    """

    def __init__(self, *, width: int, depth: int) -> None:
        self.width, self.depth = width, depth
        bits = address_bits(depth)
        super().__init__(
            {
                "read_address": In(bits),
                "read_data": Out(width),
                "write_enable": In(1),
                "write_address": In(bits),
                "write_data": In(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if ram_in_block(self.width, self.depth):
            m.submodules.block = ram = Ram(width=self.width, depth=self.depth)
            for name in ("read_address", "write_enable", "write_address", "write_data"):
                m.d.comb += getattr(ram, name).eq(getattr(self, name))
            m.d.comb += self.read_data.eq(ram.read_data)
            return m
        ram = memory.Memory(shape=unsigned(self.width), depth=self.depth, init=[])
        m.submodules[f"words{RAM_STYLES['distributed']}"] = ram
        read, write = ram.read_port(), ram.write_port()
        m.d.comb += [
            read.addr.eq(self.read_address),
            self.read_data.eq(read.data),
            write.en.eq(self.write_enable),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
        ]
        return m


def rom(m: Module, name: str, words: Sequence[int], width: int, address: Value) -> Value:
    """The word of a table of constants, `latencies.ROM_LATENCY` cycles after its address.

    A bit that is the same in all words takes no memory.
    """
    different = reduce(or_, (word ^ words[0] for word in words))
    stored = [bit for bit in range(width) if different >> bit & 1]
    if not stored:
        return Const(words[0], width)
    kept = [
        int("".join(text[width - 1 - bit] for bit in reversed(stored)), 2)
        for text in (format(word, f"0{width}b") for word in words)
    ]
    in_block = rom_in_block(len(stored), len(kept))
    table = memory.Memory(shape=unsigned(len(stored)), depth=len(kept), init=kept)
    m.submodules[name + RAM_STYLES["block" if in_block else "logic"]] = table
    port = table.read_port()
    word = Signal(len(stored), name=f"{name}_word", reset_less=True)
    m.d.comb += port.addr.eq(address)
    m.d.sync += word.eq(port.data)
    if len(stored) == width:
        return word
    places = {bit: place for place, bit in enumerate(stored)}
    return Cat(
        word[places[bit]] if bit in places else Const(words[0] >> bit & 1, 1)
        for bit in range(width)
    )


def varying(values: NDArray[np.int64], bits: int) -> int:
    """Mask of the bits that are not the same in all of `values`."""
    return int(np.bitwise_or.reduce(values ^ values[0])) & (1 << bits) - 1
