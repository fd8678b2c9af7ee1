"""From a quantized module to a pipeline of one engine per layer that fits the target."""

from dataclasses import dataclass, field
from pathlib import Path

from torch_mlir import ir

from bitwright import report as reports
from bitwright.flows.folder import BuildFolder
from bitwright.flows.folding_file import FoldingFile
from bitwright.fpga.report import check_fits
from bitwright.hwgen.dataflow.core import DataflowCore
from bitwright.hwgen.dataflow.estimate import host_resources, stage_resources
from bitwright.hwgen.dataflow.loops import reads
from bitwright.hwgen.dataflow.schedule import Schedule, schedule
from bitwright.hwgen.tops import Axi4LiteTop, WishboneTop
from bitwright.hwgen.verilog import emit
from bitwright.ir import serialize
from bitwright.ir.dataflow import AddStage, ChannelwiseStage, MatrixStage, Pipeline, Stage
from bitwright.passes.dataflow import lower
from bitwright.passes.dataflow.fold import Objective, fold, with_folds
from bitwright.passes.partition import Parts, partition
from bitwright.passes.search.candidate import budget
from bitwright.targets.target import FpgaTarget, Resources

_KINDS = {MatrixStage: "matrix", ChannelwiseStage: "channelwise", AddStage: "add"}
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
    room = budget(target.resources)
    if folding is not None:
        pipeline = with_folds(flat, folding.folds(flat), folding.interval)
        made = _priced(parts, pipeline, None, room)
        check_fits(f"the pipeline of {name!r} with this folding", made.resources, target)
        return made
    buffers = _Buffers()
    for _ in range(ROUNDS):
        found = fold(
            flat, _less(room, host_resources(flat)), buffers.costs, interval=interval,
            objective=objective,
        )  # fmt: skip
        made = _priced(parts, found.pipeline, found.below, room)
        buffers.learn(found.pipeline, made.times)
        if all(need <= have for need, have in zip(_counts(made), _counts(room), strict=True)):
            return made
    check_fits(f"the pipeline of {name!r}", made.resources, target)
    return made


@dataclass
class _Buffers:
    """How many channels each stage has to keep of each source, as far as is known."""

    kept: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])

    def costs(self, pipeline: Pipeline, stage: Stage) -> Resources:
        words = [
            self._words(pipeline, stage, source) for source in stage.sources
        ]
        return stage_resources(pipeline, stage, words)

    def _words(self, pipeline: Pipeline, stage: Stage, source: str) -> int:
        channels = self.kept.get((stage.result.name, source))
        if channels is None:
            channels = _guess(pipeline, stage, source)
        return max(2, 1 << (-(-channels // stage.fold.lanes) - 1).bit_length())

    def learn(self, pipeline: Pipeline, times: Schedule) -> None:
        """What an exact schedule needs, and no less than one before did."""
        for stage, stage_times in zip(pipeline.stages, times.stages, strict=True):
            for own, source, buffer in zip(
                reads(pipeline, stage), stage.sources, stage_times.buffers, strict=True
            ):
                place = stage.result.name, source
                channels = buffer.occupancy * own.word_lanes
                self.kept[place] = max(channels, self.kept.get(place, 0))


def _guess(pipeline: Pipeline, stage: Stage, source: str) -> int:
    """The rows that a window covers and those that come meanwhile; of a vector, two."""
    tensor = pipeline.tensor(source)
    if isinstance(stage, AddStage):
        return 4 * tensor.width * tensor.channels
    window = stage.window
    if tensor.height == tensor.width == 1:
        return 2 * tensor.channels
    rows = (window.kernel[0] - 1) * window.dilation[0]
    rows += window.stride[0] if window.kernel[0] > 1 else 0
    return min(rows * tensor.width + 2 * window.kernel[1], 2 * tensor.height * tensor.width) * (
        tensor.channels
    )


def _priced(parts: Parts, pipeline: Pipeline, below: int | None, room: Resources) -> DataflowBuild:
    times = schedule(pipeline)
    stages: list[Resources] = []
    for stage, stage_times in zip(pipeline.stages, times.stages, strict=True):
        words = [
            buffer.words * own.parts
            for own, buffer in zip(reads(pipeline, stage), stage_times.buffers, strict=True)
        ]
        stages.append(stage_resources(pipeline, stage, words))
    whole = [host_resources(pipeline, times.banks), *stages]
    counts = {
        kind: sum(dict(item.items())[kind] for item in whole) for kind, _ in whole[0].items()
    }
    return DataflowBuild(
        parts, pipeline, times, below, room, tuple(stages), Resources(**counts)
    )


def _counts(item: DataflowBuild | Resources) -> list[int]:
    resources = item.resources if isinstance(item, DataflowBuild) else item
    return [count for _, count in resources.items()]


def _less(room: Resources, taken: Resources) -> Resources:
    used = dict(taken.items())
    return Resources(**{kind: max(0, count - used[kind]) for kind, count in room.items()})


def write_dataflow(build: DataflowBuild, folder: BuildFolder) -> list[Path]:
    """Write the parts, the folding and the Verilog; returns the Verilog files.

    The Verilog has the pipeline on Wishbone (`bitwright_wb`) and on AXI4-Lite
    (`bitwright_axil`); its weights are in it.
    """
    serialize.save(build.parts.before, folder.before)
    serialize.save(build.parts.core, folder.core)
    serialize.save(build.parts.after, folder.after)
    FoldingFile.of(build.pipeline).save(folder.folding)
    files: list[Path] = []
    for top in (WishboneTop, Axi4LiteTop):
        top_folder = folder.rtl / top.module_name.removeprefix("bitwright_")
        core = DataflowCore(pipeline=build.pipeline)
        files += emit(top(core=core), top_folder, name=top.module_name)
    return files


def describe_dataflow(build: DataflowBuild, device: FpgaTarget, made: reports.Report) -> None:
    """What is known of the pipeline, in the report."""
    times, pipeline = build.times, build.pipeline
    made.target = reports.Target(name=device.name, kind="fpga", device=device.device)
    made.stages = tuple(
        reports.Stage(
            name=stage.result.name, kind=_KINDS[type(stage)], **vars(stage.fold),
            steps=stage.tiles * stage.tile_steps,
            buffers=tuple(buffer.words for buffer in stage_times.buffers),
            resources=dict(needs.items()),
        )
        for stage, stage_times, needs in zip(
            pipeline.stages, times.stages, build.stages, strict=True
        )
    )  # fmt: skip
    proof = () if build.below is None else (f"an image every {build.below:,} cycles: does not fit",)
    made.candidates = (
        reports.Candidate(
            style="dataflow",
            parameters={"interval": times.interval, "stages": len(pipeline.stages)},
            cycles=times.latency, interval=times.interval, resources=dict(build.resources.items()),
            spent=_spent(pipeline, times), limits=proof,
        ),
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
