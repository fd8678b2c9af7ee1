"""Weights of 1 to 8 bits as planes of codes, in the order in which kernels read them.

Weights are stored as unsigned codes u, with w = step * u + least, cut into planes of 8, 4, 2 and 1
bits. A byte holds several fields of a plane, each for other activations.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.codegen.cpu.vectors import INTS, LANES, QUAD, VectorCode


@dataclass(frozen=True)
class Plane:
    """`bits` bits of each code, from bit `place` on."""

    bits: int
    place: int

    @property
    def fields(self) -> int:
        return 8 // self.bits

    def mask(self, field: int) -> int:
        """The signed byte that leaves one field of the stored ones."""
        byte = ((1 << self.bits) - 1) << self.bits * field
        return byte - 256 if byte > 127 else byte


@dataclass(frozen=True)
class Codes:
    """Weights as w = step * code + least, with codes of `bits` bits."""

    values: NDArray[np.uint8]
    bits: int
    step: int
    least: int

    @property
    def planes(self) -> tuple[Plane, ...]:
        """From the lowest bits up."""
        made: list[Plane] = []
        place = 0
        for bits in (8, 4, 2, 1):
            if self.bits & bits:
                made.append(Plane(bits, place))
                place += bits
        return tuple(made)

    @property
    def quads(self) -> int:
        """Groups of four activations in a step: the fields of the narrowest plane."""
        return max(plane.fields for plane in self.planes)


def codes_of(weight: NDArray[Any]) -> Codes:
    """The codes of fewest bits of int8 weights."""
    wide = weight.astype(np.int16)
    found = np.flatnonzero(np.bincount(wide.ravel() + 128, minlength=256)) - 128
    least = int(found[0])
    step = int(np.gcd.reduce(found - least)) or 1
    bits = max(int((found[-1] - least) // step).bit_length(), 1)
    return Codes(((wide - least) // step).astype(np.uint8), bits, step, least)


def packed(codes: Codes, vectors: int) -> NDArray[np.int8]:
    """[outputs, depth] to [block, step, vector, plane, byte vector, lane, 4], zeros behind."""
    quads = codes.quads
    outputs, depth = codes.values.shape
    steps = -(-depth // (quads * QUAD))
    blocks = -(-outputs // (vectors * LANES))
    filled = np.zeros((blocks * vectors * LANES, steps * quads * QUAD), np.uint8)
    filled[:outputs, :depth] = codes.values
    split = filled.reshape(blocks, vectors, LANES, steps, quads, QUAD)
    ordered = split.transpose(0, 3, 1, 4, 2, 5)  # block, step, vector, quad, lane, 4
    parts: list[NDArray[np.uint8]] = []
    for plane in codes.planes:
        bits = ordered >> plane.place & (1 << plane.bits) - 1
        fields = bits.reshape(*bits.shape[:3], -1, plane.fields, LANES, QUAD)
        places = (plane.bits * np.arange(plane.fields, dtype=np.uint8))[:, None, None]
        parts.append(np.bitwise_or.reduce(fields << places, axis=4))
    return np.concatenate(parts, axis=3).reshape(-1).view(np.int8)


def joined(code: VectorCode, planes: Sequence[Plane], sums: Iterable[str]) -> str:
    """The sums of masked fields of all planes, each shifted to its place, added up."""
    total, rest = "", iter(sums)
    for plane in planes:
        for field in range(plane.fields):
            part = next(rest)
            if field:
                part = code.apply("shrsi", part, code.splat(plane.bits * field, INTS), INTS)
            if plane.place:
                part = code.apply("shli", part, code.splat(plane.place, INTS), INTS)
            total = code.apply("addi", total, part, INTS) if total else part
    return total
