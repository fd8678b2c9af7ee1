"""From an integer module to a pipeline: one stage per layer, each with one product a step.

    conv2d | linear, requantize | multi_threshold (, table)             --> MatrixStage
    depthwise conv2d | sum_pool2d | reduce_sum, requantize (, table)    --> ChannelwiseStage
    max_pool2d | integer_avg_pool2d | pad | table | multi_threshold     --> ChannelwiseStage
    add | scaled_add, requantize (, table)                              --> AddStage
    reshape, transpose                                                  --> nothing; see `views`

Sums that are the module's output stay sums.

Requires: a module after `partition`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from torch_mlir import ir

from bitwright.ir import graph
from bitwright.ir.checks import ints
from bitwright.ir.dataflow import (
    MOST_BITS,
    REQUANTIZED_BITS,
    Array,
    Output,
    Pipeline,
    Requantize,
    Stage,
    Sums,
    Tensor,
    Thresholds,
    Window,
)  # fmt: skip
from bitwright.ir.reference import pooled_elements
from bitwright.ir.types import is_accumulator, shape_of, value_params
from bitwright.passes.dataflow import layers
from bitwright.passes.dataflow.layers import Layer, UnsupportedInDataflow, refuse
from bitwright.passes.dataflow.views import View, view_of
from bitwright.passes.linear_add import linear_add, word_add
from bitwright.passes.rewrite import live_values
from bitwright.passes.scaling import scaling
from bitwright.passes.widths import signed_bits

LEAST, GREATEST = -128, 127
_CONSTANT = "bw.constant"
AVERAGE_BITS = 30
"""An average is the sum times 2^s / n rounded up, s = 30 + the bits of n; see `tile_layers`."""


def lower(module: ir.Module, name: str = "model") -> Pipeline:
    """The pipeline of `module`, one product a step in every stage.

    Raises:
        UnsupportedInDataflow: naming the first operation, input or output without a stage.
    """
    return _Lowering(module).run(name)


class _Lowering:
    def __init__(self, module: ir.Module) -> None:
        self._module = module
        self._tensors: dict[str, Tensor] = {}
        self._views: dict[ir.Value, View] = {}
        self._sums: dict[ir.Value, tuple[Layer, View]] = {}
        self._stages: list[Stage] = []
        self._fused: set[ir.Value] = set()

    def run(self, name: str) -> Pipeline:
        (given, *others), (wanted, *more) = (
            graph.inputs(self._module), graph.outputs(self._module)
        )  # fmt: skip
        for kind, items in (("input", others), ("output", more)):
            if items:
                raise UnsupportedInDataflow(
                    f"{kind.capitalize()} {items[0].name!r} is one {kind} more than a pipeline "
                    "has; compile with --style overlay"
                )
        view = view_of(given.value, given.name)
        if view is None:
            raise UnsupportedInDataflow(
                f"Input {given.name!r} has shape {list(shape_of(given.value))}; expected batch 1 "
                "and rank 2, 3 or 4; compile with --style overlay"
            )
        self._views[given.value] = view
        self._tensors[given.name] = _tensor(given.name, view.shape, given.value)
        live = live_values(self._module)
        for operation in graph.operations(self._module):
            wanted_here = operation.result in live and operation.result not in self._fused
            if wanted_here and operation.operation.name != _CONSTANT:
                self._operation(operation)
        self._output(wanted)
        steps = max(stage.tiles * stage.tile_steps for stage in self._stages)
        return Pipeline(
            name=name,
            input=self._tensors[given.name],
            input_lanes=1,
            stages=tuple(self._stages),
            interval=steps,
        )

    def _output(self, wanted: graph.NamedValue) -> None:
        if wanted.value in self._sums:
            layer, sums = self._sums[wanted.value]
            self._stage(wanted.value, layer, sums, Sums(bias=layer.bias))
        view = self._views[wanted.value]
        if not self._stages or self._stages[-1].result.name != view.tensor or not view.direct:
            raise UnsupportedInDataflow(
                f"Output {wanted.name!r} is not the result of the last layer as it is; compile "
                "with --style overlay"
            )

    def _operation(self, operation: Any) -> None:
        kind = operation.operation.name
        if kind in ("bw.reshape", "bw.transpose"):
            self._move(operation)
        elif kind in ("bw.requantize", "bw.multi_threshold") and operation.input in self._sums:
            layer, view = self._sums[operation.input]
            finish = self._requantize if kind == "bw.requantize" else self._thresholds
            finish(operation, layer, view)
        elif kind in _ACCUMULATING:
            layer = _ACCUMULATING[kind](operation, self._source(operation, operation.input))
            self._accumulate(operation, layer)
        elif kind in ("bw.add", "bw.scaled_add"):
            self._add(operation)
        elif kind in _DIRECT:
            _DIRECT[kind](self, operation, self._source(operation, operation.input))
        else:
            refuse(operation, "a pipeline has no stage for it")

    def _source(self, operation: Any, value: ir.Value) -> View:
        if value not in self._views:
            refuse(operation, "one of its operands is a constant tensor or a sum")
        return self._views[value]

    def _move(self, operation: Any) -> None:
        places = self._sums if operation.input in self._sums else self._views
        if operation.input not in places:
            refuse(operation, "its operand is a constant tensor")
        found = places[operation.input]
        view = found[1] if isinstance(found, tuple) else found
        shape = shape_of(operation.result)
        if operation.operation.name == "bw.reshape":
            index = view.index.reshape(shape)
        else:
            index = view.index.transpose(ints(operation.perm))
        moved = View(view.tensor, view.shape, index)
        if isinstance(found, tuple):
            self._sums[operation.result] = (found[0], moved)
        else:
            self._views[operation.result] = moved

    def _accumulate(self, operation: Any, layer: Layer) -> None:
        view = view_of(operation.result, "")
        if view is None:
            refuse(operation, f"its result has shape {list(shape_of(operation.result))}")
        self._sums[operation.result] = (layer, view)

    def _add(self, operation: Any) -> None:
        lhs, rhs = (self._source(operation, value) for value in (operation.lhs, operation.rhs))
        if operation.operation.name == "bw.add":
            factors = (operation.lhs_multiplier.value, operation.rhs_multiplier.value)
            self._accumulate(operation, layers.weighted_sum(operation, lhs, rhs, factors))
            return
        for user in graph.users(operation.result):
            if user.operation.name != "bw.requantize" or len(ints(user.multiplier)) > 1:
                refuse(operation, "its sum is not requantized with one scale for all channels")
            found = word_add(operation, user) or linear_add(operation, user)
            if found is None:
                refuse(operation, "no weighted sum computes the same for every pair of operands")
            layer = layers.weighted_sum(operation, lhs, rhs, (found.lhs, found.rhs), found.offset)
            channels, zero_point = lhs.shape[0], value_params(user.result).zero_point
            output = Requantize(
                bias=layer.bias, multiplier=np.full(channels, found.multiplier),
                shift=np.full(channels, found.shift), zero_point=zero_point,
                clamp=(user.clamp_min.value, user.clamp_max.value), rounding="half_up",
            )  # fmt: skip
            view = view_of(operation.result, "")
            assert view is not None, "its operands have views of this shape"
            self._requantized(user.result, layer, view, output)

    def _requantize(self, operation: Any, layer: Layer, view: View) -> None:
        scale = scaling(operation)
        columns = np.stack((scale.multiplier, scale.shift), axis=1)
        each = self._per_channel(operation, view, columns)
        output = Requantize(
            bias=layer.bias, multiplier=each[:, 0], shift=each[:, 1],
            zero_point=value_params(operation.result).zero_point,
            clamp=(operation.clamp_min.value, operation.clamp_max.value),
            rounding=scale.rounding.name.lower(),
        )  # fmt: skip
        self._requantized(operation.result, layer, view, output)

    def _requantized(self, value: ir.Value, layer: Layer, view: View, output: Requantize) -> None:
        """A table that alone reads the result becomes a part of the stage."""
        self._fused.add(value)
        users = graph.users(value)
        if len(users) == 1 and users[0].operation.name == "bw.table":
            low, high = output.clamp
            table = np.asarray(ints(users[0].table))[np.clip(np.arange(256), low + 128, high + 128)]
            value = users[0].result
            self._fused.add(value)
            output = replace(output, clamp=(LEAST, GREATEST), table=table)
        self._stage(value, layer, view, output)

    def _per_channel(self, operation: Any, view: View, rows: Array) -> Array:
        """Rows by the index of the operation's axis (or one for all) as rows by channel."""
        if len(rows) > 1:
            axis = operation.axis.value
            shape = [1] * view.index.ndim
            shape[axis] = len(rows)
            rows = rows.reshape(*shape, rows.shape[-1])
        else:
            rows = rows.reshape(*[1] * view.index.ndim, rows.shape[-1])
        each = view.channelwise(np.broadcast_to(rows, (*view.index.shape, rows.shape[-1])))
        if each is None:
            refuse(operation, f"what it does along axis {operation.axis.value} is not per channel")
        return each

    def _thresholds(self, operation: Any, layer: Layer, view: View) -> None:
        rows = graph.constant_of(operation.thresholds)
        assert rows is not None, "verified: thresholds are constant"
        levels = self._per_channel(operation, view, rows.astype(np.int64))
        low, high = layer.span
        output = Thresholds(
            bias=layer.bias, levels=np.clip(levels, low, high + 1),
            least=value_params(operation.result).qmin,
        )  # fmt: skip
        self._stage(operation.result, layer, view, output)

    def _stage(self, value: ir.Value, layer: Layer, sums: View, output: Output) -> None:
        """The stage of a layer whose sums lie as in `sums`, and its result `value`."""
        if value in self._views and is_accumulator(value):
            return
        low, high = layer.biased
        if isinstance(output, Thresholds):  # which are compared with sums without a bias
            low, high = layer.span
            high = max(high, int(output.levels.max()))
        acc_bits = signed_bits(low, high)
        if isinstance(output, Requantize) and acc_bits < REQUANTIZED_BITS:
            # The bias is added with that many bits, so that nothing may be lost before.
            acc_bits = min(max(acc_bits, signed_bits(*layer.span)), REQUANTIZED_BITS)
        name = self._free(_name(value))
        if is_accumulator(value):
            channels, height, width = sums.shape
            result = Tensor(
                name=name, channels=channels, height=height, width=width, bits=acc_bits, signed=True
            )
        else:
            result = _tensor(name, sums.shape, value)
            if isinstance(output, Requantize) and output.table is not None:
                result = replace(result, bits=8, signed=True)  # as the table is read
        self._tensors[name] = result
        self._stages.append(layer.make(result, acc_bits, output))
        self._views[value] = View(name, sums.shape, sums.index)

    def _free(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._tensors:
            name, number = f"{wanted}.{number}", number + 1
        return name

    def same(self, operation: Any, layer: Layer) -> None:
        """A stage whose results are its sums, as integers of the operation's own type."""
        view = view_of(operation.result, "")
        assert view is not None, "it has the rank of its operand"
        self._stage(operation.result, layer, view, Sums(bias=layer.bias))

    def average(self, operation: Any, view: View) -> None:
        """`bw.integer_avg_pool2d`."""
        layers.plain(operation, view, operation.input)
        kernel, stride, padding = (
            ints(item) for item in (operation.kernel, operation.stride, operation.padding)
        )
        counts = pooled_elements(view.shape[1:], kernel, stride, padding)
        count = int(counts.min())
        if count != int(counts.max()):
            refuse(operation, f"its windows cover {count} to {counts.max()} elements of the image")
        window = Window(kernel=kernel, stride=stride, padding=padding[:2])  # pyright: ignore[reportArgumentType]
        layer = layers.summed(view, operation.input, window, pad_value=0)
        shift = AVERAGE_BITS + (count - 1).bit_length()
        sums = view_of(operation.result, "")
        assert sums is not None, "it has the rank of its operand"
        channels = view.shape[0]
        output = Requantize(
            bias=layer.bias, multiplier=np.full(channels, -(-(1 << shift) // count)),
            shift=np.full(channels, shift), zero_point=0,
            clamp=(operation.clamp_min.value, operation.clamp_max.value), rounding="half_away",
        )  # fmt: skip
        self._requantized(operation.result, layer, sums, output)

    def pad(self, operation: Any, view: View) -> None:
        """`bw.pad` of the pixels: windows of one pixel, some of which lie outside."""
        layers.plain(operation, view, operation.input)
        low, high = ints(operation.low), ints(operation.high)
        if len(low) != 4 or any((*low[:2], *high[:2])):
            refuse(operation, "it pads the batch or the channels")
        window = Window(padding=(low[2], low[3]))
        self._widen(operation, view.tensor, operation.value.value)
        self.same(
            operation,
            layers.summed(view, operation.input, window, pad_value=operation.value.value),
        )

    def _widen(self, operation: Any, name: str, value: int) -> None:
        """Let a tensor be stored such that `value` could be one of its elements, too."""
        tensor = self._tensors[name]
        low, high = tensor.range
        bits, signed = _storage(min(low, value), max(high, value))
        if bits > MOST_BITS:
            refuse(operation, f"its value {value} and its operand take {bits} bits together")
        self._tensors[name] = widened = replace(tensor, bits=bits, signed=signed)
        self._stages = [
            replace(stage, result=widened) if stage.result is tensor else stage
            for stage in self._stages
        ]

    def table(self, operation: Any, view: View) -> None:
        """`bw.table` of integers that are not requantized just before."""
        layer = self._identity(operation, view)
        channels = view.shape[0]
        output = Requantize(
            bias=layer.bias, multiplier=np.full(channels, 2), shift=np.ones(channels, np.int64),
            zero_point=0, clamp=(LEAST, GREATEST), rounding="half_up",
            table=np.asarray(ints(operation.table)),
        )  # fmt: skip
        self._stage(operation.result, layer, view, output)

    def thresholds(self, operation: Any, view: View) -> None:
        """`bw.multi_threshold` of integers."""
        self._thresholds(operation, self._identity(operation, view), view)

    def _identity(self, operation: Any, view: View) -> Layer:
        return layers.summed(view, operation.input, Window(), pad_value=0)


def _tensor(name: str, shape: tuple[int, int, int], value: ir.Value) -> Tensor:
    """In as few bits as hold every integer that the value can be, and its zero point."""
    low, high = layers.codes(value, padded=True)
    bits, signed = _storage(low, high)
    channels, height, width = shape
    return Tensor(
        name=name, channels=channels, height=height, width=width, bits=bits, signed=signed,
        zero_point=value_params(value).zero_point,
    )  # fmt: skip


def _storage(low: int, high: int) -> tuple[int, bool]:
    """Bits that integers of a range are stored in, and whether they are signed."""
    signed = low < 0
    return signed_bits(low, high) if signed else max(1, high.bit_length()), signed


def _name(value: ir.Value) -> str:
    return graph.location_name(value.owner.opview)


_ACCUMULATING: dict[str, Callable[[Any, View], Layer]] = {
    "bw.conv2d": layers.conv2d,
    "bw.linear": layers.linear,
    "bw.sum_pool2d": layers.sum_pool2d,
    "bw.reduce_sum": layers.reduce_sum,
}
_DIRECT: dict[str, Callable[[_Lowering, Any, View], None]] = {
    "bw.max_pool2d": lambda self, op, view: self.same(op, layers.max_pool2d(op, view)),
    "bw.integer_avg_pool2d": _Lowering.average,
    "bw.pad": _Lowering.pad,
    "bw.table": _Lowering.table,
    "bw.multi_threshold": _Lowering.thresholds,
}
