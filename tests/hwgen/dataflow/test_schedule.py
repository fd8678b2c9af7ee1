"""The schedule against a plain simulation of its rules, one step after the other."""

import dataclasses
from collections.abc import Callable

import pytest

from bitwright.hwgen.dataflow import latencies
from bitwright.hwgen.dataflow.check import PipelineError
from bitwright.hwgen.dataflow.loops import reads
from bitwright.hwgen.dataflow.schedule import Schedule, least_interval, schedule
from bitwright.ir.dataflow import Pipeline

SEEDS = range(40)
IMAGES = 4


def arrivals_of(pipeline: Pipeline, times: Schedule, name: str) -> list[int]:
    if name == pipeline.input.name:
        tensor = pipeline.input
        count = tensor.height * tensor.width * tensor.channels // pipeline.input_lanes
        return [latencies.SOURCE + number * pipeline.pace for number in range(count)]
    for stage, own in zip(pipeline.stages, times.stages, strict=True):
        if stage.result.name == name:
            return own.arrivals.tolist()
    raise AssertionError(name)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_step_runs_as_soon_as_it_can_and_every_word_is_kept_until_its_last_read(
    seed: int, random_pipeline: Callable[[int, int], Pipeline]
) -> None:
    pipeline = random_pipeline(seed, 3)
    times = schedule(pipeline)
    for stage, own in zip(pipeline.stages, times.stages, strict=True):
        sources = reads(pipeline, stage)
        words = [
            arrivals_of(pipeline, times, name)[source.gather - 1 :: source.gather]
            for name, source in zip(stage.sources, sources, strict=True)
        ]
        steps, now = list[int](), -1
        for image in range(IMAGES):
            begin = image * pipeline.interval
            for step in range(sources[0].steps):
                needed = [now + 1]
                if step == 0 and own.gate is not None:
                    needed.append(words[0][own.gate] + begin + 1)
                for source, arrival in zip(sources, words, strict=True):
                    if source.inside[step]:
                        needed.append(arrival[source.word[step]] + begin + 1)
                now = max(needed)
                steps.append(now)
        first = steps[: sources[0].steps]
        assert (first[0], first[-1]) == (own.first_step, own.last_step)
        for image in range(IMAGES):  # every image as the first one
            shift = image * pipeline.interval
            mine = steps[image * len(first) : (image + 1) * len(first)]
            assert mine == [step + shift for step in first]
        ends = first[stage.tile_steps - 1 :: stage.tile_steps]
        delay, pace = latencies.to_result(stage), latencies.pace(stage)
        groups, channels = latencies.groups(stage), stage.result.channels
        tiles = len(ends) // (stage.result.height * stage.result.width)
        assert own.arrivals.tolist() == [
            end + delay + group * pace
            for tile, end in enumerate(ends)
            for group in range(groups)
            if (tile % tiles * groups + group) * stage.fold.out_lanes < channels
        ]
        for source, arrival, buffer in zip(sources, words, own.buffers, strict=True):
            _check_buffer(pipeline, source, arrival, steps, buffer.words)
    assert times.latency == times.stages[-1].arrivals[-1]


def _check_buffer(
    pipeline: Pipeline, source, arrival: list[int], steps: list[int], depth: int
) -> None:  # type: ignore[no-untyped-def]
    """Replays writes and reads; a step must find its own word."""
    events: list[tuple[int, int, int, int]] = []
    for image in range(IMAGES):
        for word, cycle in enumerate(arrival):
            number = image * len(arrival) + word
            events.append((cycle + image * pipeline.interval, 0, number, number % depth))
        for step in range(source.steps):
            if source.inside[step]:
                number = image * len(arrival) + int(source.word[step])
                cycle = steps[image * source.steps + step]
                events.append((cycle, -1, number, number % depth))
    memory: dict[int, int] = {}
    # In one cycle the read comes first, and the word that is written then must be another.
    for _, kind, number, place in sorted(events):
        if kind == 0:
            memory[place] = number
        else:
            assert memory[place] == number


def test_an_interval_that_is_too_short(random_pipeline: Callable[[int, int], Pipeline]) -> None:
    pipeline = random_pipeline(3, 2)
    least = least_interval(pipeline)
    with pytest.raises(PipelineError) as caught:
        schedule(dataclasses.replace(pipeline, interval=least - 1))
    assert str(caught.value) == (
        f"Pipeline random3 has an interval of {least - 1} cycles; its input and stages need "
        f"{least}; raise the interval or fold the longest stage less"
    )
