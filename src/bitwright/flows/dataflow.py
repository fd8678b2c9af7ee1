"""From a quantized module to a pipeline of one engine per layer that fits the target."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from torch_mlir import ir

from bitwright import report as reports
from bitwright.flows.folder import BuildFolder
from bitwright.flows.folding_file import FoldingFile
from bitwright.fpga.report import check_fits
from bitwright.hwgen.dataflow.core import DataflowCore
from bitwright.hwgen.dataflow.loops import reads
from bitwright.hwgen.dataflow.resources import ends_resources, resources
from bitwright.hwgen.dataflow.schedule import (
    Buffer,
    Schedule,
    StageTimes,
    least_interval,
    schedule,
)
from bitwright.hwgen.tops import emit_buses
from bitwright.ir import serialize
from bitwright.ir.dataflow import AddStage, ChannelwiseStage, MatrixStage, Pipeline, Stage
from bitwright.passes.dataflow import lower
from bitwright.passes.dataflow.fold import NoFolding, Objective, fold, with_folds
from bitwright.passes.partition import Parts, partition
from bitwright.passes.search.candidate import Candidate, budget
from bitwright.passes.search.candidate import Objective as SearchObjective
from bitwright.progress import ProgressCallback, silent
from bitwright.targets.target import Family, FpgaTarget, Resources

_OBJECTIVES: Mapping[SearchObjective, Objective] = {
    "latency": "latency", "throughput": "interval", "luts": "use",
}  # fmt: skip
_KINDS = {MatrixStage: "matrix", ChannelwiseStage: "channelwise", AddStage: "add"}
_ROUTABLE = {"lut": 0.60, "ff": 0.75}
"""Shares that a pipeline may take. Most of it are carry chains, which must lie in one piece: on the
ULX3S-85F 48,000 look-up tables were placed, and 58,400 (70 %) had no legal placement."""
_LEAST_BANKS = 2
ROUNDS = 6
"""Of folding with the buffers that the schedule of the folding before needs."""


@dataclass(frozen=True)
class DataflowBuild:
    """A pipeline and what it is predicted to do and to take.

    Attributes:
        below: the next smaller interval, proved to be infeasible in `room`; None where the
            interval was given, or no folds are faster.
        room: the budget of the folding.
        stages: what each stage takes; `resources` is all.
    """

    parts: Parts
    pipeline: Pipeline
    times: Schedule
    below: int | None
    room: Resources
    stages: tuple[Resources, ...]
    resources: Resources


def build_dataflow(
    module: ir.Module,
    target: FpgaTarget,
    *,
    name: str = "model",
    folding: FoldingFile | None = None,
    interval: int | None = None,
    objective: Objective = "interval",
) -> DataflowBuild:
    """The pipeline of `module`, folded into what `target` has room for.

    Args:
        folding: folds and an interval that are fixed.
        interval: cycles from one image to the next that are enough; the least use then.

    Raises:
        UnsupportedInDataflow: a layer that no stage can be.
        NoFolding: nothing fits the budget of the target.
        DoesNotFit: the folding that is given needs more than the target has.
        FoldingError: it does not fit the model.
    """
    parts = partition(module)
    flat = lower(parts.core, name)
    shares = {
        kind: int(share * dict(target.resources.items())[kind]) for kind, share in _ROUTABLE.items()
    }
    room = replace(budget(target.resources), **shares)
    if folding is not None:
        pipeline = with_folds(flat, folding.folds(flat), folding.interval)
        made = _priced(parts, pipeline, None, room, target.family)
        check_fits(f"the pipeline of {name!r} with this folding", made.resources, target)
        return made
    costs = _Costs(target.family)
    ends = ends_resources(flat, _LEAST_BANKS, target.family)
    margin = over = Resources(lut=0, ff=0, bram=0, dsp=0)
    for _ in range(ROUNDS):
        found = fold(
            flat, _less(room, ends + margin), costs, interval=interval, objective=objective
        )
        pipeline = found.pipeline
        if interval is None:  # the input's words, or the units, may need more than the stages
            pipeline = replace(pipeline, interval=max(pipeline.interval, least_interval(pipeline)))
        made = _priced(parts, pipeline, found.below, room, target.family)
        over = _less(made.resources, room)
        if not any(_counts(over)):
            return made
        ends = ends_resources(found.pipeline, made.times.banks, target.family)
        if not costs.learn(found.pipeline, made.times):
            margin += over + over  # twice, to come to an end
    more = ", ".join(f"{count} {kind}" for kind, count in over.items() if count)
    raise NoFolding(
        f"With its buffers {name!r} needs {more} more than there is room for, with every folding "
        "that was tried; take a longer interval with --interval, or compile with --style overlay"
    )


@dataclass
class _Costs:
    """What a stage takes, with buffers as deep as the schedules so far have needed them."""

    family: Family
    kept: dict[str, list[int]] = field(default_factory=dict[str, list[int]])

    def __call__(self, pipeline: Pipeline, stage: Stage) -> Resources:
        channels = self.kept.get(stage.result.name)
        if channels is None:
            return resources(pipeline, stage, self.family)
        words = [
            max(2, 1 << (-(-count // stage.fold.lanes) - 1).bit_length()) for count in channels
        ]
        buffers = tuple(Buffer(words=depth, occupancy=depth, index_bits=0) for depth in words)
        times = StageTimes(
            first_step=0, last_step=0, gate=None, buffers=buffers, arrivals=np.zeros(0, np.int64)
        )  # of which only the buffers count
        return resources(pipeline, stage, self.family, times)

    def learn(self, pipeline: Pipeline, times: Schedule) -> bool:
        """What an exact schedule needs, and no less than one before did; whether that is new."""
        known = dict(self.kept)
        for stage, stage_times in zip(pipeline.stages, times.stages, strict=True):
            found = [
                buffer.occupancy * own.word_lanes
                for own, buffer in zip(reads(pipeline, stage), stage_times.buffers, strict=True)
            ]
            before = self.kept.get(stage.result.name, found)
            self.kept[stage.result.name] = [max(pair) for pair in zip(found, before, strict=True)]
        return self.kept != known


def _priced(
    parts: Parts, pipeline: Pipeline, below: int | None, room: Resources, family: Family
) -> DataflowBuild:
    times = schedule(pipeline)
    stages = [
        resources(pipeline, stage, family, stage_times)
        for stage, stage_times in zip(pipeline.stages, times.stages, strict=True)
    ]
    whole = sum(stages, ends_resources(pipeline, times.banks, family))
    return DataflowBuild(parts, pipeline, times, below, room, tuple(stages), whole)


def _counts(item: Resources) -> list[int]:
    return [count for _, count in item.items()]


def _less(room: Resources, taken: Resources) -> Resources:
    used = dict(taken.items())
    return Resources(**{kind: max(0, count - used[kind]) for kind, count in room.items()})


def write_dataflow(build: DataflowBuild, folder: BuildFolder) -> None:
    """Write the parts, the folding and the Verilog.

    The Verilog has the pipeline on Wishbone (`bitwright_wb`) and on AXI4-Lite
    (`bitwright_axil`); its weights are in it.
    """
    serialize.save(build.parts.before, folder.before)
    serialize.save(build.parts.core, folder.core)
    serialize.save(build.parts.after, folder.after)
    FoldingFile.of(build.pipeline).save(folder.folding)
    emit_buses(DataflowCore(pipeline=build.pipeline), folder.rtl)


@dataclass(frozen=True)
class DataflowOffer:
    """The pipeline for a model that fits a target."""

    made: DataflowBuild

    @property
    def candidates(self) -> tuple[Candidate]:
        """Of one pipeline, the best folding."""
        made, times = self.made, self.made.times
        limits = () if made.below is None else (f"interval {made.below:,}: does not fit",)
        return (
            Candidate(
                style="dataflow",
                parameters={"stages": len(made.pipeline.stages), "interval": times.interval},
                cycles=times.latency, interval=times.interval, resources=made.resources,
                spent=_spent(made.pipeline, times), limits=limits,
            ),
        )  # fmt: skip

    def build(self, chosen: Candidate) -> DataflowBuild:
        """The pipeline."""
        assert chosen.cycles == self.made.times.latency, "there is one"
        return self.made


def offer_dataflow(
    module: ir.Module, target: FpgaTarget, name: str, folding: FoldingFile | None = None,
    interval: int | None = None, objective: SearchObjective = "latency",
    progress: ProgressCallback = silent,
) -> DataflowOffer:  # fmt: skip
    """The pipeline of `build_dataflow` that is best by `objective`, or least for an `interval`."""
    progress("fold the layers", 0, 0)
    made = build_dataflow(
        module, target, name=name, folding=folding, interval=interval,
        objective="use" if interval is not None else _OBJECTIVES[objective],
    )  # fmt: skip
    return DataflowOffer(made)


def describe_dataflow(build: DataflowBuild, device: FpgaTarget, made: reports.Report) -> None:
    """What is known of the pipeline, in the report."""
    times, pipeline = build.times, build.pipeline
    made.target = reports.Target(name=device.name, kind="fpga", device=device.device)
    made.stages = tuple(
        reports.PipelineStage(
            name=stage.result.name, kind=_KINDS[type(stage)], **vars(stage.fold),
            steps=stage.tiles * stage.tile_steps,
            buffers=tuple(buffer.words for buffer in stage_times.buffers),
            resources=dict(needs.items()),
        )
        for stage, stage_times, needs in zip(
            pipeline.stages, times.stages, build.stages, strict=True
        )
    )  # fmt: skip
    made.set_cycles(predicted=times.latency)
    made.set_resources("predicted", dict(build.resources.items()))
    made.set_resources("available", dict(device.resources.items()))
    made.files.update({"folding": "folding.json", "rtl": "rtl"})


def _spent(pipeline: Pipeline, times: Schedule) -> dict[str, int]:
    """By how much each stage's last result comes after the last one before; the latency in all."""
    found: dict[str, int] = {}
    done = 0
    for stage, stage_times in zip(pipeline.stages, times.stages, strict=True):
        last = max(done, int(stage_times.arrivals[-1]))
        found[stage.result.name], done = last - done, last
    return found


def load_dataflow(core: ir.Module, path: Path) -> Pipeline:
    """The pipeline of a build folder: its core, folded as the file says."""
    folding = FoldingFile.load(path)
    flat = lower(core, folding.name)
    return with_folds(flat, folding.folds(flat), folding.interval)
