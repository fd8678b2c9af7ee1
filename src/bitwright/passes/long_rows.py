"""Exchange rows and columns where images are higher than wide.

    x [1, C, H, W] -> conv2d KH x KW, ...
    -->  x -> transpose [1, C, W, H] -> conv2d KW x KH, ...

A machine computes neighbouring pixels of a row side by side, and the last ones of a row alone: few
long rows take fewer steps than many short ones. The host transposes what enters and what leaves.

Requires: the parts of a module, the core after `legalize`. The result computes the same integers.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from torch_mlir import ir

from bitwright.ir import graph
from bitwright.ir.builder import Builder
from bitwright.ir.checks import ints
from bitwright.ir.types import element_type, quant_params, shape_of
from bitwright.passes.partition import Parts

EXCHANGED = (0, 1, 3, 2)
_ORDERS = {
    **dict.fromkeys(("kernel", "stride", "dilation"), (1, 0)), "padding": (1, 0, 3, 2),
    **dict.fromkeys(("low", "high"), EXCHANGED),
}  # fmt: skip
_WINDOWS = (
    "bw.conv2d", "bw.sum_pool2d", "bw.max_pool2d", "bw.integer_avg_pool2d", "bw.pad",
)  # fmt: skip
_ALIKE = ("bw.requantize", "bw.table", "bw.add", "bw.scaled_add", "bw.concat")


def long_rows(parts: Parts) -> Parts:
    """`parts` as they are, or with rows and columns exchanged in the core."""
    operations = [op for op in graph.operations(parts.core) if op.operation.name != "bw.constant"]
    images = [shape for op in operations if len(shape := shape_of(op.result)) == 4]
    if sum(shape[2] for shape in images) <= sum(shape[3] for shape in images):
        return parts
    if not all(map(_can_be_exchanged, operations)):
        return parts
    inputs, outputs = graph.inputs(parts.core), graph.outputs(parts.core)
    entering = {item.name for item in inputs if _is_image(item.value)}
    leaving = {item.name for item in outputs if _is_image(item.value)}
    return replace(
        parts, before=_with_transposes(parts.before, (), entering), core=_exchanged(parts.core),
        after=_with_transposes(parts.after, leaving, ()),
    )  # fmt: skip


def _is_image(value: ir.Value) -> bool:
    return len(shape_of(value)) == 4 and max(shape_of(value)[2:]) > 1


def _can_be_exchanged(operation: Any) -> bool:
    kind, values = operation.operation.name, (*operation.operands, operation.result)
    if kind == "bw.reshape":
        return not any(map(_is_image, values))
    images = [value for value in values if graph.constant_of(value) is None]
    channels = kind in _WINDOWS or getattr(operation, "axis", None) is None
    return (
        kind in (*_WINDOWS, *_ALIKE) and all(len(shape_of(value)) == 4 for value in images)
        and (channels or operation.axis.value == 1)
    )  # fmt: skip


def _exchanged(core: ir.Module) -> ir.Module:
    builder = Builder(
        [(i.name, _shape(i.value), quant_params(i.value.type)) for i in graph.inputs(core)],
        core.context,
    )
    values = dict(zip((i.value for i in graph.inputs(core)), builder.inputs, strict=True))
    for operation in graph.operations(core):
        builder.named(graph.location_name(operation))
        if operation.operation.name == "bw.constant":
            values[operation.result] = _constant(builder, operation)
            continue
        operands = [values[operand] for operand in operation.operands]
        if operation.operation.name == "bw.reshape":
            values[operation.result] = builder.copy(operation, operands)
            continue
        attributes = {
            name: [ints(operation.attributes[name])[place] for place in _ORDERS[name]]
            if name in _ORDERS else operation.attributes[name]
            for name in operation.attributes
        }  # fmt: skip
        values[operation.result] = builder.make(
            type(operation), (_shape(operation.result), element_type(operation.result)), operands,
            **attributes,
        )  # fmt: skip
    return builder.finish([(o.name, values[o.value]) for o in graph.outputs(core)])


def _with_transposes(
    module: ir.Module, entering: Collection[str], leaving: Collection[str]
) -> ir.Module:
    """A copy of a host's part that takes and gives the named images exchanged."""
    inputs = graph.inputs(module)
    shapes = [_shape(i.value) if i.name in entering else shape_of(i.value) for i in inputs]
    builder = Builder(
        [
            (item.name, shape, quant_params(item.value.type))
            for item, shape in zip(inputs, shapes, strict=True)
        ],
        module.context,
    )
    values = {
        item.value: builder.transpose(value, EXCHANGED) if item.name in entering else value
        for item, value in zip(inputs, builder.inputs, strict=True)
    }
    for operation in graph.operations(module):
        operands = [values[operand] for operand in operation.operands]
        values[operation.result] = builder.copy(operation, operands)
    outputs = [(item.name, values[item.value]) for item in graph.outputs(module)]
    return builder.finish(
        [
            (name, builder.transpose(value, EXCHANGED) if name in leaving else value)
            for name, value in outputs
        ]
    )


def _shape(value: ir.Value) -> tuple[int, ...]:
    shape = shape_of(value)
    return tuple(shape[axis] for axis in EXCHANGED) if len(shape) == 4 else shape


def _constant(builder: Builder, operation: Any) -> ir.Value:
    array = graph.constant_of(operation.result)
    assert array is not None
    exchanged = array.transpose(EXCHANGED) if array.ndim == len(EXCHANGED) else array
    return builder.constant(exchanged, quant_params(operation.result.type))
