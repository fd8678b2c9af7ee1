"""Which values of a float module share one quantized type, and which activations vanish.

conv2d -> max_pool2d -> relu        one type, ranged after the relu; the relu becomes the clamp
                                    of the convolution's requantize
reshape, transpose, pad, max_pool   result and input have one type
concat                              result and inputs have one type; an input that is also read
                                    elsewhere is brought to it by a table
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch_mlir import ir

from bitwright.ir import graph
from bitwright.ir.checks import ints
from bitwright.ir.types import is_float, is_plain
from bitwright.passes.quantize.errors import NotQuantizable
from bitwright.passes.quantize.tables import function_of

ACCUMULATING = ("conv2d", "linear", "matmul", "add", "mul", "avg_pool2d", "reduce_mean")
KEEPING = ("max_pool2d", "reshape", "transpose", "pad")
CLAMPING = ("relu", "clip")
TABLES = ("leaky_relu", "hard_sigmoid", "hard_swish", "sigmoid", "tanh")
OTHERS = ("softmax", "concat")
SUPPORTED = tuple(sorted(ACCUMULATING + KEEPING + CLAMPING + TABLES + OTHERS))

Slot = tuple[ir.Value, int]


def kind_of(operation: Any) -> str:
    """The operation's name without its dialect."""
    return operation.operation.name.removeprefix("bw.")


def bounds(operation: Any) -> tuple[float, float]:
    """Lower and upper bound of a relu or clip."""
    if kind_of(operation) == "relu":
        return 0.0, math.inf
    return float(operation.minimum.value), float(operation.maximum.value)


@dataclass
class Ties:
    """Groups of values with one type, each under its root, and what was fused.

    Attributes:
        source: for each root, the value whose distribution decides the group's range.
        points: for each root, further real numbers that the range must hold.
        clamps: for the result of an accumulating operation, the bounds of what was fused into it.
        vanished: results of fused activations; they are their operand.
        brought: operands of a concat that a table brings to the type of the result.
    """

    parent: dict[ir.Value, ir.Value] = field(default_factory=dict)
    source: dict[ir.Value, ir.Value] = field(default_factory=dict)
    points: dict[ir.Value, list[float]] = field(default_factory=dict)
    private: dict[ir.Value, bool] = field(default_factory=dict)
    clamps: dict[ir.Value, tuple[float, float]] = field(default_factory=dict)
    vanished: set[ir.Value] = field(default_factory=set)
    brought: set[Slot] = field(default_factory=set)

    def root(self, value: ir.Value) -> ir.Value:
        """The value that stands for the group of `value`."""
        while self.parent[value] != value:
            value = self.parent[value]
        return value

    def new(self, value: ir.Value, *, private: bool = True) -> None:
        """A group of one; `private` where a later concat may choose its type."""
        self.parent[value] = value
        self.source[value] = value
        self.points[value] = []
        self.private[value] = private and used_once(value)

    def join(self, value: ir.Value, to: ir.Value) -> None:
        """Put the group of `value` into the group of `to`."""
        child, root = self.root(value), self.root(to)
        if child != root:
            self.parent[child] = root
            self.points[root] += self.points[child]
            self.private[root] = self.private[root] and self.private[child]


def used_once(value: ir.Value) -> bool:
    """One reader, which is not the module's return."""
    users = graph.users(value)
    return len(users) == 1 and users[0].operation.name != "func.return"


def find_ties(module: ir.Module) -> Ties:
    """Walk the float module once, in order.

    Raises:
        NotQuantizable: an operation without integer form.
    """
    ties = Ties()
    for item in graph.inputs(module):
        if is_plain(item.value) and not is_float(item.value):
            raise NotQuantizable(
                f"The model's input {item.name!r} is {item.value.type}; quantize knows float32 "
                "tensors only"
            )
        if not is_float(item.value):
            raise NotQuantizable(
                f"The model's input {item.name!r} is {item.value.type}, so the module is quantized "
                "already; quantize takes a float module"
            )
        ties.new(item.value, private=False)
    for operation in graph.operations(module):
        if kind_of(operation) != "constant":
            check_quantizable(operation)
            _tie(ties, operation)
    for item in graph.outputs(module):
        if graph.constant_of(item.value) is not None:
            raise NotQuantizable(
                f"The model's output {item.name!r} is a constant, whatever its inputs; "
                "remove it from the model"
            )
    return ties


def _tie(ties: Ties, operation: Any) -> None:
    kind, result = kind_of(operation), operation.result
    if kind in KEEPING:
        ties.new(result)
        ties.join(result, operation.input)
        if kind == "pad" and math.isfinite(operation.value.value):
            ties.points[ties.root(result)].append(operation.value.value)
    elif kind in CLAMPING:
        _tie_clamp(ties, operation)
    elif kind == "concat":
        _tie_concat(ties, operation)
    else:
        ties.new(result, private=kind != "softmax")


def _tie_clamp(ties: Ties, operation: Any) -> None:
    source = _producer(ties, operation.input)
    ties.new(operation.result)
    if source is None:  # a table, with a type of its own: the bounds may lie outside of the input's
        return
    ties.join(operation.result, operation.input)
    low, high = bounds(operation)
    before = ties.clamps.get(source, (-math.inf, math.inf))
    ties.clamps[source] = (min(max(before[0], low), high), min(max(before[1], low), high))
    ties.vanished.add(operation.result)
    ties.source[ties.root(source)] = operation.result


def _producer(ties: Ties, value: ir.Value) -> ir.Value | None:
    """The accumulating operation's result that reaches `value` through operations that commute
    with a clamp, read by nobody else on the way."""
    while used_once(value) and not isinstance(value.owner, ir.Block):
        kind = value.owner.name.removeprefix("bw.")
        if kind in ACCUMULATING:
            return value
        if kind not in ("max_pool2d", "reshape", "transpose") and value not in ties.vanished:
            return None
        value = value.owner.operands[0]
    return None


def _tie_concat(ties: Ties, operation: Any) -> None:
    ties.new(operation.result)
    for index, value in enumerate(operation.operands):
        if graph.constant_of(value) is not None:
            continue
        if ties.private[ties.root(value)]:
            ties.join(value, operation.result)
        else:
            ties.brought.add((operation.result, index))


def check_quantizable(operation: Any) -> None:
    """Raise `NotQuantizable` where the operation has no integer form."""
    kind, name = kind_of(operation), graph.location_name(operation)
    operands = list(operation.operands)
    constant = [graph.constant_of(value) is not None for value in operands]
    if kind in ("requantize", "table", "sum_pool2d", "reduce_sum", "integer_softmax"):
        raise NotQuantizable(
            f"{name!r} is bw.{kind}, an integer operation, so the module is quantized already; "
            "quantize takes a float module"
        )
    if kind == "batch_norm" or (operands and all(constant)):
        why = "is bw.batch_norm" if kind == "batch_norm" else f"is bw.{kind} of constants only"
        raise NotQuantizable(f"{name!r} {why}; run the pass fold before quantize")
    for value in (*operands, operation.result):
        if kind in SUPPORTED and is_plain(value) and not is_float(value):
            raise NotQuantizable(
                f"{name!r} is bw.{kind} on {value.type}; quantize knows float32 tensors only"
            )
    if kind not in SUPPORTED:
        raise NotQuantizable(
            f"{name!r} is bw.{kind}, which has no integer form; quantize knows "
            f"{', '.join(SUPPORTED)}"
        )
    if kind in ("conv2d", "linear") and (constant[0] or not all(constant[1:])):
        raise NotQuantizable(
            f"{name!r} is bw.{kind} whose weight or bias is computed at run time; quantize needs "
            "constants there, use bw.matmul for a product of two activations"
        )
    uncounted = kind == "avg_pool2d" and not operation.count_include_pad.value
    if uncounted and any(ints(operation.padding)):
        raise NotQuantizable(
            f"{name!r} is bw.avg_pool2d with padding {list(ints(operation.padding))} that does not "
            "count (count_include_pad = false), so that its divisor changes from pixel to pixel; "
            "export the model with count_include_pad = true or without padding"
        )
    if kind in TABLES:
        assert function_of(operation) is not None, f"no table function for bw.{kind}"


def constant_range(values: Any) -> tuple[float, float]:
    """Least and greatest value of a constant."""
    array = np.asarray(values, dtype=np.float64)
    return float(array.min()), float(array.max())
