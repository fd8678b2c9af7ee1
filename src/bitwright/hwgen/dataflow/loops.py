"""The loops of a stage over one of its sources, as counts and strides: what each step reads."""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from bitwright.ir.dataflow import AddStage, ChannelwiseStage, MatrixStage, Pipeline, Stage, Window

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Loop:
    """One loop: its trip count and what one more of it moves.

    Attributes:
        words: in the source's stream of buffer words.
        rows, columns: in the source's image.
        part: in a buffer word of several steps.
    """

    count: int
    words: int = 0
    rows: int = 0
    columns: int = 0
    part: int = 0


@dataclass(frozen=True, kw_only=True)
class Reads:
    """Which word of one source each step of a stage reads, in steps' order.

    Attributes:
        loops: outermost first.
        height, width: of the source as the stage sees it.
        first_row, first_column: of step 0; negative in the padding.
        pixel_words: buffer words of one pixel.
        source_lanes: channels of a word of the producer's stream.
        lanes: channels that a step reads.
        word_lanes: channels of a buffer word, the greater of both.
    """

    loops: tuple[Loop, ...]
    height: int
    width: int
    first_row: int
    first_column: int
    pixel_words: int
    source_lanes: int
    lanes: int
    word_lanes: int

    @property
    def words(self) -> int:
        """Buffer words of one image."""
        return self.height * self.width * self.pixel_words

    @property
    def gather(self) -> int:
        """Words of the producer's stream that make a buffer word."""
        return self.word_lanes // self.source_lanes

    @property
    def parts(self) -> int:
        """Steps' words in a buffer word."""
        return self.word_lanes // self.lanes

    @property
    def steps(self) -> int:
        """Steps of one image."""
        return prod(loop.count for loop in self.loops)

    @property
    def first_word(self) -> int:
        """Buffer word of step 0, negative where that is above the image."""
        return (self.first_row * self.width + self.first_column) * self.pixel_words

    @cached_property
    def word(self) -> Ints:
        """[steps]: buffer word of each step; meaningless outside of the image."""
        return self.first_word + self._sum("words")

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """[steps]: whether the step reads inside of the image."""
        row = self.first_row + self._sum("rows")
        column = self.first_column + self._sum("columns")
        return (row >= 0) & (row < self.height) & (column >= 0) & (column < self.width)

    @cached_property
    def pads(self) -> bool:
        """Whether any step reads outside of the image; no loop moves up or to the left."""
        last_row = self.first_row + sum((loop.count - 1) * loop.rows for loop in self.loops)
        last_column = self.first_column + sum(
            (loop.count - 1) * loop.columns for loop in self.loops
        )
        return not (
            0 <= self.first_row <= last_row < self.height
            and 0 <= self.first_column <= last_column < self.width
        )

    def _sum(self, name: str) -> Ints:
        total = np.zeros(1, np.int64)
        for loop in self.loops:
            moved = np.arange(loop.count, dtype=np.int64) * getattr(loop, name)
            total = (total[:, None] + moved).reshape(-1)
        return total

    def merged(self) -> tuple[Loop, ...]:
        """The same steps in fewer loops, for the hardware: where no step is padding, rows and
        columns do not count."""
        loops = [
            loop if self.pads else Loop(count=loop.count, words=loop.words, part=loop.part)
            for loop in self.loops
            if loop.count > 1
        ]
        done: list[Loop] = []
        for loop in reversed(loops):
            inner = done[-1] if done else None
            if inner is not None and _continues(loop, inner):
                done[-1] = Loop(
                    count=loop.count * inner.count, words=inner.words, rows=inner.rows,
                    columns=inner.columns, part=inner.part,
                )  # fmt: skip
            else:
                done.append(loop)
        return tuple(reversed(done)) or (Loop(count=1),)


def _continues(outer: Loop, inner: Loop) -> bool:
    """Whether the outer loop goes on where the inner one ends."""
    return all(
        getattr(outer, name) == inner.count * getattr(inner, name)
        for name in ("words", "rows", "columns", "part")
    )


def reads(pipeline: Pipeline, stage: Stage) -> tuple[Reads, ...]:
    """What `stage` reads of each of its sources."""
    return tuple(_reads(pipeline, stage, source) for source in stage.sources)


def stream_lanes(pipeline: Pipeline, name: str) -> int:
    """Channels of a word of the stream of the tensor called `name`."""
    if name == pipeline.input.name:
        return pipeline.input_lanes
    return next(s.fold.out_lanes for s in pipeline.stages if s.result.name == name)


def _reads(pipeline: Pipeline, stage: Stage, source: str) -> Reads:
    tensor, result = pipeline.tensor(source), stage.result
    channels, height, width = tensor.channels, tensor.height, tensor.width
    window = Window() if isinstance(stage, AddStage) else stage.window
    if isinstance(stage, MatrixStage) and stage.weights.shape[3] != channels:
        channels, height, width = channels * height * width, 1, 1  # a vector of the whole image
    lanes, source_lanes = stage.fold.lanes, stream_lanes(pipeline, source)
    word_lanes = max(lanes, source_lanes)
    pixel, parts = channels // word_lanes, word_lanes // lanes
    stride, kernel, dilation = window.stride, window.kernel, window.dilation
    pixels = (
        Loop(count=result.height, words=stride[0] * width * pixel, rows=stride[0]),
        Loop(count=result.width, words=stride[1] * pixel, columns=stride[1]),
    )
    taps = (
        Loop(count=kernel[0], words=dilation[0] * width * pixel, rows=dilation[0]),
        Loop(count=kernel[1], words=dilation[1] * pixel, columns=dilation[1]),
    )
    blocks = (Loop(count=pixel, words=1), Loop(count=parts, part=1))
    if isinstance(stage, MatrixStage):
        rows = Loop(count=stage.blocks)
        loops = (*pixels, rows, *taps, *blocks)
    elif isinstance(stage, ChannelwiseStage):
        loops = (*pixels, *blocks, *taps)
    else:
        loops = (*pixels, *blocks)
    return Reads(
        loops=loops, height=height, width=width,
        first_row=-window.padding[0], first_column=-window.padding[1],
        pixel_words=pixel, source_lanes=source_lanes, lanes=lanes, word_lanes=word_lanes,
    )  # fmt: skip
