"""e^x in vectors of float32, with a relative error below 2e-7."""

from bitwright.codegen.cpu.vectors import VectorCode

_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
"""The first part has few bits: its product with a whole number is exact (Cody and Waite)."""
_ROUNDER = 12582912.0
"""1.5 * 2^23: added and taken off again, it leaves the nearest whole number."""
_LEAST, _MOST = -87.0, 88.0
_TAYLOR = (1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0)
"""Enough for |x| below ln(2) / 2: the next term is 6e-9 of the result."""


def exponential(code: VectorCode, x: str, lanes: int, *, fused: bool) -> str:
    """e^x; that of the nearest bound where x is outside of -87 to 88.

    `fused`: whether the processor multiplies and adds with one rounding.
    """
    real, whole = f"vector<{lanes}xf32>", f"vector<{lanes}xi32>"

    def constant(value: float) -> str:
        return code.make(f"arith.constant dense<{value:.9e}> : {real}")

    def apply(operation: str, left: str, right: str) -> str:
        return code.apply(operation, left, right, real)

    bounded = apply("maximumf", apply("minimumf", x, constant(_MOST)), constant(_LEAST))
    shifted = apply("addf", apply("mulf", bounded, constant(_LOG2_E)), constant(_ROUNDER))
    power = apply("subf", shifted, constant(_ROUNDER))
    rest = apply("subf", bounded, apply("mulf", power, constant(_LN2_HIGH)))
    rest = apply("subf", rest, apply("mulf", power, constant(_LN2_LOW)))
    total = constant(_TAYLOR[0])
    for factor in _TAYLOR[1:]:
        total = code.fused(total, rest, constant(factor), real, fused=fused)
    bits = code.convert("arith.fptosi", power, real, whole)
    by = code.make(f"arith.constant dense<23> : {whole}")
    exponent = code.apply("shli", bits, by, whole)
    mantissa = code.convert("vector.bitcast", total, real, whole)
    return code.convert(
        "vector.bitcast", code.apply("addi", mantissa, exponent, whole), whole, real
    )
