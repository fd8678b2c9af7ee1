"""`bw.quantize` and `bw.dequantize`: where a float model says what its integers are.

Importers of quantized formats (QDQ and QLinear ONNX, QONNX, PT2E) write them between float
operations; the pass `integer` turns what lies between them into quantized types with
`bw.requantize`. The operands `scale` and `zero_point` have the rank of the input, and each of
their extents divides the input's: 1 is per tensor, the whole extent per index, and anything
between is blocks of equal length along that axis.
"""

# Operations get their operands and attributes as annotations that the dialect machinery reads.
# pyright: basic, reportInvalidTypeForm=false, reportAttributeAccessIssue=false

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import ext

from bitwright.ir.bw import BwOperation
from bitwright.ir.checks import VerifyError, expect_same_type, expect_shape
from bitwright.ir.types import dtype_of, element_type, is_plain, shape_of

NEAREST = ("half_even", "half_away", "half_up")
QUANTIZE_ROUNDINGS = (*NEAREST, "floor", "ceil", "zero")


def expect_integer(value: ir.Value, name: str) -> None:
    if not is_plain(value) or not isinstance(element_type(value), ir.IntegerType):
        raise VerifyError(f"{name} is {value.type}, expected plain integers")


def _check_real(value: ir.Value, name: str) -> None:
    if not is_plain(value) or isinstance(element_type(value), ir.IntegerType):
        raise VerifyError(f"{name} is {value.type}, expected plain floats")


def _check_grid(value: ir.Value, scale: ir.Value, zero_point: ir.Value) -> None:
    shape, grid = shape_of(value), shape_of(scale)
    if len(grid) != len(shape) or any(n % g for n, g in zip(shape, grid, strict=True)):
        raise VerifyError(
            f"scale has shape {grid}; expected rank {len(shape)} and extents that divide {shape}"
        )
    expect_shape(zero_point, grid)


class QuantizeOp(BwOperation, name="quantize", traits=[ext.Pure]):
    """clamp(round(x / scale) + zero_point, minimum, maximum), as plain integers.

    `rounding` is one of `QUANTIZE_ROUNDINGS`; the quotient is computed in the type of x.
    """

    input: ext.Operand[Any]
    scale: ext.Operand[Any]
    zero_point: ext.Operand[Any]
    minimum: Any
    maximum: Any
    rounding: Any
    result: ext.Result[Any]

    def check(self) -> None:
        _check_real(self.input, "input")
        expect_same_type(self.scale, self.input)
        expect_integer(self.result, "result")
        _check_grid(self.input, self.scale, self.zero_point)
        expect_same_type(self.zero_point, self.result)
        expect_shape(self.result, shape_of(self.input))
        if self.rounding.value not in QUANTIZE_ROUNDINGS:
            raise VerifyError(
                f"rounding {self.rounding.value!r} is not one of {', '.join(QUANTIZE_ROUNDINGS)}"
            )
        least, most = integer_range(dtype_of(self.result))
        low, high = self.minimum.value, self.maximum.value
        if not least <= low <= high <= most:
            raise VerifyError(
                f"range [{low}, {high}] leaves that of {self.result.type}: [{least}, {most}]"
            )


class DequantizeOp(BwOperation, name="dequantize", traits=[ext.Pure]):
    """(x - zero_point) * scale of plain integers, in the type of the scale."""

    input: ext.Operand[Any]
    scale: ext.Operand[Any]
    zero_point: ext.Operand[Any]
    result: ext.Result[Any]

    def check(self) -> None:
        expect_integer(self.input, "input")
        _check_real(self.result, "result")
        expect_same_type(self.scale, self.result)
        _check_grid(self.input, self.scale, self.zero_point)
        expect_same_type(self.zero_point, self.input)
        expect_shape(self.result, shape_of(self.input))


def integer_range(dtype: Any) -> tuple[int, int]:
    """Least and greatest value of an integer type, ml_dtypes' among them."""
    narrow = {"int4": 4, "uint4": 4, "int2": 2, "uint2": 2}
    bits = narrow.get(dtype.name) or 8 * dtype.itemsize
    signed = dtype.name.startswith("int")
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
