"""Matrix engine of constants: every product unrolled into logic, a whole vector a cycle.

The rows' sums are one graph of additions (`adder_graph.py`). Sums of few bits are look-up tables;
the others lie side by side in common carry chains: a chain of 2n bits costs n carry cells whatever
its fields are, while short sums of their own cost more than their bits. No field carries into the
next, because words are unsigned and as wide as their greatest value. Thresholds are compared with
the words themselves, by binary search, so offsets, biases and signs cost nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Array, Cat, Const, Instance, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from bitwright.errors import BitwrightError
from bitwright.hwgen.adder_graph import AdderGraph, Node, Output, share
from bitwright.hwgen.ram import ADDERS_MODULE, RamPlatform
from bitwright.ir import dataflow
from bitwright.ir.fixed_point import SCALES

CHAIN_BITS = 16  # carries are fast, but a chain's first input is on the way to its last output
_SHORTEST_CHAIN = 5  # synthesis makes shorter sums of look-up tables, two or more a bit
_SIDE_BY_SIDE = 3  # last steps of a search whose comparisons are made at once


class NotMonotone(BitwrightError):
    """An output stage whose result does not rise with the sum, so that it has no thresholds."""

    exit_code = 5


def ranges(bits: int, is_signed: bool, lanes: int) -> list[tuple[int, int]]:
    """Least and greatest value of each of `lanes` activations, where nothing more is known."""
    low = -(1 << bits - 1) if is_signed else 0
    return [(low, low + (1 << bits) - 1)] * lanes


def golden(weights: NDArray, activations: NDArray, output: dataflow.Output) -> NDArray:
    """Results [batch, rows] of activations [batch, lanes] and weights [rows, lanes]."""
    sums = activations.astype(np.int64) @ weights.T.astype(np.int64) + output.bias
    if isinstance(output, dataflow.Sums):
        return sums
    if isinstance(output, dataflow.Thresholds):
        return output.least + (sums[:, :, None] >= output.levels).sum(axis=2)
    scaled = SCALES[output.rounding](sums, output.multiplier, output.shift) + output.zero_point
    clamped = np.clip(scaled, *output.clamp)
    return clamped if output.table is None else output.table[clamped - output.clamp[0]]


def thresholds(output: dataflow.Output, row: int, low: int, high: int) -> tuple[int, list[int]]:
    """(least result, ascending levels): of each sum in low ... high, bias not included.

    A level is the least sum from which on the result is one more. Results that no sum in the
    range has are no levels of their own: a level may stand there more than once.

    Raises:
        NotMonotone: the result falls somewhere.
    """
    bias = int(output.bias[row])
    if isinstance(output, dataflow.Thresholds):
        levels = [int(level) - bias for level in output.levels[row]]
        always = sum(level <= low for level in levels)
        return output.least + always, [level for level in levels if low < level <= high]
    one = np.zeros((high - low + 1, 1), np.int64)
    sums = np.arange(low, high + 1).reshape(-1, 1)
    own = _channel(output, row)
    results = golden(np.ones((1, 1), np.int64), sums + one, own)[:, 0]
    steps = np.diff(results)
    if (steps < 0).any():
        place = int(np.argmax(steps < 0))
        raise NotMonotone(
            f"The output stage of row {row} gives {results[place]} for the sum {low + place} and "
            f"{results[place + 1]} for {low + place + 1}; an unrolled layer needs results that "
            "never fall; use a folded layer"
        )
    levels = np.repeat(np.arange(low + 1, high + 1), steps)
    return int(results[0]), [int(level) for level in levels]


def _channel(output: dataflow.Output, row: int) -> dataflow.Output:
    if isinstance(output, dataflow.Requantize):
        return dataflow.Requantize(
            bias=output.bias[[row]],
            multiplier=output.multiplier[[row]],
            shift=output.shift[[row]],
            zero_point=output.zero_point,
            clamp=output.clamp,
            rounding=output.rounding,
            table=output.table,
        )
    return dataflow.Sums(bias=output.bias[[row]])


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """What one unrolled layer computes, and how it is laid out.

    Attributes:
        graph: of its rows' sums.
        output: what follows each sum.
        levels_per_stage: additions between two registers; comparing counts as one.
    """

    graph: AdderGraph
    output: dataflow.Output
    levels_per_stage: int

    @property
    def latency(self) -> int:
        """Cycles from the activations to the results; a new vector every cycle."""
        return -(-(self.graph.levels + 1) // self.levels_per_stage)

    @property
    def result_ranges(self) -> list[tuple[int, int]]:
        """Least and greatest result of each row that any activations can give."""
        found: list[tuple[int, int]] = []
        for row in range(len(self.graph.outputs)):
            low, high = self.graph.bounds(row)
            if isinstance(self.output, dataflow.Sums):
                bias = int(self.output.bias[row])
                found.append((low + bias, high + bias))
            else:
                least, levels = thresholds(self.output, row, low, high)
                found.append((least, least + len(levels)))
        return found

    @property
    def shape(self) -> Shape:
        """Of every result: the narrowest that holds all of them."""
        found = self.result_ranges
        return Shape.cast(range(min(low for low, _ in found), max(high for _, high in found) + 1))


def layer(
    weights: NDArray,
    activation_ranges: Sequence[tuple[int, int]],
    output: dataflow.Output,
    *,
    levels_per_stage: int = 3,
    tries: int = 12,
) -> Layer:
    """Lay out a layer of integer weights [rows, lanes] for activations of these ranges."""
    graph = share(np.asarray(weights, np.int64), activation_ranges, tries=tries)
    return Layer(graph=graph, output=output, levels_per_stage=levels_per_stage)


class Constant(wiring.Component):
    """`results` are the layer's, `layer.latency` cycles after `activations`.

    Members:
        activations: one per lane; lane 0 lowest.
        results: one per row; row 0 lowest.
    """

    def __init__(self, *, layer: Layer, activation_shape: Shape) -> None:
        self.layer = layer
        self.activation_shape = activation_shape
        graph = layer.graph
        super().__init__(
            {
                "activations": In(data.ArrayLayout(activation_shape, graph.inputs)),
                "results": Out(data.ArrayLayout(layer.shape, len(graph.outputs))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        graph, per_stage = self.layer.graph, self.layer.levels_per_stage
        words = _Words(m)
        for number, node in enumerate(graph.nodes[: graph.inputs]):
            lane = self.activations[number]
            word = Signal(node.bits, name=f"lane{number}")
            m.d.comb += word.eq(lane - node.offset if node.offset else lane)
            words.add(number, 0, word)
        for level in range(1, graph.levels + 1):
            stage = (level - 1) // per_stage
            here = [n for n, node in enumerate(graph.nodes) if node.level == level]
            for number in here:
                if graph.nodes[number].table:
                    words.add(number, stage, self._table(m, words, stage, number))
            for subtract in (False, True):
                chained = [
                    number
                    for number in here
                    if not graph.nodes[number].table and graph.nodes[number].subtract == subtract
                ]
                for chain in _chains(chained, lambda number: graph.nodes[number].bits):
                    self._chain(m, words, stage, chain, platform)
        for row in range(len(graph.outputs)):
            self._result(m, words, row)
        return m

    def _table(self, m: Module, words: "_Words", stage: int, number: int) -> Signal:
        """A sum of at most four bits, as its truth table."""
        node, nodes = self.layer.graph.nodes[number], self.layer.graph.nodes
        a_bits, b_bits = nodes[node.a].bits, nodes[node.b].bits
        word = Signal(node.bits, name=f"sum{number}")
        entries: list[int] = []
        for entry in range(1 << a_bits + b_bits):
            a, b = entry & (1 << a_bits) - 1, entry >> a_bits
            b = (1 << b_bits) - 1 - b if node.subtract else b
            entries.append((a << max(-node.shift, 0)) + (b << max(node.shift, 0)) + node.constant)
        address = Cat(words.at(node.a, stage), words.at(node.b, stage))
        for bit in range(node.bits):
            ones = sum((value >> bit & 1) << entry for entry, value in enumerate(entries))
            m.d.comb += word[bit].eq(Const(ones, len(entries)).bit_select(address, 1))
        return word

    def _chain(
        self, m: Module, words: "_Words", stage: int, chain: list[int], platform: object
    ) -> None:
        """Sums side by side; what stands above a complemented operand is 1, so it counts 0."""
        nodes = self.layer.graph.nodes
        complement = nodes[chain[0]].subtract
        left: list[Value] = []
        right: list[Value] = []
        sums: list[Value] = []
        for number in chain:
            node = nodes[number]
            a, b = words.at(node.a, stage), words.at(node.b, stage)
            fill = -1 if complement else 0
            a = _wide(Cat(_constant(0, -node.shift), a), node.bits, 0)
            b = _wide(Cat(_constant(fill, node.shift), b), node.bits, fill)
            copied = node.bits - node.luts
            word = Signal(node.bits, name=f"sum{number}")
            m.d.comb += word[:copied].eq((a if node.shift > 0 else b)[:copied])
            left.append(a[copied:])
            right.append(b[copied:])
            sums.append(word[copied:])
            words.add(number, stage, word)
        width = max(sum(len(word) for word in sums), _SHORTEST_CHAIN)
        a, b = _wide(Cat(*left), width, 0), _wide(Cat(*right), width, -1 if complement else 0)
        total = Signal(width, name=f"chain{chain[0]}")
        if isinstance(platform, RamPlatform):
            m.submodules[f"adders{chain[0]}"] = Instance(
                ADDERS_MODULE,
                p_WIDTH=width,
                p_COMPLEMENT=int(complement),
                i_a=a,
                i_b=b,
                o_sum=total,
            )
        else:
            m.d.comb += total.eq(a + (~b if complement else b))
        m.d.comb += Cat(*sums).eq(total)

    def _result(self, m: Module, words: "_Words", row: int) -> None:
        graph, output = self.layer.graph, self.layer.output
        out, last = graph.outputs[row], self.layer.latency
        result = Signal(self.layer.shape, name=f"result{row}")
        if out.node < 0:
            low, _ = self.layer.result_ranges[row]
            m.d.comb += self.results[row].eq(low)
            return
        node = graph.nodes[out.node]
        stage = node.level // self.layer.levels_per_stage
        word = words.at(out.node, stage)
        low, high = graph.bounds(row)
        if isinstance(output, dataflow.Sums):
            value = (word + node.offset) << out.shift
            constant = out.constant + int(output.bias[row])
            m.d.comb += result.eq((value if out.sign > 0 else -value) + constant)
        else:
            least, levels = thresholds(output, row, low, high)
            found = sorted(_word_level(out, node, level) for level in levels)
            reached = _search(word, found)
            if out.sign < 0:
                full = len(levels) == (1 << len(reached)) - 1
                reached = ~reached if full else len(levels) - reached
            m.d.comb += result.eq(reached + least if least else reached)
        number = len(graph.nodes) + row
        words.add(number, stage, result)
        m.d.comb += self.results[row].eq(words.at(number, last))


class _Words:
    """The nodes' words, each as it stands in a stage: registers are made where they are needed."""

    def __init__(self, m: Module) -> None:
        self._m = m
        self._stage: dict[int, int] = {}
        self._words: dict[tuple[int, int], Value] = {}

    def add(self, number: int, stage: int, word: Value) -> None:
        """`word` is made in `stage`."""
        self._stage[number] = stage
        self._words[number, stage] = word

    def at(self, number: int, stage: int) -> Value:
        """The word of a vector that is in `stage`."""
        for later in range(self._stage[number] + 1, stage + 1):
            if (number, later) not in self._words:
                before = self._words[number, later - 1]
                register = Signal.like(before, name=f"{_name(before)}_at{later}", reset_less=True)
                self._m.d.sync += register.eq(before)
                self._words[number, later] = register
        return self._words[number, stage]


def _constant(value: int, bits: int) -> Value:
    """`bits` bits of `value`, none where `bits` is negative."""
    width = max(bits, 0)
    return Const(value & (1 << width) - 1, width)


def _wide(word: Value, bits: int, fill: int) -> Value:
    """The word with bits of `fill` (0 or -1) above it."""
    return Cat(word, _constant(fill, bits - len(word)))


def _name(word: Value) -> str:
    assert isinstance(word, Signal)
    return word.name.partition("_at")[0]


def _chains(numbers: list[int], bits: Callable[[int], int]) -> list[list[int]]:
    """Which sums share a carry chain: as long as allowed, with an even number of bits if it can."""
    rest = sorted(numbers, key=bits, reverse=True)
    chains: list[list[int]] = []
    while rest:
        chain, length = [], 0
        while rest:
            room = CHAIN_BITS - length
            even = [n for n in rest if bits(n) <= room and (length + bits(n)) % 2 == 0]
            fitting = [n for n in rest if bits(n) <= room]
            if not fitting and chain:
                break
            chosen = (fitting or rest)[0]
            if even and room - bits(chosen) < _SHORTEST_CHAIN:
                chosen = even[0]
            rest.remove(chosen)
            chain.append(chosen)
            length += bits(chosen)
        chains.append(chain)
    return chains


def _word_level(out: Output, node: Node, level: int) -> int:
    """The word from which on (sign 1) or below which (sign -1) the row's sum is at least `level`."""
    if out.sign > 0:
        return -((out.constant - level) >> out.shift) - node.offset
    return ((out.constant - level) >> out.shift) + 1 - node.offset


def _search(word: Value, levels: Sequence[int]) -> Value:
    """How many of these ascending levels the word has reached, by binary search."""
    if not levels:
        return Const(0, 0)
    bits = len(levels).bit_length()
    padded = [*levels, *[1 << len(word)] * ((1 << bits) - 1 - len(levels))]
    found: list[Value] = []  # highest first
    for step in range(bits - 1, -1, -1):
        choices = padded[(1 << step) - 1 :: 2 << step]
        if len(choices) < 1 << _SIDE_BY_SIDE:
            made: list[Value] = [_reaches(word, level) for level in choices]
            for bit in reversed(found):
                made = [Mux(bit, high, low) for low, high in zip(made[::2], made[1::2], strict=True)]
            found.append(made[0])
        else:
            level = Array(Const(level, len(word) + 1) for level in choices)[Cat(*reversed(found))]
            found.append(word >= level)
    return Cat(*reversed(found))


def _reaches(word: Value, level: int) -> Value:
    """word >= level, from the lowest bit on."""
    if level >= 1 << len(word):
        return Const(0, 1)
    reached: Value = Const(1, 1)
    for place in range(len(word)):
        bit = word[place]
        if level >> place & 1:
            reached = bit & reached
        elif not (isinstance(reached, Const) and reached.value):
            reached = bit | reached
    return reached
