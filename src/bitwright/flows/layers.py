"""What a module consists of, layer by layer: shapes, bits, work, parameters and traffic."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from rich.table import Table
from torch_mlir import ir

from bitwright.ir import bw, graph
from bitwright.ir.types import element_type, quant_params, shape_of

_WEIGHTED = ("bw.conv2d", "bw.conv_transpose2d", "bw.linear")


@dataclass(frozen=True)
class Layer:
    """One operation, for one sample.

    Attributes:
        sources: where its computed operands come from: numbers of earlier layers, or names of
            the module's inputs.
        weight_bits: of a weight's element, None where the operation has no weight.
        activation_bits: of an element of the first computed operand.
        macs: multiply-accumulates.
        bytes: of all operands and the result, each moved once, elements packed without gaps.
    """

    name: str
    kind: str
    sources: tuple[int | str, ...]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    weight_bits: int | None
    activation_bits: int
    macs: int
    parameters: int
    bytes: int

    @property
    def intensity(self) -> float | None:
        """Arithmetic intensity: operations (two for each MAC) per byte; None without MACs."""
        return 2 * self.macs / self.bytes if self.macs else None

    @property
    def bits(self) -> str:
        """As `W4A8`, or `A8` where there is no weight."""
        weight = "" if self.weight_bits is None else f"W{self.weight_bits}"
        return f"{weight}A{self.activation_bits}"


def layers_of(module: ir.Module) -> list[Layer]:
    """All operations but constants, in order."""
    made: dict[ir.Value, int | str] = {item.value: item.name for item in graph.inputs(module)}
    layers: list[Layer] = []
    for operation in graph.operations(module):
        if operation.operation.name != bw.ConstantOp.OPERATION_NAME:
            sources = tuple(made[value] for value in operation.operands if value in made)
            made[operation.result] = len(layers)
            layers.append(_layer(operation, sources))
    return layers


def output_sources(module: ir.Module) -> dict[str, int | str | None]:
    """What makes each output: the number of a layer, an input's name, None for a constant."""
    made: dict[ir.Value, int | str] = {item.value: item.name for item in graph.inputs(module)}
    kept = [
        operation
        for operation in graph.operations(module)
        if operation.operation.name != bw.ConstantOp.OPERATION_NAME
    ]
    made |= {operation.result: number for number, operation in enumerate(kept)}
    return {item.name: made.get(item.value) for item in graph.outputs(module)}


def _layer(operation: Any, sources: tuple[int | str, ...]) -> Layer:
    kind = operation.operation.name
    result = shape_of(operation.result)
    operands = list(operation.operands)
    constants = [v for v in operands if graph.constant_of(v) is not None]
    computed = [v for v in operands if graph.constant_of(v) is None]
    macs = 0
    if kind == "bw.conv2d":
        macs = prod(result) * prod(shape_of(operation.weight)[1:])
    elif kind == "bw.conv_transpose2d":
        macs = prod(shape_of(operation.input)) * prod(shape_of(operation.weight)[1:])
    elif kind == "bw.linear":
        macs = prod(result) * shape_of(operation.weight)[1]
    elif kind == "bw.matmul":
        macs = prod(result) * shape_of(operation.lhs)[-1]
    return Layer(
        name=graph.location_name(operation),
        kind=kind.removeprefix("bw."),
        sources=sources,
        input_shape=shape_of((computed or operands or [operation.result])[0]),
        output_shape=result,
        weight_bits=_bits(operation.weight) if kind in _WEIGHTED else None,
        activation_bits=_bits((computed or [operation.result])[0]),
        macs=macs,
        parameters=sum(prod(shape_of(value)) for value in constants),
        bytes=sum(_bytes(value) for value in (*operands, operation.result)),
    )


def _bits(value: ir.Value) -> int:
    params = quant_params(value.type)
    if params is not None:
        return params.bits
    element = element_type(value)
    return element.width if isinstance(element, (ir.IntegerType, ir.FloatType)) else 32


def _bytes(value: ir.Value) -> int:
    return -(-prod(shape_of(value)) * _bits(value) // 8)


def layers_table(
    layers: Sequence[Layer], title: str, problems: Sequence[str | None] | None = None
) -> Table:
    """The layers for people, with totals; `problems` (one a layer) adds a column."""
    table = Table(title=title, show_footer=True)
    macs, parameters = sum(layer.macs for layer in layers), sum(la.parameters for la in layers)
    moved = sum(layer.bytes for layer in layers)
    for name, footer in (
        ("layer", "total"), ("operation", ""), ("input", ""), ("output", ""), ("bits", ""),
    ):  # fmt: skip
        table.add_column(name, footer, overflow="fold")
    table.add_column("MACs", f"{macs:,}", justify="right")
    table.add_column("parameters", f"{parameters:,}", justify="right")
    table.add_column("bytes", f"{moved:,}", justify="right")
    table.add_column(
        "ops/byte", f"{2 * macs / moved:.1f}" if macs and moved else "", justify="right"
    )
    if problems is not None:
        table.add_column("problem", "", overflow="fold")
    for number, layer in enumerate(layers):
        table.add_row(
            layer.name, layer.kind, shape_text(layer.input_shape), shape_text(layer.output_shape),
            layer.bits, f"{layer.macs:,}" if layer.macs else "",
            f"{layer.parameters:,}" if layer.parameters else "", f"{layer.bytes:,}",
            "" if layer.intensity is None else f"{layer.intensity:.1f}",
            *(() if problems is None else (f"[red]{problems[number] or ''}[/]",)),
        )  # fmt: skip
    return table


def shape_text(shape: tuple[int, ...]) -> str:
    """As `1x3x32x32`."""
    return "x".join(str(extent) for extent in shape)
