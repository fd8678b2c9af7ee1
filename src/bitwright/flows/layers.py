"""What a module consists of, layer by layer: shapes, bits, work and parameters."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from rich.table import Table
from torch_mlir import ir

from bitwright.ir import bw, graph
from bitwright.ir.types import element_type, quant_params, shape_of

_WEIGHTED = ("bw.conv2d", "bw.linear")


@dataclass(frozen=True)
class Layer:
    """One operation. `macs` are multiply-accumulates for one sample."""

    name: str
    kind: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    weight_type: str
    macs: int
    parameters: int


def layers_of(module: ir.Module) -> list[Layer]:
    """All operations but constants, in order."""
    return [
        _layer(operation)
        for operation in graph.operations(module)
        if operation.operation.name != bw.ConstantOp.OPERATION_NAME
    ]


def _layer(operation: Any) -> Layer:
    kind = operation.operation.name
    result = shape_of(operation.result)
    constants = [v for v in operation.operands if graph.constant_of(v) is not None]
    macs = 0
    if kind == "bw.conv2d":
        macs = prod(result) * prod(shape_of(operation.weight)[1:])
    elif kind == "bw.linear":
        macs = prod(result) * shape_of(operation.weight)[1]
    elif kind == "bw.matmul":
        macs = prod(result) * shape_of(operation.lhs)[-1]
    return Layer(
        name=graph.location_name(operation),
        kind=kind.removeprefix("bw."),
        input_shape=shape_of(operation.operands[0]),
        output_shape=result,
        weight_type=_type_name(operation.weight) if kind in _WEIGHTED else "",
        macs=macs,
        parameters=sum(prod(shape_of(value)) for value in constants),
    )


def _type_name(value: ir.Value) -> str:
    params = quant_params(value.type)
    return str(element_type(value)) if params is None else f"i{params.bits}"


def layers_table(layers: Sequence[Layer], title: str) -> Table:
    """The layers for people, with totals."""
    table = Table(title=title, show_footer=True)
    macs, parameters = sum(layer.macs for layer in layers), sum(la.parameters for la in layers)
    for name, footer in (
        ("layer", "total"), ("operation", ""), ("input", ""), ("output", ""), ("weights", ""),
    ):  # fmt: skip
        table.add_column(name, footer, overflow="fold")
    table.add_column("MACs", f"{macs:,}", justify="right")
    table.add_column("parameters", f"{parameters:,}", justify="right")
    for layer in layers:
        table.add_row(
            layer.name, layer.kind, _shape(layer.input_shape), _shape(layer.output_shape),
            layer.weight_type, f"{layer.macs:,}" if layer.macs else "",
            f"{layer.parameters:,}" if layer.parameters else "",
        )  # fmt: skip
    return table


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(str(extent) for extent in shape)
