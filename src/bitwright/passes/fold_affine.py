"""Rules of `fold` for per-channel scales and shifts: batch norms, constant products and sums.

batch_norm(conv2d(x))              -->  conv2d(x) with scaled weights and a shifted bias
mul(linear(x), constant [N])       -->  linear(x)
conv2d(mul(x, constant))           -->  conv2d(x)
batch_norm(x) alone                -->  depthwise conv2d 1x1 (x)
linear(reshape(batch_norm(x)))     -->  linear(reshape(x))
"""

import math
from dataclasses import dataclass

import numpy as np
from torch_mlir import ir

from bitwright.ir.checks import ints
from bitwright.ir.types import shape_of
from bitwright.passes.fold_layout import BINARY, UNARY, at_input
from bitwright.passes.rewrite import (
    Array,
    Match,
    Rewriter,
    float_constant,
    kind_of,
    producer,
)  # fmt: skip


@dataclass(frozen=True)
class Affine:
    """scale * source + shift along one axis of `source`; float64 vectors."""

    source: ir.Value
    axis: int
    scale: Array
    shift: Array


def batch_norm(rewriter: Rewriter, match: Match) -> ir.Value | None:
    """batch_norm with constant statistics --> a scale and a shift."""
    constants = match.constants(start=1)
    if constants is None:
        return None
    scale, bias, mean, variance = (array.astype(np.float64) for array in constants)
    factor = scale / np.sqrt(variance + match.operation.epsilon.value)
    affine = Affine(match.operands[0], 1, factor, bias - mean * factor)
    return _merged(rewriter, affine) or _depthwise(rewriter, affine)


def mul(rewriter: Rewriter, match: Match) -> ir.Value | None:
    """mul by a constant per channel --> a scale."""
    for index in (0, 1):
        constant = float_constant(match.operands[1 - index])
        if constant is not None:
            zero = np.zeros_like(constant)
            return _per_channel(rewriter, match, match.operands[index], constant, zero)
    return None


def add(rewriter: Rewriter, match: Match) -> ir.Value | None:
    """add of a constant per channel --> a shift."""
    signs = (match.operation.lhs_multiplier.value, match.operation.rhs_multiplier.value)
    for index in (0, 1):
        constant = float_constant(match.operands[1 - index])
        if constant is not None:
            scale = np.full_like(constant, signs[index])
            return _per_channel(
                rewriter, match, match.operands[index], scale, signs[1 - index] * constant
            )
    return None


def _per_channel(
    rewriter: Rewriter, match: Match, x: ir.Value, scale: Array, shift: Array
) -> ir.Value | None:
    shape = shape_of(x)
    if shape != match.shape:
        return None
    if (scale == 1).all() and (shift == 0).all():
        return x
    candidates: list[Affine] = []
    for axis in dict.fromkeys((1, len(shape) - 1)):
        if axis >= len(shape) or axis < 1:
            continue
        scale_vector, shift_vector = (_along(array, shape, axis) for array in (scale, shift))
        if scale_vector is not None and shift_vector is not None:
            candidates.append(Affine(x, axis, scale_vector, shift_vector))
    for affine in candidates:
        merged = _merged(rewriter, affine)
        if merged is not None:
            return merged
    if _transposed_soon(rewriter, match.operation.result) or (
        kind_of(x) == "bw.transpose" and not at_input(x)
    ):
        return None
    for affine in candidates:
        if affine.axis == 1:
            return _depthwise(rewriter, affine)
    return None


def _transposed_soon(rewriter: Rewriter, value: ir.Value) -> bool:
    """Whether only elementwise operations lie between `value` and a transpose, which will move."""
    while True:
        readers = rewriter.readers(value)
        if len(readers) != 1:
            return False
        kind = readers[0].operation.name
        if kind == "bw.transpose":
            return at_input(value)
        if kind not in (*UNARY, *BINARY):
            return False
        value = readers[0].operation.results[0]


def _along(array: Array, shape: tuple[int, ...], axis: int) -> Array | None:
    """`array`, broadcast to `shape`, as a vector along `axis`; None where it varies elsewhere."""
    aligned = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
    if any(extent != 1 for i, extent in enumerate(aligned.shape) if i != axis):
        return None
    return np.broadcast_to(aligned.reshape(-1), (shape[axis],))


def _merged(rewriter: Rewriter, affine: Affine) -> ir.Value | None:
    """The operation that makes the source, with the scale and shift in its weights; or None."""
    if not rewriter.read_once(affine.source):
        return None
    owner, build, rank = affine.source.owner, rewriter.builder, len(shape_of(affine.source))
    kind = kind_of(affine.source)
    if kind == "bw.reshape":
        inner = owner.operands[0]
        same = shape_of(inner)[: affine.axis + 1] == shape_of(affine.source)[: affine.axis + 1]
        if not same or affine.axis != 1:
            return None
        moved = _merged(rewriter, Affine(inner, 1, affine.scale, affine.shift))
        return None if moved is None else build.reshape(moved, shape_of(affine.source))
    weighted = (kind == "bw.conv2d" and affine.axis == 1) or (
        kind == "bw.linear" and affine.axis == rank - 1
    )
    if not weighted:
        return None
    weight, bias = float_constant(owner.operands[1]), float_constant(owner.operands[2])
    if weight is None or bias is None:
        return None
    weight = weight * affine.scale.reshape(-1, *[1] * (weight.ndim - 1))
    bias = bias * affine.scale + affine.shift
    return build.copy(owner, [owner.operands[0], build.constant(weight), build.constant(bias)])


def _depthwise(rewriter: Rewriter, affine: Affine) -> ir.Value:
    """The scale and shift along axis 1 as a depthwise 1x1 convolution."""
    build, shape = rewriter.builder, shape_of(affine.source)
    channels = shape[1]
    plane = (*shape[:2], 1, math.prod(shape[2:])) if len(shape) != 4 else shape
    x = affine.source if plane == shape else build.reshape(affine.source, plane)
    result = build.conv2d(
        x, build.constant(affine.scale.reshape(channels, 1, 1, 1)), build.constant(affine.shift),
        groups=channels,
    )  # fmt: skip
    return result if plane == shape else build.reshape(result, shape)


def as_depthwise(value: ir.Value) -> Affine | None:
    """`value` as a scale and shift along axis 1 where a depthwise 1x1 convolution makes it."""
    conv = producer(value, "bw.conv2d")
    if conv is None:
        return None
    weight, bias = float_constant(conv.operands[1]), float_constant(conv.operands[2])
    shape = shape_of(conv.operands[0])
    if weight is None or bias is None or weight.shape != (shape[1], 1, 1, 1):
        return None
    plain = ints(conv.stride) == (1, 1) and not any(ints(conv.padding))
    if not plain or conv.groups.value != shape[1]:
        return None
    return Affine(conv.operands[0], 1, weight.reshape(-1), bias)


def conv2d(rewriter: Rewriter, match: Match) -> ir.Value | None:
    """conv2d of a depthwise 1x1, and depthwise 1x1 of a conv2d --> one conv2d."""
    x = match.operands[0]
    constants = match.constants(start=1)
    if constants is None:
        return None
    weight, bias = (array.astype(np.float64) for array in constants)
    inner = as_depthwise(x)
    padded = any(ints(match.operation.padding))
    if inner is not None and rewriter.read_once(x) and not (padded and inner.shift.any()):
        groups = match.operation.groups.value
        per_group, outputs = weight.shape[1], weight.shape[0] // groups
        scale = np.repeat(inner.scale.reshape(groups, per_group), outputs, axis=0)
        shift = np.repeat(inner.shift.reshape(groups, per_group), outputs, axis=0)
        bias = bias + (weight.sum(axis=(2, 3)) * shift).sum(axis=1)
        build = rewriter.builder
        return build.copy(
            match.operation,
            [inner.source, build.constant(weight * scale[:, :, None, None]), build.constant(bias)],
        )
    channels = shape_of(x)[1]
    own = match.operation
    plain = ints(own.stride) == (1, 1) and not padded and own.groups.value == channels
    if plain and weight.shape == (channels, 1, 1, 1):
        if (weight == 1).all() and (bias == 0).all():
            return x
        return _merged(rewriter, Affine(x, 1, weight.reshape(-1), bias))
    return None


def linear(rewriter: Rewriter, match: Match) -> ir.Value | None:
    """linear(reshape(scale and shift)) --> linear(reshape)."""
    constants, reshape = match.constants(start=1), producer(match.operands[0], "bw.reshape")
    if constants is None or reshape is None or not rewriter.read_once(match.operands[0]):
        return None
    inner = as_depthwise(reshape.operands[0])
    if inner is None:
        return None
    shape = shape_of(inner.source)
    weight, bias = (array.astype(np.float64) for array in constants)
    if shape_of(match.operands[0]) != (shape[0], math.prod(shape[1:])):
        return None
    repeat = math.prod(shape[2:])
    scale, shift = np.repeat(inner.scale, repeat), np.repeat(inner.shift, repeat)
    build = rewriter.builder
    return build.linear(
        build.reshape(inner.source, shape_of(match.operands[0])),
        build.constant(weight * scale), build.constant(bias + weight @ shift),
    )  # fmt: skip
