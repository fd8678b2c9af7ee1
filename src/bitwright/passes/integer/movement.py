"""Operations that only move or compare elements: they are the same on integers."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch_mlir import ir

from bitwright.ir.builder import Builder
from bitwright.ir.checks import ints
from bitwright.ir.types import shape_of, value_params
from bitwright.passes.integer.errors import FloatBetweenMarkers
from bitwright.passes.integer.markers import describe
from bitwright.passes.integer.values import Codes, Joined, Move, Real, real

KINDS = frozenset(
    f"bw.{name}" for name in ("reshape", "transpose", "slice", "max_pool2d", "pad", "concat")
)
Value = Codes | Real | Joined


def move(build: Builder, op: Any, computed: Mapping[int, Value]) -> Value:
    """The result of `op` on integers, or on what will be quantized later."""
    if op.operation.name == "bw.concat":
        return _concat(build, op, computed)
    x, shape = computed[0], shape_of(op.result)
    offset = x.offset if isinstance(x, Codes) else 0
    apply = _move(build, op, offset, plain=isinstance(x, Codes))
    if isinstance(x, Codes):
        return Codes(apply(x.value), x.offset)
    if isinstance(x, Joined):
        return Joined(x.parts, x.axis, shape, (*x.moves, apply))
    return x.moved(apply, shape, _axis(op, x.axis, x.shape, shape))


def _move(build: Builder, op: Any, offset: int, *, plain: bool) -> Move:
    match op.operation.name.removeprefix("bw."):
        case "reshape":
            return lambda value: build.reshape(value, shape_of(op.result))
        case "transpose":
            return lambda value: build.transpose(value, ints(op.perm))
        case "slice":
            return lambda value: build.slice(value, ints(op.starts), ints(op.sizes), ints(op.steps))
        case "max_pool2d":
            return lambda value: build.max_pool2d(
                value, kernel=ints(op.kernel), stride=ints(op.stride), padding=ints(op.padding),
                dilation=ints(op.dilation),
            )  # fmt: skip
        case _:
            return lambda value: build.pad(
                value, ints(op.low), ints(op.high),
                op.value.value - offset if plain else _code(op, value),
            )  # fmt: skip


def _code(op: Any, value: ir.Value) -> int:
    """The padding's real number as a code."""
    params, number = value_params(value), np.asarray(op.value.value, np.float64)
    if math.isnan(number):
        raise FloatBetweenMarkers(f"{describe(op)} pads with not-a-number; expected a number")
    return int(params.quantize(number))


def _axis(op: Any, axis: int | None, before: tuple[int, ...], after: tuple[int, ...]) -> int | None:
    """Where the channels of axis `axis` are afterwards; None where they are on no axis."""
    if axis is None or op.operation.name not in ("bw.reshape", "bw.transpose"):
        return axis
    if op.operation.name == "bw.transpose":
        return ints(op.perm).index(axis)
    for candidate, extent in enumerate(after):
        same = math.prod(after[:candidate]) == math.prod(before[:axis])
        if same and extent == before[axis]:
            return candidate
    return None


def _concat(build: Builder, op: Any, computed: Mapping[int, Value]) -> Value:
    axis, parts = op.axis.value, list(computed.values())
    if len(parts) != 2:
        raise FloatBetweenMarkers(
            f"{describe(op)} joins a constant; expected tensors that are computed. Leave it out of "
            "the exported model"
        )
    codes = [_held(part) for part in parts]
    if codes[0] is not None and codes[1] is not None:
        same = codes[0].params == codes[1].params and codes[0].offset == codes[1].offset
        if same:
            joined = Codes(build.concat([c.value for c in codes if c], axis), codes[0].offset)
            return joined if isinstance(parts[0], Codes) else real(joined)
    found = [part for part in parts if not isinstance(part, Codes)]
    if len(found) != len(parts):
        raise FloatBetweenMarkers(
            f"{describe(op)} joins integers of different scales; dequantize them first"
        )
    return Joined(tuple(found), axis, shape_of(op.result))


def _held(x: Value) -> Codes | None:
    if isinstance(x, Codes):
        return x
    if isinstance(x, Real) and isinstance(x.source, Codes) and x.plain and not x.moves:
        return x.source
    return None
