"""What a pipeline computes, in NumPy integers, stage by stage: the oracle of its hardware."""

import numpy as np
from numpy.typing import NDArray

from bitwright.ir import fixed_point
from bitwright.ir.dataflow import (
    AddStage,
    ChannelwiseStage,
    MatrixStage,
    Output,
    Pipeline,
    Stage,
    Sums,
    Tensor,
    Thresholds,
    Window,
)

Ints = NDArray[np.int64]


def run(pipeline: Pipeline, image: Ints) -> dict[str, Ints]:
    """All tensors of one image by name, [height, width, channels]; `image` is the input's."""
    values = {pipeline.input.name: np.asarray(image, np.int64)}
    for stage in pipeline.stages:
        operands = [values[name] for name in stage.sources]
        sums = accumulate(stage, operands, pipeline.tensor(stage.sources[0]))
        values[stage.result.name] = finish(stage.output, sums, stage.result)
    return values


def accumulate(stage: Stage, operands: list[Ints], source: Tensor) -> Ints:
    """Sums before the output stage, [height, width, channels]."""
    if isinstance(stage, AddStage):
        return operands[0] * stage.factors[0] + operands[1] * stage.factors[1]
    if isinstance(stage, MatrixStage):
        vector = stage.weights.shape[3] != source.channels
        image = operands[0].reshape(1, 1, -1) if vector else operands[0]
        taps = windows(image, stage.window, stage.result, source.zero_point)
        return np.einsum("yxklc,oklc->yxo", taps, stage.weights.astype(np.int64))
    taps = windows(operands[0], stage.window, stage.result, stage.pad_value)
    return _channelwise(stage, taps)


def _channelwise(stage: ChannelwiseStage, taps: Ints) -> Ints:
    if stage.op == "max":
        return taps.max(axis=(2, 3))
    if stage.op == "sum":
        return taps.sum(axis=(2, 3))
    assert stage.weights is not None
    return np.einsum("yxklc,klc->yxc", taps, stage.weights.astype(np.int64))


def windows(image: Ints, window: Window, result: Tensor, pad: int) -> Ints:
    """[height, width, kernel rows, kernel columns, channels]: what each result pixel reads."""
    height, width, _ = image.shape
    rows, columns = (
        (np.arange(size) * stride - padding)[:, None] + np.arange(kernel) * dilation
        for size, stride, padding, kernel, dilation in zip(
            (result.height, result.width), window.stride, window.padding, window.kernel,
            window.dilation, strict=True,
        )
    )  # fmt: skip
    y, x = rows[:, None, :, None], columns[None, :, None, :]
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    taken = image[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    return np.where(inside[..., None], taken, pad)


def finish(output: Output, sums: Ints, result: Tensor) -> Ints:
    """The output stage on sums [..., channels]."""
    biased = sums + output.bias
    if isinstance(output, Sums):
        return biased
    if isinstance(output, Thresholds):
        return output.least + (biased[..., None] >= output.levels).sum(axis=-1)
    scale = fixed_point.SCALES[output.rounding]
    scaled = scale(biased, output.multiplier, output.shift) + output.zero_point
    clamped = np.clip(scaled, *output.clamp)
    if output.table is None:
        return clamped
    least = -(1 << result.bits - 1) if result.signed else 0
    return output.table.astype(np.int64)[clamped - least]
