"""Rules of `fold` that move and remove transposes and reshapes; `linear` is one of `legalize` too.

    transpose(transpose(x))                     -->  x, or one transpose
    add(transpose(x), transpose(y))             -->  transpose(add(x, y))
    transpose(relu(input))                      -->  relu(transpose(input))
    transpose(x) that moves only extents of 1   -->  reshape(x)
    relu(reshape(x))                            -->  reshape(relu(x))
    linear(reshape(transpose(x)))               -->  linear(reshape(x)), columns permuted

Transposes and reshapes of a model input stay at the input; every other one sinks, until it meets
its inverse or an output.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from torch_mlir import ir

from bitwright.ir import graph
from bitwright.ir.checks import ints
from bitwright.ir.types import quant_params, shape_of
from bitwright.passes.rewrite import Match, Rewriter, kind_of, producer

UNARY = (
    "bw.relu", "bw.clip", "bw.leaky_relu", "bw.hard_sigmoid", "bw.hard_swish", "bw.sigmoid",
    "bw.tanh",
)  # fmt: skip
BINARY = ("bw.add", "bw.mul")


def at_input(value: ir.Value) -> bool:
    """Whether only elementwise operations with constants and layout lie between it and an input."""
    while True:
        kind = kind_of(value)
        if kind is None:
            return True
        if kind in BINARY:
            computed = [o for o in value.owner.operands if graph.constant_of(o) is None]
            if len(computed) != 1:
                return False
            value = computed[0]
        elif kind in (*UNARY, "bw.transpose", "bw.reshape"):
            value = value.owner.operands[0]
        else:
            return False


def transpose(rewriter: Rewriter, match: Match) -> ir.Value | None:
    """Merge with another transpose, become a reshape, or move up to the input."""
    (x,), perm, build = match.operands, ints(match.operation.perm), rewriter.builder
    shape = shape_of(x)
    if perm == tuple(range(len(perm))):
        return x
    before = producer(x, "bw.transpose")
    if before is not None:
        first = ints(before.perm)
        return _transposed(rewriter, before.operands[0], [first[axis] for axis in perm])
    moved = [axis for axis in perm if shape[axis] != 1]
    if moved == sorted(moved):
        return build.reshape(x, match.shape)
    return _up_to_input(rewriter, x, perm)


def _transposed(rewriter: Rewriter, x: ir.Value, perm: Sequence[int]) -> ir.Value:
    if list(perm) == list(range(len(perm))):
        return x
    return rewriter.builder.transpose(x, perm)


def _up_to_input(rewriter: Rewriter, x: ir.Value, perm: Sequence[int]) -> ir.Value | None:
    """transpose(f(x)) --> f(transpose(x)) where f and what follows it lead up to an input."""
    kind = kind_of(x)
    if kind not in (*UNARY, *BINARY) or not at_input(x) or not rewriter.read_once(x):
        return None
    operands: list[ir.Value] = []
    for operand in x.owner.operands:
        constant = graph.constant_of(operand)
        if constant is None:
            if shape_of(operand) != shape_of(x):
                return None
            operands.append(_transposed(rewriter, operand, perm))
        else:
            aligned = constant.reshape((1,) * (len(perm) - constant.ndim) + constant.shape)
            operands.append(rewriter.builder.constant(aligned.transpose(perm)))
    return _elementwise(rewriter, x.owner, operands)


def _elementwise(rewriter: Rewriter, operation: ir.Operation, operands: list[ir.Value]) -> ir.Value:
    """`operation` again, on operands of other shapes."""
    build, element = rewriter.builder, ir.RankedTensorType(operands[0].type).element_type
    shape = np.broadcast_shapes(*(shape_of(operand) for operand in operands))
    attributes = {name: operation.attributes[name] for name in operation.attributes}
    kind = type(operation) if isinstance(operation, ir.OpView) else type(operation.opview)
    return build.make(kind, (shape, element), operands, **attributes)


def sink_transpose(rewriter: Rewriter, match: Match) -> ir.Value | None:
    """f(transpose(x), ...) --> transpose(f(x, ...)), all transposes alike or of constants."""
    perm: tuple[int, ...] | None = None
    computed = [v for v in match.operands if graph.constant_of(v) is None]
    for value in computed:
        owner = producer(value, "bw.transpose")
        if owner is None or at_input(value) or perm not in (None, ints(owner.perm)):
            return None
        perm = ints(owner.perm)
    if perm is None or any(len(shape_of(v)) != len(perm) for v in computed):
        return None
    inverse = [perm.index(axis) for axis in range(len(perm))]
    operands: list[ir.Value] = []
    for value in match.operands:
        constant = graph.constant_of(value)
        if constant is None:
            operands.append(value.owner.operands[0])
        else:
            aligned = constant.reshape((1,) * (len(perm) - constant.ndim) + constant.shape)
            operands.append(rewriter.builder.constant(aligned.transpose(inverse)))
    if match.kind in (*UNARY, *BINARY):
        return rewriter.builder.transpose(_elementwise(rewriter, match.operation, operands), perm)
    return _SINK[match.kind](rewriter, match, operands, perm)


def _sink_softmax(
    rewriter: Rewriter, match: Match, operands: list[ir.Value], perm: Sequence[int]
) -> ir.Value:
    build = rewriter.builder
    return build.transpose(build.softmax(operands[0], perm[match.operation.axis.value]), perm)


def _sink_concat(
    rewriter: Rewriter, match: Match, operands: list[ir.Value], perm: Sequence[int]
) -> ir.Value:
    build = rewriter.builder
    return build.transpose(build.concat(operands, perm[match.operation.axis.value]), perm)


def _sink_pad(
    rewriter: Rewriter, match: Match, operands: list[ir.Value], perm: Sequence[int]
) -> ir.Value:
    low, high = [0] * len(perm), [0] * len(perm)
    for index, axis in enumerate(perm):
        low[axis] = ints(match.operation.low)[index]
        high[axis] = ints(match.operation.high)[index]
    build = rewriter.builder
    padded = build.pad(operands[0], low, high, match.operation.value.value)
    return build.transpose(padded, perm)


def _sink_reduce_mean(
    rewriter: Rewriter, match: Match, operands: list[ir.Value], perm: Sequence[int]
) -> ir.Value:
    build, axes = rewriter.builder, ints(match.operation.axes)
    keepdims = match.operation.keepdims.value
    mean = build.reduce_mean(operands[0], sorted(perm[axis] for axis in axes), keepdims)
    if keepdims:
        return build.transpose(mean, perm)
    kept = [axis for index, axis in enumerate(perm) if index not in axes]
    return _transposed(rewriter, mean, [sorted(kept).index(axis) for axis in kept])


_SINK: dict[str, Callable[[Rewriter, Match, list[ir.Value], Sequence[int]], ir.Value]] = {
    "bw.concat": _sink_concat,
    "bw.pad": _sink_pad,
    "bw.reduce_mean": _sink_reduce_mean,
    "bw.softmax": _sink_softmax,
}


def reshape(rewriter: Rewriter, match: Match) -> ir.Value | None:
    """Remove a reshape to the same shape, merge two."""
    (x,) = match.operands
    if shape_of(x) == match.shape:
        return x
    before = producer(x, "bw.reshape")
    return None if before is None else rewriter.builder.reshape(before.operands[0], match.shape)


def sink_reshape(rewriter: Rewriter, match: Match) -> ir.Value | None:
    """f(reshape(x)) --> reshape(f(x)); with two operands, both reshaped alike."""
    sources: list[ir.Value] = []
    for value in match.operands:
        owner = producer(value, "bw.reshape")
        if owner is None or at_input(value) or shape_of(value) != match.shape:
            return None
        sources.append(owner.operands[0])
    if len({shape_of(source) for source in sources}) != 1:
        return None
    return rewriter.builder.reshape(_elementwise(rewriter, match.operation, sources), match.shape)


def linear(rewriter: Rewriter, match: Match) -> ir.Value | None:
    """linear(reshape(transpose(x))) --> linear(reshape(x)) with the weight's columns permuted."""
    constants, flat = match.constants(start=1), producer(match.operands[0], "bw.reshape")
    if constants is None or flat is None:
        return None
    owner = producer(flat.operands[0], "bw.transpose")
    if owner is None:
        return None
    source, perm = owner.operands[0], ints(owner.perm)
    shape, target = shape_of(source), shape_of(match.operands[0])
    if perm[0] != 0 or target != (shape[0], math.prod(shape[1:])):
        return None
    order = np.arange(math.prod(shape[1:])).reshape(shape[1:])
    order = order.transpose([axis - 1 for axis in perm[1:]]).reshape(-1)
    weight, bias = constants
    permuted = np.empty_like(weight)
    permuted[:, order] = weight
    build, params = rewriter.builder, quant_params(match.operands[1].type)
    return build.linear(
        build.reshape(source, target), build.constant(permuted, params), build.constant(bias)
    )
