"""The integer program against all foldings, one by one."""

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest

from bitwright.ir.builder import Builder
from bitwright.ir.dataflow import Fold, MatrixStage, Pipeline, Stage
from bitwright.ir.types import QuantParams
from bitwright.passes.dataflow import lower
from bitwright.passes.dataflow.fold import KINDS, NoFolding, fold, with_folds
from bitwright.passes.dataflow.options import fits, folds
from bitwright.targets.target import Resources

X = QuantParams((0.5,), 3, 8, -128, 127)
W = QuantParams((1.0,), 0, 4, -7, 7)


def pipeline() -> Pipeline:
    """A convolution of 2 to 3 channels, a depthwise one, a dense layer: 3 has no factor in 2."""
    build = Builder([("x", (1, 2, 4, 4), X)])
    random = np.random.default_rng(1)

    def weights(*shape: int):
        return build.constant(random.integers(-7, 8, shape), W)

    def zeros(count: int):
        return build.constant(np.zeros(count, np.int32))

    conv = build.conv2d(build.inputs[0], weights(6, 2, 3, 3), zeros(6))
    x = build.requantize(conv, X, multiplier=[1], shift=[4])
    depthwise = build.conv2d(x, weights(6, 1, 1, 2), zeros(6), groups=6)
    x = build.requantize(depthwise, X, multiplier=[1], shift=[4])
    return lower(build.finish([("y", build.linear(build.reshape(x, (1, 12)), weights(4, 12),
                                                  zeros(4)))]))  # fmt: skip


def costs(_: Pipeline, stage: Stage) -> Resources:
    """Any numbers that rise with the fold, and two engines that trade one for the other."""
    item = stage.fold
    products = item.lanes * item.rows
    lut = {"lut": 40, "packed": 12, "dsp": 4}[item.engine] * products + 7 * item.out_lanes
    dsp = {"lut": 0, "packed": products // 2, "dsp": products}[item.engine]
    bram = products // 4 if isinstance(stage, MatrixStage) else 0
    return Resources(lut=lut, ff=lut // 2, bram=bram, dsp=dsp)


Choice = tuple[Fold, int, tuple[int, ...]]  # with its steps and what it takes


@cache
def _choices() -> list[list[Choice]]:
    given = pipeline()
    found: list[list[Choice]] = []
    for stage in given.stages:
        made = [replace(stage, fold=item) for item in folds(stage)]
        found.append([
            (s.fold, s.tiles * s.tile_steps, tuple(needs[kind] for kind in KINDS))
            for s in made for needs in [dict(costs(given, s).items())]
        ])  # fmt: skip
    return found


def _all(budget: Resources) -> dict[int, float]:
    """Least use of the budget by interval, of all foldings that fit."""
    limits = [dict(budget.items())[kind] for kind in KINDS]
    found: dict[int, float] = {}
    for a, b, c in product(*_choices()):
        needs = [sum(three) for three in zip(a[2], b[2], c[2], strict=True)]
        if any(need > limit for need, limit in zip(needs, limits, strict=True)):
            continue
        if not (fits(a[0].out_lanes, b[0].lanes) and fits(b[0].out_lanes, c[0].lanes)):
            continue
        interval = max(a[1], b[1], c[1])
        use = sum(need / max(limit, 1) for need, limit in zip(needs, limits, strict=True))
        found[interval] = min(use, found.get(interval, use))
    return found


def _use(made: Pipeline, budget: Resources) -> float:
    limits = dict(budget.items())
    return sum(
        dict(costs(made, stage).items())[kind] / max(limits[kind], 1)
        for stage in made.stages for kind in KINDS
    )  # fmt: skip


@pytest.mark.parametrize("budget", [
    Resources(lut=200, ff=5000, bram=4, dsp=3),
    Resources(lut=300, ff=5000, bram=2, dsp=0),
    Resources(lut=3000, ff=60, bram=40, dsp=9),
])  # fmt: skip
def test_least_interval_and_then_least_use(budget: Resources) -> None:
    given = pipeline()
    wanted = _all(budget)
    least = min(wanted)
    found = fold(given, budget, costs)
    assert found.pipeline.interval == least
    assert found.below is not None
    assert found.below < least
    assert not any(interval <= found.below for interval in wanted)
    assert _use(found.pipeline, budget) == pytest.approx(wanted[least])


def test_least_use_for_an_interval() -> None:
    given, budget = pipeline(), Resources(lut=3000, ff=5000, bram=40, dsp=9)
    wanted = min(use for interval, use in _all(budget).items() if interval <= 100)
    found = fold(given, budget, costs, interval=100)
    assert found.pipeline.interval <= 100
    assert _use(found.pipeline, budget) == pytest.approx(wanted)


def test_latency_takes_what_the_interval_leaves() -> None:
    given, budget = pipeline(), Resources(lut=300, ff=5000, bram=40, dsp=9)
    fast = fold(given, budget, costs, objective="latency").pipeline
    small = fold(given, budget, costs).pipeline
    steps = [[s.tiles * s.tile_steps for s in made.stages] for made in (fast, small)]
    assert steps[0][-1] < steps[1][-1]  # the dense layer starts after all others


def test_what_does_not_fit_is_said() -> None:
    budget = Resources(lut=30, ff=5000, bram=4, dsp=3)
    with pytest.raises(NoFolding) as error:
        fold(pipeline(), budget, costs, interval=300)
    assert str(error.value) == (
        "No folds of the 3 stages of 'model' with an interval of 300 cycles fit into 30 lut, "
        "5000 ff, 4 bram, 3 dsp; take a longer interval or a larger target, or compile with "
        "--style overlay"
    )


def test_input_words_fit_the_first_stage() -> None:
    made = with_folds(pipeline(), [Fold(lanes=2, rows=3), Fold(lanes=3), Fold(lanes=4, rows=2)])
    assert made.input_lanes == 2
    assert made.interval == max(stage.tiles * stage.tile_steps for stage in made.stages)


def test_input_words_come_within_the_interval() -> None:
    """A stage that skips most of its input takes fewer steps than its words take cycles."""
    build = Builder([("x", (1, 2, 6, 6), X)])
    weights = build.constant(np.ones((2, 2, 1, 1), np.int64), W)
    bias = build.constant(np.zeros(2, np.int32))
    sums = build.conv2d(build.inputs[0], weights, bias, stride=[3, 3])
    given = lower(build.finish([("y", sums)]))
    found = fold(given, Resources(lut=3000, ff=5000, bram=40, dsp=9), costs, interval=40).pipeline
    assert found.input_lanes == 2
    assert found.interval == 36
