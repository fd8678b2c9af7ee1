"""GGUF's quantized types: those that are integers times a scale stay so, others become float32."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.frontend.llm.decoder import BlockWeights
from bitwright.frontend.llm.errors import UnsupportedTypeError
from bitwright.frontend.llm.gguf_file import GgufTensor
from bitwright.frontend.llm.packages import package
from bitwright.frontend.llm.weights import Weight

CHUNK = 1 << 20
"""Elements that are floats on their way to integers."""
ONE = np.frombuffer(np.float16(1).tobytes(), np.uint8)


@dataclass(frozen=True)
class BlockFormat:
    """Where a block has its float16 scale and minimum: real = scale * integer + minimum."""

    bits: int
    scale: int
    minimum: int | None = None


FORMATS: Mapping[str, BlockFormat] = {
    "Q4_0": BlockFormat(4, 0),
    "Q4_1": BlockFormat(4, 0, 2),
    "Q5_0": BlockFormat(5, 0),
    "Q5_1": BlockFormat(5, 0, 2),
    "Q8_0": BlockFormat(8, 0),
    "TQ1_0": BlockFormat(2, 52),
    "TQ2_0": BlockFormat(2, 64),
}


@dataclass(frozen=True)
class BlockReader:
    """How one tensor is read; `dequantized` says that it loses its blocks by that."""

    read: Callable[[], Weight]
    dequantized: bool


def reader(where: str, tensor: GgufTensor) -> BlockReader:
    """Decide how a tensor is read.

    Raises:
        UnsupportedTypeError: a type that the package cannot dequantize.
    """
    name = tensor.type.name
    if name == "F32":
        return BlockReader(lambda: tensor.data.view("<f4").reshape(tensor.shape), False)
    form = FORMATS.get(name)
    if form is not None and len(tensor.shape) == 2:
        if form.minimum is None:
            return BlockReader(lambda: _blocks(tensor, form, None), False)
        zero_points = _zero_points(tensor, form)
        if zero_points is not None:
            return BlockReader(lambda: _blocks(tensor, form, zero_points), False)
    try:
        _dequantize(np.zeros(tensor.type_size, np.uint8), tensor.type)
    except NotImplementedError:
        raise UnsupportedTypeError(
            f"{where}: tensor {tensor.name!r} has elements of type {name}, which the package "
            "`gguf` cannot dequantize; convert the model to another type"
        ) from None
    return BlockReader(lambda: _dequantize(_rows(tensor), tensor.type), True)


def scaled(read: Callable[[], Weight], scale: np.float32) -> Weight:
    """A weight times a number."""
    weight = read()
    if isinstance(weight, BlockWeights):
        return replace(weight, scales=weight.scales * scale)
    return weight * scale


def _dequantize(rows: NDArray[np.uint8], kind: Any) -> NDArray[np.float32]:
    # A damaged scale may be infinite or no number; what follows from that is the reader's to see.
    with np.errstate(all="ignore"):
        return package("gguf", "GGUF files").dequantize(rows, kind)


def _rows(tensor: GgufTensor) -> NDArray[np.uint8]:
    return tensor.data.reshape(*tensor.shape[:-1], -1)


def _field(tensor: GgufTensor, offset: int) -> NDArray[np.float32]:
    """One float16 of every block [N, blocks]."""
    blocks = tensor.data.reshape(tensor.shape[0], -1, tensor.type_size)
    return (
        np.ascontiguousarray(blocks[:, :, offset : offset + 2])
        .view("<f2")[:, :, 0]
        .astype(np.float32)
    )


def _zero_points(tensor: GgufTensor, form: BlockFormat) -> NDArray[np.uint8] | None:
    """What is subtracted of the integers, where the minimum is a multiple of the scale."""
    assert form.minimum is not None
    scale, minimum = _field(tensor, form.scale), _field(tensor, form.minimum)
    with np.errstate(all="ignore"):
        points = np.where(scale == 0, 0, np.rint(-minimum / scale))
        exact = (points * scale == -minimum) & (points >= 0) & (points < 1 << form.bits)
    return points.astype(np.uint8) if exact.all() else None


def _blocks(
    tensor: GgufTensor, form: BlockFormat, zero_points: NDArray[np.uint8] | None
) -> BlockWeights:
    """The integers are what the package dequantizes with scale 1 and minimum 0."""
    scales = _field(tensor, form.scale)
    rows = tensor.data.reshape(*scales.shape, -1)
    values = np.empty(tensor.shape, np.int8 if zero_points is None else np.uint8)
    step = max(1, CHUNK // tensor.shape[1])
    for start in range(0, len(rows), step):
        blocks = rows[start : start + step].copy()
        blocks[:, :, form.scale : form.scale + 2] = ONE
        if form.minimum is not None:
            blocks[:, :, form.minimum : form.minimum + 2] = 0
        values[start : start + step] = _dequantize(blocks.reshape(len(blocks), -1), tensor.type)
    if zero_points is None:
        return BlockWeights(values, scales, np.zeros(scales.shape, np.int8), form.bits)
    return BlockWeights(values, scales, zero_points, form.bits)
