"""What one dataflow pipeline is: a stage per layer, joined by streams, as data.

A stream carries the activations of one tensor pixel by pixel, row by row, `lanes` channels a
word; it has a valid bit and no ready: when every word arrives follows from the pipeline alone
(`hwgen/dataflow/schedule.py`), and every buffer is as deep as that schedule needs. Where two
stages read one tensor, both see all of its words.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.int64]
# How a matrix stage multiplies: in the fabric's look-up tables, one product in a multiplier
# block, or two rows' products in one.
Engine = Literal["lut", "dsp", "packed"]
ChannelOp = Literal["mac", "sum", "max"]
MOST_BITS = 8
"""Of an activation that is multiplied or requantized to."""
REQUANTIZED_BITS = 16
"""Of a sum, at least, where its bias is added and it is requantized."""
LEAST_INTERVAL = 4
"""Cycles between the starts of two images, at least."""


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """The shape and the integers of one activation tensor.

    Attributes:
        name: of the layer that makes it, in the model's words.
        channels, height, width: of one image.
        bits, signed: storage of an element.
        zero_point: the integer that stands for the real 0; padding reads it.
    """

    name: str
    channels: int
    height: int
    width: int
    bits: int
    signed: bool
    zero_point: int = 0

    @property
    def range(self) -> tuple[int, int]:
        """The least and the greatest integer that an element can be."""
        low = -(1 << self.bits - 1) if self.signed else 0
        return low, low + (1 << self.bits) - 1


@dataclass(frozen=True, kw_only=True)
class Window:
    """Which pixels a tile reads: kernel (rows, columns), stride, padding, dilation.

    Padding is (top, left); what lies below and on the right follows from the output's size.
    """

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Requantize:
    """`bw.requant`: per channel, bias in the accumulator's scale, then multiplier, shift, clamp.

    Attributes:
        bias, multiplier, shift: [channels]. The bias holds what the input's zero point adds.
        rounding: a name of `fixed_point.py`.
        table: None, or 2^bits results, by the clamped integer less the least one.
    """

    bias: Array
    multiplier: Array
    shift: Array
    zero_point: int
    clamp: tuple[int, int]
    rounding: str
    table: Array | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Thresholds:
    """`y = least + n`, where n counts the thresholds of the channel that `acc + bias` has reached.

    Attributes:
        bias: [channels]; levels: [channels, n], ascending.
    """

    bias: Array
    levels: Array
    least: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Sums:
    """The accumulator and its bias themselves, for a network whose results are sums."""

    bias: Array


Output = Requantize | Thresholds | Sums


@dataclass(frozen=True, kw_only=True)
class Fold:
    """How one stage is laid out in time.

    Attributes:
        lanes: input channels read a step; divides the input's channels (of a matrix stage that
            sees a whole vector: its length).
        rows: output channels computed side by side; 1 where the stage works on lanes. Where they
            do not divide the channels, the last block of a pixel has some that nobody reads.
        out_lanes: channels a word of the result stream has, and the output stage makes a cycle;
            divides `rows` (of a channelwise stage: `lanes`) and the result's channels.
        engine: of a matrix or multiplying channelwise stage.
    """

    lanes: int
    rows: int = 1
    out_lanes: int = 1
    engine: Engine = "lut"


@dataclass(frozen=True, kw_only=True, eq=False)
class MatrixStage:
    """Convolution or linear: one step per (oy, ox, row block, ky, kx, lane block), in that order.

    Attributes:
        sources: the name of its one input tensor.
        weights: [out channels, kernel rows, kernel columns, in channels]; row block b has the
            output channels b * rows ... b * rows + rows - 1.
        weight_bits: storage of a weight: 1 stands for -1 and 1, 2 and more are signed.
        acc_bits: enough for every sum, bias included, proved.
    """

    sources: tuple[str]
    result: Tensor
    window: Window
    weights: Array
    weight_bits: int
    acc_bits: int
    output: Output
    fold: Fold

    @property
    def tile_steps(self) -> int:
        """Steps of one tile: of `fold.rows` results of one pixel."""
        _, height, width, channels = self.weights.shape
        return height * width * (channels // self.fold.lanes)

    @property
    def blocks(self) -> int:
        """Row blocks of one pixel."""
        return -(-self.result.channels // self.fold.rows)

    @property
    def tiles(self) -> int:
        """Tiles of one image."""
        return _pixels(self.result) * self.blocks


@dataclass(frozen=True, kw_only=True, eq=False)
class ChannelwiseStage:
    """Depthwise convolution, pooling: one step per (oy, ox, lane block, ky, kx), in that order.

    Attributes:
        op: mac: sum of activation times weight; sum: of activations; max: the greatest.
        weights: mac: [kernel rows, kernel columns, channels]; else None.
        pad_value: what a step outside of the image reads.
    """

    sources: tuple[str]
    result: Tensor
    window: Window
    op: ChannelOp
    weights: Array | None
    weight_bits: int
    pad_value: int
    acc_bits: int
    output: Output
    fold: Fold

    @property
    def tile_steps(self) -> int:
        """Steps of one tile: of `fold.lanes` results of one pixel."""
        return self.window.kernel[0] * self.window.kernel[1]

    @property
    def tiles(self) -> int:
        """Tiles of one image."""
        return _pixels(self.result) * (self.result.channels // self.fold.lanes)


@dataclass(frozen=True, kw_only=True, eq=False)
class AddStage:
    """Weighted sum of two tensors of one shape: one step per (y, x, lane block).

    Attributes:
        factors: what each source's integer is multiplied with, before the output stage.
    """

    sources: tuple[str, str]
    result: Tensor
    factors: tuple[int, int]
    acc_bits: int
    output: Output
    fold: Fold

    @property
    def tile_steps(self) -> int:
        """Steps of one tile: of `fold.lanes` results of one pixel."""
        return 1

    @property
    def tiles(self) -> int:
        """Tiles of one image."""
        return _pixels(self.result) * (self.result.channels // self.fold.lanes)


def _pixels(tensor: Tensor) -> int:
    return tensor.height * tensor.width


Stage = MatrixStage | ChannelwiseStage | AddStage


@dataclass(frozen=True, kw_only=True, eq=False)
class Pipeline:
    """Stages in an order in which each comes after its sources; the last one's result leaves.

    Attributes:
        input: what the host writes; words of `input_lanes` channels.
        stages: one or more.
        interval: cycles from one image's start to the next's, at least every stage's steps.
        pace: cycles from one input word to the next, of the same image.
    """

    name: str
    input: Tensor
    input_lanes: int
    stages: tuple[Stage, ...]
    interval: int
    pace: int = 1

    @property
    def output(self) -> Tensor:
        return self.stages[-1].result

    def tensor(self, name: str) -> Tensor:
        """The input or the result of a stage, by name."""
        return next(
            item for item in (self.input, *(s.result for s in self.stages)) if item.name == name
        )
