"""Whether a convolution can make the sum that its result goes into.

    requantize(add(requantize(conv2d(x)), y))  -->  one accel.matmul_add

The machine adds `y` code by code to what the convolution gives, on its way out. That is done where
the result goes into the sum alone, both `x` and `y` are in main memory by then, and two factors
and an offset are found that make every pair of codes what the model makes of it (`linear_add`).
"""

from dataclasses import replace
from typing import Any

from bitwright.ir import graph
from bitwright.ir.checks import ints
from bitwright.ir.instructions import ADD_OFFSET_BITS, ADD_SHIFT, Space
from bitwright.ir.types import shape_of, value_params
from bitwright.passes.linear_add import LinearAdd, fused_add
from bitwright.passes.tile_program import FusedAdd, OutputStage, Program

_EVERY_CODE = (-128, 127)


def fuse_add(program: Program, conv: Any, requantize: Any, stage: OutputStage) -> OutputStage:
    """`stage` of `conv`, whose sums `requantize` scales; with the sum after it where that can be.

    Its `result` and `clamp` are then those of the sum.
    """
    add = _sum_of(program, requantize, stage)
    if (
        add is None or conv.operation.name != "bw.conv2d" or conv.groups.value != 1
        or program.source(conv, conv.input).space != Space.MAIN
    ):  # fmt: skip
        return stage
    mine = add.lhs == requantize.result
    other = program.buffers.get(add.rhs if mine else add.lhs)
    end = _requantize_of(add)
    shapes = {tuple(shape_of(value)) for value in (add.lhs, add.rhs, add.result)}
    if other is None or other.space != Space.MAIN or end is None or len(shapes) > 1:
        return stage
    found = fused_add(add, end)
    offset = 0 if found is None else _offset(add, end, found)
    if found is None or offset.bit_length() >= ADD_OFFSET_BITS:
        return stage
    own, others = (found.lhs, found.rhs) if mine else (found.rhs, found.lhs)
    added = FusedAdd(other, {"add_own": own, "add_other": others, "add_offset": offset})
    clamp = (end.clamp_min.value, end.clamp_max.value)
    return replace(stage, added=added, clamp=clamp, result=end.result)


def _sum_of(program: Program, requantize: Any, stage: OutputStage) -> Any:
    """The sum that alone reads what `requantize` makes, all of its codes."""
    users = graph.users(requantize.result)
    if not program.array.fused_adds or len(users) != 1 or stage.clamp != _EVERY_CODE:
        return None
    return users[0] if users[0].operation.name in ("bw.add", "bw.scaled_add") else None


def _requantize_of(add: Any) -> Any:
    """What scales a sum, all channels alike and without a table after it."""
    (end,) = graph.users(add.result)
    after = graph.users(end.result)
    if len(ints(end.multiplier)) > 1 or len(ints(end.shift)) > 1:
        return None
    return None if len(after) == 1 and after[0].operation.name == "bw.table" else end


def _offset(add: Any, end: Any, found: LinearAdd) -> int:
    """What is added to the products of the codes themselves, with their zero points."""
    zeros = (value_params(value).zero_point for value in (add.lhs, add.rhs))
    centre = sum(zero * factor for zero, factor in zip(zeros, (found.lhs, found.rhs), strict=True))
    place = value_params(end.result).zero_point << ADD_SHIFT
    return place + found.offset + (1 << ADD_SHIFT - 1) - centre
