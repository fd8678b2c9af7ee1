"""LOGISTIC and TANH of int16: LiteRT's interpolation in a table of 256 sigmoids.

Each is a function of one integer, so that it becomes a table of all 65,536. Source: LiteRT,
reference_integer_ops (logistic.h, tanh.h) and activations.cc; the table as its results show it.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.frontend.tflite.node import Handler, Node, Value
from bitwright.ir.types import shape_of

Ints = NDArray[np.int64]
SCALES = (1e-6, 4.0)
"""Least and greatest scale of an operand whose products fit 32 bits."""
RESULT_SCALE = 2.0**-15
_STEPS_PER_UNIT = 24
_ONE_ABOVE_NEAREST = (
    4, 8, 12, 14, 15, 16, 17, 19, 20, 21, 22, 25, 27, 28, 29, 30, 31, 33, 34, 35, 37, 39, 40, 41,
    43, 44, 45, 46, 49, 50, 54, 62, 63, 64, 66, 82, 86, 93, 100, 103, 112, 116, 135, 255,
)  # fmt: skip
"""Where an entry is not the nearest integer, but the next one."""


def _sigmoids() -> Ints:
    """2^16 times the sigmoid of i / 24, for i from 0 to 255."""
    steps = np.arange(256) / _STEPS_PER_UNIT
    entries = np.rint((1 << 16) / (1 + np.exp(-steps))).astype(np.int64)
    entries[list(_ONE_ABOVE_NEAREST)] += 1
    return entries


def _argument(scale: float) -> Ints:
    """All integers of 16 bits as multiples of 1 / (3 * 4096)."""
    codes = np.arange(-(1 << 15), 1 << 15, dtype=np.int64)
    fraction, exponent = math.frexp(scale)
    if fraction == 0.5 and exponent in (-11, -10):  # 1/4096, 1/2048
        return codes * 3 << exponent + 11
    multiplier, shift = scale * 3 * 4096, 0
    while multiplier <= ((1 << 15) - 1) / 2 and shift <= 30:
        multiplier, shift = multiplier * 2, shift + 1
    return (codes * int(multiplier) + ((1 << shift) >> 1)) >> shift


def _interpolated(distance: Ints, bits: int) -> Ints:
    """The table at `distance` over 2^`bits`, times 2^`bits`; the caller saturates its end."""
    entries = _sigmoids()
    index = np.minimum(distance >> bits, len(entries) - 2)
    rest = distance & ((1 << bits) - 1)
    return (entries[index] << bits) + rest * (entries[index + 1] - entries[index])


def logistic_table(scale: float) -> Ints:
    """The sigmoid of each integer of 16 bits times `scale`, of scale 2^-15."""
    argument = _argument(scale)
    distance = np.abs(argument)
    upper = np.where(distance >> 9 >= 255, 0x7FFF << 10, _interpolated(distance, 9))
    return np.where(argument >= 0, upper + (1 << 9), (1 << 25) - upper + (1 << 9) - 1) >> 10


def tanh_table(scale: float) -> Ints:
    """The hyperbolic tangent of each integer of 16 bits times `scale`, of scale 2^-15."""
    argument = _argument(scale)
    distance = np.abs(argument)
    upper = np.where(distance >> 8 >= 255, 0xFFFF << 8, _interpolated(distance, 8)) - (1 << 23)
    return np.where(argument >= 0, upper + (1 << 7), (1 << 7) - 1 - upper) >> 8


def _table(function: Callable[[float], Ints]) -> Handler:
    def handle(node: Node) -> Value:
        scale, result, build = node.params(0).scale, node.result_params().scale, node.builder
        if not SCALES[0] <= scale <= SCALES[1] or result != RESULT_SCALE:
            node.fail_operand(
                0, f"has scale {scale:g} and becomes scale {result:g}",
                f"a scale from {SCALES[0]:g} to {SCALES[1]:g}, and a result of scale 1/32768",
            )  # fmt: skip
        table = build.plain(function(scale).astype(np.int16))
        middle = np.int32(1 << 15)

        def looked_up(x: ir.Value) -> ir.Value:
            offset = build.plain(np.full([1] * len(shape_of(x)), middle))
            return build.gather(table, build.add(build.cast(x, np.dtype(np.int32)), offset), 0)

        return node.mapped(looked_up)

    return handle


HANDLERS: dict[str, Handler] = {"LOGISTIC": _table(logistic_table), "TANH": _table(tanh_table)}
