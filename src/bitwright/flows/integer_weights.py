"""The matrices of a language model as integers, for integer arithmetic in its linear layers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bitwright.errors import BitwrightError
from bitwright.frontend.llm.decoder import BlockWeights, Decoder
from bitwright.ir.bw_dynamic import LONGEST_GROUP
from bitwright.passes.quantize.groups import WEIGHTS, group_length, quantize_matrix

GROUPS = (0, 32, 64, 128)
"""Lengths of a group; 0 is a whole row."""
_WIDE = 8
"""Bits from which one scale for a row is enough."""
_DEFAULT_GROUP = 32

Weight = NDArray[np.float32] | BlockWeights


class IntegerWeightsError(BitwrightError):
    """An option of `IntegerWeights` that does not exist."""

    exit_code = 2


@dataclass(frozen=True)
class IntegerWeights:
    """How matrices become integers.

    Args:
        weights: one of `WEIGHTS`: bits from 8 to 1, or `ternary`.
        group: how many weights of a row share a scale, one of `GROUPS`; None is 0 for 8 bits, else
            32. A row that it does not divide has the nearest length that does.

    Raises:
        IntegerWeightsError: a value that is none of these.
    """

    weights: str = "8"
    group: int | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("weights", self.weights, tuple(WEIGHTS)), ("group", self.group, (*GROUPS, None)),
        ):  # fmt: skip
            if value not in known:
                expected = ", ".join(str(each) for each in known if each is not None)
                raise IntegerWeightsError(f"{name} is {value!r}; expected one of {expected}")

    @property
    def bits(self) -> int:
        """Of a weight, at most."""
        return WEIGHTS[self.weights].bits

    def of(self, weight: Weight) -> BlockWeights:
        """A matrix as integers without zero points.

        One whose own integers have at most as many bits keeps them and their scales.
        """
        levels = WEIGHTS[self.weights]
        if isinstance(weight, BlockWeights):
            if weight.bits <= levels.bits:
                return _centred(weight)
            weight = _floats(weight)
        group = self.group
        if group is None:
            group = 0 if levels.bits >= _WIDE else _DEFAULT_GROUP
        length = group_length(weight.shape[1], group, LONGEST_GROUP)
        made = quantize_matrix(weight, levels, length)
        zero_points = np.zeros(made.scales.shape, np.int8)
        return BlockWeights(made.values, made.scales, zero_points, levels.bits)


def _centred(weight: BlockWeights) -> BlockWeights:
    """Values less their zero points."""
    if not weight.zero_points.any() and weight.values.dtype == np.int8:
        return weight
    block = weight.values.shape[1] // weight.scales.shape[1]
    points = np.repeat(weight.zero_points.astype(np.int16), block, axis=1)
    centred = weight.values.astype(np.int16) - points
    if not -128 <= centred.min() <= centred.max() <= 127:
        raise AssertionError("formats with zero points have at most 7 bits")
    nothing = np.zeros(weight.scales.shape, np.int8)
    return BlockWeights(centred.astype(np.int8), weight.scales, nothing, weight.bits)


def _floats(weight: BlockWeights) -> NDArray[np.float32]:
    centred, block = _centred(weight), weight.values.shape[1] // weight.scales.shape[1]
    return centred.values.astype(np.float32) * np.repeat(weight.scales, block, axis=1)


def with_integers(decoder: Decoder, how: IntegerWeights) -> Decoder:
    """The decoder with integer matrices, made when they are read.

    The embedding stays as it is; where the head is tied to it, the head becomes a matrix of its
    own.
    """
    return replace(decoder, weights=_Weights(decoder.weights, how))


class _Weights(Mapping[str, Weight]):
    def __init__(self, weights: Mapping[str, Weight], how: IntegerWeights) -> None:
        self._weights, self._how = weights, how

    def __getitem__(self, name: str) -> Weight:
        if name == "head" and name not in self._weights:
            return self._how.of(self._weights["embedding"])
        weight = self._weights[name]
        is_matrix = isinstance(weight, BlockWeights) or weight.ndim > 1
        return self._how.of(weight) if is_matrix and name != "embedding" else weight

    def __contains__(self, name: object) -> bool:
        return name == "head" or name in self._weights

    def __iter__(self) -> Iterator[str]:
        yield from self._weights
        if "head" not in self._weights:
            yield "head"

    def __len__(self) -> int:
        return len(list(iter(self)))
