"""Which folds a stage can have."""

from collections.abc import Iterator
from math import gcd

from bitwright.ir.dataflow import (
    AddStage,
    ChannelwiseStage,
    Engine,
    Fold,
    MatrixStage,
    Pipeline,
    Stage,
)  # fmt: skip


def folds(stage: Stage) -> Iterator[Fold]:
    """All folds of `stage` in which no result waits for the one before.

    A tile's results leave in no more cycles than the next tile has steps. Lanes divide the
    channels; of numbers of rows that make as many blocks the least one is taken.
    """
    match stage:
        case MatrixStage():
            outputs, height, width, channels = stage.weights.shape
            for lanes in divisors(channels):
                for rows in _block_sizes(outputs):
                    steps = height * width * (channels // lanes)
                    for engine in _engines(stage.weight_bits, rows):
                        for out_lanes in divisors(gcd(rows, outputs)):
                            if rows // out_lanes <= steps:
                                yield Fold(
                                    lanes=lanes, rows=rows, out_lanes=out_lanes, engine=engine
                                )
        case ChannelwiseStage():
            engines = _engines(stage.weight_bits, 1) if stage.op == "mac" else ("lut",)
            for lanes in divisors(stage.result.channels):
                for engine in engines:
                    for out_lanes in divisors(lanes):
                        if lanes // out_lanes <= stage.tile_steps:
                            yield Fold(lanes=lanes, out_lanes=out_lanes, engine=engine)
        case AddStage():
            for lanes in divisors(stage.result.channels):
                yield Fold(lanes=lanes, out_lanes=lanes)


def _block_sizes(channels: int) -> list[int]:
    """The least rows for every number of row blocks."""
    return sorted({-(-channels // blocks) for blocks in range(1, channels + 1)})


def _engines(weight_bits: int, rows: int) -> tuple[Engine, ...]:
    """A weight of one bit needs no multiplier; `packed` takes rows in pairs."""
    if weight_bits == 1:
        return ("lut",)
    return ("lut", "dsp", "packed") if rows % 2 == 0 else ("lut", "dsp")


def divisors(number: int) -> tuple[int, ...]:
    """All divisors in ascending order."""
    return tuple(d for d in range(1, number + 1) if number % d == 0)


def fits(out_lanes: int, lanes: int) -> bool:
    """Whether words of `out_lanes` channels join to words of `lanes`."""
    return lanes % out_lanes == 0 or out_lanes % lanes == 0


def readers(pipeline: Pipeline, name: str) -> list[Stage]:
    """The stages that read a tensor."""
    return [stage for stage in pipeline.stages if name in stage.sources]
