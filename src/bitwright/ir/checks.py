"""What the verifiers of the dialects check, and how a finding becomes an MLIR error."""

from typing import Any

from torch_mlir import ir

from bitwright.ir.types import (
    element_type,
    is_accumulator,
    is_float,
    is_plain,
    quant_params,
    shape_of,
)  # fmt: skip


class VerifyError(ValueError):
    """Why an operation is not valid; becomes an MLIR diagnostic."""


def ints(attribute: ir.Attribute) -> tuple[int, ...]:
    """Values of an i64, i32 or i8 array attribute."""
    return tuple(int(value) for value in attribute)  # pyright: ignore[reportGeneralTypeIssues]


def run_check(operation: Any) -> bool:
    """Run `operation.check()`; a `ValueError` becomes an MLIR error that names the operation."""
    try:
        operation.check()
    except ValueError as error:
        operation.location.emit_error(f"{operation.operation.name}: {error}")
        return False
    return True


def expect_shape(result: ir.Value, expected: tuple[int, ...]) -> None:
    if shape_of(result) != expected:
        raise VerifyError(f"result has shape {shape_of(result)}, expected {expected}")


def expect_same_type(result: ir.Value, operand: ir.Value) -> None:
    if ir.RankedTensorType(result.type).element_type != (
        ir.RankedTensorType(operand.type).element_type
    ):
        raise VerifyError(f"result {result.type} must have the element type of {operand.type}")


def expect_activation(value: ir.Value, name: str) -> None:
    params = quant_params(value.type)
    if params is None or params.axis is not None:
        raise VerifyError(f"{name} is {value.type}, expected a per-tensor quantized type")
    if not -128 <= params.qmin <= params.zero_point <= params.qmax <= 127:
        raise VerifyError(
            f"{name} has zero point {params.zero_point} and range [{params.qmin}, {params.qmax}]; "
            "expected -128 <= minimum <= zero point <= maximum <= 127"
        )


def expect_weight(value: ir.Value) -> None:
    params = quant_params(value.type)
    if params is None or params.zero_point != 0 or params.bits > 8:
        raise VerifyError(
            f"weight is {value.type}, expected a quantized type of at most 8 bits, zero point 0"
        )
    if params.axis not in (None, 0):
        raise VerifyError(f"weight is {value.type}, expected one scale or one per output (axis 0)")


def expect_float(*values: ir.Value) -> None:
    for value in values:
        if not is_float(value):
            raise VerifyError(f"{value.type} is not float; this operation has no integer form")


def expect_accumulating(result: ir.Value, *operands: ir.Value) -> bool:
    """All of one plain type, or quantized operands with an i32 result; True for the second."""
    if is_plain(result) and all(is_plain(operand) for operand in operands):
        for operand in operands:
            expect_same_type(result, operand)
        return False
    for operand in operands:
        expect_activation(operand, "operand")
    if not is_accumulator(result):
        raise VerifyError(f"result is {result.type}, expected i32 for quantized operands")
    return True


def check_weighted(input: ir.Value, weight: ir.Value, bias: ir.Value, result: ir.Value) -> None:
    outputs = shape_of(weight)[0]
    if shape_of(bias) != (outputs,):
        raise VerifyError(f"bias has shape {shape_of(bias)}, expected ({outputs},)")
    if is_plain(input):
        for value in (weight, bias, result):
            expect_same_type(value, input)
        if not is_float(input) and not isinstance(element_type(input), ir.IntegerType):
            raise VerifyError(f"input is {input.type}, expected f32 or integers")
        return
    expect_activation(input, "input")
    expect_weight(weight)
    if not is_accumulator(bias) or not is_accumulator(result):
        raise VerifyError(f"bias {bias.type} and result {result.type} must be i32")


def count(value: ir.Value) -> int:
    total = 1
    for extent in shape_of(value):
        total *= extent
    return total
