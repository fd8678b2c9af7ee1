"""The quantized type of every value: ranges from the statistics, scales matched at the adds."""

from dataclasses import dataclass, field
from typing import Any

from torch_mlir import ir

from bitwright.ir import graph
from bitwright.ir.types import SOFTMAX, QuantParams
from bitwright.passes.quantize.calibrate import Statistics
from bitwright.passes.quantize.errors import NotQuantizable
from bitwright.passes.quantize.ranges import RANGES
from bitwright.passes.quantize.scales import (
    Matched,
    approximate,
    match,
    params_of,
    scale_of,
)  # fmt: skip
from bitwright.passes.quantize.ties import Slot, Ties, constant_range, kind_of

CONSTANT_BITS = 8
_TOLERANCE = 2.0**-10
"""Relative error of an add's scale ratio that is let stand: an eighth of a step at code 127."""

_COARSER = 1.05
"""How much coarser an add may make an operand that others read too; beyond it takes a table."""


@dataclass
class Group:
    """Values of one type: its range, its scale, and whether an add has already relied on it."""

    low: float
    high: float
    bits: int
    scale: float
    fixed: bool = False

    @property
    def params(self) -> QuantParams:
        """The type."""
        return params_of(self.low, self.scale, self.bits)

    @property
    def empty(self) -> bool:
        """Zero is the only value that was seen."""
        return self.low == self.high

    def moved(self, scale: float) -> "Group":
        """The same range at another scale, relied upon."""
        return Group(self.low, self.high, self.bits, scale, fixed=True)


@dataclass
class Plan:
    """Decisions of quantization, by values of the float module.

    Attributes:
        groups: the group under each root of `ties`.
        slots: operands with a type of their own: constants, and what a table brings there.
        multipliers: lhs and rhs of each add, without the sign of a subtraction.
    """

    ties: Ties
    groups: dict[ir.Value, Group] = field(default_factory=dict)
    slots: dict[Slot, Group] = field(default_factory=dict)
    multipliers: dict[ir.Value, tuple[int, int]] = field(default_factory=dict)

    def params(self, value: ir.Value) -> QuantParams:
        """The type of an activation."""
        return self.groups[self.ties.root(value)].params

    def operand(self, operation: Any, index: int) -> Group:
        """The group of one operand as the operation reads it."""
        slot = (operation.result, index)
        if slot in self.slots:
            return self.slots[slot]
        return self.groups[self.ties.root(operation.operands[index])]

    def private(self, operation: Any, index: int) -> bool:
        """Whether nobody but the operation reads the operand's group."""
        value = operation.operands[index]
        return graph.constant_of(value) is not None or self.ties.private[self.ties.root(value)]


def make_plan(
    module: ir.Module, ties: Ties, statistics: Statistics, *, bits: int, boundary_bits: int,
    ranges: str, percentile: float,
) -> Plan:  # fmt: skip
    """Decide all types.

    Raises:
        ScaleNotRepresentable: a range that no scale covers.
    """
    plan = Plan(ties)
    names = {item.value: item.name for item in graph.inputs(module)}
    for operation in graph.operations(module):
        names[operation.result] = graph.location_name(operation)
    boundary = {ties.root(item.value) for item in (*graph.inputs(module), *graph.outputs(module))}
    for root, source in ties.source.items():
        if ties.parent[root] != root:
            continue
        owner = root.owner
        if not isinstance(owner, ir.Block) and owner.name == "bw.softmax":
            for point in ties.points[root]:
                if not 0 <= point <= 255 / 256:
                    raise NotQuantizable(
                        f"The softmax {names[root]!r} is padded with {point:g}; its integers hold "
                        "0 to 255/256; pad in front of the softmax, or with 0"
                    )
            plan.groups[root] = Group(0.0, 255 / 256, SOFTMAX.bits, SOFTMAX.scale, fixed=True)
            continue
        width = boundary_bits if root in boundary else bits
        low, high = RANGES[ranges](statistics.histograms[source], width, percentile)
        low, high = min(low, 0.0, *ties.points[root]), max(high, 0.0, *ties.points[root])
        plan.groups[root] = Group(low, high, width, scale_of(low, high, width, names[root]))
    for operation in graph.operations(module):
        _plan_operands(plan, operation)
        if kind_of(operation) == "add":
            _match_add(plan, operation)
    return plan


def _plan_operands(plan: Plan, operation: Any) -> None:
    """Types of constant operands, and of what a concat's tables bring."""
    kind = kind_of(operation)
    if kind in ("conv2d", "linear", "constant"):
        return
    for index, value in enumerate(operation.operands):
        slot = (operation.result, index)
        constant = graph.constant_of(value)
        if kind == "concat":
            if constant is not None or slot in plan.ties.brought:
                plan.slots[slot] = plan.groups[plan.ties.root(operation.result)]
        elif constant is not None:
            low, high = constant_range(constant)
            low, high = min(low, 0.0), max(high, 0.0)
            scale = scale_of(low, high, CONSTANT_BITS, graph.location_name(operation))
            plan.slots[slot] = Group(low, high, CONSTANT_BITS, scale)


def _match_add(plan: Plan, operation: Any) -> None:
    """Integer multipliers for the two operands of an add.

    The operand whose scale is still free is moved to the nearest larger scale in an integer ratio
    to the other's. Where both are taken already and no ratio of integers up to 127 comes near, or
    others would lose by the move, a table brings the operand to such a scale.
    """
    lhs, rhs = plan.operand(operation, 0), plan.operand(operation, 1)
    if lhs is rhs:
        lhs.fixed = True
        plan.multipliers[operation.result] = (1, 1)
        return
    if lhs.fixed and rhs.fixed:
        near = approximate(lhs.scale, rhs.scale, _TOLERANCE)
        if near is not None:
            plan.multipliers[operation.result] = near
            return
    reference = min((0, 1), key=lambda index: _readiness_to_move(plan, operation, index))
    found = _move(plan, operation, reference) or _move(plan, operation, 1 - reference)
    assert found is not None, "one of two ratios is at most 1"
    index, matched = found
    pair = (matched.fixed, matched.free)
    plan.multipliers[operation.result] = pair if index == 0 else (pair[1], pair[0])


def _readiness_to_move(plan: Plan, operation: Any, index: int) -> tuple[bool, bool, bool, float]:
    """Of two operands, the one with the smaller key stays: taken, seen, shared, fine."""
    group = plan.operand(operation, index)
    return not group.fixed, group.empty, plan.private(operation, index), group.scale


def _move(plan: Plan, operation: Any, reference: int) -> tuple[int, Matched] | None:
    """Match the operand that is not `reference` to the one that is."""
    fixed, free = plan.operand(operation, reference), plan.operand(operation, 1 - reference)
    matched = match(fixed.scale, fixed.scale if free.empty else free.scale)
    if matched is None:
        return None
    fixed.fixed = True
    coarser = matched.scale > _COARSER * free.scale and not free.empty
    if free.fixed or (coarser and not plan.private(operation, 1 - reference)):
        plan.slots[operation.result, 1 - reference] = free.moved(matched.scale)
    else:
        free.scale, free.fixed = matched.scale, True
    return reference, matched
