"""A quantized `bw` module to `linalg` on `memref`: one kernel an operation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch_mlir import ir

from bitwright.codegen.cpu import (
    elementwise,
    movement,
    pooling,
    products,
    softmax,
    thresholds,
)  # fmt: skip
from bitwright.codegen.cpu.errors import NotIntegerError
from bitwright.codegen.cpu.fusion import FUSED, fusions
from bitwright.codegen.cpu.level import CpuLevel
from bitwright.codegen.cpu.program import ENTRY, Kernel, Program
from bitwright.codegen.cpu.tiles import Choose, by_model
from bitwright.codegen.cpu.values import Values, element_of
from bitwright.ir import graph
from bitwright.ir.context import new_context

KERNELS: dict[str, Callable[[Kernel, Values, Any], None]] = {
    "bw.conv2d": products.conv2d,
    "bw.linear": products.linear,
    "bw.matmul": products.matmul,
    "bw.add": elementwise.add,
    "bw.scaled_add": elementwise.scaled_add,
    "bw.mul": elementwise.mul,
    "bw.requantize": elementwise.requantize,
    "bw.multi_threshold": thresholds.multi_threshold,
    "bw.table": elementwise.table,
    "bw.max_pool2d": pooling.max_pool2d,
    "bw.sum_pool2d": pooling.sum_pool2d,
    "bw.reduce_sum": pooling.reduce_sum,
    "bw.integer_avg_pool2d": pooling.integer_avg_pool2d,
    "bw.integer_softmax": softmax.integer_softmax,
    "bw.fixed_point_softmax": softmax.fixed_point_softmax,
    "bw.transpose": movement.transpose,
    "bw.slice": movement.slice_,
    "bw.concat": movement.concat,
    "bw.pad": movement.pad,
    "bw.reshape": movement.reshape,
}


@dataclass(frozen=True)
class Lowered:
    """The module of kernels, in a context of its own, and what its entry wants as arena."""

    module: ir.Module
    arena_bytes: int


def lower(
    module: ir.Module, level: CpuLevel, entry: str = ENTRY, choose: Choose = by_model
) -> Lowered:
    """Lower @main to kernels and a function `entry(arena, inputs..., outputs...)`.

    `choose` takes the tiles of dot products, which change no result.

    Raises:
        NotIntegerError: a float as input or output, an accumulator as input, an operation without
            an integer form, a weight that is computed.
    """
    _check(module)
    program = Program()
    fused = fusions(module) if level.has_dot_products else {}
    values = Values(
        module, program, channels_last=level.has_dot_products, fused=fused, choose=choose
    )
    step = 0
    for step, operation in enumerate(graph.operations(module)):
        kind = operation.operation.name
        if kind == "bw.constant" or values.is_view(operation) or operation.result in fused:
            continue
        sums = next(iter(operation.operands))
        made_of = sums.owner.opview if sums in fused else operation
        name = made_of.operation.name
        label = f"{name.removeprefix('bw.')}_{graph.location_name(made_of)}"
        kernel = program.kernel(label, step)
        if sums in fused:
            FUSED[name](kernel, values, made_of, operation)
        else:
            KERNELS[name](kernel, values, operation)
    for value, target in values.copies:
        movement.copy_out(program.kernel("copy_output", step), values, value, target)
    lowered = program.module(new_context(), entry)
    return Lowered(lowered, program.arena_bytes)


def _check(module: ir.Module) -> None:
    for item in graph.inputs(module):
        if element_of(item.value) != "i8":
            raise NotIntegerError(
                f"Input {item.name!r} is {item.value.type}; the inputs of a CPU library are int8, "
                "so begin the model with a quantized tensor"
            )
    for item in graph.outputs(module):
        element_of(item.value)
    for operation in graph.operations(module):
        kind = operation.operation.name
        if kind not in KERNELS and kind != "bw.constant":
            raise NotIntegerError(
                f"{graph.location_name(operation)} ({kind}) has no integer form; run the pass "
                "`quantize` first"
            )
        for value in (*operation.operands, *operation.results):
            element_of(value)
