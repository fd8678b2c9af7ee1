"""`conv2d`, `linear` and `matmul` between markers; and their sums, brought to codes."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.ir import graph
from bitwright.ir.builder import Builder
from bitwright.ir.checks import ints
from bitwright.ir.reference import constant_value
from bitwright.ir.types import shape_of, value_params
from bitwright.ir.wide_weights import parted
from bitwright.passes.integer.errors import FloatBetweenMarkers, UnsupportedMarker
from bitwright.passes.integer.markers import describe
from bitwright.passes.integer.values import Array, Product, Real, Sums
from bitwright.passes.integer.weights import Weight, per_output, weight_of
from bitwright.passes.widths import products_range, value_range, weighted_range

LEAST, MOST = -128, 127
_SAME_SCALE = 1e-5
"""Relative difference up to which a bias's scale counts as that of the accumulator."""


def conv2d(op: Any, x: ir.Value, build: Builder) -> Real:
    """A convolution with quantized weights."""
    attributes = {
        "stride": ints(op.stride), "padding": ints(op.padding), "dilation": ints(op.dilation),
        "groups": op.groups.value,
    }  # fmt: skip
    weight = _weight(op, weight_of(op.weight))
    return _with_bias(op, _product(op, x, weight, attributes, build), op.bias, 1)


def linear(op: Any, x: ir.Value, build: Builder) -> Real:
    """A matrix product with quantized weights [outputs, inputs]."""
    made = _product(op, x, _weight(op, weight_of(op.weight)), None, build)
    return _with_bias(op, made, op.bias, len(made.shape) - 1)


def matmul_constant(op: Any, x: ir.Value, build: Builder) -> Real | None:
    """A matrix product with a quantized matrix [inputs, outputs] on the right; else None."""
    weight = weight_of(op.rhs)
    if weight is None or any(extent != 1 for extent in weight.integers.shape[:-2]):
        return None
    if weight.integers.ndim > len(shape_of(op.lhs)):
        return None
    matrix = weight.integers.reshape(weight.integers.shape[-2:])
    full = weight.scale
    if full.size > 1:
        full = np.broadcast_to(full, weight.integers.shape).reshape(matrix.shape).T
    made = _product(op, x, _weight(op, Weight(matrix.T, full)), None, build)
    return Real(made, made.shape, axis=len(made.shape) - 1)


def matmul(op: Any, lhs: ir.Value, rhs: ir.Value, build: Builder) -> Real:
    """A matrix product of two quantized tensors."""
    unit = np.float32(value_params(lhs).scale) * np.float32(value_params(rhs).scale)
    low, high = products_range(lhs, rhs, shape_of(lhs)[-1])
    made = Sums(build.matmul(lhs, rhs), unit, low, high)
    return Real(made, made.shape)


def _weight(op: Any, weight: Weight | None) -> tuple[Weight, tuple[float, ...]]:
    if weight is None:
        raise FloatBetweenMarkers(
            f"{describe(op)} has a float weight, but its input is quantized. Quantize the weight "
            "as well (a constant with a DequantizeLinear behind it)"
        )
    scales = per_output(weight)
    if scales is None:
        raise UnsupportedMarker(
            f"{describe(op)} has a weight with scales of shape {list(weight.scale.shape)}; "
            "expected one, or one for each output. Quantize the weight per tensor or per channel"
        )
    return weight, scales


def _product(
    op: Any, x: ir.Value, weight: tuple[Weight, tuple[float, ...]],
    attributes: dict[str, Any] | None, build: Builder,
) -> Product:  # fmt: skip
    (found, scales), groups = weight, attributes["groups"] if attributes else 1
    unit = np.float32(value_params(x).scale) * np.asarray(scales, np.float32)
    integers = found.integers
    least, most = int(integers.min()), int(integers.max())
    if least < 2 * LEAST or most > 2 * MOST:
        raise UnsupportedMarker(
            f"{describe(op)} has weights from {least} to {most} after their zero point is taken "
            f"off; expected {2 * LEAST} to {2 * MOST}. Quantize weights to 8 bits, symmetrically"
        )
    if least < LEAST or most > MOST:
        x, narrow = parted(build, x, integers, groups)
        integers = narrow.astype(np.int64)
    return Product(
        x, np.ascontiguousarray(integers), scales, np.zeros(len(integers), np.int64), unit,
        attributes, shape_of(op.result), graph.location_name(op),
    )  # fmt: skip


def _with_bias(op: Any, product: Product, bias: ir.Value, axis: int) -> Real:
    values = constant_value(bias)
    if values is None:
        raise FloatBetweenMarkers(
            f"{describe(op)} has a bias that is computed at run time; expected a constant"
        )
    return Real(biased(product, bias, values), product.shape, axis=axis)


def biased(product: Product, value: ir.Value, values: Array) -> Product:
    """`product` plus a constant for each output, rounded to units of its accumulator.

    As ONNX Runtime does it: the integers of a quantized bias count, whatever its scale says in
    its last digits; a float bias is quantized to the accumulator's unit.
    """
    flat = np.broadcast_to(values.reshape(-1), (len(product.weight),))
    held = weight_of(value)
    units = flat.astype(np.float64) / product.unit
    if held is not None:
        scale = held.scale.reshape(-1)
        if (np.abs(scale / product.unit - 1) < _SAME_SCALE).all():
            units = np.broadcast_to(held.integers.reshape(-1), units.shape).astype(np.float64)
    whole = np.rint(units).astype(np.int64)
    first = held is None and not product.bias.any()
    return replace(product, bias=product.bias + whole, real_bias=flat if first else None)


def ranges(product: Product) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Least and greatest accumulator of each output."""
    low, high = (code - value_params(product.x).zero_point for code in value_range(product.x))
    if product.attributes is not None and any(product.attributes["padding"]):
        low, high = min(low, 0), max(high, 0)
    least, greatest = weighted_range(product.weight, low, high)
    return least + product.bias, greatest + product.bias
