"""Whether a model that was exported with a fixed batch treats its samples one by one."""

from collections.abc import Callable, Set
from typing import Any

import numpy as np
from torch_mlir import ir

from bitwright.ir import graph, reference_float
from bitwright.ir.checks import ints
from bitwright.ir.types import shape_of

_AXES: dict[str, Callable[[Any], set[int]]] = {
    "bw.transpose": lambda op: {i for i, axis in enumerate(ints(op.perm)) if i != axis},
    "bw.concat": lambda op: {op.axis.value},
    "bw.softmax": lambda op: {op.axis.value},
    "bw.reduce_mean": lambda op: set(ints(op.axes)),
    "bw.reduce_sum": lambda op: set(ints(op.axes)),
    "bw.pad": lambda op: {i for i, n in enumerate(ints(op.low)) if n or ints(op.high)[i]},
}


def is_per_sample(single: ir.Module, batched: ir.Module) -> bool:
    """Whether `batched` computes `single` on each sample: `single` has batch 1, else equal.

    Axis 0 must stay the batch through every operation, so both modules have the same operations,
    every computed tensor differs in its leading extent only, and none mixes along axis 0.
    """
    if [i.name for i in graph.outputs(single)] != [i.name for i in graph.outputs(batched)]:
        return False
    count = shape_of(graph.inputs(batched)[0].value)[0]
    left, right = list(graph.operations(single)), list(graph.operations(batched))
    if len(left) != len(right):
        return False
    fixed: set[ir.Value] = set()
    """Values that depend on constants only, such as dequantized weights."""
    for a, b in zip(left, right, strict=True):
        if a.operation.name != "bw.constant" and all(value in fixed for value in a.operands):
            if str(a.result.type) != str(b.result.type):
                return False
            fixed.add(a.result)
        elif not _keeps_samples(a, b, count, fixed):
            return False
        elif a.operation.name == "bw.constant":
            fixed.add(a.result)
    return True


def _keeps_samples(single: Any, batched: Any, count: int, fixed: Set[ir.Value]) -> bool:
    kind = single.operation.name
    if kind != batched.operation.name:
        return False
    if kind == "bw.constant":
        left, right = graph.constant_of(single.result), graph.constant_of(batched.result)
        return left is right or np.array_equal(left, right)  # pyright: ignore[reportArgumentType]
    a, b = shape_of(single.result), shape_of(batched.result)
    moves = kind in reference_float.INTERPRETERS and kind not in reference_float.ELEMENTWISE
    if not a or not b or moves:
        return False
    if a[0] != 1 or b[0] != count or a[1:] != b[1:]:
        return False
    if 0 in _AXES.get(kind, lambda op: set[int]())(single):
        return False
    computed = [v for v in single.operands if v not in fixed]
    ranks = {len(shape_of(value)) for value in computed}
    if kind == "bw.matmul":
        rhs = single.operands[1]
        if rhs in fixed:  # each row by itself
            return ranks == {len(a)} and len(shape_of(rhs)) == 2
        return len(computed) == len(list(single.operands)) and ranks == {len(a)} and len(a) > 2
    if kind in ("bw.linear", "bw.add", "bw.mul") or kind in reference_float.ELEMENTWISE:
        return ranks == {len(a)} and len(a) > 1
    return True
