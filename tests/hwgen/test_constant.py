"""Unrolled layers: every input, or many, against the golden function; and the graphs of sums."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from amaranth.hdl import Shape
from amaranth.sim import Simulator
from numpy.typing import NDArray

from bitwright.hwgen import thresholds
from bitwright.hwgen.adder_graph import evaluate, share, signed_digits
from bitwright.hwgen.engines.constant import Constant, Layer, full_range, golden, unroll
from bitwright.ir.dataflow import Output, Requantize, Sums, Tensor, Thresholds

Ints = NDArray[np.int64]


def _tensor(bits: int, is_signed: bool) -> Tensor:
    return Tensor(name="y", channels=1, height=1, width=1, bits=bits, signed=is_signed)


def _random_output(
    rng: np.random.Generator, kind: str, rows: int, reach: int
) -> tuple[Output, Tensor]:
    bias = rng.integers(-reach // 4 - 1, reach // 4 + 2, rows)
    if kind == "sums":
        return Sums(bias=bias), _tensor((2 * reach + 2).bit_length() + 1, True)
    if kind == "thresholds":
        count = int(rng.integers(1, 18))
        levels = np.sort(rng.integers(-reach - 1, reach + 2, (rows, count)), axis=1)
        is_signed = bool(rng.integers(2))
        least = -(count // 2) if is_signed else 0
        return Thresholds(bias=bias, levels=levels, least=least), _tensor(6, is_signed)
    bits = int(rng.integers(1, 9))
    output = Requantize(
        bias=bias,
        multiplier=rng.integers(1 << 8, 1 << 12, rows),
        shift=rng.integers(8, 16, rows),
        zero_point=int(rng.integers(-3, 4)),
        clamp=full_range(bits, True),
        rounding=str(rng.choice(["half_up", "half_away", "half_even"])),
    )
    return output, _tensor(bits, True)


def _simulate(layer: Layer, shape: Shape, inputs: Ints) -> Ints:
    """Results of a vector a cycle, taken `latency` cycles later."""
    unit = Constant(layer=layer, activation_shape=shape)
    results: list[list[int]] = []

    async def bench(ctx):  # type: ignore[no-untyped-def]
        for cycle in range(len(inputs) + layer.latency):
            if cycle < len(inputs):
                for lane, value in enumerate(inputs[cycle]):
                    ctx.set(unit.activations[lane], int(value))
            if cycle >= layer.latency:
                rows = range(len(layer.graph.outputs))
                results.append([ctx.get(unit.results[row]) for row in rows])
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return np.array(results)


def _inputs(rng: np.random.Generator, ranges: Sequence[tuple[int, int]], most: int) -> Ints:
    """All inputs where they are no more than `most`; else random ones, the extremes among them."""
    lows, highs = np.array(ranges).T
    if np.prod((highs - lows + 1).astype(float)) <= most:
        return np.array(list(itertools.product(*[range(low, high + 1) for low, high in ranges])))
    drawn = rng.integers(lows, highs + 1, (most, len(ranges)))
    drawn[:2] = lows, highs
    drawn[2:12] = np.where(rng.random((10, len(ranges))) < 0.5, lows, highs)
    return drawn


def _cases() -> Iterator[tuple[int, int, int, bool, str]]:
    """(seed, weight bits, activation bits, signed, output stage); 0 bits are ternary weights."""
    kinds = itertools.cycle(["sums", "thresholds", "requantize"])
    for seed, (weights, bits) in enumerate(
        [(0, 1), (0, 2), (0, 3), (1, 2), (2, 4), (4, 2), (8, 8)]
    ):
        yield seed, weights, bits, bool(seed % 2), next(kinds)
        yield seed + 50, weights, bits, not seed % 2, next(kinds)


@pytest.mark.parametrize(("seed", "weight_bits", "bits", "is_signed", "kind"), list(_cases()))
def test_results(seed: int, weight_bits: int, bits: int, is_signed: bool, kind: str) -> None:
    rng = np.random.default_rng(seed)
    lanes, rows = (5, 6) if bits < 3 else (7, 5)
    most = (1 << weight_bits - 1) - 1 if weight_bits > 1 else 1
    weights = rng.integers(-most, most + 1, (rows, lanes))
    weights[0] = 0
    weights[1] = -np.abs(weights[1])
    ranges = [full_range(bits, is_signed)] * lanes
    reach = int(np.abs(weights).sum(axis=1).max() << bits)
    output, result = _random_output(rng, kind, rows, reach)
    layer = unroll(weights, ranges, output, result, levels_per_stage=1 + seed % 3, tries=3)
    inputs = _inputs(rng, ranges, 256)
    expected = golden(weights, inputs, output, result)
    results = _simulate(layer, Shape(bits, is_signed), inputs)
    np.testing.assert_array_equal(results, expected)
    lows, highs = np.array(layer.result_ranges).T
    assert (expected >= lows).all()
    assert (expected <= highs).all()


def test_ranges_of_the_layer_before_narrow_the_next() -> None:
    """A lane that never moves costs nothing, and one that is narrow costs less."""
    weights = np.array([[3, -5, 2], [1, 7, -1]])
    wide = share(weights, [(0, 15)] * 3, tries=2)
    narrow = share(weights, [(0, 3), (2, 2), (-1, 0)], tries=2)
    assert narrow.luts < wide.luts / 3
    inputs = np.array(list(itertools.product(range(4), [2], [-1, 0])))
    np.testing.assert_array_equal(evaluate(narrow, inputs), inputs @ weights.T)


@pytest.mark.parametrize("seed", range(6))
def test_graph(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, lanes = rng.integers(1, 20, 2)
    weights = rng.integers(-(1 << seed), (1 << seed) + 1, (rows, lanes))
    ranges = [full_range(int(rng.integers(1, 9)), bool(rng.integers(2))) for _ in range(lanes)]
    graph = share(weights, ranges, tries=2)
    inputs = _inputs(rng, ranges, 300)
    sums = evaluate(graph, inputs)
    np.testing.assert_array_equal(sums, inputs @ weights.T)
    lows, highs = np.array([graph.bounds(row) for row in range(rows)]).T
    assert (sums >= lows).all()
    assert (sums <= highs).all()


def test_common_sums_are_made_once() -> None:
    """Four rows of five terms share two sums of two: one addition a row is left, and two more."""
    weights = np.array(
        [[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 0, 1], [1, 1, -1, -1, 1, 0], [1, 1, 0, 0, 0, 1]]
    )
    graph = share(weights, [(0, 3)] * 6, tries=1)
    assert len(graph.nodes) - graph.inputs == 2 + 2 + 4 - 1 + 1 - 1
    assert graph.levels == 3


def test_words_beside_each_other_cost_nothing() -> None:
    """5x of two bits is x twice; thresholds of which the lowest bit makes no difference."""
    output = Thresholds(bias=np.zeros(2, np.int64), levels=np.array([[4, 8], [2, 12]]), least=0)
    layer = unroll(np.array([[5], [-5]]), [(0, 3)], output, _tensor(2, False), tries=1)
    assert layer.graph.luts == 0
    inputs = np.arange(4)[:, None]
    results = _simulate(layer, Shape(2), inputs)
    assert results.tolist() == [[0, 0], [1, 0], [2, 0], [2, 0]]


def test_signed_digits_have_no_neighbours() -> None:
    for weight in range(-255, 256):
        digits = signed_digits(weight)
        assert sum(sign << shift for shift, sign in digits) == weight
        shifts = [shift for shift, _ in digits]
        assert all(upper - lower > 1 for lower, upper in itertools.pairwise(shifts))


def test_a_result_that_falls_is_refused() -> None:
    output = Requantize(
        bias=np.array([0, 0]),
        multiplier=np.array([1, 1]),
        shift=np.array([1, 1]),
        zero_point=0,
        clamp=(-2, 1),
        rounding="half_up",
        table=np.array([0, 1, -1, 1]),
    )
    with pytest.raises(thresholds.NotMonotone) as caught:
        unroll(np.eye(2, dtype=int), [(-2, 1)] * 2, output, _tensor(2, True))
    assert str(caught.value) == (
        "Row 0 of y gives 1 for the sum -2 and -1 for -1; an unrolled layer needs results that "
        "never fall as the sum rises; fold the layer instead"
    )
