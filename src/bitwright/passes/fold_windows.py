"""Rules of `fold` for padding, pooling, activations and products.

conv2d(pad(x, 0))                       -->  conv2d(x) with padding
avg_pool2d(pad(x, 0))                   -->  avg_pool2d(x), padding counted
max_pool2d(pad(relu(x), 0))             -->  max_pool2d(relu(x)) with padding
reduce_mean(x) over rows and columns    -->  avg_pool2d(x) over the whole plane
relu(clip(x)), clip(clip(x))            -->  clip(x)
mul(x, hard_sigmoid(x))                 -->  hard_swish(x)
matmul(x, constant [K, N])              -->  linear(x)
"""

import math

import numpy as np
from torch_mlir import ir

from bitwright.ir import bw, graph
from bitwright.ir.checks import ints
from bitwright.ir.types import shape_of
from bitwright.passes.fold_affine import as_depthwise
from bitwright.passes.rewrite import Match, Rewriter, kind_of, producer

LARGEST = float(np.finfo(np.float32).max)
_NOT_NEGATIVE = ("bw.relu", "bw.sigmoid", "bw.hard_sigmoid", "bw.softmax")


def _spatial_pad(value: ir.Value) -> tuple[ir.Value, float, tuple[int, int, int, int]] | None:
    """Source, value and top, left, bottom, right of a pad of rows and columns only."""
    owner = producer(value, "bw.pad")
    if owner is None:
        return None
    low, high = ints(owner.low), ints(owner.high)
    if len(low) != 4 or any((*low[:2], *high[:2])):
        return None
    return owner.operands[0], owner.value.value, (low[2], low[3], high[2], high[3])


def _plus(lhs: tuple[int, ...], rhs: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(lhs, rhs, strict=True))


def pad(rewriter: Rewriter, match: Match) -> ir.Value | None:
    """Remove an empty pad, merge two of one value."""
    (x,), own = match.operands, match.operation
    if not any((*ints(own.low), *ints(own.high))):
        return x
    before = producer(x, "bw.pad")
    if before is None or before.value.value != own.value.value:
        return None
    return rewriter.builder.pad(
        before.operands[0], _plus(ints(before.low), ints(own.low)),
        _plus(ints(before.high), ints(own.high)), own.value.value,
    )  # fmt: skip


def conv2d(rewriter: Rewriter, match: Match) -> ir.Value | None:
    """conv2d of a zero pad --> conv2d with that padding."""
    found, own = _spatial_pad(match.operands[0]), match.operation
    if found is None or found[1] != 0:
        return None
    return rewriter.builder.conv2d(
        found[0], *match.operands[1:], stride=ints(own.stride),
        padding=_plus(found[2], ints(own.padding)), dilation=ints(own.dilation),
        groups=own.groups.value,
    )  # fmt: skip


def avg_pool2d(rewriter: Rewriter, match: Match) -> ir.Value | None:
    """avg_pool2d of a zero pad --> avg_pool2d with padding that counts."""
    found, own = _spatial_pad(match.operands[0]), match.operation
    padding = ints(own.padding)
    if found is None or found[1] != 0 or (any(padding) and not own.count_include_pad.value):
        return None
    return rewriter.builder.avg_pool2d(
        found[0], kernel=ints(own.kernel), stride=ints(own.stride),
        padding=_plus(found[2], padding), count_include_pad=True,
    )  # fmt: skip


def max_pool2d(rewriter: Rewriter, match: Match) -> ir.Value | None:
    """max_pool2d of a pad that no element lies below --> max_pool2d with padding."""
    found, own = _spatial_pad(match.operands[0]), match.operation
    if found is None or ints(own.dilation) != (1, 1):
        return None
    source, value, padding = found
    below = value <= -LARGEST or (value <= 0 and _not_negative(source))
    total, kernel = _plus(padding, ints(own.padding)), ints(own.kernel)
    if not below or any(n >= kernel[index % 2] for index, n in enumerate(total)):
        return None
    return rewriter.builder.max_pool2d(
        source, kernel=kernel, stride=ints(own.stride), padding=total
    )


def _not_negative(value: ir.Value) -> bool:
    kind = kind_of(value)
    if kind == "bw.clip":
        return value.owner.opview.minimum.value >= 0
    return kind in _NOT_NEGATIVE


def reduce_mean(rewriter: Rewriter, match: Match) -> ir.Value | None:
    """reduce_mean over the trailing axes of [N, C, ...] --> avg_pool2d over the plane."""
    (x,), build = match.operands, rewriter.builder
    shape = shape_of(x)
    axes = tuple(range(2, len(shape)))
    if len(shape) not in (3, 4) or tuple(sorted(ints(match.operation.axes))) != axes:
        return None
    plane = (*shape[:2], 1, shape[2]) if len(shape) == 3 else shape
    x = x if plane == shape else build.reshape(x, plane)
    mean = build.avg_pool2d(x, kernel=plane[2:], stride=plane[2:])
    return mean if shape_of(mean) == match.shape else build.reshape(mean, match.shape)


def _bounds(operation: ir.OpView) -> tuple[float, float] | None:
    """Lower and upper bound of a relu or clip."""
    if isinstance(operation, bw.ReluOp):
        return 0.0, LARGEST
    if isinstance(operation, bw.ClipOp):
        return operation.minimum.value, operation.maximum.value
    return None


def clip(rewriter: Rewriter, match: Match) -> ir.Value | None:
    """Merge a relu or clip with the one before it; 6 * hard_sigmoid from clip(x + 3, 0, 6)."""
    (x,), own = match.operands, _bounds(match.operation)
    if own is None:
        return None
    if own[0] <= -LARGEST and own[1] >= LARGEST:
        return x
    before = None if isinstance(x.owner, ir.Block) else _bounds(x.owner.opview)
    if before is not None:
        low, high = (min(max(bound, own[0]), own[1]) for bound in before)
        source, build = x.owner.operands[0], rewriter.builder
        if (low, high) == (0.0, LARGEST):
            return build.relu(source)
        return build.unary(bw.ClipOp, source, minimum=low, maximum=high)
    return _hard_sigmoid(rewriter, x) if own == (0.0, 6.0) else None


def _hard_sigmoid(rewriter: Rewriter, x: ir.Value) -> ir.Value | None:
    inner, build = as_depthwise(x), rewriter.builder
    if inner is None or (inner.scale != 1).any() or (inner.shift != 3).any():
        return None
    gate = build.unary(bw.HardSigmoidOp, inner.source, alpha=1 / 6, beta=0.5)
    return build.mul(gate, build.constant(np.array([6.0], np.float32)))


def hard_swish(rewriter: Rewriter, match: Match) -> ir.Value | None:
    """mul(x, hard_sigmoid(x)) --> hard_swish(x), also where a scale lies between them."""
    build = rewriter.builder
    for x, gate in (match.operands, match.operands[::-1]):
        scaled = as_depthwise(gate)
        scale = None
        if scaled is not None:
            if (scaled.shift != 0).any() or (scaled.scale != scaled.scale[0]).any():
                continue
            gate, scale = scaled.source, float(scaled.scale[0])
        owner = producer(gate, "bw.hard_sigmoid")
        if owner is None or owner.operands[0] != x:
            continue
        if not math.isclose(owner.alpha.value, 1 / 6, rel_tol=1e-6) or owner.beta.value != 0.5:
            continue
        result = build.unary(bw.HardSwishOp, x)
        if scale is None:
            return result
        return build.mul(result, build.constant(np.array([scale], np.float32)))
    return None


def matmul(rewriter: Rewriter, match: Match) -> ir.Value | None:
    """matmul with a constant matrix on the right --> linear."""
    lhs, rhs = match.operands
    weight = graph.constant_of(rhs)
    if weight is None or graph.constant_of(lhs) is not None:
        return None
    if any(extent != 1 for extent in weight.shape[:-2]) or weight.ndim > len(shape_of(lhs)):
        return None
    build, (depth, columns) = rewriter.builder, shape_of(rhs)[-2:]
    matrix = weight.reshape(depth, columns)
    return build.linear(
        lhs, build.constant(matrix.T), build.constant(np.zeros(columns, np.float32))
    )
