"""How many pixels by how many vectors of outputs a dot product kernel sums up at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bitwright.codegen.cpu.vectors import LANES

REGISTERS = 32
SPARE = 3
"""Of the registers: a broadcast under way, the 128, and one for what LLVM wants."""
LATENCY = 4.5
"""Cycles that one step takes at least: a product is ready about this much after its sum."""
MOST_VECTORS = 8
MOST_PIXELS = 16
"""Of one vector of outputs: LLVM reads all pixels first, and has registers for no more."""
FIRST_CACHE = 24 * 1024
"""Bytes of weights that stay in the first cache beside the activations."""


@dataclass(frozen=True)
class Tile:
    """How many pixels and how many vectors of outputs are summed up at once."""

    pixels: int
    vectors: int


@dataclass(frozen=True)
class Work:
    """What a tile is for: rows of pixels, vectors of outputs, products in a sum."""

    rows: int
    columns: int
    vectors: int
    depth: int


Choose = Callable[[Work, Any, Any], Tile]
"""The tile for a piece of work, which is this operation and its requantize."""


def ranked(work: Work) -> list[Tile]:
    """All tiles that the registers hold; those with the fewest cycles come first.

    A step of four products in each sum takes as long as the longest of: its multiplications (two a
    cycle), its loads (two a cycle), the latency of one sum, and the weights on their way from the
    second cache where those of a block (sums of `depth` products) exceed the first.
    """

    def cycles(tile: Tile) -> float:
        block = work.depth * tile.vectors * LANES
        weights = tile.vectors * (2 if block > FIRST_CACHE else 0.5)

        def step(pixels: int) -> float:
            return max(pixels * tile.vectors / 2, (pixels + tile.vectors) / 2, LATENCY, weights)

        whole, rest = divmod(work.columns, tile.pixels)
        steps = whole * step(tile.pixels) + (step(rest) if rest else 0)
        return steps * work.vectors / tile.vectors

    tiles = [
        Tile(pixels, width)
        for width in range(1, min(work.vectors, MOST_VECTORS) + 1)
        if work.vectors % width == 0
        for pixels in range(1, work.columns + 1)
        if pixels * width + width + SPARE <= REGISTERS and (width > 1 or pixels <= MOST_PIXELS)
    ]
    return sorted(tiles, key=lambda tile: (cycles(tile), tile.pixels + tile.vectors))


def by_model(work: Work, op: Any, requantize: Any) -> Tile:
    """The first of `ranked`."""
    return ranked(work)[0]
