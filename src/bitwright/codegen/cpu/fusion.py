"""Which sums a requantize takes over while they are in registers, and the kernels that do both."""

from collections.abc import Callable, Mapping
from typing import Any

from torch_mlir import ir

from bitwright.codegen.cpu import depthwise, dot, elementwise
from bitwright.codegen.cpu.program import Kernel
from bitwright.codegen.cpu.rescale import is_narrow
from bitwright.codegen.cpu.values import Values
from bitwright.ir import graph
from bitwright.ir.checks import ints
from bitwright.ir.types import shape_of


def _conv2d(kernel: Kernel, values: Values, op: Any, requantize: Any) -> None:
    form = dot if op.groups.value == 1 else depthwise
    form.conv2d(kernel, values, op, requantize)


FUSED: Mapping[str, Callable[[Kernel, Values, Any, Any], None]] = {
    "bw.conv2d": _conv2d,
    "bw.linear": dot.linear,
    "bw.add": elementwise.add,
    "bw.scaled_add": elementwise.scaled_add,
    "bw.mul": elementwise.mul,
}


def fusions(module: ir.Module) -> dict[ir.Value, Any]:
    """Sums, each with the requantize that alone reads it and that one kernel does with it."""
    found: dict[ir.Value, Any] = {}
    outputs = {item.value for item in graph.outputs(module)}
    for operation in graph.operations(module):
        if operation.operation.name != "bw.requantize":
            continue
        sums = operation.input
        alone = not isinstance(sums.owner, ir.Block) and len(graph.users(sums)) == 1
        if alone and sums not in outputs and sums.owner.name in FUSED:
            row_major = operation.result in outputs
            if _is_joined(sums.owner.opview, operation, row_major):
                found[sums] = operation
    return found


def _is_joined(op: Any, requantize: Any, row_major: bool) -> bool:
    """Whether the kernel of `op` has a form that writes the result of `requantize`."""
    scales, axis = len(ints(requantize.multiplier)), requantize.axis.value
    shape = shape_of(op.result)
    kind = op.operation.name
    if kind not in ("bw.conv2d", "bw.linear"):
        return scales == 1
    if graph.constant_of(op.weight) is None or graph.constant_of(op.bias) is None:
        return False
    if kind == "bw.conv2d":
        plain = op.groups.value == 1 and ints(op.dilation)[1] == 1
        layouts_differ = row_major and shape[1] > 1 and shape[2] * shape[3] > 1
        if shape[0] != 1 or layouts_differ or not (plain or depthwise.is_regular(op)):
            return False
    channels = 1 if kind == "bw.conv2d" else len(shape) - 1
    return (scales == 1 or axis == channels) and is_narrow(op, requantize)
