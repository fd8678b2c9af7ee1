"""Elementwise operations between markers: they wait in a `Chain` until the quantize comes."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.ir import reference_float
from bitwright.ir.reference import apply
from bitwright.passes.integer.errors import FloatBetweenMarkers
from bitwright.passes.integer.markers import MULTI_THRESHOLD, describe
from bitwright.passes.integer.values import Array, Chain, Joined, Real

CLAMPS = ("bw.relu", "bw.clip")
_RISING = (*CLAMPS, "bw.hard_sigmoid", "bw.sigmoid", "bw.tanh")
_ACTIVATIONS = (*_RISING, "bw.leaky_relu", "bw.hard_swish", "bw.batch_norm")
KINDS = frozenset((*_ACTIVATIONS, "bw.add", "bw.mul")) | reference_float.ELEMENTWISE
"""Operations of which a chain may consist; those with two operands have a constant one."""


def unary(op: Any, x: Real | Joined, constants: dict[int, Array]) -> Real | Joined:
    """`op` on one value that is computed; the other operands are constants by their index."""
    if isinstance(x, Joined):
        channels = channel_axis(op, constants, x.shape)
        if channels is not None:
            raise FloatBetweenMarkers(
                f"{describe(op)} treats the channels of a concatenation each in its own way, "
                "before they are quantized. Quantize the concatenation first"
            )
        parts = tuple(unary(op, part, constants) for part in x.parts)
        return replace(x, parts=parts)
    axis = channel_axis(op, constants, x.shape)
    if axis is not None and axis != x.axis:
        if x.axis is not None or x.moves:
            raise FloatBetweenMarkers(
                f"{describe(op)} has constants along axis {axis}, but the value before it, which "
                f"is not quantized yet, has its channels along axis {x.axis}. Quantize it first"
            )
        x = replace(x, axis=axis)

    def step(real: Array) -> Array:
        return _evaluate(op, x, [real], constants)

    return replace(x, chain=_extended(op, x.chain, step, constants))


def binary(op: Any, lhs: Real, rhs: Real) -> Real:
    """Two functions of the same integers, such as x * sigmoid(x)."""
    axis = lhs.axis if lhs.axis is not None else rhs.axis
    joint = replace(lhs, axis=axis)

    def both(real: Array) -> Array:
        return _evaluate(op, joint, [lhs.chain.function(real), rhs.chain.function(real)], {})

    return replace(joint, chain=Chain(both, None, clamps=False, monotone=False))


def _evaluate(op: Any, x: Real, computed: list[Array], constants: dict[int, Array]) -> Array:
    """`op` on [values, channels] arrays, brought to the rank that its constants have."""
    rank = max(len(x.shape), 2)
    arrays: list[Array] = []
    given = iter(computed)
    for index in range(len(op.operands)):
        if index in constants:
            arrays.append(constants[index])
            continue
        array = next(given)
        extents = [len(array)] + [1] * (rank - 1)
        if array.shape[1] > 1:
            assert x.axis is not None, "channels have an axis"
            extents[x.axis] = array.shape[1]
        arrays.append(array.reshape(extents))
    with np.errstate(all="ignore"):
        result = apply(op, *arrays)
    return result.reshape(len(computed[0]), -1)


def channel_axis(op: Any, constants: dict[int, Array], shape: tuple[int, ...]) -> int | None:
    """The axis along which the constants differ, None where each is a single number."""
    if op.operation.name == "bw.batch_norm":
        return 1
    if op.operation.name == MULTI_THRESHOLD:
        return op.axis.value if len(constants[1]) > 1 else None
    axes: set[int] = set()
    for array in constants.values():
        extents = (1,) * (len(shape) - array.ndim) + array.shape
        if len(extents) != len(shape):
            axes.add(-1)
        axes |= {axis for axis, extent in enumerate(extents) if extent != 1}
    if not axes:
        return None
    if len(axes) > 1 or min(axes) < 1:
        raise FloatBetweenMarkers(
            f"{describe(op)} has a float constant that differs along the axes {sorted(axes)} of "
            f"{list(shape)}; expected one number, or one for each channel. Quantize the constant"
        )
    return axes.pop()


def _extended(op: Any, chain: Chain, step: Any, constants: dict[int, Array]) -> Chain:
    kind = op.operation.name

    def function(real: Array) -> Array:
        return step(chain.function(real))

    affine = _affine(op, constants)
    if affine is not None:
        scale, offset = affine
        before = chain.scale
        return Chain(
            function, None if before is None else before * scale, chain.offset * scale + offset,
            clamps=False, monotone=chain.monotone,
        )  # fmt: skip
    if kind in CLAMPS:
        return replace(chain, function=function)
    rises = kind in (*_RISING, MULTI_THRESHOLD) or (kind == "bw.leaky_relu" and op.alpha.value >= 0)
    return Chain(
        function, None, clamps=False, monotone=chain.monotone and rises,
        counts=kind == MULTI_THRESHOLD,
    )  # fmt: skip


def _affine(
    op: Any, constants: dict[int, Array]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Scale and offset of an operation that is affine, one number each or one for each channel."""
    wide = {index: array.astype(np.float64).reshape(-1) for index, array in constants.items()}
    zero, one = np.zeros(1), np.ones(1)
    match op.operation.name:
        case "bw.add":
            ((index, constant),) = wide.items()
            signs = (op.lhs_multiplier.value, op.rhs_multiplier.value)
            return one * signs[1 - index], constant * signs[index]
        case "bw.mul":
            return next(iter(wide.values())), zero
        case "bw.div" if 1 in wide:
            with np.errstate(divide="ignore"):
                return 1 / wide[1], zero
        case "bw.neg":
            return -one, zero
        case "bw.batch_norm":
            scale, bias, mean, variance = (wide[index] for index in range(1, 5))
            factor = scale / np.sqrt(variance + op.epsilon.value)
            return factor, bias - mean * factor
        case _:
            return None
