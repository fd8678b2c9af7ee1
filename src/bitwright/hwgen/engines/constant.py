"""Matrix engine of constants: every product unrolled into logic, a whole vector a cycle.

The rows' sums are one graph of additions (`adder_graph.py`). Sums of few bits are look-up tables;
the others lie side by side in common carry chains, because a chain costs its bits whatever its
sums are, while a short sum alone costs more than its bits. No sum carries into the next: words
are unsigned and as wide as their greatest value. Thresholds are compared with the words
themselves, so offsets, biases and signs cost nothing.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Const, Instance, Module, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from bitwright.hwgen import thresholds
from bitwright.hwgen.adder_graph import AdderGraph, Node, share
from bitwright.hwgen.adder_graph import Output as RowSum
from bitwright.hwgen.dataflow.golden import finish
from bitwright.hwgen.ram import RamPlatform
from bitwright.ir.dataflow import Output, Sums, Tensor

ADDERS_MODULE = "bitwright_adders"
CHAIN_BITS = 16  # of one chain; timing analysis sees its first input on the way to its last sum
_SHORTEST_CHAIN = 5  # synthesis makes shorter sums of look-up tables, two or more a bit


def golden(
    weights: NDArray, activations: NDArray, output: Output, result: Tensor
) -> NDArray[np.int64]:
    """Results [batch, rows] of activations [batch, lanes] and weights [rows, lanes]."""
    return finish(output, activations.astype(np.int64) @ weights.T.astype(np.int64), result)


def full_range(bits: int, is_signed: bool) -> tuple[int, int]:
    """Least and greatest value of an activation of which nothing more is known."""
    low = -(1 << bits - 1) if is_signed else 0
    return low, low + (1 << bits) - 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """What one unrolled layer computes, and how it is laid out.

    Attributes:
        graph: of its rows' sums.
        output: what follows each sum, bias first.
        steps: of each row, the least result and the sums (without bias) from which on it is one
            more; of none where the sums themselves are the results.
        result: name, bits and sign of the results.
        levels_per_stage: additions between two registers; the output stage counts as one.
    """

    graph: AdderGraph
    output: Output
    steps: tuple[tuple[int, list[int]], ...]
    result: Tensor
    levels_per_stage: int

    @property
    def latency(self) -> int:
        """Cycles from the activations to the results; a new vector every cycle."""
        return -(-(self.graph.levels + 1) // self.levels_per_stage)

    @property
    def result_ranges(self) -> list[tuple[int, int]]:
        """Least and greatest result of each row that activations in their ranges can give."""
        if self.steps:
            return [(least, least + len(levels)) for least, levels in self.steps]
        rows = enumerate(self.output.bias)
        return [tuple(end + int(bias) for end in self.graph.bounds(row)) for row, bias in rows]

    @property
    def luts(self) -> int:
        """Look-up tables, about: exact but for the output stages and odd ends of carry chains."""
        if not self.steps:
            return self.graph.luts + len(self.graph.outputs) * self.result.bits
        rows = zip(self.graph.outputs, self.steps, strict=True)
        return self.graph.luts + sum(
            thresholds.luts(self.graph.nodes[out.node].bits, len(levels))
            for out, (_, levels) in rows
        )


def unroll(
    weights: NDArray,
    ranges: Sequence[tuple[int, int]],
    output: Output,
    result: Tensor,
    *,
    levels_per_stage: int = 3,
    tries: int = 12,
) -> Layer:
    """Lay out a layer of integer weights [rows, lanes].

    Args:
        ranges: least and greatest value of each lane's activation; a narrower one makes less
            logic (`full_range`, or `result_ranges` of the layer before).
        tries: how many random orders of sharing sums are compared.

    Raises:
        NotMonotone: a result falls as its sum rises.
    """
    graph = share(np.asarray(weights, np.int64), ranges, tries=tries)
    steps: tuple[tuple[int, list[int]], ...] = ()
    if not isinstance(output, Sums):
        steps = tuple(
            thresholds.levels(output, result, row, *graph.bounds(row))
            for row in range(len(graph.outputs))
        )
    return Layer(
        graph=graph, output=output, steps=steps, result=result, levels_per_stage=levels_per_stage
    )


class Constant(wiring.Component):
    """`results` are the layer's, `layer.latency` cycles after `activations`.

    Members:
        activations: one per lane; lane 0 lowest.
        results: one per row; row 0 lowest.
    """

    def __init__(self, *, layer: Layer, activation_shape: Shape) -> None:
        self.layer = layer
        self.shape = Shape(layer.result.bits, layer.result.signed)
        self._unseen = self._unseen_bits()
        super().__init__(
            {
                "activations": In(data.ArrayLayout(activation_shape, layer.graph.inputs)),
                "results": Out(data.ArrayLayout(self.shape, len(layer.graph.outputs))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        graph, per_stage = self.layer.graph, self.layer.levels_per_stage
        words = _Words(m)
        for number, node in enumerate(graph.nodes[: graph.inputs]):
            word = Signal(node.bits, name=f"lane{number}")
            m.d.comb += word.eq(self.activations[number] - node.offset)
            words.add(number, 0, word)
        for level in range(1, graph.levels + 1):
            stage = (level - 1) // per_stage
            here = [number for number, node in enumerate(graph.nodes) if node.level == level]
            for number in here:
                node = graph.nodes[number]
                if node.table:
                    self._table(m, words, stage, number)
                elif not node.luts:
                    low, high = (node.a, node.b) if node.shift > 0 else (node.b, node.a)
                    word = _wide(words.at(low, stage), abs(node.shift), 0)
                    word = Cat(word, words.at(high, stage))
                    words.add(number, stage, word[self._unseen.get(number, 0) :])
            for chain in _chains(graph.nodes, here):
                self._chain(m, words, stage, chain, platform)
        for row, out in enumerate(graph.outputs):
            self._result(m, words, row, out)
        return m

    def _table(self, m: Module, words: "_Words", stage: int, number: int) -> None:
        """A sum of two words of few bits, by its truth table."""
        nodes = self.layer.graph.nodes
        node = nodes[number]
        a_bits, b_bits = nodes[node.a].bits, nodes[node.b].bits
        a, b = np.divmod(np.arange(1 << a_bits + b_bits), 1 << a_bits)[::-1]
        b = (1 << b_bits) - 1 - b if node.subtract else b
        entries = (a << max(-node.shift, 0)) + (b << max(node.shift, 0)) + node.constant
        unseen = self._unseen.get(number, 0)
        word = Signal(node.bits - unseen, name=f"sum{number}")
        with m.Switch(Cat(words.at(node.a, stage), words.at(node.b, stage))):
            for address, entry in enumerate(entries):
                with m.Case(address):
                    m.d.comb += word.eq(int(entry) >> unseen)
        words.add(number, stage, word)

    def _chain(
        self, m: Module, words: "_Words", stage: int, chain: list[int], platform: object
    ) -> None:
        """Sums side by side; what stands above a complemented operand is 1, so it counts 0."""
        nodes = self.layer.graph.nodes
        complement = nodes[chain[0]].subtract
        fill = -1 if complement else 0
        left: list[Value] = []
        right: list[Value] = []
        sums: list[tuple[int, Value]] = []
        for number in chain:
            node = nodes[number]
            a = _wide(Cat(_bits(0, -node.shift), words.at(node.a, stage)), node.bits, 0)
            b = _wide(Cat(_bits(fill, node.shift), words.at(node.b, stage)), node.bits, fill)
            left.append(a[node.copied :])
            right.append(b[node.copied :])
            sums.append((number, (a if node.shift > 0 else b)[: node.copied]))
        used = sum(nodes[number].luts for number in chain)
        width = max(used, _SHORTEST_CHAIN)
        a, b = _wide(Cat(*left), width, 0), _wide(Cat(*right), width, fill)
        some_unused = width > used or any(self._unseen.get(number) for number in chain)
        total = Signal(width, name=f"chain{chain[0]}" + "_some_unused" * some_unused)
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
        for number, low in sums:
            bits = nodes[number].luts
            word = Cat(low, total[:bits])[self._unseen.get(number, 0) :]
            words.add(number, stage, word)
            total = total[bits:]

    def _result(self, m: Module, words: "_Words", row: int, out: RowSum) -> None:
        output = self.layer.output
        if out.node < 0:
            m.d.comb += self.results[row].eq(self.layer.result_ranges[row][0])
            return
        node = self.layer.graph.nodes[out.node]
        stage = node.level // self.layer.levels_per_stage
        word = words.at(out.node, stage)
        result = Signal(self.shape, name=f"result{row}")
        if isinstance(output, Sums):
            constant = (out.sign * node.offset << out.shift) + out.constant + int(output.bias[row])
            scaled = word << out.shift
            m.d.comb += result.eq(constant + scaled if out.sign > 0 else constant - scaled)
        else:
            least, _ = self.layer.steps[row]
            found, unseen = self._word_levels(row), self._unseen.get(out.node, 0)
            reached = thresholds.search(word, [level >> unseen for level in found])
            if out.sign < 0:
                full = len(found) == (1 << len(reached)) - 1
                reached = ~reached if full else len(found) - reached
            m.d.comb += result.eq(reached + least if least else reached)
        number = len(self.layer.graph.nodes) + row
        words.add(number, stage, result)
        m.d.comb += self.results[row].eq(words.at(number, self.layer.latency))

    def _word_levels(self, row: int) -> list[int]:
        """The words of a row's node from which on its result is one more, or less; ascending."""
        out, (_, levels) = self.layer.graph.outputs[row], self.layer.steps[row]
        node = self.layer.graph.nodes[out.node]
        found: list[int] = []
        for level in levels:
            reached = (out.constant - level) >> out.shift
            found.append((-reached if out.sign > 0 else reached + 1) - node.offset)
        return sorted(found)

    def _unseen_bits(self) -> dict[int, int]:
        """How many of a row's lowest bits no level can tell apart, if its sum is nothing else's."""
        graph = self.layer.graph
        uses = Counter(operand for node in graph.nodes for operand in (node.a, node.b))
        found: dict[int, int] = {}
        for row, out in enumerate(graph.outputs):
            levels = self._word_levels(row) if self.layer.steps and out.node >= 0 else []
            if levels and not uses[out.node] and out.node >= graph.inputs:
                zeros = min((level & -level).bit_length() - 1 for level in levels)
                found[out.node] = min(zeros, found.get(out.node, zeros))
        return found


class _Words:
    """The words of nodes and rows, with registers where a later stage reads them."""

    def __init__(self, m: Module) -> None:
        self._m = m
        self._made: dict[int, int] = {}
        self._words: dict[tuple[int, int], Value] = {}

    def add(self, number: int, stage: int, word: Value) -> None:
        """`word` is made in `stage`."""
        self._made[number] = stage
        self._words[number, stage] = word

    def at(self, number: int, stage: int) -> Value:
        """The word of the vector that is in `stage`."""
        for later in range(self._made[number] + 1, stage + 1):
            if (number, later) not in self._words:
                word = self._words[number, later - 1]
                register = Signal(len(word), name=f"word{number}_at{later}", reset_less=True)
                self._m.d.sync += register.eq(word)
                self._words[number, later] = register
        return self._words[number, stage]


def _bits(value: int, count: int) -> Value:
    """`count` bits of `value`, none where `count` is negative."""
    width = max(count, 0)
    return Const(value & (1 << width) - 1, width)


def _wide(word: Value, width: int, fill: int) -> Value:
    """The word with bits of `fill` (0 or -1) above it."""
    return Cat(word, _bits(fill, width - len(word)))


def _chains(nodes: Sequence[Node], numbers: Sequence[int]) -> list[list[int]]:
    """Which of these sums share a carry chain: full ones, with an even number of bits if it can."""
    chains: list[list[int]] = []
    for subtract in (False, True):
        summed = [n for n in numbers if nodes[n].luts and not nodes[n].table]
        own = [n for n in summed if nodes[n].subtract == subtract]
        rest = sorted(own, key=lambda number: -nodes[number].luts)
        while rest:
            chain = [rest.pop(0)]
            length = nodes[chain[0]].luts
            while fitting := [n for n in rest if length + nodes[n].luts <= CHAIN_BITS]:
                even = [n for n in fitting if (length + nodes[n].luts) % 2 == 0]
                last = length + nodes[fitting[0]].luts > CHAIN_BITS - _SHORTEST_CHAIN
                chosen = even[0] if last and even else fitting[0]
                rest.remove(chosen)
                chain.append(chosen)
                length += nodes[chosen].luts
            chains.append(chain)
    return chains
