"""Linear layers of integer weights on rows that are quantized at run time (`bw.dynamic_linear`).

With AVX-512 VNNI, 16 outputs lie in a vector and some vectors are computed at once. Weights are
unsigned codes (`planes`), so that the integers of the row, the same in every lane, are the signed
operand of `vpdpbusd`. One row masks the fields of a byte one after the other, each with a sum of
its own that is shifted back once in a group. Several rows share codes that are unpacked first.
Float operations are those of the definition, one by one; nothing is contracted.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.codegen.cpu import dynamic_portable
from bitwright.codegen.cpu.decoder_program import DecoderValues, refuse
from bitwright.codegen.cpu.dynamic_rows import Layout, quantized
from bitwright.codegen.cpu.gemv import AHEAD, SECOND_CACHE, SUMS
from bitwright.codegen.cpu.planes import Codes, Plane, codes_of, joined, packed
from bitwright.codegen.cpu.program import Kernel, count
from bitwright.codegen.cpu.vectors import (
    BYTES,
    FLOATS,
    HALVES,
    INTS,
    LANES,
    QUAD,
    VECTOR,
    VectorCode,
)
from bitwright.ir import graph
from bitwright.ir.types import shape_of

CHAINS = 8
"""Sums that are needed to keep both multipliers busy for the time that one product takes."""
TILE = 24
"""Vectors of sums of several rows, and of floats beside them where there are several groups."""
UNROLLED = 256
"""Products of a group that stand in a row, without a loop."""
PART = 64
"""Products of one round of a loop, where there are more."""


def linear(kernel: Kernel, values: DecoderValues, op: Any) -> None:
    """Any number of rows."""
    weight, scale, bias = (graph.constant_of(v) for v in (op.weight, op.scale, op.bias))
    if weight is None or scale is None or bias is None:
        raise refuse(op, "has weights that are computed")
    if values.level.has_dot_products:
        _Product(kernel, values, op, weight, scale, bias).emit()
    else:
        dynamic_portable.linear(kernel, values, op, weight)


def padded_groups(weight: NDArray[Any], groups: int, step: int) -> NDArray[Any]:
    """[N, K] to [N, groups * P], P the length of a group in whole steps; zeros behind each."""
    split = weight.reshape(len(weight), groups, -1)
    return np.pad(split, ((0, 0), (0, 0), (0, -split.shape[2] % step))).reshape(len(weight), -1)


def choose_vectors(needed: int, fields: int) -> int:
    """Vectors of outputs at once: the fewest of them in all, where a block costs half of one."""
    fitting = [n for n in (8, 6, 4, 3, 2, 1) if n * fields <= SUMS or n == 1]
    return min(fitting, key=lambda n: (-(-needed // n) * (n + 0.5), -n))


@dataclass(frozen=True)
class Tile:
    """How many rows and how many vectors of outputs are summed up at once."""

    rows: int
    vectors: int


def choose_tile(rows: int, vectors: int, most: int) -> Tile:
    """The tile of several rows with the fewest loads for a product; it divides `vectors`.

    Weights come from the second cache and count twice. `most` is how many vectors it has.
    """
    tiles = [
        Tile(height, width)
        for width in range(1, vectors + 1)
        if vectors % width == 0
        for height in range(1, rows + 1)
        if height * width <= most
    ]

    def loads(tile: Tile) -> float:
        tiles_ = -(-rows // tile.rows)
        return (rows + 2 * tiles_ * tile.vectors) / tile.vectors

    return min(tiles, key=lambda tile: (loads(tile), -tile.vectors))


@dataclass(frozen=True)
class _Place:
    """Where a tile stands: its block, its first vector there, and the terms of its first row."""

    block: str
    vector: int
    rows: list[tuple[str, int]]
    first: int

    def row(self, r: int, size: int) -> tuple[list[tuple[str, int]], int]:
        """Terms and offset of row r in an array of rows of `size`."""
        return [(name, factor * size) for name, factor in self.rows], (self.first + r) * size


class _Product:
    def __init__(
        self, kernel: Kernel, values: DecoderValues, op: Any, weight: NDArray[np.int8],
        scale: NDArray[np.float32], bias: NDArray[np.float32],
    ) -> None:  # fmt: skip
        key = op.weight.owner.attributes["value"]
        codes: Codes = values.shared(key, lambda: codes_of(weight))
        self._code, self._planes, self._quads = VectorCode(kernel), codes.planes, codes.quads
        self._numbers = codes.step, codes.least
        self._outputs, depth = weight.shape
        self._rows = count(shape_of(op.input)) // depth
        self._groups = scale.shape[1]
        length, step = depth // self._groups, QUAD * codes.quads
        self._steps = -(-length // step)
        self._padded = self._steps * step
        layout = Layout(self._groups, length, self._padded)
        self._fields = sum(plane.fields for plane in codes.planes)
        needed = -(-self._outputs // LANES)
        self._vectors = choose_vectors(needed, self._fields)
        self._blocks = -(-needed // self._vectors)
        self._stored = [codes.quads // plane.fields for plane in codes.planes]
        self._size = self._vectors * sum(self._stored) * VECTOR
        self._far = values.weights > SECOND_CACHE
        rows = quantized(kernel, values, op.input, layout)
        total = self._rows * self._groups
        self._x = kernel.access(rows.codes, "i8", (total * self._padded,))
        self._sums = kernel.access(rows.sums, "i32", (total,))
        self._row_scales = kernel.access(rows.scales, "f32", (self._rows,))
        self._y = values.view(kernel, op.result, (self._rows * self._outputs,))

        def pack() -> NDArray[Any]:
            filled = padded_groups(codes.values, self._groups, step)
            return packed(Codes(filled, codes.bits, codes.step, codes.least), self._vectors)

        form = (self._groups, self._vectors)
        memory = values.stored("weights", (key, *form), pack)
        self._weights = kernel.access(memory, "i8", (memory.size,))
        halves = np.array_equal(scale, scale.astype(np.float16))
        grid = op.scale.owner.attributes["value"]
        memory = values.stored("scales", (grid, *form), lambda: self._lanes(scale, halves))
        self._half = halves
        size = self._blocks * self._vectors * LANES
        self._scales = kernel.access(memory, "f16" if halves else "f32", (size * self._groups,))
        added = op.bias.owner.attributes["value"]
        memory = values.stored("bias", (added, *form), lambda: self._lanes(bias[:, None], False))
        self._bias = kernel.access(memory, "f32", (size,))

    def _lanes(self, numbers: NDArray[np.float32], halves: bool) -> NDArray[Any]:
        """[outputs, groups] to [block, group, vector, lane], zeros behind."""
        width = self._vectors * LANES
        filled = np.zeros((self._blocks * width, numbers.shape[1]), np.float32)
        filled[: self._outputs] = numbers
        ordered = filled.reshape(self._blocks, width, -1).transpose(0, 2, 1)
        return ordered.astype(np.float16) if halves else np.ascontiguousarray(ordered)

    def emit(self) -> None:
        """All outputs of all rows."""
        code = self._code
        tile = Tile(1, self._vectors)
        if self._rows > 1:
            tile = choose_tile(self._rows, self._vectors, TILE // (2 if self._groups > 1 else 1))
        whole, rest = divmod(self._rows, tile.rows)
        with code.loop(self._blocks, shared=True) as block:
            if self._rows == 1:
                self._tile(_Place(block, 0, [], 0), tile)
                return
            parts = range(0, self._vectors, tile.vectors)
            with code.loop(whole) as at:
                for vector in parts:
                    self._tile(_Place(block, vector, [(at, tile.rows)], 0), tile)
            for vector in parts if rest else ():
                place = _Place(block, vector, [], whole * tile.rows)
                self._tile(place, Tile(rest, tile.vectors))

    def _tile(self, place: _Place, tile: Tile) -> None:
        code = self._code
        start = [code.splat(-0.0, FLOATS)] * (tile.rows * tile.vectors)  # -0 + x is x
        totals = code.sums(
            self._groups, start, lambda group, sums: self._group(place, tile, group, sums), FLOATS
        )
        width = self._vectors * LANES
        for r in range(tile.rows):
            scale = self._broadcast(self._row_scales, "f32", FLOATS, *place.row(r, 1))
            for v in range(tile.vectors):
                offset = (place.vector + v) * LANES
                at = code.index([(place.block, width)], offset)
                y = code.apply("mulf", totals[r * tile.vectors + v], scale, FLOATS)
                y = code.apply("addf", y, code.load(self._bias, at, FLOATS), FLOATS)
                terms, first = place.row(r, self._outputs)
                to = code.index([*terms, (place.block, width)], first + offset)
                if self._outputs % width:
                    left = code.index([(place.block, -width)], self._outputs - offset)
                    code.store_first(left, y, self._y, to, FLOATS)
                else:
                    code.store(y, self._y, to, FLOATS)

    def _group(self, place: _Place, tile: Tile, group: str, totals: list[str]) -> list[str]:
        """The totals with one more group."""
        code, (step, least) = self._code, self._numbers
        sums = self._one_row(place, group) if self._rows == 1 else self._several(place, tile, group)
        scales = [self._scale(place, group, v) for v in range(tile.vectors)]
        made: list[str] = []
        for r in range(tile.rows):
            terms, first = place.row(r, self._groups)
            sum_ = self._broadcast(self._sums, "i32", INTS, [*terms, (group, 1)], first)
            lowest = code.apply("muli", sum_, code.splat(least, INTS), INTS)
            for v in range(tile.vectors):
                at = r * tile.vectors + v
                exact = sums[at]
                if step != 1:
                    exact = code.apply("muli", exact, code.splat(step, INTS), INTS)
                exact = code.apply("addi", exact, lowest, INTS)
                real = code.convert("arith.sitofp", exact, INTS, FLOATS)
                term = code.apply("mulf", real, scales[v], FLOATS)
                made.append(code.apply("addf", totals[at], term, FLOATS))
        return made

    def _scale(self, place: _Place, group: str, v: int) -> str:
        code, width = self._code, self._vectors * LANES
        terms = [(place.block, self._groups * width), (group, width)]
        at = code.index(terms, (place.vector + v) * LANES)
        if self._far and self._rows == 1:
            code.prefetch(self._scales, code.index([(at, 1)], AHEAD // 4))
        if not self._half:
            return code.load(self._scales, at, FLOATS)
        return code.convert("arith.extf", code.load(self._scales, at, HALVES), HALVES, FLOATS)

    def _broadcast(
        self, view: Any, element: str, type_: str, terms: list[tuple[str, int]], offset: int
    ) -> str:
        code = self._code
        at = code.index(terms, offset)
        one = code.make(f"memref.load {view.name}[{at}] : {view.type}")
        return code.convert("vector.broadcast", one, element, type_)

    def _one_row(self, place: _Place, group: str) -> list[str]:
        """The sum of each vector over a group, one sum for each field, some for alternate steps."""
        code = self._code
        own = self._vectors * self._fields
        unroll = self._unroll(self._vectors * self._quads * len(self._planes))
        chains = min(unroll, max(1, CHAINS // own))
        masks = [
            [self._mask(plane, field) for field in range(plane.fields)] for plane in self._planes
        ]

        def several(at: str, sums: list[str]) -> list[str]:
            made = list(sums)
            for u in range(unroll):
                chain = slice(u % chains * own, (u % chains + 1) * own)
                made[chain] = self._masked(place, group, (at, unroll, u), made[chain], masks)
            return made

        zero = code.splat(0, INTS)
        found = code.sums(self._steps // unroll, [zero] * (own * chains), several)
        total = found[:own]
        for chain in range(1, chains):
            more = found[chain * own : (chain + 1) * own]
            total = [code.apply("addi", a, b, INTS) for a, b in zip(total, more, strict=True)]
        return [
            joined(code, self._planes, total[first : first + self._fields])
            for first in range(0, own, self._fields)
        ]

    def _unroll(self, products: int) -> int:
        """Steps in a row, where one has so many products."""
        if self._steps * products <= UNROLLED:
            return self._steps
        fitting = (n for n in range(max(PART // products, 1), 0, -1) if self._steps % n == 0)
        return next(fitting)

    def _mask(self, plane: Plane, field: int) -> str | None:
        if plane.fields == 1:
            return None
        return self._code.splat(plane.mask(field), BYTES)

    def _load(
        self, place: _Place, group: str, step: tuple[str, int, int], vectors: int
    ) -> list[str]:
        """The bytes of some vectors in a step."""
        code = self._code
        at, unroll, u = step
        each = sum(self._stored)
        terms = [(place.block, self._groups * self._steps * self._size),
                 (group, self._steps * self._size), (at, unroll * self._size)]  # fmt: skip
        first = u * self._size + place.vector * each * VECTOR
        if self._far and self._rows == 1:
            for n in range(vectors * each):
                code.prefetch(self._weights, code.index(terms, first + AHEAD + n * VECTOR))
        return [
            code.load(self._weights, code.index(terms, first + n * VECTOR), BYTES)
            for n in range(vectors * each)
        ]

    def _four(
        self, place: _Place, r: int, group: str, step: tuple[str, int, int], quad: int
    ) -> str:  # fmt: skip
        """Four integers of a row, the same in every lane."""
        at, unroll, u = step
        size = self._quads * QUAD
        terms, first = place.row(r, self._groups * self._padded)
        terms = [*terms, (group, self._padded), (at, unroll * size)]
        return self._code.broadcast(
            self._x, self._code.index(terms, first + u * size + quad * QUAD)
        )

    def _masked(
        self, place: _Place, group: str, step: tuple[str, int, int], sums: list[str],
        masks: list[list[str | None]],
    ) -> list[str]:  # fmt: skip
        code = self._code
        loaded = self._load(place, group, step, self._vectors)
        made = list(sums)
        for quad in range(self._quads):
            four = self._four(place, 0, group, step, quad)
            for v in range(self._vectors):
                first, at = v * sum(self._stored), v * self._fields
                for plane, stored, own in zip(self._planes, self._stored, masks, strict=True):
                    n, field = divmod(quad, plane.fields)
                    part, mask = loaded[first + n], own[field]
                    if mask is not None:
                        part = code.apply("andi", part, mask, BYTES)
                    made[at + field] = code.products(made[at + field], part, four)
                    first += stored
                    at += plane.fields
        return made

    def _several(self, place: _Place, tile: Tile, group: str) -> list[str]:
        """The sums of a tile over a group, row by row."""
        code = self._code
        unroll = self._unroll(tile.rows * tile.vectors * self._quads)

        def rounds(at: str, sums: list[str]) -> list[str]:
            made = list(sums)
            for u in range(unroll):
                step = (at, unroll, u)
                loaded = self._load(place, group, step, tile.vectors)
                for quad in range(self._quads):
                    codes = [self._unpacked(loaded, v, quad) for v in range(tile.vectors)]
                    for r in range(tile.rows):
                        four = self._four(place, r, group, step, quad)
                        for v, part in enumerate(codes):
                            n = r * tile.vectors + v
                            made[n] = code.products(made[n], part, four)
            return made

        zero = code.splat(0, INTS)
        return code.sums(self._steps // unroll, [zero] * (tile.rows * tile.vectors), rounds)

    def _unpacked(self, loaded: list[str], v: int, quad: int) -> str:
        """The whole codes of four inputs for 16 outputs."""
        code = self._code
        first, total = v * sum(self._stored), ""
        for plane, stored in zip(self._planes, self._stored, strict=True):
            n, field = divmod(quad, plane.fields)
            part = loaded[first + n]
            right = plane.bits * field - plane.place
            if right:
                words = code.convert("vector.bitcast", part, BYTES, INTS)
                by = code.splat(abs(right), INTS)
                words = code.apply("shrui" if right > 0 else "shli", words, by, INTS)
                part = code.convert("vector.bitcast", words, INTS, BYTES)
            if plane.fields > 1:
                byte = ((1 << plane.bits) - 1) << plane.place
                part = code.apply("andi", part, code.splat(byte, BYTES), BYTES)
            total = code.apply("ori", total, part, BYTES) if total else part
            first += stored
        return total
