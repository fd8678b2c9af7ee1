"""Dot products of int8 with AVX-512 VNNI: convolutions and dense layers, requantized on the spot.

`vpdpbusd` adds to each of 16 sums four products of an unsigned and a signed byte. The unsigned
ones are activations plus 128, four of one pixel for all lanes; the signed ones are weights, four
for each of 16 outputs. What the 128 adds is taken off the bias. A tile of pixels by outputs stays
in registers over the whole sum; sums wrap modulo 2^32 on the way, and the final ones fit.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.codegen.cpu import gemv
from bitwright.codegen.cpu.program import Kernel, View, count, row_major
from bitwright.codegen.cpu.rescale import Rescale, Scales, in_lanes
from bitwright.codegen.cpu.tiles import Work
from bitwright.codegen.cpu.values import Values, folded_bias, weight_of, zero_point
from bitwright.codegen.cpu.vectors import BYTES, INTS, LANES, QUAD, VectorCode
from bitwright.ir.checks import ints
from bitwright.ir.types import shape_of

OVERREAD = 64
PARTS = 8
"""Rounds of a loop that are enough to share it among threads."""


@dataclass(frozen=True)
class Source:
    """Activations as bytes of a flat view, `biased` where 128 is added already (modulo 256).

    The output pixel (y, x) reads `taps` runs of `run` bytes each, from y * row + x * column on,
    `tap` bytes apart.
    """

    view: View
    biased: bool
    row: int
    column: int
    taps: int
    tap: int
    run: int


def conv2d(kernel: Kernel, values: Values, op: Any, requantize: Any) -> None:
    """A convolution of one group into a channels-last result."""
    weight = weight_of(op, "weight")
    _, outputs, rows, columns = shape_of(op.result)
    source = _image(kernel, values, op)
    # [O, C, KH, KW] in the order of the runs: a row of the kernel, its columns, their channels
    runs = weight.transpose(0, 2, 3, 1).reshape(outputs, weight.shape[2], -1)
    if weight.shape[2:] == (1, 1) and source.row == columns * source.column:
        rows, columns = 1, rows * columns
    _Products(kernel, values, op, requantize, source, runs, (rows, columns)).emit()


def linear(kernel: Kernel, values: Values, op: Any, requantize: Any) -> None:
    """A dense layer; its rows are the pixels."""
    weight = weight_of(op, "weight")
    depth = weight.shape[1]
    rows = count(shape_of(op.input)) // depth
    if gemv.is_smaller(weight, rows):
        gemv.linear(kernel, values, op, requantize)
        return
    if depth % QUAD:
        view, biased = _longer(kernel, op.input, values, (rows, depth)), True
    else:
        view, biased = values.view(kernel, op.input, (rows * depth,)), False
    source = Source(view, biased, 0, depth, 1, 0, _whole(depth))
    _Products(kernel, values, op, requantize, source, weight[:, None, :], (1, rows)).emit()


def _whole(run: int) -> int:
    return -(-run // QUAD) * QUAD


def _longer(kernel: Kernel, x: ir.Value, values: Values, shape: tuple[int, int]) -> View:
    """Rows copied to where bytes behind the last one may be read."""
    memory = kernel.program.allocate(count(shape) + OVERREAD, kernel.step, kernel.step)
    copy = kernel.before("longer")
    target = copy.access(memory, "i8", (memory.size,))
    inner = copy.strided(target, shape, (shape[1], 1))
    copy.generic("m k", [(values.view(copy, x, shape), "m, k")], (inner, "m, k"), _BIASED)
    return kernel.access(memory, "i8", (memory.size,))


_BIASED = "%c128 = arith.constant -128 : i8\n%r = arith.xori %i0, %c128 : i8"
"""The byte plus 128, modulo 256."""


def _image(kernel: Kernel, values: Values, op: Any) -> Source:
    """The input of a convolution where its runs are whole, padding included."""
    _, channels, _, columns = shape_of(op.input)
    _, left, _, right = padding = ints(op.padding)
    (down, across), (apart, _) = ints(op.stride), ints(op.dilation)
    taps, width = shape_of(op.weight)[2:]
    run = width * channels
    if not any(padding) and run % QUAD == 0 and values.is_channels_last(op.input):
        view, biased = values.flat(kernel, op.input), False
    else:
        view, biased = padded_image(kernel, values, op), True
    row = (columns + left + right) * channels
    return Source(view, biased, down * row, across * channels, taps, apart * row, _whole(run))


def padded_image(kernel: Kernel, values: Values, op: Any) -> View:
    """The input of a convolution plus 128, channels last, with `OVERREAD` bytes behind it."""
    _, channels, rows, columns = shape_of(op.input)
    top, left, bottom, right = padding = ints(op.padding)
    shape = (rows + top + bottom, columns + left + right, channels)
    memory = kernel.program.allocate(count(shape) + OVERREAD, kernel.step, kernel.step)
    copy = kernel.before("padded")
    target = copy.access(memory, "i8", (memory.size,))
    if any(padding):
        copy.fill(target, (zero_point(op.input) + 256) % 256 - 128)
    strides = row_major(shape)
    offset = top * strides[0] + left * strides[1]
    if values.is_channels_last(op.input):
        flat = (rows, columns * channels)
        x = copy.strided(values.flat(copy, op.input), flat, row_major(flat))
        inner = copy.strided(target, flat, (strides[0], 1), offset)
        copy.generic("y r", [(x, "y, r")], (inner, "y, r"), _BIASED)
    else:
        x = values.view(copy, op.input)
        inner = copy.strided(target, (rows, columns, channels), strides, offset)
        copy.generic("n y x c", [(x, "n, c, y, x")], (inner, "y, x, c"), _BIASED)
    return kernel.access(memory, "i8", (memory.size,))


def _packed(runs: NDArray[Any], run: int, width: int) -> NDArray[np.int8]:
    """[O, taps, run] to [block, tap, quad, vector, lane, 4], zeros where there is nothing."""
    outputs, taps, length = runs.shape
    block = width * LANES
    blocks = -(-outputs // block)
    filled = np.zeros((blocks * block, taps, run), np.int8)
    filled[:outputs, :, :length] = runs
    split = filled.reshape(blocks, width, LANES, taps, run // QUAD, QUAD)
    return split.transpose(0, 3, 4, 1, 2, 5).reshape(-1)


class _Products:
    """Sums over `runs` [O, taps, run] at every one of rows by columns of pixels, requantized."""

    def __init__(
        self, kernel: Kernel, values: Values, op: Any, requantize: Any, source: Source,
        runs: NDArray[Any], pixels: tuple[int, int],
    ) -> None:  # fmt: skip
        self._code = VectorCode(kernel)
        self._source = source
        self._outputs = len(runs)
        self._rows, self._columns = pixels
        depth = source.taps * source.run
        work = Work(*pixels, -(-len(runs) // LANES), depth)
        self._tile = values.choose(work, op, requantize)
        self._weights = kernel.constant(_packed(runs, source.run, self._tile.vectors))
        zero = zero_point(op.input) + 128  # of the unsigned byte
        self._bias = kernel.constant(in_lanes(folded_bias(op, runs, zero)))
        self._rescale = Rescale(kernel, requantize, self._outputs)
        self._out = values.flat(kernel, requantize.result)

    def emit(self) -> None:
        """All outputs of all rows."""
        code, tile, rows = self._code, self._tile, self._rows
        width = tile.vectors * LANES
        blocks = -(-self._outputs // width)
        whole, rest = divmod(self._columns, tile.pixels)
        # one of the loops is shared among the threads: the outermost with work for many
        shared = next(
            (n for n, count in enumerate((blocks, rows)) if count >= PARTS),
            int(rows > blocks) if whole < PARTS else 2,
        )
        with code.loop(blocks, shared=shared == 0) as block:
            at = [code.index([(block, width)], LANES * v) for v in range(tile.vectors)]
            bias = [code.load(self._bias, lanes, INTS) for lanes in at]
            scales = [self._rescale.load(code, lanes) for lanes in at]
            with code.loop(rows, shared=shared == 1) as y:
                if whole:
                    with code.loop(whole, shared=shared == 2) as t:
                        place = [(y, self._columns), (t, tile.pixels)]
                        begin = [(y, self._source.row), (t, tile.pixels * self._source.column)]
                        self._sum(block, begin, place, (0, tile.pixels), bias, scales)
                if rest:
                    begin, place = [(y, self._source.row)], [(y, self._columns)]
                    tail = (whole * tile.pixels, rest)
                    with code.loop(1, shared=True) if shared == 2 else nullcontext():
                        self._sum(block, begin, place, tail, bias, scales)

    def _sum(
        self, block: str, begin: list[tuple[str, int]], place: list[tuple[str, int]],
        pixels: tuple[int, int], bias: list[str], scales: list[Scales],
    ) -> None:  # fmt: skip
        """One tile: `pixels` are the first, as an offset, and their number."""
        code, source, width = self._code, self._source, self._tile.vectors
        first, number = pixels
        quads = source.run // QUAD
        step = width * LANES * QUAD
        flip = code.splat(-128, BYTES)

        def quad(at: str, sums: list[str], tap: str) -> list[str]:
            where = code.index([(block, source.taps * quads * step), (tap, quads * step),
                                (at, step)])  # fmt: skip
            weights = [
                code.load(self._weights, code.index([(where, 1)], v * LANES * QUAD), BYTES)
                for v in range(width)
            ]
            made: list[str] = []
            for pixel in range(number):
                offset = (first + pixel) * source.column
                four = code.index([*begin, (tap, source.tap), (at, QUAD)], offset)
                one = self._broadcast(four, flip)
                made += [
                    code.products(sums[pixel * width + v], one, weights[v]) for v in range(width)
                ]
            return made

        totals = code.sums(
            source.taps, bias * number,
            lambda tap, outer: code.sums(quads, outer, lambda at, sums: quad(at, sums, tap)),
        )  # fmt: skip
        for n, total in enumerate(totals):
            pixel, v = divmod(n, width)
            terms = [(name, factor * self._outputs) for name, factor in place]
            terms.append((block, width * LANES))
            at = code.index(terms, (first + pixel) * self._outputs + v * LANES)
            self._store(self._rescale.apply(code, total, scales[v]), at, block, v)

    def _broadcast(self, at: str, flip: str) -> str:
        """Four bytes of the source in every lane."""
        code = self._code
        lanes = code.broadcast(self._source.view, at)
        return lanes if self._source.biased else code.apply("xori", lanes, flip, BYTES)

    def _store(self, result: str, at: str, block: str, vector: int) -> None:
        """The lanes that are outputs."""
        code = self._code
        if self._outputs % LANES:
            width = self._tile.vectors * LANES
            left = code.index([(block, -width)], self._outputs - vector * LANES)
            code.store_first(left, result, self._out, at)
        else:
            code.store(result, self._out, at)
