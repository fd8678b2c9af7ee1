"""A constant matrix times a vector as a graph of additions that the rows share.

Each weight is written in canonical signed digits, so a row is a sum of shifted inputs. The pair
of terms whose sum saves most look-up tables becomes a node of its own, again and again, until no
sum has two uses (two-term common subexpression elimination; R. I. Hartley, "Subexpression sharing
in filters using canonic signed digit multipliers", IEEE TCAS-II 43, 1996); then each row adds what
it has left, the narrowest terms first. Ties fall at random, and the cheapest of several tries wins.

A node is an unsigned word and an offset: value = word + offset. A negative operand enters as its
complement, so no word ever has a sign, a sum is as wide as the range it was proved to have, and
what the offsets add up to is left to the comparison at the end.
"""

import heapq
import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LUT_INPUTS = 4
"""Inputs of a look-up table: up to so many bits make any sum without a carry chain."""
_LOOK = 4  # terms, from the narrowest on, among which a row's next pair is chosen
_NOISES = (0.0, 0.1, 0.3)
_POWERS = (0.0, 1.0, 1.5, 2.0)

Term = tuple[int, int]
"""A node and the power of two it is multiplied by."""
Pattern = tuple[int, int, int, int]
"""Nodes a and b, shift of b, sign of b: a + sign * 2^shift * b."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """An input, or a sum of two earlier nodes; value = word + offset.

    Attributes:
        a, b: the operands; -1 for an input.
        shift: places that b is shifted to the left by; a negative number shifts a.
        subtract: the complement of b's word (as wide as its `bits`) is added.
        constant: what is added to the word beside the operands' words.
        low, high: bounds of the word.
        level: additions on the longest way from an input.
        copied: lowest bits of the word that are an operand's own; all, where the operands only
            stand side by side.
        table: one look-up table a bit, no carry chain.
    """

    a: int = -1
    b: int = -1
    shift: int = 0
    subtract: bool = False
    constant: int = 0
    low: int = 0
    high: int
    offset: int
    level: int = 0
    copied: int = 0
    table: bool = False

    @property
    def bits(self) -> int:
        """Width of the word."""
        return self.high.bit_length()

    @property
    def luts(self) -> int:
        """Look-up tables: one per bit that is not an operand's own."""
        return self.bits - self.copied


@dataclass(frozen=True, kw_only=True)
class Output:
    """One row: `sign * 2^shift * (value of node) + constant`; node -1 for a constant row."""

    node: int
    sign: int = 1
    shift: int = 0
    constant: int = 0


@dataclass(frozen=True, kw_only=True)
class AdderGraph:
    """Nodes, each after its operands, the inputs first; and where the rows' sums are."""

    inputs: int
    nodes: tuple[Node, ...]
    outputs: tuple[Output, ...]

    @property
    def luts(self) -> int:
        return sum(node.luts for node in self.nodes[self.inputs :])

    @property
    def levels(self) -> int:
        """Additions on the longest way through the graph."""
        return max((self.nodes[out.node].level for out in self.outputs if out.node >= 0), default=0)

    def bounds(self, row: int) -> tuple[int, int]:
        """Least and greatest sum of a row that the inputs' ranges allow."""
        out = self.outputs[row]
        if out.node < 0:
            return out.constant, out.constant
        node, scale = self.nodes[out.node], out.sign << out.shift
        ends = [scale * (word + node.offset) + out.constant for word in (node.low, node.high)]
        return min(ends), max(ends)


def evaluate(graph: AdderGraph, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums [batch, rows] of input values [batch, inputs], word by word as hardware makes them."""
    words: list[NDArray[np.int64]] = []
    for number, node in enumerate(graph.nodes):
        if number < graph.inputs:
            words.append(values[:, number] - node.offset)
            continue
        a, b = words[node.a] << max(-node.shift, 0), words[node.b]
        if node.subtract:
            b = (1 << graph.nodes[node.b].bits) - 1 - b
        words.append(a + (b << max(node.shift, 0)) + node.constant)
    sums = np.zeros((len(values), len(graph.outputs)), np.int64)
    for row, out in enumerate(graph.outputs):
        if out.node >= 0:
            value = words[out.node] + graph.nodes[out.node].offset
            sums[:, row] = out.sign * (value << out.shift)
        sums[:, row] += out.constant
    return sums


def share(
    weights: NDArray[np.int64],
    ranges: Sequence[tuple[int, int]],
    *,
    tries: int = 12,
    seed: int = 0,
) -> AdderGraph:
    """The cheapest graph of `tries` for weights [rows, inputs].

    Args:
        ranges: least and greatest value of each input; the word of an input is its value less the
            least one.
        seed: the same seed gives the same graph.
    """
    rng = np.random.default_rng(seed)
    graphs: list[AdderGraph] = []
    for number in range(tries):
        noise = _NOISES[number // len(_POWERS) % len(_NOISES)]
        sharing = _Sharing(weights, ranges, rng, noise, _POWERS[number % len(_POWERS)])
        graphs.append(sharing.graph())
    return min(graphs, key=lambda graph: (graph.luts, graph.levels))


def signed_digits(weight: int) -> list[tuple[int, int]]:
    """(shift, sign) of each nonzero canonical signed digit: no two of them are neighbours."""
    digits: list[tuple[int, int]] = []
    shift = 0
    while weight:
        if weight & 1:
            digit = 2 - (weight & 3)
            digits.append((shift, digit))
            weight -= digit
        weight >>= 1
        shift += 1
    return digits


class _Sharing:
    """One try: rows as {term: sign}, and how many rows could use each pair of terms."""

    def __init__(
        self,
        weights: NDArray[np.int64],
        ranges: Sequence[tuple[int, int]],
        rng: np.random.Generator,
        noise: float,
        power: float,
    ) -> None:
        self.rng, self.noise, self.power = rng, noise, power
        self.inputs = len(ranges)
        self.nodes = [Node(high=high - low, offset=low) for low, high in ranges]
        self.known: dict[Pattern, tuple[int, int]] = {}
        self.count: dict[Pattern, int] = defaultdict(int)
        self.users: dict[Pattern, set[int]] = defaultdict(set)
        self.heap: list[tuple[float, int, Pattern]] = []
        fixed = [low if low == high else None for low, high in ranges]
        self.constants = [
            sum(int(w) * value for w, value in zip(row, fixed, strict=True) if value is not None)
            for row in weights
        ]
        self.rows: list[dict[Term, int]] = [
            {
                (number, shift): sign
                for number, weight in enumerate(row)
                if fixed[number] is None
                for shift, sign in signed_digits(int(weight))
            }
            for row in weights
        ]

    def graph(self) -> AdderGraph:
        for number, row in enumerate(self.rows):
            for (t, s), (u, v) in itertools.combinations(row.items(), 2):
                self._note(number, _pattern(t, s, u, v), 1)
        for pattern in self.count:
            self._push(pattern)
        while self.heap:
            self._extract()
        outputs = [
            self._add_up(row, constant)
            for row, constant in zip(self.rows, self.constants, strict=True)
        ]
        return _without_unused(self.inputs, self.nodes, outputs)

    def _note(self, row: int, pattern: Pattern, by: int) -> None:
        self.count[pattern] += by
        if by > 0:
            self.users[pattern].add(row)

    def _gain(self, pattern: Pattern) -> float:
        """What a node for this pair is worth; 0: nothing."""
        if self.count[pattern] < 2:
            return 0.0
        return (self.count[pattern] - 1) * self._node(pattern)[0].luts ** self.power

    def _push(self, pattern: Pattern) -> None:
        gain = self._gain(pattern)
        if gain > 0:
            blurred = gain * (1 + self.noise * self.rng.random())
            heapq.heappush(self.heap, (-blurred, self.count[pattern], pattern))

    def _extract(self) -> None:
        """The best pair becomes a node in all rows that have it."""
        _, count, pattern = heapq.heappop(self.heap)
        if count != self.count[pattern]:
            if count > self.count[pattern]:
                self._push(pattern)
            return
        uses = list(self._uses(pattern))
        if len(uses) < 2:
            self.count[pattern] = 0
            return
        a, b, places, _ = pattern
        node, sign = self._make(pattern)
        changed: set[Pattern] = set()
        for row_number, shift, lead in uses:
            row = self.rows[row_number]
            for term in ((a, shift), (b, shift + places)):
                own = row.pop(term)
                for other, other_sign in row.items():
                    self._note(row_number, _pattern(term, own, other, other_sign), -1)
            for other, other_sign in row.items():
                made = _pattern((node, shift), lead * sign, other, other_sign)
                self._note(row_number, made, 1)
                changed.add(made)
            row[node, shift] = lead * sign
        for made in sorted(changed):
            self._push(made)

    def _uses(self, pattern: Pattern) -> Iterable[tuple[int, int, int]]:
        """(row, shift, sign) of each place where the pair stands; no term is used twice."""
        a, b, places, relative = pattern
        for number in sorted(self.users[pattern]):
            row, taken = self.rows[number], set[Term]()
            for node, shift in row:
                pair = {(a, shift), (b, shift + places)}
                if node != a or (b, shift + places) not in row or pair & taken:
                    continue
                if row[a, shift] * row[b, shift + places] == relative:
                    taken |= pair
                    yield number, shift, row[a, shift]

    def _add_up(self, row: dict[Term, int], constant: int) -> Output:
        """One node for what a row has left."""
        terms = list(row.items())
        if not terms:
            return Output(node=-1, constant=constant)
        while len(terms) > 1:
            terms.sort(key=lambda item: (self._width(item[0]), self.nodes[item[0][0]].level))
            _, x, y = min(
                (self._price(terms[x], terms[y]), x, y)
                for x, y in itertools.combinations(range(min(len(terms), _LOOK)), 2)
            )
            (u, v), (t, s) = terms.pop(y), terms.pop(x)
            node, sign = self._make(_pattern(t, s, u, v))
            lead = s if t[::-1] <= u[::-1] else v
            terms.append(((node, min(t[1], u[1])), lead * sign))
        ((node, shift), sign) = terms[0]
        return Output(node=node, sign=sign, shift=shift, constant=constant)

    def _width(self, term: Term) -> int:
        return self.nodes[term[0]].high << term[1]

    def _price(self, one: tuple[Term, int], two: tuple[Term, int]) -> tuple[int, int, int]:
        pattern = _pattern(*one, *two)
        node, _ = self._node(pattern)
        return 0 if pattern in self.known else node.luts, node.high, node.level

    def _make(self, pattern: Pattern) -> tuple[int, int]:
        if pattern not in self.known:
            node, sign = self._node(pattern)
            self.nodes.append(node)
            self.known[pattern] = (len(self.nodes) - 1, sign)
        return self.known[pattern]

    def _node(self, pattern: Pattern) -> tuple[Node, int]:
        """The node for a pattern, or for its negative: then with sign -1."""
        a, b, places, sign = pattern
        if sign > 0:
            return self._sum(a, b, places, False), 1
        choices = (self._sum(a, b, places, True), 1), (self._sum(b, a, -places, True), -1)
        return min(choices, key=lambda choice: (choice[0].luts, choice[0].high))

    def _sum(self, a: int, b: int, shift: int, subtract: bool) -> Node:
        x, y = self.nodes[a], self.nodes[b]
        x_shift, y_shift = max(-shift, 0), max(shift, 0)
        low, high, offset = y.low, y.high, y.offset
        if subtract:
            top = (1 << y.bits) - 1
            low, high, offset = top - y.high, top - y.low, -y.offset - top
        low = (x.low << x_shift) + (low << y_shift)
        high = (x.high << x_shift) + (high << y_shift)
        offset = (x.offset << x_shift) + (offset << y_shift)
        beside = not subtract and (x.bits <= y_shift or y.bits <= x_shift)
        table = x.bits + y.bits <= LUT_INPUTS and not beside
        constant = -low if table else 0
        copied = 0 if table else y_shift if y_shift or subtract else x_shift
        copied = min((high + constant).bit_length(), high.bit_length() if beside else copied)
        return Node(
            a=a,
            b=b,
            shift=shift,
            subtract=subtract,
            constant=constant,
            low=low + constant,
            high=high + constant,
            offset=offset - constant,
            level=1 + max(x.level, y.level),
            copied=copied,
            table=table,
        )


def _pattern(t: Term, s: int, u: Term, v: int) -> Pattern:
    """The pair of terms t and u with signs s and v, up to a common shift and sign."""
    if (t[1], t[0]) > (u[1], u[0]):
        t, u = u, t
    return t[0], u[0], u[1] - t[1], s * v


def _without_unused(inputs: int, nodes: Sequence[Node], outputs: Sequence[Output]) -> AdderGraph:
    """The nodes that outputs need, renumbered; all inputs stay."""
    needed = {*range(inputs), *(out.node for out in outputs if out.node >= 0)}
    for number in range(len(nodes) - 1, inputs - 1, -1):
        if number in needed:
            needed |= {nodes[number].a, nodes[number].b}
    place = {old: new for new, old in enumerate(sorted(needed))} | {-1: -1}
    kept = [
        Node(**{**vars(nodes[old]), "a": place[nodes[old].a], "b": place[nodes[old].b]})
        for old in sorted(needed)
    ]
    ends = [Output(**{**vars(out), "node": place[out.node]}) for out in outputs]
    return AdderGraph(inputs=inputs, nodes=tuple(kept), outputs=tuple(ends))
