"""Rewriting of float `bw` modules by tables of rules, to a fixed point.

A rule looks at one operation, whose operands are already those of the new module, and returns the
value that replaces its result, or None. What no output needs any more is left out.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.ir import graph
from bitwright.ir.builder import Builder
from bitwright.ir.bw_quantize import DequantizeOp
from bitwright.ir.types import (
    QuantParams,
    dtype_of,
    is_float,
    is_plain,
    quant_params,
    shape_of,
)

Array = NDArray[Any]
MAX_ROUNDS = 1000


class Rewriter:
    """The new module under construction, and what its values came from."""

    def __init__(self, module: ir.Module) -> None:
        inputs = graph.inputs(module)
        self.builder = Builder(
            [(i.name, shape_of(i.value), _input_type(i.value)) for i in inputs],
            module.context,
        )
        self._module = module
        self._values = dict(zip((i.value for i in inputs), self.builder.inputs, strict=True))
        self._reads: dict[ir.Value, int] = {}
        self._live = live_values(module)

    def run(self, rules: Mapping[str, Sequence["Rule"]]) -> tuple[ir.Module, bool]:
        """Copy the module through `rules`; also whether any of them applied."""
        changed = False
        for item in graph.inputs(self._module):
            self._count(item.value)
        for operation in graph.operations(self._module):
            if operation.result not in self._live:
                changed = True
                continue
            operands = [self._values[operand] for operand in operation.operands]
            self.builder.named(name_of(operation))
            result = None
            for rule in () if _is_other(operation) else rules.get(operation.operation.name, ()):
                result = rule(self, Match(operation, operands))
                if result is not None:
                    changed = True
                    break
            if result is None:
                result = self.builder.copy(operation, operands)
            self._values[operation.result] = result
            self._count(operation.result)
        outputs = [(o.name, self._values[o.value]) for o in graph.outputs(self._module)]
        return self.builder.finish(outputs), changed

    def readers(self, old: ir.Value) -> list[Any]:
        """Operations of the old module that read `old` and are not dead."""
        return [
            user for user in graph.users(old)
            if not list(user.results) or user.results[0] in self._live
        ]  # fmt: skip

    def _count(self, old: ir.Value) -> None:
        new = self._values[old]
        self._reads[new] = self._reads.get(new, 0) + len(self.readers(old))

    def read_once(self, value: ir.Value) -> bool:
        """Whether the operation being rewritten is the only reader of `value`."""
        return self._reads.get(value, 1) <= 1


class Match:
    """An operation of the old module with its operands in the new one."""

    def __init__(self, operation: Any, operands: Sequence[ir.Value]) -> None:
        self.operation = operation
        self.operands = tuple(operands)

    @property
    def kind(self) -> str:
        """As `bw.conv2d`."""
        return self.operation.operation.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result."""
        return shape_of(self.operation.result)

    def constants(self, start: int = 0) -> list[Array] | None:
        """Data of the operands from `start` on, None unless all are constants."""
        arrays = [graph.constant_of(operand) for operand in self.operands[start:]]
        found = [array for array in arrays if array is not None]
        return found if len(found) == len(arrays) else None


def _input_type(value: ir.Value) -> QuantParams | np.dtype[Any] | None:
    """As `Builder` takes it."""
    if is_plain(value) and not is_float(value):
        return dtype_of(value)
    return quant_params(value.type)


def _is_other(operation: Any) -> bool:
    """Whether it works on plain numbers that are not float32, which few rules are about."""
    if operation.operation.name == DequantizeOp.OPERATION_NAME:
        return False
    values = (*operation.operands, operation.result)
    return any(is_plain(value) and not is_float(value) for value in values)


Rule = Callable[[Rewriter, Match], ir.Value | None]


def to_fixed_point(module: ir.Module, rules: Mapping[str, Sequence[Rule]]) -> ir.Module:
    """Apply `rules` until none applies and nothing is dead."""
    for _ in range(MAX_ROUNDS):
        module, changed = Rewriter(module).run(rules)
        if not changed:
            return module
    raise RuntimeError(f"the rules do not settle in {MAX_ROUNDS} rounds")


def producer(value: ir.Value, kind: str) -> Any | None:
    """The operation of this kind that makes `value`, else None."""
    owner = value.owner
    return None if isinstance(owner, ir.Block) or owner.name != kind else owner


def kind_of(value: ir.Value) -> str | None:
    """Kind of the operation that makes `value`, None for an input."""
    owner = value.owner
    return None if isinstance(owner, ir.Block) else owner.name


def name_of(operation: Any) -> str | None:
    """The model's own name of an operation, or None."""
    name: str | None = getattr(operation.location, "name_str", None)
    return name


def float_constant(value: ir.Value) -> Array | None:
    """Data of a constant in float64, else None."""
    array = graph.constant_of(value)
    return None if array is None else array.astype(np.float64)


def live_values(module: ir.Module) -> set[ir.Value]:
    """The outputs, and all that they are computed from."""
    live = {item.value for item in graph.outputs(module)}
    for operation in reversed(list(graph.operations(module))):
        if operation.result in live:
            live.update(operation.operands)
    return live
