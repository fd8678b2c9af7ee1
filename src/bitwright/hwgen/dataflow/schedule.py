"""The exact time of everything in a pipeline, from the pipeline alone.

Nothing in a pipeline waits but for its operands, so time is a max-plus recursion: step k of a
stage, which reads word w(k), runs in cycle t(k) = max(t(k-1) + 1, a(w(k)) + 1), `a` the cycles in
which the words arrive. That is k + the running maximum of a(w(k)) + 1 - k. Results leave a fixed
number of cycles after the last step of their tile.

A stage must be done with an image before it begins the next, so that all images have the same
times, however far apart they start: where waiting for operands would stretch a stage over more
than `interval` cycles, its first step waits for a later word (`gate`) instead. That does not
delay its last step, but where only the end of a word's arrival allows it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.hwgen.dataflow import latencies
from bitwright.hwgen.dataflow.check import PipelineError, check
from bitwright.hwgen.dataflow.loops import Reads, reads
from bitwright.ir.dataflow import LEAST_INTERVAL, Pipeline, Stage

Ints = NDArray[np.int64]
_IMAGES = 3
_NEVER = np.int64(-(1 << 62))


@dataclass(frozen=True, kw_only=True, eq=False)
class Buffer:
    """The buffer of one source of a stage.

    Attributes:
        words: depth, a power of two, at least 2.
        occupancy: most words that are in use at once.
        index_bits: of the counters of words written and read.
    """

    words: int
    occupancy: int
    index_bits: int


@dataclass(frozen=True, kw_only=True, eq=False)
class StageTimes:
    """Cycles since the source's start of the image.

    Attributes:
        first_step, last_step: in which the stage runs its first and last step.
        gate: buffer word of the first source that step 0 waits for, or None where it waits for
            its operands only.
        buffers: of each source.
        arrivals: [words] of the result's stream.
    """

    first_step: int
    last_step: int
    gate: int | None
    buffers: tuple[Buffer, ...]
    arrivals: Ints


@dataclass(frozen=True, kw_only=True, eq=False)
class Schedule:
    """What the hardware of a pipeline will do, to the cycle.

    Attributes:
        latency: cycles from the source's start of an image to its result's hand-over, as the
            register CYCLES shows it.
        interval: cycles from one start to the next when the host never keeps the pipeline
            waiting.
        banks: output banks, a power of two: enough to start an image every `interval` cycles.
        stages: as in the pipeline.
    """

    latency: int
    interval: int
    banks: int
    stages: tuple[StageTimes, ...]


def least_interval(pipeline: Pipeline) -> int:
    """The smallest interval that the pipeline's folding allows."""
    steps = (stage.tiles * stage.tile_steps for stage in pipeline.stages)
    return max(LEAST_INTERVAL, _input_words(pipeline) * pipeline.pace, *steps)


def schedule(pipeline: Pipeline) -> Schedule:
    """The times of one image, and the depth of every buffer.

    Raises:
        PipelineError: the hardware cannot be built so.
    """
    check(pipeline)
    least = least_interval(pipeline)
    if pipeline.interval < least:
        raise PipelineError(
            f"Pipeline {pipeline.name} has an interval of {pipeline.interval} cycles; its input "
            f"and stages need {least}; raise the interval or fold the longest stage less"
        )
    words = np.arange(_input_words(pipeline), dtype=np.int64)
    arrivals = {pipeline.input.name: latencies.SOURCE + words * pipeline.pace}
    times: list[StageTimes] = []
    for stage in pipeline.stages:
        stage_times = _stage(pipeline, stage, arrivals)
        arrivals[stage.result.name] = stage_times.arrivals
        times.append(stage_times)
    latency = int(times[-1].arrivals[-1])
    flying = -(-latency // pipeline.interval) + 1
    return Schedule(
        latency=latency, interval=pipeline.interval, stages=tuple(times),
        banks=max(2, 1 << (flying - 1).bit_length()),
    )  # fmt: skip


def _input_words(pipeline: Pipeline) -> int:
    tensor = pipeline.input
    return tensor.height * tensor.width * (tensor.channels // pipeline.input_lanes)


def _stage(pipeline: Pipeline, stage: Stage, arrivals: dict[str, Ints]) -> StageTimes:
    sources = [
        (own, arrivals[name][own.gather - 1 :: own.gather])
        for name, own in zip(stage.sources, reads(pipeline, stage), strict=True)
    ]
    number = np.arange(sources[0][0].steps, dtype=np.int64)
    ready = np.full(len(number), _NEVER)
    for own, arrival in sources:
        word = np.where(own.inside, own.word, 0)
        ready = np.maximum(ready, np.where(own.inside, arrival[word] + 1, _NEVER))
    own, arrival = sources[0]
    gate = None
    if not own.inside[0]:
        gate = 0
        ready[0] = arrival[0] + 1
    steps = number + np.maximum.accumulate(ready - number)
    earliest = steps[-1] - (pipeline.interval - 1)
    if steps[0] < earliest:
        gate = min(int(np.searchsorted(arrival, earliest - 1)), len(arrival) - 1)
        ready[0] = max(ready[0], arrival[gate] + 1)
        steps = number + np.maximum.accumulate(ready - number)
    buffers = tuple(
        _buffer(own, arrival, steps, pipeline.interval, gate if not position else None)
        for position, (own, arrival) in enumerate(sources)
    )
    ends = steps[stage.tile_steps - 1 :: stage.tile_steps] + latencies.to_result(stage)
    words = ends[:, None] + np.arange(latencies.groups(stage)) * latencies.pace(stage)
    pixel_words = stage.result.channels // stage.fold.out_lanes
    pixels = words.reshape(stage.result.height * stage.result.width, -1)
    return StageTimes(
        first_step=int(steps[0]), last_step=int(steps[-1]), gate=gate, buffers=buffers,
        arrivals=pixels[:, :pixel_words].reshape(-1),
    )  # fmt: skip


def _buffer(own: Reads, arrival: Ints, steps: Ints, interval: int, gate: int | None) -> Buffer:
    """How deep: a word's place may be written again only after its last read."""
    last_read = np.full(own.words, _NEVER)
    np.maximum.at(last_read, own.word[own.inside], steps[own.inside])
    shifts = (np.arange(_IMAGES, dtype=np.int64) * interval)[:, None]
    written, read = (arrival + shifts).reshape(-1), (last_read + shifts).reshape(-1)
    # The oldest word that is still to be read when word j is written has to have another place.
    oldest = np.searchsorted(np.maximum.accumulate(read), written)
    occupancy = int(np.max(np.arange(len(written)) - oldest, initial=0)) + 1
    depth = max(2, 1 << (occupancy - 1).bit_length())
    reached = np.maximum.accumulate(np.where(own.inside, own.word, -1))
    if gate is not None:
        reached = np.maximum(reached, gate)
    # How far the next step's word is beyond those that are sure to have come; after the last step
    # that is the next image's first.
    following = np.append(own.word[1:], own.words + own.word[0])
    known = np.append(own.inside[1:], own.inside[0])
    ahead = int(np.max(np.where(known, following - reached, 0), initial=0))
    bits = max(depth.bit_length() - 1, ahead.bit_length()) + 1
    return Buffer(words=depth, occupancy=occupancy, index_bits=bits)
