"""Rows of floats to integers and a scale, as `bitwright.ir.reference_dynamic` says, in vectors.

The integers of a group lie in a row, with zeros behind them up to a whole number of steps of the
product that reads them; their sum stands beside them.
"""

from dataclasses import dataclass

import numpy as np
from torch_mlir import ir

from bitwright.codegen.cpu.decoder_program import DecoderValues
from bitwright.codegen.cpu.program import Kernel, Memory, View, count
from bitwright.codegen.cpu.vectors import FLOATS, INTS, LANES, MASK, VectorCode
from bitwright.ir.reference_dynamic import LARGEST_CODE, SMALLEST
from bitwright.ir.types import shape_of

_MAGNITUDE = 0x7FFFFFFF
_INFINITE = 0x7F800000
_LEAST = int(np.float32(SMALLEST).view(np.int32))


@dataclass(frozen=True)
class Layout:
    """`groups` of `length` numbers in a row, in `padded` bytes each."""

    groups: int
    length: int
    padded: int


@dataclass(frozen=True)
class Rows:
    """Memory of codes [rows, groups, padded], of their sums [rows, groups], of scales [rows]."""

    codes: Memory
    sums: Memory
    scales: Memory


def quantized(kernel: Kernel, values: DecoderValues, x: ir.Value, layout: Layout) -> Rows:
    """The rows of x, quantized just before `kernel` or before an earlier one that reads them."""

    def make() -> Rows:
        rows = count(shape_of(x)) // (layout.groups * layout.length)
        span = kernel.step, values.last_read(x)
        sizes = (rows * layout.groups * layout.padded, 4 * rows * layout.groups, 4 * rows)
        made = Rows(*(values.program.allocate(size, *span) for size in sizes))
        _Quantize(kernel.before("quantize"), values, x, layout, made).emit(rows)
        return made

    return values.once((x, layout), make)


class _Quantize:
    def __init__(
        self, kernel: Kernel, values: DecoderValues, x: ir.Value, layout: Layout, made: Rows
    ) -> None:
        rows = count(shape_of(x)) // (layout.groups * layout.length)
        self._code, self._layout = VectorCode(kernel), layout
        self._x = values.view(kernel, x, (count(shape_of(x)),))
        self._codes = kernel.access(made.codes, "i8", (rows * layout.groups * layout.padded,))
        self._sums = kernel.access(made.sums, "i32", (rows * layout.groups,))
        self._scales = kernel.access(made.scales, "f32", (rows,))

    def emit(self, rows: int) -> None:
        """All rows."""
        code, groups = self._code, self._layout.groups
        limit = code.make(f"arith.constant {float(LARGEST_CODE)} : f32")
        with code.loop(rows, shared=rows > 1) as row:
            bits = self._greatest(row)
            most = code.convert("arith.bitcast", bits, "i32", "f32")
            scale = code.apply("divf", most, limit, "f32")
            code.line(f"memref.store {scale}, {self._scales.name}[{row}] : {self._scales.type}")
            inverse = code.apply("divf", limit, most, "f32")
            factor = code.convert("vector.broadcast", inverse, "f32", FLOATS)
            usable = code.convert("vector.broadcast", self._usable(bits), "i1", MASK)
            with code.loop(groups) as group:
                total = self._group(row, group, factor, usable)
                at = code.index([(row, groups), (group, 1)])
                code.line(f"memref.store {total}, {self._sums.name}[{at}] : {self._sums.type}")

    def _greatest(self, row: str) -> str:
        """The bits of the greatest magnitude: as integers they are in the same order."""
        code = self._code
        depth = self._layout.groups * self._layout.length
        sign = code.splat(_MAGNITUDE, INTS)

        def greater(most: str, real: str) -> str:
            bits = code.convert("vector.bitcast", real, FLOATS, INTS)
            return code.apply("maxsi", most, code.apply("andi", bits, sign, INTS), INTS)

        def whole(at: str, carried: list[str]) -> list[str]:
            where = code.index([(row, depth), (at, LANES)])
            return [greater(carried[0], code.load(self._x, where, FLOATS))]

        (most,) = code.sums(depth // LANES, [code.splat(0, INTS)], whole)
        if depth % LANES:
            where = code.index([(row, depth)], depth - depth % LANES)
            lanes = code.index_constant(depth % LANES)
            most = greater(most, code.load_first(lanes, self._x, where, FLOATS))
        return code.make(f"vector.reduction <maxsi>, {most} : {INTS} into i32")

    def _usable(self, bits: str) -> str:
        code = self._code
        least = code.make(f"arith.constant {_LEAST} : i32")
        infinite = code.make(f"arith.constant {_INFINITE} : i32")
        above = code.make(f"arith.cmpi sge, {bits}, {least} : i32")
        below = code.make(f"arith.cmpi slt, {bits}, {infinite} : i32")
        return code.apply("andi", above, below, "i1")

    def _group(self, row: str, group: str, factor: str, usable: str) -> str:
        """Stores the integers of a group; their sum."""
        code, layout = self._code, self._layout
        zero = code.splat(0, INTS)
        nothing = code.splat(0.0, FLOATS)

        def place(offset: int, at: str | None, view: View) -> str:
            length = layout.length if view is self._x else layout.padded
            terms = [(row, layout.groups * length), (group, length)]
            return code.index([*terms, *([(at, LANES)] if at else [])], offset)

        def integers(real: str) -> str:
            scaled = code.apply("mulf", real, factor, FLOATS)
            nearest = code.make(f"math.roundeven {scaled} : {FLOATS}")
            kept = code.make(f"arith.select {usable}, {nearest}, {nothing} : {MASK}, {FLOATS}")
            return code.convert("arith.fptosi", kept, FLOATS, INTS)

        def narrow(wide: str) -> str:
            return code.convert("arith.trunci", wide, INTS, f"vector<{LANES}xi8>")

        def whole(at: str, carried: list[str]) -> list[str]:
            wide = integers(code.load(self._x, place(0, at, self._x), FLOATS))
            code.store(narrow(wide), self._codes, place(0, at, self._codes))
            return [code.apply("addi", carried[0], wide, INTS)]

        full = layout.length // LANES
        (total,) = code.sums(full, [zero], whole)
        for first in range(full * LANES, layout.padded, LANES):
            wide = zero
            if first < layout.length:
                lanes = code.index_constant(layout.length - first)
                real = code.load_first(lanes, self._x, place(first, None, self._x), FLOATS)
                wide = integers(real)
                total = code.apply("addi", total, wide, INTS)
            lanes = code.index_constant(min(LANES, layout.padded - first))
            code.store_first(lanes, narrow(wide), self._codes, place(first, None, self._codes))
        return code.make(f"vector.reduction <add>, {total} : {INTS} into i32")
