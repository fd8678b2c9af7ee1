"""The methods of `Builder` for operations that are plain before and after quantization.

Those of `bw_float`, `bw_order`, `bw_quantize`, `bw_decoder` and `bw_dynamic`; see
`bitwright.ir.builder`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch_mlir import ir

from bitwright.ir import bw_decoder, bw_dynamic, bw_float, bw_order, bw_quantize, shapes
from bitwright.ir.types import QuantParams, dtype_of, element_of, element_type, shape_of

Pair = Sequence[int]


class FloatOperations(ABC):
    """One method an operation; a builder derives from it and says how they are made."""

    context: ir.Context

    @abstractmethod
    def make(
        self, operation: Any,
        result: tuple[Sequence[int], ir.Type | QuantParams | np.dtype[Any] | None],
        operands: Sequence[ir.Value | Sequence[ir.Value]], **attributes: Any,
    ) -> ir.Value:  # fmt: skip
        """See `Builder.make`."""

    def function(self, name: str, x: ir.Value, **attributes: Any) -> ir.Value:
        """See `bw_float.FUNCTIONS`."""
        with self.context:
            element = element_type(x)
            if name in ("isnan", "is_inf"):
                element = element_of(np.bool_)
        return self.make(bw_float.FUNCTIONS[name], (shape_of(x), element), (x,), **attributes)

    def binary(self, name: str, lhs: ir.Value, rhs: ir.Value) -> ir.Value:
        """See `bw_float.BINARIES`; comparisons give booleans."""
        shape = shapes.broadcast(shape_of(lhs), shape_of(rhs))
        with self.context:
            element = element_type(lhs)
            if name in bw_float.COMPARISONS:
                element = element_of(np.bool_)
        return self.make(bw_float.BINARIES[name], (shape, element), (lhs, rhs))

    def select(self, condition: ir.Value, lhs: ir.Value, rhs: ir.Value) -> ir.Value:
        """See `bw_float.SelectOp`."""
        shape = shapes.broadcast(shape_of(lhs), shape_of(rhs))
        shape = shapes.broadcast(shape_of(condition), shape)
        return self.make(bw_float.SelectOp, (shape, element_type(lhs)), (condition, lhs, rhs))

    def cast(self, x: ir.Value, dtype: np.dtype[Any], saturate: bool = True) -> ir.Value:
        """See `bw_float.CastOp`; nothing where the type is this already."""
        if dtype_of(x) == dtype:
            return x
        return self.make(bw_float.CastOp, (shape_of(x), np.dtype(dtype)), (x,), saturate=saturate)

    def quantize(
        self, x: ir.Value, scale: ir.Value, zero_point: ir.Value, dtype: np.dtype[Any], *,
        minimum: int | None = None, maximum: int | None = None, rounding: str = "half_even",
    ) -> ir.Value:  # fmt: skip
        """See `bw_quantize.QuantizeOp`; the range defaults to that of `dtype`."""
        least, most = bw_quantize.integer_range(np.dtype(dtype))
        return self.make(
            bw_quantize.QuantizeOp, (shape_of(x), np.dtype(dtype)), (x, scale, zero_point),
            minimum=least if minimum is None else minimum,
            maximum=most if maximum is None else maximum, rounding=rounding,
        )  # fmt: skip

    def dequantize(self, x: ir.Value, scale: ir.Value, zero_point: ir.Value) -> ir.Value:
        """See `bw_quantize.DequantizeOp`."""
        return self.make(
            bw_quantize.DequantizeOp, (shape_of(x), element_type(scale)), (x, scale, zero_point)
        )

    def dynamic_linear(
        self, x: ir.Value, weight: ir.Value, scale: ir.Value, bias: ir.Value
    ) -> ir.Value:
        """See `bw_dynamic.DynamicLinearOp`."""
        shape = shapes.linear(shape_of(x), shape_of(weight))
        return self.make(
            bw_dynamic.DynamicLinearOp, (shape, element_type(x)), (x, weight, scale, bias)
        )

    def rms_norm(self, x: ir.Value, weight: ir.Value, epsilon: float) -> ir.Value:
        """See `bw_decoder.RmsNormOp`."""
        return self.make(
            bw_decoder.RmsNormOp, (shape_of(x), element_type(x)), (x, weight), epsilon=epsilon
        )

    def rope(
        self, x: ir.Value, frequencies: ir.Value, position: ir.Value, *, pairs: str
    ) -> ir.Value:
        """See `bw_decoder.RopeOp`."""
        return self.make(
            bw_decoder.RopeOp, (shape_of(x), element_type(x)), (x, frequencies, position),
            pairs=pairs,
        )  # fmt: skip

    def cache_update(self, cache: ir.Value, rows: ir.Value, position: ir.Value) -> ir.Value:
        """See `bw_decoder.CacheUpdateOp`."""
        return self.make(
            bw_decoder.CacheUpdateOp, (shape_of(cache), element_type(cache)),
            (cache, rows, position),
        )  # fmt: skip

    def attention(
        self, query: ir.Value, key: ir.Value, value: ir.Value, position: ir.Value, *,
        scale: float, window: int = 0, softcap: float = 0.0,
    ) -> ir.Value:  # fmt: skip
        """See `bw_decoder.AttentionOp`."""
        shape = (*shape_of(query)[:3], shape_of(value)[-1])
        return self.make(
            bw_decoder.AttentionOp, (shape, element_type(query)), (query, key, value, position),
            scale=scale, window=window, softcap=softcap,
        )  # fmt: skip

    def glu(self, gate: ir.Value, x: ir.Value, activation: str) -> ir.Value:
        """See `bw_decoder.GluOp`."""
        return self.make(
            bw_decoder.GluOp, (shape_of(x), element_type(x)), (gate, x), activation=activation
        )

    def slice(
        self, x: ir.Value, starts: Sequence[int], sizes: Sequence[int], steps: Sequence[int]
    ) -> ir.Value:
        """See `bw_float.SliceOp`."""
        return self.make(
            bw_float.SliceOp, (tuple(sizes), element_type(x)), (x,), starts=list(starts),
            sizes=list(sizes), steps=list(steps),
        )  # fmt: skip

    def gather(self, x: ir.Value, indices: ir.Value, axis: int) -> ir.Value:
        """See `bw_float.GatherOp`."""
        shape = shape_of(x)
        result = (*shape[:axis], *shape_of(indices), *shape[axis + 1 :])
        return self.make(bw_float.GatherOp, (result, element_type(x)), (x, indices), axis=axis)

    def gather_elements(self, x: ir.Value, indices: ir.Value, axis: int) -> ir.Value:
        """See `bw_float.GatherElementsOp`."""
        return self.make(
            bw_float.GatherElementsOp, (shape_of(indices), element_type(x)), (x, indices),
            axis=axis,
        )  # fmt: skip

    def argsort(self, x: ir.Value, axis: int, descending: bool) -> ir.Value:
        """See `bw_order.ArgsortOp`."""
        result = (shape_of(x), np.dtype(np.int64))
        return self.make(bw_order.ArgsortOp, result, (x,), axis=axis, descending=descending)

    def scatter_elements(
        self, x: ir.Value, indices: ir.Value, updates: ir.Value, axis: int, reduction: str
    ) -> ir.Value:
        """See `bw_order.ScatterElementsOp`."""
        return self.make(
            bw_order.ScatterElementsOp, (shape_of(x), element_type(x)), (x, indices, updates),
            axis=axis, reduction=reduction,
        )  # fmt: skip

    def expand(self, x: ir.Value, shape: Sequence[int]) -> ir.Value:
        """See `bw_float.ExpandOp`; `shape` is broadcast with that of `x`."""
        result = shapes.broadcast(shape_of(x), tuple(shape))
        return self.make(bw_float.ExpandOp, (result, element_type(x)), (x,))

    def reduce(self, name: str, x: ir.Value, axes: Sequence[int], keepdims: bool) -> ir.Value:
        """See `bw_float.REDUCES`."""
        shape = shapes.reduce(shape_of(x), axes, keepdims)
        return self.make(
            bw_float.REDUCES[name], (shape, element_type(x)), (x,), axes=list(axes),
            keepdims=keepdims,
        )  # fmt: skip

    def cumsum(self, x: ir.Value, axis: int, exclusive: bool, reverse: bool) -> ir.Value:
        """See `bw_float.CumsumOp`."""
        return self.make(
            bw_float.CumsumOp, (shape_of(x), element_type(x)), (x,), axis=axis,
            exclusive=exclusive, reverse=reverse,
        )  # fmt: skip

    def conv_transpose2d(
        self, x: ir.Value, weight: ir.Value, *, stride: Pair, padding: Pair, dilation: Pair,
        extra: Pair, groups: int,
    ) -> ir.Value:  # fmt: skip
        """See `bw_float.ConvTranspose2dOp`."""
        shape = shapes.conv_transpose2d(
            shape_of(x), shape_of(weight), stride, padding, dilation, extra, groups
        )
        return self.make(
            bw_float.ConvTranspose2dOp, (shape, element_type(x)), (x, weight),
            stride=list(stride), padding=list(padding), dilation=list(dilation),
            extra=list(extra), groups=groups,
        )  # fmt: skip
