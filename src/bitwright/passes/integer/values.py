"""What the values of a model with markers are, on the way to integers.

Plain integers are `Codes`. A float is `Real`: a source of integers, the function that makes real
numbers of it, and moves of elements that wait for the quantize. Where the quantize comes, source
and function become one integer operation.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.ir.types import QuantParams, shape_of, value_params

Array = NDArray[Any]
Move = Callable[[ir.Value], ir.Value]


@dataclass(frozen=True)
class Codes:
    """Plain integers of the model as a quantized value: integer = code + offset."""

    value: ir.Value
    offset: int = 0

    @property
    def params(self) -> QuantParams:
        """Type of the value."""
        return value_params(self.value)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the value."""
        return shape_of(self.value)

    def real(self, integers: Array) -> Array:
        """As `bw.dequantize` computes it in float32."""
        centred = (integers - self.params.zero_point).astype(np.float32)
        return centred * np.float32(self.params.scale)


@dataclass(frozen=True)
class FloatInput:
    """An input of the model that its readers quantize."""

    value: ir.Value

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the value."""
        return shape_of(self.value)


@dataclass(frozen=True)
class Sums:
    """An accumulator that is built, in real units of `unit` each, from `low` to `high`."""

    value: ir.Value
    unit: np.float32
    low: int
    high: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the value."""
        return shape_of(self.value)


@dataclass(frozen=True, eq=False)
class Product:
    """A `conv2d` or `linear` with constant weights that is not built yet, so that it may change.

    Attributes:
        x: the quantized input.
        weight: integers without their zero point, the outputs on axis 0.
        bias: in units of the accumulator.
        unit: what one unit stands for; one number, or one for each output.
        attributes: of `conv2d`; None for `linear`.
        real_bias: the float32 numbers that `bias` stands for where they are not quantized.
        name: the model's own.
    """

    x: ir.Value
    weight: Array
    weight_scales: tuple[float, ...]
    bias: NDArray[np.int64]
    unit: NDArray[np.float32]
    attributes: dict[str, Any] | None
    shape: tuple[int, ...]
    name: str
    real_bias: Array | None = None


@dataclass(frozen=True)
class Added:
    """The sum of two quantized tensors, `sign` for a difference."""

    lhs: Codes
    rhs: Codes
    sign: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Softmax:
    """Softmax of a quantized tensor."""

    x: Codes
    axis: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the value."""
        return self.x.shape


Source = Codes | FloatInput | Sums | Product | Added | Softmax


def identity(x: Array) -> Array:
    """The chain of a value that nothing has been done to."""
    return x


@dataclass(frozen=True)
class Chain:
    """Elementwise functions after a source.

    Attributes:
        function: float arrays [values, channels] to the same.
        scale: with `offset`, function(x) = scale * x + offset before clamping; None where it is
            not affine. One number or one for each channel.
        clamps: whether it does no more than clamp.
        monotone: whether it never falls (never rises where the scale is negative).
        counts: whether it ends in a count of thresholds.
    """

    function: Callable[[Array], Array] = identity
    scale: NDArray[np.float64] | None = field(default_factory=lambda: np.ones(1))
    offset: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    clamps: bool = True
    monotone: bool = True
    counts: bool = False


@dataclass(frozen=True)
class Real:
    """Real numbers: `chain` of `source`, moved by `moves` when they are quantized.

    `axis` is the axis of the value's own `shape` along which channels differ, None for none.
    """

    source: Source
    shape: tuple[int, ...]
    chain: Chain = Chain()
    axis: int | None = None
    moves: tuple[Move, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether nothing but moves has been done to the source."""
        return self.chain.function is identity

    def moved(self, move: Move, shape: tuple[int, ...], axis: int | None) -> "Real":
        """Elements in other places; at once where the source is integers as such."""
        if isinstance(self.source, Codes) and self.plain:
            source = replace(self.source, value=move(self.source.value))
            return replace(self, source=source, shape=shape, axis=None)
        return replace(self, moves=(*self.moves, move), shape=shape, axis=axis)


@dataclass(frozen=True)
class Joined:
    """Parts that are concatenated when they are quantized."""

    parts: tuple["Real | Joined", ...]
    axis: int
    shape: tuple[int, ...]
    moves: tuple[Move, ...] = ()


def real(source: Source, axis: int | None = None) -> Real:
    """A source that nothing has been done to."""
    return Real(source, source.shape, axis=axis)
