"""Element types of the `bw` dialect: float, 32-bit accumulators, and MLIR's quantized types."""

# The quant dialect's bindings carry no types.
# pyright: reportAttributeAccessIssue=false

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir
from torch_mlir.dialects import quant

_SIGNED = 1


@dataclass(frozen=True)
class QuantParams:
    """A quantized element type: real = scale * (integer - zero_point).

    `scales` has one entry (per tensor, `axis` None) or one per index of `axis`.
    Integers lie in [qmin, qmax]; `bits` is the storage width.
    """

    scales: tuple[float, ...]
    zero_point: int
    bits: int
    qmin: int
    qmax: int
    axis: int | None = None

    @property
    def scale(self) -> float:
        """The scale of a per-tensor type."""
        if self.axis is not None:
            raise ValueError("a per-channel type has no single scale")
        return self.scales[0]

    def quantize(self, real: NDArray[np.floating]) -> NDArray[np.int8]:
        """Nearest integer, ties to even, clipped (the rule for inputs and weights)."""
        scale = self._scale_array(real.ndim)
        integer = np.rint(real.astype(np.float64) / scale) + self.zero_point
        return np.clip(integer, self.qmin, self.qmax).astype(np.int8)

    def dequantize(self, integer: NDArray[np.integer]) -> NDArray[np.float32]:
        """scale * (integer - zero_point) as float32."""
        centred = integer.astype(np.float64) - self.zero_point
        return (centred * self._scale_array(integer.ndim)).astype(np.float32)

    def _scale_array(self, rank: int) -> NDArray[np.float64]:
        scales = np.asarray(self.scales, dtype=np.float64)
        if self.axis is None:
            return scales.reshape(())
        return scales.reshape([-1 if axis == self.axis else 1 for axis in range(rank)])


SOFTMAX = QuantParams((1 / 256,), -128, 8, -128, 127)
"""The type of the results of the integer softmaxes."""


def tensor(shape: Sequence[int], element: ir.Type) -> ir.Type:
    """`tensor<shape x element>`."""
    return ir.RankedTensorType.get(list(shape), element)


def f32() -> ir.Type:
    """The float element type."""
    return ir.F32Type.get()


def i32() -> ir.Type:
    """The accumulator element type."""
    return ir.IntegerType.get_signless(32)


def quantized(params: QuantParams) -> ir.Type:
    """The `!quant.uniform` type of `params` (signed storage, expressed as f32)."""
    storage = ir.IntegerType.get_signless(params.bits)
    if params.axis is None:
        return quant.UniformQuantizedType.get(
            _SIGNED, storage, f32(), params.scale, params.zero_point, params.qmin, params.qmax
        )
    return quant.UniformQuantizedPerAxisType.get(
        _SIGNED, storage, f32(), list(params.scales), [params.zero_point] * len(params.scales),
        params.axis, params.qmin, params.qmax,
    )  # fmt: skip


def quant_params(type_: ir.Type) -> QuantParams | None:
    """Parameters of a tensor's (or element's) quantized type, or None for float and i32."""
    element = element_type(type_) if isinstance(type_, ir.RankedTensorType) else type_
    if isinstance(element, quant.UniformQuantizedType):
        return QuantParams(
            scales=(element.scale,),
            zero_point=element.zero_point,
            bits=element.storage_type_integral_width,
            qmin=element.storage_type_min,
            qmax=element.storage_type_max,
        )
    if isinstance(element, quant.UniformQuantizedPerAxisType):
        return QuantParams(
            scales=tuple(element.scales),
            zero_point=int(next(iter(element.zero_points))),
            bits=element.storage_type_integral_width,
            qmin=element.storage_type_min,
            qmax=element.storage_type_max,
            axis=element.quantized_dimension,
        )
    return None


_FLOATS: tuple[tuple[Any, Any], ...] = (
    (np.float32, ir.F32Type), (np.float64, ir.F64Type), (np.float16, ir.F16Type),
    (ml_dtypes.bfloat16, ir.BF16Type),
    (ml_dtypes.float8_e4m3fn, ir.Float8E4M3FNType),
    (ml_dtypes.float8_e4m3fnuz, ir.Float8E4M3FNUZType),
    (ml_dtypes.float8_e5m2, ir.Float8E5M2Type),
    (ml_dtypes.float8_e5m2fnuz, ir.Float8E5M2FNUZType),
    (ml_dtypes.float4_e2m1fn, ir.Float4E2M1FNType),
)  # fmt: skip
_NARROW: dict[tuple[str, int], Any] = {
    ("i", 4): ml_dtypes.int4, ("u", 4): ml_dtypes.uint4,
    ("i", 2): ml_dtypes.int2, ("u", 2): ml_dtypes.uint2,
}  # fmt: skip


def element_of(dtype: Any) -> ir.Type:
    """The element type of a NumPy type (ml_dtypes' among them) in the current context.

    Integers are signed or unsigned there; signless ones are those of quantized modules.

    Raises:
        ValueError: a type that has none, such as text or complex numbers.
    """
    dtype = np.dtype(dtype)
    for known, element in _FLOATS:
        if dtype == known:
            return element.get()
    for (kind, bits), known in _NARROW.items():
        if dtype == known:
            return _integer(kind, bits)
    if dtype == np.bool_:
        return ir.IntegerType.get_signless(1)
    if dtype.kind in "iu":
        return _integer(dtype.kind, 8 * dtype.itemsize)
    raise ValueError(f"there is no element type for {dtype}")


def _integer(kind: str, bits: int) -> ir.Type:
    make = ir.IntegerType.get_signed if kind == "i" else ir.IntegerType.get_unsigned
    return make(bits)


def dtype_of(value: ir.Value | ir.Type) -> np.dtype[Any]:
    """The inverse of `element_of`; i32 accumulators are int32, quantized tensors int8."""
    element = element_type(value)
    for dtype, type_ in _FLOATS:
        if isinstance(element, type_):
            return np.dtype(dtype)
    if isinstance(element, ir.IntegerType):
        if element.is_signless and element.width == 1:
            return np.dtype(np.bool_)
        kind = "u" if element.is_unsigned else "i"
        if element.width < 8:
            return np.dtype(_NARROW[kind, element.width])
        return np.dtype(f"{kind}{element.width // 8}")
    return np.dtype(np.int8)


def is_plain(value: ir.Value | ir.Type) -> bool:
    """Whether the elements are numbers as such: neither quantized nor accumulators."""
    element = element_type(value)
    if isinstance(element, ir.IntegerType):
        return not element.is_signless or element.width == 1
    return any(isinstance(element, type_) for _, type_ in _FLOATS)


def shape_of(value: ir.Value | ir.Type) -> tuple[int, ...]:
    """Static shape of a ranked tensor value or type."""
    type_ = value if isinstance(value, ir.Type) else value.type
    return tuple(ir.RankedTensorType(type_).shape)


def element_type(value: ir.Value | ir.Type) -> ir.Type:
    """Element type of a ranked tensor value or type."""
    type_ = value if isinstance(value, ir.Type) else value.type
    return ir.RankedTensorType(type_).element_type


def is_float(value: ir.Value | ir.Type) -> bool:
    """Whether the elements are f32."""
    return isinstance(element_type(value), ir.F32Type)


def is_accumulator(value: ir.Value | ir.Type) -> bool:
    """Whether the elements are i32."""
    element = element_type(value)
    return isinstance(element, ir.IntegerType) and element.width == 32 and element.is_signless


def value_params(value: ir.Value) -> QuantParams:
    """Quantized type of an activation value; `ValueError` where it is not quantized."""
    params = quant_params(value.type)
    if params is None:
        raise ValueError(f"expected a quantized tensor, found {value.type}")
    return params
