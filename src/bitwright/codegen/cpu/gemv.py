"""One row times a matrix of weights below 8 bits, with AVX-512 VNNI, requantized on the spot.

Weights are stored as unsigned codes u, with w = step * u + least, cut into planes of 4, 2 and 1
bits. A byte holds several fields of a plane, each for other activations: `vpdpbusd` takes the byte
with all but one field masked out, so that field f of a plane of b bits is summed up scaled by
2^(b*f), in a sum of its own that is shifted back once, at the end:

    sum w*a = step * (sum over planes, fields of (sum masked*a >> b*f) << place) + least * (sum a)

The order of the weights is that in which the kernel reads them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.codegen.cpu.planes import Codes, codes_of, joined, packed
from bitwright.codegen.cpu.program import Kernel, View, count
from bitwright.codegen.cpu.rescale import Rescale, Scales
from bitwright.codegen.cpu.values import Values, folded_bias, weight_of, zero_point
from bitwright.codegen.cpu.vectors import BYTES, INTS, LANES, QUAD, VECTOR, VectorCode
from bitwright.ir.types import shape_of

DEEPEST = 1 << 15
"""Products in a sum: a field scaled to the top of a byte, times 128, stays below 2^31."""
SUMS = 16
"""Vectors of sums to keep both multipliers busy for the time that one takes, and no more."""
SECOND_CACHE = 1 << 20
"""Bytes of weights that are read again soon; more of them are fetched ahead."""
AHEAD = 16384
"""Bytes from where the weights are read to where they are fetched: four pages."""


def is_smaller(weight: NDArray[Any], rows: int) -> bool:
    """Whether this kernel is the faster one for a dense layer.

    With one plane it does as many products a cycle as whole bytes; more planes cost a product each,
    and pay where the weights come from behind the second cache. So do whole bytes, which are
    fetched ahead here.
    """
    codes = codes_of(weight)
    if rows != 1 or weight.shape[1] > DEEPEST:
        return False
    return codes.bits in (1, 2, 4) or weight.size > SECOND_CACHE


def linear(kernel: Kernel, values: Values, op: Any, requantize: Any) -> None:
    """A dense layer of one row for which `is_smaller` holds."""
    weight = weight_of(op, "weight")
    codes = codes_of(weight)
    bias = folded_bias(op, weight, zero_point(op.input))
    out = values.flat(kernel, requantize.result)
    x = _row(kernel, values, op.input, QUAD * codes.quads)
    _Gemv(kernel, requantize, codes, bias, x, out).emit()


def _row(kernel: Kernel, values: Values, x: ir.Value, step: int) -> View:
    """The activations, in whole vectors and steps: zeros behind them."""
    depth = count(shape_of(x))
    whole = -(-depth // max(step, VECTOR)) * max(step, VECTOR)
    if whole == depth:
        return values.flat(kernel, x)
    memory = kernel.program.allocate(whole, kernel.step, kernel.step)
    copy = kernel.before("longer")
    target = copy.access(memory, "i8", (whole,))
    copy.fill(copy.strided(target, (whole - depth,), (1,), depth), 0)
    copy.copy("k", (values.flat(copy, x), "k"), (copy.strided(target, (depth,), (1,)), "k"))
    return kernel.access(memory, "i8", (whole,))


class _Gemv:
    """Sums of one row, 16 outputs a vector and some vectors at once."""

    def __init__(
        self, kernel: Kernel, requantize: Any, codes: Codes, bias: NDArray[np.int32], x: View,
        out: View,
    ) -> None:  # fmt: skip
        self._code = VectorCode(kernel)
        self._codes, self._x, self._out = codes, x, out
        self._outputs, depth = codes.values.shape
        self._quads = codes.quads
        self._steps = -(-depth // (self._quads * QUAD))
        self._fields = sum(plane.fields for plane in codes.planes)
        needed = -(-self._outputs // LANES)
        self._vectors = max(min(SUMS // self._fields, needed), 1)
        weights = packed(codes, self._vectors)
        self._weights = kernel.constant(weights)
        self._far = len(weights) > SECOND_CACHE
        self._bias = kernel.constant(np.pad(bias, (0, -len(bias) % (self._vectors * LANES))))
        lanes = -(-needed // self._vectors) * self._vectors * LANES
        self._rescale = Rescale(kernel, requantize, self._outputs, np.arange(lanes) % self._outputs)

    def emit(self) -> None:
        """All outputs."""
        code, width = self._code, self._vectors * LANES
        least = self._least()
        masks = [
            [code.splat(p.mask(field), BYTES) for field in range(p.fields)]
            for p in self._codes.planes
        ]  # fmt: skip
        with code.loop(-(-self._outputs // width), shared=True) as block:
            zero = code.splat(0, INTS)
            totals = code.sums(
                self._steps, [zero] * (self._vectors * self._fields),
                lambda step, sums: self._step(block, step, sums, masks),
            )  # fmt: skip
            for v in range(self._vectors):
                own = totals[v * self._fields : (v + 1) * self._fields]
                at = code.index([(block, width)], v * LANES)
                total = code.apply("addi", self._joined(own), least, INTS)
                total = code.apply("addi", total, code.load(self._bias, at, INTS), INTS)
                scales: Scales = self._rescale.load(code, at)
                self._store(self._rescale.apply(code, total, scales), at)

    def _least(self) -> str:
        """The least weight times the sum of all activations, in every lane."""
        code = self._code
        ones = code.splat(1, BYTES)

        def add(at: str, sums: list[str]) -> list[str]:
            four = code.load(self._x, code.index([(at, VECTOR)]), BYTES)
            return [code.products(sums[0], ones, four)]

        (sums,) = code.sums(self._x.shape[0] // VECTOR, [code.splat(0, INTS)], add)
        total = code.make(f"vector.reduction <add>, {sums} : {INTS} into i32")
        lanes = code.convert("vector.broadcast", total, "i32", INTS)
        return code.apply("muli", lanes, code.splat(self._codes.least, INTS), INTS)

    def _step(
        self, block: str, step: str, sums: list[str], masks: list[list[str]]
    ) -> list[str]:  # fmt: skip
        code, planes = self._code, self._codes.planes
        stored = [self._quads // plane.fields for plane in planes]  # vectors of each plane
        vectors = sum(stored)
        size = self._vectors * vectors * VECTOR
        where = code.index([(block, self._steps * size), (step, size)])
        if self._far:
            for n in range(size // VECTOR):
                code.prefetch(self._weights, code.index([(where, 1)], AHEAD + n * VECTOR))
        loaded = [
            code.load(self._weights, code.index([(where, 1)], n * VECTOR), BYTES)
            for n in range(size // VECTOR)
        ]
        made = list(sums)
        for quad in range(self._quads):
            four = code.broadcast(self._x, code.index([(step, self._quads * QUAD)], quad * QUAD))
            for v in range(self._vectors):
                first, place = v * vectors, v * self._fields
                for plane, count_, own in zip(planes, stored, masks, strict=True):
                    n, field = divmod(quad, plane.fields)
                    part = code.apply("andi", loaded[first + n], own[field], BYTES)
                    made[place + field] = code.products(made[place + field], part, four)
                    first += count_
                    place += plane.fields
        return made

    def _joined(self, sums: list[str]) -> str:
        """step * (the sums of all planes and fields, each at its place)."""
        code = self._code
        total = joined(code, self._codes.planes, sums)
        if self._codes.step == 1:
            return total
        return code.apply("muli", total, code.splat(self._codes.step, INTS), INTS)

    def _store(self, result: str, at: str) -> None:
        code = self._code
        if self._outputs % (self._vectors * LANES):
            left = code.index([(at, -1)], self._outputs)
            code.store_first(left, result, self._out, at)
        else:
            code.store(result, self._out, at)
