"""The fold of every stage under a total budget: an integer program, exact for its costs.

Every stage takes one of its folds; the sum of each resource stays within the budget, and the words
of neighbours fit together. For an interval only folds of at most so many steps are allowed, so
that the intervals that can be the least one are the step counts of all folds: a finite set, in
which a bisection finds the least feasible one. That the one below is infeasible is the solver's
proof (HiGHS, arXiv 1803.04796), and a part of the result.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from math import gcd
from operator import le
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from bitwright.errors import BitwrightError
from bitwright.ir.dataflow import (
    LEAST_INTERVAL,
    AddStage,
    Fold,
    MatrixStage,
    Pipeline,
    Stage,
    Tensor,
)  # fmt: skip
from bitwright.native_output import no_native_stdout
from bitwright.passes.dataflow.options import divisors, fits, folds, readers
from bitwright.targets.target import Resources

Objective = Literal["interval", "latency", "use"]
Costs = Callable[[Pipeline, Stage], Resources]
"""What a stage takes, with its buffers; read from its `fold` and those of its sources."""
KINDS = ("lut", "ff", "bram", "dsp")
_HOST_BITS = 32
_INFEASIBLE = 2  # scipy's status
_LEAST_USE = 1e-6  # of a latency's cycle: the objective's second term


class NoFolding(BitwrightError):
    """A pipeline that no fold of its stages brings into the budget or to the interval."""

    exit_code = 56


@dataclass(frozen=True)
class Option:
    """One fold of one stage: its steps for an image, and what it takes."""

    fold: Fold
    steps: int
    cost: tuple[int, ...]


@dataclass(frozen=True)
class Folding:
    """Folds of all stages, and why there is no shorter interval.

    Attributes:
        pipeline: with its folds and its interval.
        below: the next smaller interval that any folds have, proved infeasible; None where the
            interval was given or is the least of all.
        solved: integer programs that were solved.
    """

    pipeline: Pipeline
    below: int | None
    solved: int


def fold(
    pipeline: Pipeline,
    budget: Resources,
    costs: Costs,
    *,
    interval: int | None = None,
    objective: Objective = "interval",
) -> Folding:
    """Folds with the least interval, and with it the least use of the budget.

    Args:
        costs: what a stage of these folds takes.
        interval: at most so many cycles from image to image; the least use of the budget then.
        objective: instead of the least interval, "latency": the least sum of the times for which
            stages wait for one another (see `_waits`); "use": the least use of the budget.

    Raises:
        NoFolding: nothing fits.
    """
    program = _Program(pipeline, budget, [_options(pipeline, stage, costs) for stage in
                                          pipeline.stages])  # fmt: skip
    candidates = program.intervals()
    if objective != "interval" or interval is not None:
        longest = candidates[-1] if interval is None else interval
        chosen = program.solve(longest, objective)
        made = None if chosen is None else _folded(pipeline, chosen)
        if made is None or (interval is not None and made.interval > interval):
            raise _does_not_fit(pipeline, budget, interval)
        return Folding(made, None, program.solved)
    if program.solve(candidates[-1], None) is None:
        raise _does_not_fit(pipeline, budget, interval)
    low, high = 0, len(candidates) - 1
    while low < high:
        middle = (low + high) // 2
        if program.solve(candidates[middle], None) is None:
            low = middle + 1
        else:
            high = middle
    best = program.solve(candidates[high], "use")
    assert best is not None, "it fits, as was found before"
    below = candidates[high - 1] if high else None
    return Folding(_folded(pipeline, best), below, program.solved)


def with_folds(pipeline: Pipeline, chosen: Sequence[Fold], interval: int | None = None) -> Pipeline:
    """`pipeline` with these folds, and an input that comes as fast as its first reader takes it.

    The interval is the least one where none is given.
    """
    stages = tuple(
        replace(stage, fold=item) for stage, item in zip(pipeline.stages, chosen, strict=True)
    )
    made = replace(pipeline, stages=stages)
    source, first = pipeline.input, readers(made, pipeline.input.name)
    steps = max(LEAST_INTERVAL, *(stage.tiles * stage.tile_steps for stage in stages))
    lanes = _input_lanes(source, gcd(*(stage.fold.lanes for stage in first)), steps)
    words = source.height * source.width * (source.channels // lanes)
    pace = max(1, min(stage.tiles * stage.tile_steps for stage in first) // words)
    least = max(words * pace, steps)
    return replace(made, input_lanes=lanes, pace=pace, interval=interval or least)


def _input_lanes(source: Tensor, whole: int, steps: int) -> int:
    """Channels of an input word: as few as fill a word of the host and come within `steps`."""
    elements = source.height * source.width * source.channels
    enough = [
        lanes for lanes in divisors(whole)
        if lanes * source.bits > _HOST_BITS // 2 and elements // lanes <= steps
    ]  # fmt: skip
    return min(enough, default=whole)


def _folded(pipeline: Pipeline, chosen: Sequence[Option]) -> Pipeline:
    return with_folds(pipeline, [option.fold for option in chosen])


def _options(pipeline: Pipeline, stage: Stage, costs: Costs) -> list[Option]:
    """All folds but those that another one of the same words beats in steps and every resource."""
    found: list[Option] = []
    for item in folds(stage):
        folded = replace(stage, fold=item)
        needs = dict(costs(pipeline, folded).items())
        cost = tuple(needs[kind] for kind in KINDS)
        found.append(Option(item, folded.tiles * folded.tile_steps, cost))
    return _undominated(found, lambda option: (option.steps, *option.cost))


def _undominated(
    options: Iterable[Option], price: Callable[[Option], tuple[int, ...]]
) -> list[Option]:
    """Of options with the same words those that are not beaten in every part of the price."""
    kept: dict[tuple[int, int], list[Option]] = {}
    for option in sorted(options, key=price):
        group = kept.setdefault((option.fold.lanes, option.fold.out_lanes), [])
        own = price(option)
        if not any(all(map(le, price(other), own)) for other in group):
            group.append(option)
    return [option for group in kept.values() for option in group]


class _Program:
    """The integer program of one pipeline, for any interval."""

    def __init__(
        self, pipeline: Pipeline, budget: Resources, options: Sequence[list[Option]]
    ) -> None:
        self._pipeline = pipeline
        self._budget = np.array([dict(budget.items())[kind] for kind in KINDS], np.float64)
        self._options = options
        source = pipeline.input
        self._elements = source.height * source.width * source.channels
        self._readers = [
            index for index, stage in enumerate(pipeline.stages) if source.name in stage.sources
        ]
        self.solved = 0

    def intervals(self) -> list[int]:
        """All intervals that some folds have, ascending."""
        least = max(min(option.steps for option in options) for options in self._options)
        steps = {option.steps for options in self._options for option in options}
        lanes = {option.fold.lanes for index in self._readers for option in self._options[index]}
        words = {self._elements // gcd(*pair) for pair in product(lanes, repeat=2)}
        return sorted(count for count in steps | words if count >= least)

    def solve(self, interval: int, objective: Objective | None) -> list[Option] | None:
        """The best options with at most `interval` steps, or any; None where nothing fits."""
        options = [
            [option for option in options if option.steps <= interval] for options in self._options
        ]
        for index in self._readers:
            options[index] = [
                option for option in options[index]
                if self._elements // option.fold.lanes <= interval
            ]  # fmt: skip
        if objective != "latency":
            options = [_undominated(part, lambda option: option.cost) for part in options]
        if not all(options):
            return None
        self.solved += 1
        flat = [(index, option) for index, part in enumerate(options) for option in part]
        rows = _Rows(len(flat), _waits(self._pipeline) if objective == "latency" else {})
        for index in range(len(options)):
            rows.add({at: 1.0 for at, (i, _) in enumerate(flat) if i == index}, 1, 1)
        for kind, limit in enumerate(self._budget):
            rows.add(
                {at: float(option.cost[kind]) for at, (_, option) in enumerate(flat)}, 0, limit
            )
        self._neighbours(rows, flat)
        self._input(rows, flat, interval)
        if objective is not None:
            costs = np.array([option.cost for _, option in flat])
            rows.waiting(flat, (costs / self._budget.clip(1)).sum(axis=1))
        with no_native_stdout():  # HiGHS 1.12 prints a debugging line (its issue 2783)
            found = milp(
                rows.objective, integrality=rows.integral, bounds=rows.bounds,
                constraints=rows.constraints(),
            )  # fmt: skip
        if found.x is None:
            assert found.status == _INFEASIBLE, found.message
            return None
        return [flat[at][1] for at in np.flatnonzero(found.x[: len(flat)] > 0.5)]

    def _neighbours(self, rows: "_Rows", flat: Sequence[tuple[int, Option]]) -> None:
        """No stage makes words that do not join to those its readers take."""
        number = {stage.result.name: index for index, stage in enumerate(self._pipeline.stages)}
        for reader, stage in enumerate(self._pipeline.stages):
            for source in stage.sources:
                if source not in number:
                    continue
                made = [(at, o.fold.out_lanes) for at, (i, o) in enumerate(flat)
                        if i == number[source]]  # fmt: skip
                taken = [(at, o.fold.lanes) for at, (i, o) in enumerate(flat) if i == reader]
                for out_lanes in {lanes for _, lanes in made}:
                    wrong = [at for at, lanes in taken if not fits(out_lanes, lanes)]
                    if wrong:
                        at_most_one = [at for at, lanes in made if lanes == out_lanes] + wrong
                        rows.add(dict.fromkeys(at_most_one, 1.0), 0, 1)

    def _input(self, rows: "_Rows", flat: Sequence[tuple[int, Option]], interval: int) -> None:
        """No two stages that read the input share words of so few lanes that they come late."""
        lanes = {
            index: {option.fold.lanes for i, option in flat if i == index}
            for index in self._readers
        }
        for one, other in combinations(self._readers, 2):
            for pair in product(lanes[one], lanes[other]):
                if self._elements // gcd(*pair) > interval:
                    both = [
                        at for at, (i, option) in enumerate(flat)
                        if (i, option.fold.lanes) in zip((one, other), pair, strict=True)
                    ]  # fmt: skip
                    rows.add(dict.fromkeys(both, 1.0), 0, 1)


class _Rows:
    """Constraints over the options, and over one variable for each wait."""

    def __init__(self, options: int, waits: Mapping[tuple[int, ...], float]) -> None:
        self._waits = waits
        self._count = options
        self._rows: list[tuple[dict[int, float], float, float]] = []
        size = options + len(waits)
        self.integral = np.array([1] * options + [0] * len(waits))
        upper = np.array([1.0] * options + [np.inf] * len(waits))
        self.bounds = Bounds(np.zeros(size), upper)  # pyright: ignore[reportArgumentType]
        self.objective: NDArray[np.float64] = np.zeros(size)

    def add(self, terms: dict[int, float], low: float, high: float) -> None:
        self._rows.append((terms, low, high))

    def waiting(self, flat: Sequence[tuple[int, Option]], use: NDArray[np.float64]) -> None:
        """The objective: every wait is as long as the slowest of its stages; then the use."""
        self.objective[: self._count] = use * (_LEAST_USE if self._waits else 1.0)
        for number, (stages, weight) in enumerate(self._waits.items()):
            self.objective[self._count + number] = weight
            for index in stages:
                terms = {at: float(o.steps) for at, (i, o) in enumerate(flat) if i == index}
                self.add({**terms, self._count + number: -1.0}, -np.inf, 0)

    def constraints(self) -> LinearConstraint:
        entries = [(row, at, value) for row, (terms, _, _) in enumerate(self._rows)
                   for at, value in terms.items()]  # fmt: skip
        rows, columns, values = zip(*entries, strict=True)
        matrix = csr_array((values, (rows, columns)), shape=(len(self._rows), len(self.objective)))
        return LinearConstraint(
            matrix,
            [low for _, low, _ in self._rows],  # pyright: ignore[reportArgumentType]
            [high for _, _, high in self._rows],  # pyright: ignore[reportArgumentType]
        )


def _waits(pipeline: Pipeline) -> dict[tuple[int, ...], float]:
    """Stages that run at one pace, and for how many of its images' times one image is in them.

    A stage that reads a whole map for each result starts after it; others follow their source by
    the share of it that lies above the first result's last row.
    """
    segments: list[tuple[list[int], float]] = []
    for index, stage in enumerate(pipeline.stages):
        share = _share(stage, pipeline.tensor(stage.sources[0]))
        if not segments or share == 1.0:
            segments.append(([index], 1.0))
        else:
            members, weight = segments[-1]
            segments[-1] = ([*members, index], weight + share)
    return {tuple(members): weight for members, weight in segments}


def _share(stage: Stage, source: Tensor) -> float:
    """Of the source's rows, those that the first result needs."""
    if isinstance(stage, AddStage):
        return 1 / source.height
    if isinstance(stage, MatrixStage) and stage.weights.shape[3] != source.channels:
        return 1.0  # the whole map is one vector
    return min(1.0, (stage.window.kernel[0] - stage.window.padding[0]) / source.height)


def _does_not_fit(pipeline: Pipeline, budget: Resources, interval: int | None) -> NoFolding:
    goal = "" if interval is None else f" with an interval of {interval} cycles"
    room = ", ".join(f"{count} {kind}" for kind, count in budget.items() if kind in KINDS)
    return NoFolding(
        f"No folds of the {len(pipeline.stages)} stages of {pipeline.name!r}{goal} fit into "
        f"{room}; take a longer interval or a larger target, or compile with --style overlay"
    )
