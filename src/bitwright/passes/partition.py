"""Split a quantized module into what the host and what the overlay computes.

The host does what moves, reshapes or pads whole tensors at the model's border, a final softmax,
and the last additions of sums that leave the overlay in bytes (`split_sums`):

    x -> transpose -> conv -> ... -> linear -> integer_softmax -> y
    before: x -> transpose        core: conv -> ... -> linear        after: integer_softmax -> y

Requires: a module without float tensors. Everything between the borders is the overlay's;
what it cannot do there is an error of `legalize` or `tile`.
"""

from dataclasses import dataclass
from itertools import count
from typing import Any

from torch_mlir import ir

from bitwright.errors import BitwrightError
from bitwright.ir import bw, bw_fixed_point, bw_float, graph
from bitwright.ir.builder import Builder
from bitwright.ir.types import quant_params, shape_of

_MOVES = frozenset({bw.ReshapeOp.OPERATION_NAME, bw.TransposeOp.OPERATION_NAME})
_BEFORE = _MOVES | {bw.PadOp.OPERATION_NAME, bw_float.GatherOp.OPERATION_NAME}
_AFTER = _MOVES | {
    bw.IntegerSoftmaxOp.OPERATION_NAME,
    bw_fixed_point.FixedPointSoftmaxOp.OPERATION_NAME,
    bw.ReduceSumOp.OPERATION_NAME,
}


class NothingForTheOverlay(BitwrightError):
    """A model in which no operation is left for the overlay."""

    exit_code = 53


@dataclass(frozen=True)
class Parts:
    """Three modules that compute the model one after the other; inputs and outputs by name."""

    before: ir.Module
    core: ir.Module
    after: ir.Module
    on_host: tuple[str, ...]
    """Names of the operations that the host computes."""


@dataclass(frozen=True)
class Partition:
    """`partition` as a pass: what is left for the overlay."""

    def run(self, module: ir.Module) -> ir.Module:
        """Return the core."""
        return partition(module).core


def partition(module: ir.Module) -> Parts:
    """Split `module`; the parts live in its context.

    Raises:
        NothingForTheOverlay: where no operation is left for the overlay.
    """
    operations = [op for op in graph.operations(module) if not _is_constant(op)]
    before = _before(module, operations)
    after = _after(operations, before)
    core = [op for op in operations if op not in before and op not in after]
    if not core:
        raise NothingForTheOverlay(
            "The model has no operation for the overlay: all of it is reshaping, transposing, "
            "padding or a softmax; compile it with --target cpu"
        )
    inputs = graph.inputs(module)
    results = graph.outputs(module)
    entering = _crossing(core, {op.result: op for op in before} | {i.value: i for i in inputs})
    made_in_core = {op.result: op for op in core}
    wanted = dict.fromkeys(item.value for item in results)
    leaving = [v for v in dict.fromkeys((*_operands(after), *wanted)) if v in made_in_core]
    skipping = [v for v in dict.fromkeys((*_operands(after), *wanted))
                if v not in made_in_core and v not in {op.result for op in after}]  # fmt: skip
    names = {item.value: item.name for item in (*results, *inputs)}
    taken = set(names.values())
    core_inputs = _named(entering, names, "core_input", taken)
    core_outputs = _named(leaving, names, "core_output", taken)
    passed = _named(skipping, names, "passed", taken)
    return Parts(
        before=_extract(module, before, [(i.name, i.value) for i in inputs], core_inputs + passed),
        core=_extract(module, core, core_inputs, core_outputs),
        after=_extract(module, after, core_outputs + passed, [(i.name, i.value) for i in results]),
        on_host=tuple(graph.location_name(op) for op in before + after),
    )


def _named(
    values: list[ir.Value], names: dict[ir.Value, str], prefix: str, taken: set[str]
) -> list[tuple[str, ir.Value]]:
    """Each value with the model's name, or one that nothing else has."""
    free = (name for number in count() if (name := f"{prefix}{number}") not in taken)
    return [(names.get(value) or next(free), value) for value in values]


def _is_constant(operation: Any) -> bool:
    return operation.operation.name == bw.ConstantOp.OPERATION_NAME


def _before(module: ir.Module, operations: list[Any]) -> list[Any]:
    ready = {item.value for item in graph.inputs(module)}
    before: list[Any] = []
    for operation in operations:
        read = _operands([operation])
        if operation.operation.name in _BEFORE and all(value in ready for value in read):
            before.append(operation)
            ready.add(operation.result)
    return before


def _after(operations: list[Any], before: list[Any]) -> list[Any]:
    after: list[Any] = []
    for operation in reversed(operations):
        if operation.operation.name not in _AFTER or operation in before:
            continue
        readers = graph.users(operation.result)
        if all(_is_return(reader) or reader in after for reader in readers):
            after.insert(0, operation)
    return after


def _is_return(operation: Any) -> bool:
    return operation.operation.name == "func.return"


def _operands(operations: list[Any]) -> list[ir.Value]:
    return [v for op in operations for v in op.operands if graph.constant_of(v) is None]


def _crossing(operations: list[Any], made_outside: dict[ir.Value, Any]) -> list[ir.Value]:
    return [v for v in dict.fromkeys(_operands(operations)) if v in made_outside]


def _extract(
    module: ir.Module,
    operations: list[Any],
    inputs: list[tuple[str, ir.Value]],
    outputs: list[tuple[str, ir.Value]],
) -> ir.Module:
    builder = Builder(
        [(name, shape_of(value), quant_params(value.type)) for name, value in inputs],
        module.context,
    )
    values = dict(zip((value for _, value in inputs), builder.inputs, strict=True))
    for operation in operations:
        for operand in operation.operands:
            if operand not in values:
                values[operand] = builder.copy(operand.owner.opview, [])
        values[operation.result] = builder.copy(
            operation, [values[operand] for operand in operation.operands]
        )
    return builder.finish([(name, values[value]) for name, value in outputs])
