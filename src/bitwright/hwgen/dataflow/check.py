"""What the units can build, checked before anything is built."""

from math import gcd

from bitwright.errors import BitwrightError
from bitwright.hwgen.dataflow import latencies
from bitwright.hwgen.dataflow.loops import reads
from bitwright.ir.dataflow import (
    MOST_BITS,
    AddStage,
    ChannelwiseStage,
    MatrixStage,
    Pipeline,
    Requantize,
    Stage,
    Thresholds,
)


class PipelineError(BitwrightError):
    """A pipeline that the hardware generator cannot build."""

    exit_code = 5


def check(pipeline: Pipeline) -> None:
    """Raises `PipelineError` for what the units of `hwgen.dataflow` cannot do."""
    _divides(pipeline.input.name, "input_lanes", pipeline.input_lanes, pipeline.input.channels)
    known = {pipeline.input.name}
    for stage in pipeline.stages:
        for source in stage.sources:
            if source not in known:
                raise PipelineError(
                    f"Stage {stage.result.name} reads {source}, which no stage before it makes; "
                    f"order the stages so that each comes after its sources"
                )
        known.add(stage.result.name)
        _fold(pipeline, stage)
        _bits(pipeline, stage)


def _fold(pipeline: Pipeline, stage: Stage) -> None:
    name, fold, result = stage.result.name, stage.fold, stage.result
    matrix = isinstance(stage, MatrixStage)
    if matrix:
        if not 1 <= fold.rows <= result.channels:
            raise PipelineError(
                f"rows of {name} is {fold.rows}; expected 1 to {result.channels}, its channels"
            )
        _divides(name, "out_lanes", fold.out_lanes, gcd(fold.rows, result.channels))
        _divides(name, "lanes", fold.lanes, stage.weights.shape[3])
        if fold.engine == "packed" and (fold.rows % 2 or stage.weight_bits == 1):
            raise PipelineError(
                f"Stage {name} has engine packed, {fold.rows} rows and weights of "
                f"{stage.weight_bits} bits; expected an even number of rows and at least 2 bits"
            )
    else:
        _divides(name, "out_lanes", fold.out_lanes, fold.lanes)
        _divides(name, "lanes", fold.lanes, result.channels)
    groups = latencies.groups(stage)
    if groups > stage.tile_steps:
        raise PipelineError(
            f"Stage {name} makes {groups} result words in a tile of {stage.tile_steps} steps; "
            f"expected at most one a step: fold.out_lanes must be larger than {fold.out_lanes}"
        )
    for source, own in zip(stage.sources, reads(pipeline, stage), strict=True):
        if own.word_lanes % own.source_lanes or own.word_lanes % own.lanes:
            raise PipelineError(
                f"Stage {name} reads {source} {fold.lanes} channels at a time, which comes in "
                f"words of {own.source_lanes}; one of them must divide the other"
            )


def _bits(pipeline: Pipeline, stage: Stage) -> None:
    name, result = stage.result.name, stage.result
    for source in stage.sources:
        bits = pipeline.tensor(source).bits
        if bits > MOST_BITS:
            raise PipelineError(
                f"Stage {name} reads {source} of {bits} bits; expected at most {MOST_BITS}"
            )
    if isinstance(stage, ChannelwiseStage):
        image = pipeline.tensor(stage.sources[0])
        low, high = image.range
        if not low <= stage.pad_value <= high:
            raise PipelineError(
                f"Stage {name} reads {stage.pad_value} outside of the image {image.name}, whose "
                f"{image.bits} bits hold {low} to {high}; expected a value within"
            )
    if isinstance(stage.output, Requantize | Thresholds) and result.bits > MOST_BITS:
        raise PipelineError(
            f"Stage {name} has results of {result.bits} bits; expected at most {MOST_BITS}, or sums"
        )
    if isinstance(stage.output, Requantize) and not (
        stage.output.clamp[0] >= -128 and stage.output.clamp[1] <= 127
    ):
        raise PipelineError(
            f"Stage {name} clamps to {stage.output.clamp}; expected integers from -128 to 127"
        )
    if isinstance(stage, AddStage | ChannelwiseStage) and stage.fold.rows != 1:
        raise PipelineError(
            f"Stage {name} works on lanes and has fold.rows {stage.fold.rows}; expected 1"
        )


def _divides(name: str, what: str, part: int, whole: int) -> None:
    if part < 1 or whole % part:
        raise PipelineError(f"{what} of {name} is {part}; expected a divisor of {whole}")
