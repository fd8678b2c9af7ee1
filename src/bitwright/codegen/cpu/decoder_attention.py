"""Attention to a cache: for each head of the cache and each row, all heads that read it at once.

Scores of a position, vectors of positions through the softmax, then the sum of the values. Keys
and values are read once for a group of heads. The groups are shared among threads; each has memory
of its own for its scores.
"""

from typing import Any

from bitwright.codegen.cpu.decoder_program import DecoderValues
from bitwright.codegen.cpu.exponential import exponential
from bitwright.codegen.cpu.program import Kernel, View, count
from bitwright.codegen.cpu.vectors import FLOATS, LANES, MASK, VectorCode
from bitwright.ir.types import shape_of

_TOGETHER = 16
"""Vectors of sums of the heads that are kept at once."""
SHARED_FROM = 1 << 17
"""Products at a full cache from which attention is shared among threads."""


def attention(kernel: Kernel, values: DecoderValues, op: Any) -> None:
    """See `bw_decoder.AttentionOp`."""
    _Attention(kernel, values, op).emit()


def _lanes(width: int) -> int:
    return next(n for n in (16, 8, 4, 2, 1) if width % n == 0)


class _Attention:
    def __init__(self, kernel: Kernel, values: DecoderValues, op: Any) -> None:
        self._code, self._op = VectorCode(kernel), op
        self._fuses = values.level.has_fused
        _, self._rows, self._heads, self._width = shape_of(op.query)
        self._extent, self._groups, self._depth = shape_of(op.value)[1:]
        self._query, self._key, self._value, self._y = (
            values.view(kernel, value, (count(shape_of(value)),))
            for value in (op.query, op.key, op.value, op.result)
        )
        self._position = values.view(kernel, op.position)
        repeat = self._heads // self._groups
        vectors = max(self._depth // _lanes(self._depth), self._width // _lanes(self._width))
        most = max(_TOGETHER // vectors, 1)
        self._together = max(n for n in range(1, repeat + 1) if repeat % n == 0 and n <= most)
        self._parts = self._heads // self._together
        room = -(-self._extent // LANES) * LANES
        self._memory = kernel.scratch("f32", (self._heads * room,))
        self._room, self._shared = room, self._parts > 1 and self._products() >= SHARED_FROM
        self._scores: list[View] = []

    def _products(self) -> int:
        return self._rows * self._heads * self._extent * (self._width + self._depth)

    def emit(self) -> None:
        """All rows and heads."""
        code, window = self._code, self._op.window.value
        zero, one = code.index_constant(0), code.index_constant(1)
        start32 = code.make(f"memref.load {self._position.name}[{zero}] : {self._position.type}")
        start = code.convert("arith.index_cast", start32, "i32", "index")
        with code.loop(self._parts, shared=self._shared) as part:
            first = code.index([(part, self._together * self._room)])
            self._scores = [self._row(first, h) for h in range(self._together)]
            each = code.index_constant(self._parts // self._groups)
            group = code.apply("divui", part, each, "index")
            with code.loop(self._rows) as row:
                end = code.apply("addi", code.apply("addi", start, row, "index"), one, "index")
                low = zero
                if window:
                    before = code.apply("subi", end, code.index_constant(window), "index")
                    low = code.apply("maxsi", before, zero, "index")
                head = code.index([(row, self._heads), (part, self._together)])
                self._score(head, group, low, end)
                totals = [self._softmax(scores, low, end) for scores in self._scores]
                self._sum(head, group, low, end, totals)

    def _row(self, first: str, head: int) -> View:
        """The scores of one head of a part, whose scores begin at `first`."""
        code, type_ = self._code, f"memref<{self._extent}xf32, strided<[1], offset: ?>>"
        at = code.index([(first, 1)], head * self._room)
        name = code.make(
            f"memref.subview {self._memory.name}[{at}] [{self._extent}] [1] : {self._memory.type} "
            f"to {type_}"
        )
        return View(name, "f32", (self._extent,), type_)

    def _score(self, head: str, group: str, low: str, end: str) -> None:
        """scale * query . key of every position, bent by the soft cap."""
        code, lanes, op = self._code, _lanes(self._width), self._op
        type_ = f"vector<{lanes}xf32>"
        parts = range(0, self._width, lanes)
        queries = [
            [code.load(self._query, code.index([(head, self._width)], h * self._width + p), type_)
             for p in parts]
            for h in range(self._together)
        ]  # fmt: skip
        scale = code.make(f"arith.constant {op.scale.value:.9e} : f32")
        with code.between(low, end) as at:
            terms = [(at, self._groups * self._width), (group, self._width)]
            keys = [code.load(self._key, code.index(terms, p), type_) for p in parts]
            for query, scores in zip(queries, self._scores, strict=True):
                total = ""
                for left, right in zip(query, keys, strict=True):
                    total = self._fused(total, left, right, type_)
                score = code.apply("mulf", code.total(total, lanes), scale, "f32")
                if op.softcap.value:
                    cap = code.make(f"arith.constant {op.softcap.value:.9e} : f32")
                    bent = code.make(f"math.tanh {code.apply('divf', score, cap, 'f32')} : f32")
                    score = code.apply("mulf", bent, cap, "f32")
                code.line(f"memref.store {score}, {scores.name}[{at}] : {scores.type}")

    def _fused(self, total: str, left: str, right: str, type_: str) -> str:
        if not total:
            return self._code.apply("mulf", left, right, type_)
        return self._code.fused(left, right, total, type_, fused=self._fuses)

    def _softmax(self, scores: View, low: str, end: str) -> str:
        """The scores become exponentials less that of the greatest; 1 / their sum."""
        code = self._code
        lowest = code.make(f"arith.constant dense<0xFF800000> : {FLOATS}")
        nothing = code.splat(0.0, FLOATS)

        def load(at: str) -> tuple[str, str]:
            left = code.apply("subi", end, at, "index")
            mask = code.make(f"vector.create_mask {left} : {MASK}")
            loaded = code.make(
                f"vector.maskedload {scores.name}[{at}], {mask}, {lowest} : {scores.type}, "
                f"{MASK}, {FLOATS} into {FLOATS}"
            )
            return mask, loaded

        def greater(at: str, most: list[str]) -> list[str]:
            return [code.apply("maximumf", most[0], load(at)[1], FLOATS)]

        def weigh(at: str, total: list[str]) -> list[str]:
            mask, score = load(at)
            power = code.apply("subf", score, top, FLOATS)
            power = exponential(code, power, LANES, fused=self._fuses)
            power = code.make(f"arith.select {mask}, {power}, {nothing} : {MASK}, {FLOATS}")
            code.line(
                f"vector.maskedstore {scores.name}[{at}], {mask}, {power} : {scores.type}, "
                f"{MASK}, {FLOATS}"
            )
            return [code.apply("addf", total[0], power, FLOATS)]

        (most,) = code.sums_between(low, end, LANES, [lowest], greater, FLOATS)
        greatest = code.make(f"vector.reduction <maximumf>, {most} : {FLOATS} into f32")
        top = code.convert("vector.broadcast", greatest, "f32", FLOATS)
        (sums,) = code.sums_between(low, end, LANES, [nothing], weigh, FLOATS)
        one = code.make("arith.constant 1.0 : f32")
        return code.apply("divf", one, code.total(sums, LANES), "f32")

    def _sum(self, head: str, group: str, low: str, end: str, shares: list[str]) -> None:
        """The values, weighed."""
        code, lanes = self._code, _lanes(self._depth)
        type_ = f"vector<{lanes}xf32>"
        parts = range(0, self._depth, lanes)
        start = [code.splat(0.0, type_)] * (len(parts) * self._together)

        def add(at: str, sums: list[str]) -> list[str]:
            terms = [(at, self._groups * self._depth), (group, self._depth)]
            loaded = [code.load(self._value, code.index(terms, p), type_) for p in parts]
            made: list[str] = []
            for h, scores in enumerate(self._scores):
                weight = code.make(f"memref.load {scores.name}[{at}] : {scores.type}")
                weights = code.convert("vector.broadcast", weight, "f32", type_)
                for n, value in enumerate(loaded):
                    made.append(self._fused(sums[h * len(parts) + n], weights, value, type_))
            return made

        sums = code.sums_between(low, end, 1, start, add, type_)
        for h, share in enumerate(shares):
            shares_ = code.convert("vector.broadcast", share, "f32", type_)
            for n, p in enumerate(parts):
                y = code.apply("mulf", sums[h * len(parts) + n], shares_, type_)
                to = code.index([(head, self._depth)], h * self._depth + p)
                code.store(y, self._y, to, type_)
