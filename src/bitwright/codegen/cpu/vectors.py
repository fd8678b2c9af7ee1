"""Text of `vector` operations inside a kernel: index arithmetic, loops, loads, lanes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from bitwright.codegen.cpu.program import Kernel, View

LANES = 16
"""int32 in a register of 512 bits."""
QUAD = 4
"""Products of bytes that one lane adds up at once."""
VECTOR = LANES * QUAD
"""Bytes in a register."""
INTS = f"vector<{LANES}xi32>"
WIDE = f"vector<{LANES}xi64>"
PAIRS = f"vector<{LANES // 2}xi64>"
BYTES = f"vector<{4 * LANES}xi8>"
RESULTS = f"vector<{LANES}xi8>"
FLOATS = f"vector<{LANES}xf32>"
MASK = f"vector<{LANES}xi1>"
HALVES = f"vector<{LANES}xf16>"


class VectorCode:
    """Appends lines to a kernel; every method that makes a value returns its name."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def line(self, text: str) -> None:
        """One line as it is."""
        self._kernel.lines.append(text)

    def make(self, text: str) -> str:
        """The value of an operation."""
        name = self._kernel.fresh()
        self.line(f"{name} = {text}")
        return name

    def apply(self, operation: str, left: str, right: str, type_: str) -> str:
        """An `arith` operation of two values of one type."""
        return self.make(f"arith.{operation} {left}, {right} : {type_}")

    def convert(self, operation: str, value: str, source: str, target: str) -> str:
        """An `arith` or `vector` conversion."""
        return self.make(f"{operation} {value} : {source} to {target}")

    def splat(self, value: float, type_: str) -> str:
        """The same number in every lane."""
        return self.make(f"arith.constant dense<{value}> : {type_}")

    def index(self, terms: Sequence[tuple[str, int]], offset: int = 0) -> str:
        """offset plus the sum of index * factor."""
        names = ", ".join(name for name, _ in terms)
        dims = ", ".join(f"d{n}" for n in range(len(terms)))
        total = " + ".join([*(f"d{n} * {factor}" for n, (_, factor) in enumerate(terms)),
                            str(offset)])  # fmt: skip
        return self.make(f"affine.apply affine_map<({dims}) -> ({total})>({names})")

    def index_constant(self, value: int) -> str:
        """A fixed index."""
        return self._kernel.integer(value, "index")

    def interleave(self, parts: Sequence[str]) -> str:
        """Byte i of each of four vectors of 16, side by side, for each i."""
        half = f"vector<{2 * LANES}xi8>"
        low, high = (
            self.make(f"vector.shuffle {a}, {b} [{_alternating(LANES, 1)}] : {RESULTS}, {RESULTS}")
            for a, b in (parts[:2], parts[2:])
        )
        return self.make(
            f"vector.shuffle {low}, {high} [{_alternating(2 * LANES, 2)}] : {half}, {half}"
        )

    def interleave_wide(self, parts: Sequence[str]) -> list[str]:
        """Byte i of each of four vectors of 64, side by side, within each 128 bits.

        Of four vectors, j has the bytes 4 j to 4 j + 3 of every 16.
        """
        words = f"vector<{VECTOR // 2}xi16>"
        mixed = [
            [
                self.convert(
                    "vector.bitcast",
                    self.make(f"vector.shuffle {a}, {b} [{order}] : {BYTES}, {BYTES}"),
                    BYTES, words,
                )
                for order in (_unpacked(VECTOR, half) for half in (0, 1))
            ]
            for a, b in (parts[:2], parts[2:])
        ]  # fmt: skip
        return [
            self.convert(
                "vector.bitcast",
                self.make(f"vector.shuffle {a}, {b} [{order}] : {words}, {words}"),
                words, BYTES,
            )
            for a, b in zip(*mixed, strict=True)
            for order in (_unpacked(VECTOR // 2, half) for half in (0, 1))
        ]  # fmt: skip

    def pack(self, sums: Sequence[str]) -> str:
        """64 bytes of four vectors of int32, saturated, in the order before `interleave_wide`."""
        words = f"vector<{VECTOR // 2}xi16>"
        halves = [
            self.make(
                f'llvm.call_intrinsic "llvm.x86.avx512.packssdw.512"({a}, {b}) : ({INTS}, {INTS}) '
                f"-> {words}"
            )
            for a, b in (sums[:2], sums[2:])
        ]
        return self.make(
            f'llvm.call_intrinsic "llvm.x86.avx512.packsswb.512"({", ".join(halves)}) : '
            f"({words}, {words}) -> {BYTES}"
        )

    def load(self, view: View, at: str, type_: str) -> str:
        """Elements in a row of a flat view."""
        return self.make(f"vector.load {view.name}[{at}] : {view.type}, {type_}")

    def broadcast(self, view: View, at: str) -> str:
        """Four bytes of a flat view, the same in every lane."""
        four = self.load(view, at, f"vector<{QUAD}xi8>")
        word = self.convert("vector.bitcast", four, f"vector<{QUAD}xi8>", "vector<1xi32>")
        words = self.convert("vector.broadcast", word, "vector<1xi32>", INTS)
        return self.convert("vector.bitcast", words, INTS, BYTES)

    def prefetch(self, view: View, at: str) -> None:
        """Asks for the line of memory at `at`, which may lie behind the end."""
        self.line(f"memref.prefetch {view.name}[{at}], read, locality<3>, data : {view.type}")

    def store(self, value: str, view: View, at: str, type_: str = RESULTS) -> None:
        """Results to a flat view."""
        self.line(f"vector.store {value}, {view.name}[{at}] : {view.type}, {type_}")

    def store_first(
        self, lanes: str, value: str, view: View, at: str, type_: str = RESULTS
    ) -> None:  # fmt: skip
        """The first `lanes` (an index; all where it is larger) of the results."""
        bits = f"vector<{VECTOR}xi1>" if type_ == BYTES else MASK
        mask = self.make(f"vector.create_mask {lanes} : {bits}")
        self.line(
            f"vector.maskedstore {view.name}[{at}], {mask}, {value} : {view.type}, {bits}, {type_}"
        )

    def load_first(self, lanes: str, view: View, at: str, type_: str) -> str:
        """The first `lanes` elements (an index; all where it is larger), zeros behind them."""
        mask = self.make(f"vector.create_mask {lanes} : {MASK}")
        nothing = self.splat(0.0 if "f" in type_ else 0, type_)
        return self.make(
            f"vector.maskedload {view.name}[{at}], {mask}, {nothing} : {view.type}, {MASK}, "
            f"{type_} into {type_}"
        )

    def products(self, sums: str, unsigned: str, signed: str) -> str:
        """Four products of bytes added to each sum."""
        return self.make(
            f'llvm.call_intrinsic "llvm.x86.avx512.vpdpbusd.512"({sums}, {unsigned}, {signed}) : '
            f"({INTS}, {BYTES}, {BYTES}) -> {INTS}"
        )

    def fused(self, left: str, right: str, total: str, type_: str, *, fused: bool) -> str:
        """left * right + total, rounded once, or twice where the processor cannot."""
        if fused:
            return self.make(f"vector.fma {left}, {right}, {total} : {type_}")
        return self.apply("addf", self.apply("mulf", left, right, type_), total, type_)

    def total(self, vector: str, lanes: int) -> str:
        """The sum of a vector of floats: halves are added until one number is left."""
        while lanes > 1:
            type_, lanes = f"vector<{lanes}xf32>", lanes // 2
            halves = [
                self.make(
                    f"vector.extract_strided_slice {vector} {{offsets = [{at}], sizes = [{lanes}], "
                    f"strides = [1]}} : {type_} to vector<{lanes}xf32>"
                )
                for at in (0, lanes)
            ]
            vector = self.apply("addf", *halves, f"vector<{lanes}xf32>")
        return self.make(f"vector.extract {vector}[0] : f32 from vector<1xf32>")

    @contextmanager
    def loop(self, count: int, *, shared: bool = False) -> Iterator[str]:
        """The lines inside run for each index below `count`, or in this thread's part of them."""
        low, high, step = (self._kernel.integer(n, "index") for n in (0, count, 1))
        if shared:
            low, high = self._kernel.part(count)
        with self.between(low, high, step) as name:
            yield name

    @contextmanager
    def between(self, low: str, high: str, step: str | None = None) -> Iterator[str]:
        """The lines inside run for the indices from `low` to below `high`."""
        name, by = self._kernel.fresh("i"), step or self.index_constant(1)
        self.line(f"scf.for {name} = {low} to {high} step {by} {{")
        yield name
        self.line("}")

    def sums(
        self, count: int, start: Sequence[str], body: Callable[[str, list[str]], list[str]],
        type_: str = INTS,
    ) -> list[str]:  # fmt: skip
        """Vectors carried through `count` rounds; `body` takes and returns them."""
        low, high = (self.index_constant(n) for n in (0, count))
        return self.sums_between(low, high, 1, start, body, type_)

    def sums_between(
        self, low: str, high: str, by: int, start: Sequence[str],
        body: Callable[[str, list[str]], list[str]], type_: str = INTS,
    ) -> list[str]:  # fmt: skip
        """The same for every `by`-th index from `low` to below `high`."""
        step = self.index_constant(by)
        index, result = self._kernel.fresh("i"), self._kernel.fresh("r")
        carried = [self._kernel.fresh("s") for _ in start]
        pairs = ", ".join(f"{c} = {s}" for c, s in zip(carried, start, strict=True))
        types = ", ".join([type_] * len(start))
        self.line(
            f"{result}:{len(start)} = scf.for {index} = {low} to {high} step {step} "
            f"iter_args({pairs}) -> ({types}) {{"
        )
        self.line(f"scf.yield {', '.join(body(index, carried))} : {types}")
        self.line("}")
        return [f"{result}#{n}" for n in range(len(start))]


def _unpacked(length: int, half: int) -> str:
    """Positions that take one element of each vector in turn, from one half of each 128 bits."""
    each = length // 4
    return ", ".join(
        str(first + side * length + n)
        for first in range(half * each // 2, length, each)
        for n in range(each // 2)
        for side in (0, 1)
    )


def _alternating(length: int, run: int) -> str:
    """Positions that take `run` elements from one vector of `length`, then from another."""
    return ", ".join(
        str(first + side * length + n)
        for first in range(0, length, run)
        for side in (0, 1)
        for n in range(run)
    )
