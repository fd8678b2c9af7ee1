"""The reference interpreter: what a `bw` module computes, in exact integers with NumPy.

This is the one definition that CPU code, RTL and netlists are compared with. A float module is
interpreted in float32 (for calibration and for comparison with other frameworks).

Integer sums of products go through float64 matrix products: every product is below 2^16 and every
sum below 2^53, so they are exact.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.errors import BitwrightError
from bitwright.ir import (
    bw_rescale,
    bw_threshold,
    fixed_point,
    graph,
    reference_decoder,
    reference_dynamic,
    reference_float,
    reference_quantize,
)  # fmt: skip
from bitwright.ir.checks import ints
from bitwright.ir.types import QuantParams, dtype_of, is_plain, quant_params, shape_of

Array = NDArray[Any]
Observer = Callable[[ir.Value, Array], None]

_INT32 = np.iinfo(np.int32)


class InputError(BitwrightError):
    """Inputs that do not fit the module: a missing name, a wrong shape or type."""

    exit_code = 4


class AccumulatorOverflow(BitwrightError):
    """A sum that leaves 32 bits; the width proof of the compiler excludes it."""

    exit_code = 8


def run(module: ir.Module, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs of @main by name.

    Args:
        inputs: by name; float32 where the argument is float, storage integers (int8) where it is
            quantized. The leading axis may hold any number of samples where the module has 1.

    Raises:
        InputError: a missing or unknown name, a wrong shape or type.
        AccumulatorOverflow: a sum that leaves 32 bits.
    """
    return evaluate(module, inputs, None)


def evaluate(
    module: ir.Module, inputs: Mapping[str, Array], observe: Observer | None
) -> dict[str, Array]:
    """Like `run`, calling `observe(value, array)` for each input and each result on the way."""
    named = graph.inputs(module)
    check_inputs([(item.name, item.value) for item in named], inputs)
    arrays = [np.asarray(inputs[item.name]) for item in named]
    batched = [shape_of(item.value)[:1] == (1,) for item in named]
    samples = max((len(a) for a, b in zip(arrays, batched, strict=True) if b), default=1)
    if samples == 1 or (all(batched) and _carries_batch(module)):
        return _evaluate(module, arrays, observe)
    parts = [
        _evaluate(
            module,
            [a[i : i + 1] if b else a for a, b in zip(arrays, batched, strict=True)],
            observe,
        )
        for i in range(samples)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def constant_value(value: ir.Value) -> Array | None:
    """What a value is that depends on constants only; None for any other."""
    if (constant := graph.constant_of(value)) is not None:
        return constant.reshape(shape_of(value))
    waiting, values = [value], dict[ir.Value, Array]()
    while waiting:
        current = waiting[-1]
        if isinstance(current.owner, ir.Block):
            return None
        missing = [operand for operand in current.owner.operands if operand not in values]
        if not missing:
            operands = [values[operand] for operand in current.owner.operands]
            values[current] = apply(current.owner.opview, *operands)
            waiting.pop()
        waiting += missing
    return values[value]


def apply(operation: Any, *operands: Array) -> Array:
    """What one operation computes of these arrays."""
    return np.asarray(_INTERPRETERS[operation.operation.name](operation, *operands))


def check_inputs(named: Sequence[tuple[str, ir.Value]], inputs: Mapping[str, Array]) -> None:
    """Raise `InputError` unless `inputs` holds exactly these tensors with their shape and type."""
    expected = ", ".join(name for name, _ in named)
    for name in inputs:
        if name not in {known for known, _ in named}:
            raise InputError(f"Input {name!r} is not of this model; its inputs are: {expected}")
    counts: set[int] = set()
    for name, value in named:
        if name not in inputs:
            raise InputError(f"Input {name!r} is missing; the model's inputs are: {expected}")
        array, shape = np.asarray(inputs[name]), shape_of(value)
        batched = len(shape) > 0 and shape[0] == 1
        if array.shape != shape and not (
            batched and array.ndim == len(shape) and array.shape[1:] == shape[1:] and array.size
        ):
            wanted = ("N", *shape[1:]) if batched else shape
            raise InputError(
                f"Input {name!r} has shape {list(array.shape)}; expected "
                f"[{', '.join(str(extent) for extent in wanted)}]"
            )
        wanted = dtype_of(value)
        exact = wanted != np.float32
        if array.dtype.kind != wanted.kind or (exact and is_plain(value) and array.dtype != wanted):
            raise InputError(f"Input {name!r} has type {array.dtype}; expected {wanted}")
        params = quant_params(value.type)
        if params is not None and (array.min() < params.qmin or array.max() > params.qmax):
            raise InputError(
                f"Input {name!r} spans [{array.min()}, {array.max()}]; "
                f"expected [{params.qmin}, {params.qmax}]"
            )
        if batched:
            counts.add(array.shape[0])
    if len(counts) > 1:
        raise InputError(f"Inputs have different numbers of samples: {sorted(counts)}")


def _carries_batch(module: ir.Module) -> bool:
    """Whether axis 0 is untouched by every operation, so that samples can go through together."""
    for operation in graph.operations(module):
        kind = operation.operation.name.removeprefix("bw.")
        data = [value for value in operation.operands if graph.constant_of(value) is None]
        if kind == "constant" or not data:
            continue
        name = operation.operation.name
        if name in reference_float.INTERPRETERS and name not in reference_float.ELEMENTWISE:
            return False
        ranks = {len(shape_of(value)) for value in data} | {len(shape_of(operation.result))}
        leading = {shape_of(value)[:1] for value in (*data, operation.result)}
        axes = {
            "transpose": lambda op: {0} if ints(op.perm)[0] != 0 else set[int](),
            "concat": lambda op: {op.axis.value},
            "softmax": lambda op: {op.axis.value},
            "integer_softmax": lambda op: {op.axis.value},
            "fixed_point_softmax": lambda op: {op.axis.value},
            "requantize": lambda op: {op.axis.value},
            "multi_threshold": lambda op: {op.axis.value},
            "rescale": lambda op: {op.axis.value} if len(ints(op.multiplier)) > 1 else set[int](),
            "reduce_mean": lambda op: set(ints(op.axes)),
            "reduce_sum": lambda op: set(ints(op.axes)),
        }.get(kind, lambda op: set[int]())(operation)
        rank_changes = kind in ("reshape", "reduce_mean", "reduce_sum")
        if 0 in axes or leading != {(1,)} or (len(ranks) > 1 and not rank_changes):
            return False
        if kind == "concat" and len(data) != len(list(operation.operands)):
            return False
        if kind in ("linear", "dynamic_linear", "matmul") and min(ranks) < 2 + (kind == "matmul"):
            return False
    return True


def _evaluate(
    module: ir.Module, arrays: Sequence[Array], observe: Observer | None
) -> dict[str, Array]:
    values: dict[ir.Value, Array] = {}
    last_use = _last_uses(module)
    for item, array in zip(graph.inputs(module), arrays, strict=True):
        values[item.value] = array.astype(dtype_of(item.value))
        if observe:
            observe(item.value, values[item.value])
    results = graph.outputs(module)
    for index, operation in enumerate(graph.operations(module)):
        operands = [values[operand] for operand in operation.operands]
        result = apply(operation, *operands)
        values[operation.result] = result
        if observe:
            observe(operation.result, result)
        for operand in operation.operands:
            if last_use.get(operand) == index:
                values.pop(operand, None)
    return {item.name: values[item.value] for item in results}


def _last_uses(module: ir.Module) -> dict[ir.Value, int]:
    last: dict[ir.Value, int] = {}
    for index, operation in enumerate(graph.operations(module)):
        for operand in operation.operands:
            last[operand] = index
    for item in graph.outputs(module):
        last.pop(item.value, None)
    return last


def _params(value: ir.Value) -> QuantParams | None:
    return quant_params(value.type)


def _centred(value: ir.Value, array: Array) -> Array:
    """Integers minus their zero point, exact in float64; floats as they are."""
    params = _params(value)
    if params is None:
        return array
    return array.astype(np.float64) - params.zero_point


def _accumulator(operation: Any, total: Array) -> Array:
    """Sums of plain numbers in their type; exact integer sums as int32, checked."""
    if is_plain(operation.result):
        return total.astype(dtype_of(operation.result))
    if total.size and (total.min() < _INT32.min or total.max() > _INT32.max):
        raise AccumulatorOverflow(
            f"{graph.location_name(operation)} sums to [{int(total.min())}, {int(total.max())}], "
            "which leaves 32 bits; quantize to fewer bits or split the layer"
        )
    return total.astype(np.int32)


def _windows(
    array: Array, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], fill: float,
) -> Array:  # fmt: skip
    """[N, C, H, W] to a view [N, C, OH, OW, KH, KW] of the padded array."""
    top, left, bottom, right = padding
    if any(padding):
        array = np.pad(array, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    extent = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(array, extent, axis=(2, 3))  # pyright: ignore
    return view[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def _conv2d(op: Any, x: Array, weight: Array, bias: Array) -> Array:
    x = _centred(op.input, x)
    weight = weight.astype(x.dtype)
    outputs, _, rows, columns = weight.shape
    groups = op.groups.value
    view = _windows(x, (rows, columns), ints(op.stride), ints(op.padding), ints(op.dilation), 0.0)
    samples, channels, out_rows, out_columns = view.shape[:4]
    per_group = channels // groups
    result = np.empty((samples, outputs, out_rows, out_columns), dtype=x.dtype)
    flat = weight.reshape(groups, outputs // groups, -1)
    for sample in range(samples):
        patches = (
            view[sample]
            .transpose(0, 3, 4, 1, 2)
            .reshape(groups, per_group * rows * columns, out_rows * out_columns)
        )
        result[sample] = np.matmul(flat, patches).reshape(outputs, out_rows, out_columns)
    return _accumulator(op, result + bias.astype(x.dtype).reshape(-1, 1, 1))


def _linear(op: Any, x: Array, weight: Array, bias: Array) -> Array:
    x = _centred(op.input, x)
    return _accumulator(op, x @ weight.astype(x.dtype, copy=False).T + bias.astype(x.dtype))


def _matmul(op: Any, lhs: Array, rhs: Array) -> Array:
    return _accumulator(op, _centred(op.lhs, lhs) @ _centred(op.rhs, rhs))


def _add(op: Any, lhs: Array, rhs: Array) -> Array:
    left, right = op.lhs_multiplier.value, op.rhs_multiplier.value
    if is_plain(op.result):
        lhs, rhs = (lhs, rhs) if left == 1 else (-lhs, rhs)
        return _accumulator(op, lhs + rhs if right == 1 else lhs - rhs)
    return _accumulator(op, _centred(op.lhs, lhs) * left + _centred(op.rhs, rhs) * right)


def _mul(op: Any, lhs: Array, rhs: Array) -> Array:
    return _accumulator(op, _centred(op.lhs, lhs) * _centred(op.rhs, rhs))


def _max_pool2d(op: Any, x: Array) -> Array:
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    view = _windows(
        x, ints(op.kernel), ints(op.stride), ints(op.padding), ints(op.dilation), lowest
    )
    return view.max(axis=(-2, -1))


def _avg_pool2d(op: Any, x: Array) -> Array:
    arguments = (ints(op.kernel), ints(op.stride), ints(op.padding), (1, 1))
    total = _windows(x.astype(np.float64), *arguments, 0.0).sum(axis=(-2, -1))
    if op.count_include_pad.value:
        return (total / np.prod(ints(op.kernel))).astype(np.float32)
    ones = np.ones((1, 1, *x.shape[2:]))
    return (total / _windows(ones, *arguments, 0.0).sum(axis=(-2, -1))).astype(np.float32)


def _sum_pool2d(op: Any, x: Array) -> Array:
    arguments = (ints(op.kernel), ints(op.stride), ints(op.padding), (1, 1))
    return _accumulator(op, _windows(_centred(op.input, x), *arguments, 0.0).sum(axis=(-2, -1)))


def _reduce_mean(op: Any, x: Array) -> Array:
    mean = x.mean(axis=ints(op.axes), keepdims=op.keepdims.value, dtype=np.float64)
    return mean.astype(np.float32)


def _reduce_sum(op: Any, x: Array) -> Array:
    x = _centred(op.input, x)
    total = np.asarray(x.sum(axis=ints(op.axes), keepdims=bool(op.keepdims.value)))
    return _accumulator(op, total)


def _batched_shape(op: Any, x: Array) -> tuple[int, ...]:
    shape = shape_of(op.result)
    if x.shape == shape_of(op.input):
        return shape
    return (x.shape[0], *shape[1:])


def _requantize(op: Any, acc: Array) -> Array:
    shape = [1] * acc.ndim
    multiplier = np.asarray(ints(op.multiplier), dtype=np.int64)
    if multiplier.size > 1:
        shape[op.axis.value] = -1
    shift = np.asarray(ints(op.shift), dtype=np.int64).reshape(shape)
    params = _params(op.result)
    assert params is not None, "verified: the result of bw.requantize is quantized"
    scaled = fixed_point.SCALES[op.rounding.value](acc, multiplier.reshape(shape), shift)
    clamp = op.clamp_min.value, op.clamp_max.value
    return np.clip(scaled + params.zero_point, *clamp).astype(np.int8)


def _multi_threshold(op: Any, x: Array, thresholds: Array) -> Array:
    params = _params(op.result)
    reached = bw_threshold.count_reached(x, thresholds, op.axis.value)
    return (reached if params is None else params.qmin + reached).astype(dtype_of(op.result))


def _scaled_add(op: Any, lhs: Array, rhs: Array) -> Array:
    left_shift = op.left_shift.value
    left = _centred(op.lhs, lhs).astype(np.int64) << left_shift
    right = _centred(op.rhs, rhs).astype(np.int64) << left_shift
    scaled = fixed_point.scale(left, op.lhs_multiplier.value, op.lhs_shift.value)
    return _accumulator(
        op, scaled + fixed_point.scale(right, op.rhs_multiplier.value, op.rhs_shift.value)
    )


def _integer_avg_pool2d(op: Any, x: Array) -> Array:
    arguments = (ints(op.kernel), ints(op.stride), ints(op.padding), (1, 1))
    total = _windows(x.astype(np.int64), *arguments, 0).sum(axis=(-2, -1))
    count = pooled_elements(x.shape[2:], *arguments[:3])
    mean = np.sign(total) * ((np.abs(total) + count // 2) // count)
    return np.clip(mean, op.clamp_min.value, op.clamp_max.value).astype(np.int8)


def pooled_elements(
    spatial: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> Array:
    """How many elements, padding not counted, each window of a pooling covers: [OH, OW]."""
    ones = np.ones((1, 1, *spatial), dtype=np.int64)
    return _windows(ones, kernel, stride, padding, (1, 1), 0).sum(axis=(-2, -1))[0, 0]


def _table(op: Any, x: Array) -> Array:
    return np.asarray(ints(op.table), dtype=np.int8)[x.astype(np.int64) + 128]


def _integer_softmax(op: Any, x: Array) -> Array:
    axis = op.axis.value
    wide = x.astype(np.int64)
    table = np.asarray(ints(op.table), dtype=np.int64)
    exponentials = table[wide.max(axis=axis, keepdims=True) - wide]
    total = exponentials.sum(axis=axis, keepdims=True)
    quotient = (512 * exponentials + total) // (2 * total)
    return np.clip(quotient - 128, -128, 127).astype(np.int8)


def _fixed_point_softmax(op: Any, x: Array) -> Array:
    axis = op.axis.value
    wide = x.astype(np.int64)
    table = np.asarray(ints(op.table), dtype=np.int64)
    return fixed_point.softmax(table[wide.max(axis=axis, keepdims=True) - wide], axis)


def _softmax(op: Any, x: Array) -> Array:
    axis = op.axis.value
    exponentials = np.exp(x - x.max(axis=axis, keepdims=True))
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


def _batch_norm(
    op: Any, x: Array, scale: Array, bias: Array, mean: Array, variance: Array
) -> Array:
    shape = [1, -1, *[1] * (x.ndim - 2)]
    factor = scale / np.sqrt(variance + np.float32(op.epsilon.value))
    return ((x - mean.reshape(shape)) * factor.reshape(shape) + bias.reshape(shape)).astype(
        np.float32
    )


def _sigmoid(op: Any, x: Array) -> Array:
    return (1 / (1 + np.exp(-x.astype(np.float64)))).astype(np.float32)


def _pad(op: Any, x: Array) -> Array:
    widths = list(zip(ints(op.low), ints(op.high), strict=True))
    return np.pad(x, widths, constant_values=op.value.value)


def _clip(x: Array, low: float, high: float) -> Array:
    return np.clip(x, np.float32(low), np.float32(high))


_INTERPRETERS: dict[str, Callable[..., Array]] = {
    **reference_float.INTERPRETERS,
    **reference_quantize.INTERPRETERS,
    **reference_decoder.INTERPRETERS,
    **reference_dynamic.INTERPRETERS,
    "bw.constant": lambda op: np.asarray(graph.constant_of(op.result)).reshape(shape_of(op.result)),
    "bw.conv2d": _conv2d,
    "bw.linear": _linear,
    "bw.matmul": _matmul,
    "bw.add": _add,
    "bw.mul": _mul,
    "bw.relu": lambda op, x: np.maximum(x, np.float32(0)),
    "bw.clip": lambda op, x: _clip(x, op.minimum.value, op.maximum.value),
    "bw.leaky_relu": lambda op, x: np.where(x >= 0, x, x * np.float32(op.alpha.value)),
    "bw.hard_sigmoid": lambda op, x: _clip(
        x * np.float32(op.alpha.value) + np.float32(op.beta.value), 0, 1
    ),
    "bw.hard_swish": lambda op, x: x * _clip(x / np.float32(6) + np.float32(0.5), 0, 1),
    "bw.sigmoid": _sigmoid,
    "bw.tanh": lambda op, x: np.tanh(x),
    "bw.softmax": _softmax,
    "bw.batch_norm": _batch_norm,
    "bw.max_pool2d": _max_pool2d,
    "bw.avg_pool2d": _avg_pool2d,
    "bw.sum_pool2d": _sum_pool2d,
    "bw.reduce_mean": _reduce_mean,
    "bw.reduce_sum": _reduce_sum,
    "bw.reshape": lambda op, x: x.reshape(_batched_shape(op, x)),
    "bw.transpose": lambda op, x: x.transpose(ints(op.perm)),
    "bw.concat": lambda op, lhs, rhs: np.concatenate((lhs, rhs), axis=op.axis.value),
    "bw.pad": _pad,
    "bw.requantize": _requantize,
    "bw.rescale": bw_rescale.rescale,
    "bw.multi_threshold": _multi_threshold,
    "bw.table": _table,
    "bw.integer_softmax": _integer_softmax,
    "bw.scaled_add": _scaled_add,
    "bw.integer_avg_pool2d": _integer_avg_pool2d,
    "bw.fixed_point_softmax": _fixed_point_softmax,
}
