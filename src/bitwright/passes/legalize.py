"""Rewrite a quantized module into the operations that the overlay has instructions for.

    linear [1, K]                     -->  reshape, conv2d 1x1, reshape
    reshape [1, C, H, W] -> [1, K],
        linear [1, K]                 -->  conv2d H x W (the flattening becomes a full kernel)
    reduce_sum over H, W              -->  sum_pool2d H x W (, reshape)

Requires: a quantized module. The result computes the same integers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


from torch_mlir import ir

from bitwright.ir import bw, graph
from bitwright.ir.builder import Builder
from bitwright.ir.types import quant_params, shape_of, value_params

Handler = Callable[["_Rewriter", Any], ir.Value]


@dataclass(frozen=True)
class Legalize:
    """See the module's description."""

    def run(self, module: ir.Module) -> ir.Module:
        """Return the rewritten module, in the same context."""
        rewriter = _Rewriter(module)
        for operation in graph.operations(module):
            handler = _HANDLERS.get(operation.operation.name)
            rewriter.builder.named(graph.location_name(operation))
            result = handler(rewriter, operation) if handler else None
            rewriter.values[operation.result] = (
                rewriter.copy(operation) if result is None else result
            )
        return rewriter.finish()


class _Rewriter:
    def __init__(self, module: ir.Module) -> None:
        inputs = graph.inputs(module)
        self.module = module
        self.builder = Builder(
            [(i.name, shape_of(i.value), quant_params(i.value.type)) for i in inputs],
            module.context,
        )
        self.values = dict(zip((i.value for i in inputs), self.builder.inputs, strict=True))

    def copy(self, operation: Any) -> ir.Value:
        return self.builder.copy(operation, [self.values[v] for v in operation.operands])

    def finish(self) -> ir.Module:
        module = self.builder.finish(
            [(item.name, self.values[item.value]) for item in graph.outputs(self.module)]
        )
        return _without_dead_operations(module)


def _without_dead_operations(module: ir.Module) -> ir.Module:
    for operation in reversed(list(graph.operations(module))):
        if not graph.users(operation.result):
            operation.operation.erase()
    return module


def _linear(rewriter: _Rewriter, operation: Any) -> ir.Value | None:
    shape = shape_of(operation.input)
    weight = graph.constant_of(operation.weight)
    if len(shape) != 2 or shape[0] != 1 or weight is None:
        return None
    builder = rewriter.builder
    params = quant_params(operation.weight.type)
    source, kernel = _flattened_source(operation.input)
    if source is None:
        x = builder.reshape(rewriter.values[operation.input], (1, shape[1], 1, 1))
    else:
        x = rewriter.values[source]
    filters = weight.reshape(weight.shape[0], shape[1] // (kernel[0] * kernel[1]), *kernel)
    acc = builder.conv2d(
        x, builder.constant(filters, params), rewriter.values[operation.bias]
    )
    return builder.reshape(acc, (1, weight.shape[0]))


def _flattened_source(value: ir.Value) -> tuple[ir.Value | None, tuple[int, int]]:
    """The [1, C, H, W] tensor that `value` [1, C*H*W] flattens, with H and W; None if none."""
    current = value
    while not isinstance(current.owner, ir.Block) and current.owner.name == "bw.reshape":
        current = current.owner.operands[0]
        shape = shape_of(current)
        if len(shape) == 4 and shape[0] == 1:
            return current, (shape[2], shape[3])
    return None, (1, 1)


def _requantize(rewriter: _Rewriter, operation: Any) -> ir.Value | None:
    """Sink the reshape that `_linear` put between an accumulator and its requantize."""
    acc = rewriter.values[operation.input]
    if isinstance(acc.owner, ir.Block) or acc.owner.name != "bw.reshape":
        return None
    source = acc.owner.operands[0]
    params = value_params(operation.result)
    builder = rewriter.builder
    result = builder.requantize(
        source, params, multiplier=bw.ints(operation.multiplier), shift=bw.ints(operation.shift),
        axis=1, clamp_min=operation.clamp_min.value, clamp_max=operation.clamp_max.value,
        rounding=operation.rounding.value,
    )  # fmt: skip
    return builder.reshape(result, shape_of(operation.result))


def _reduce_sum(rewriter: _Rewriter, operation: Any) -> ir.Value | None:
    shape = shape_of(operation.input)
    if len(shape) != 4 or sorted(bw.ints(operation.axes)) != [2, 3]:
        return None
    builder = rewriter.builder
    acc = builder.sum_pool2d(
        rewriter.values[operation.input], kernel=shape[2:], stride=(1, 1)
    )
    if operation.keepdims.value:
        return acc
    return builder.reshape(acc, shape[:2])


_HANDLERS: dict[str, Handler] = {
    "bw.linear": _linear,
    "bw.requantize": _requantize,
    "bw.reduce_sum": _reduce_sum,
}


