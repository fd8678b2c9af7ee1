"""`bw.dynamic_linear` against naive loops with one rounding at a time; its verifier."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.ir import reference
from bitwright.ir.builder import Builder
from bitwright.ir.context import IrError, parse
from bitwright.ir.reference_dynamic import quantize_rows

Array = NDArray[Any]


def evaluate(x: Array, weight: Array, scale: Array, bias: Array) -> Array:
    """The same from the module and from its printed text."""
    builder = Builder([("x", x.shape, None)])
    parts = map(builder.plain, (weight, scale, bias))
    module = builder.finish([("y", builder.dynamic_linear(builder.inputs[0], *parts))])
    with np.errstate(all="raise", invalid="ignore"):
        found = reference.run(module, {"x": x})["y"]
    assert np.array_equal(found, reference.run(parse(str(module)), {"x": x})["y"], equal_nan=True)
    return found


def nearest(x: np.float32) -> int:
    """Ties to even, by exact fractions."""
    return round(Fraction(float(x)))


def test_every_rounding() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(1, 3, 12)).astype(np.float32)
    x[0, 0] *= np.float32(1e20)
    x[0, 1, :6] = [127, 0.5, 1.5, -2.5, -126.5, 0]
    weight = random.integers(-128, 128, (5, 12)).astype(np.int8)
    scale = random.normal(size=(5, 3)).astype(np.float32)
    bias = random.normal(size=5).astype(np.float32)
    found = evaluate(x, weight, scale, bias)
    for row, result in zip(x[0], found[0], strict=True):
        most = max(abs(value) for value in row)
        inverse = np.float32(127) / most
        codes = [nearest(value * inverse) for value in row]
        for n in range(5):
            total = np.float32(0)
            for g in range(3):
                part = slice(4 * g, 4 * g + 4)
                exact = sum(int(w) * q for w, q in zip(weight[n, part], codes[part], strict=True))
                total = total + np.float32(exact) * scale[n, g]
            assert result[n] == total * (most / np.float32(127)) + bias[n]


def test_rows_that_are_zero_tiny_or_not_finite() -> None:
    rows = np.float32([[0, 0], [2.0**-101, 0], [2.0**-100, 0], [np.inf, 1], [np.nan, 1], [-3, 3]])
    codes, scales = quantize_rows(rows)
    assert codes.tolist() == [[0, 0], [0, 0], [127, 0], [0, 0], [0, 0], [-127, 127]]
    np.testing.assert_array_equal(scales, np.abs(rows).max(axis=1) / np.float32(127))
    weight, scale = np.int8([[1, 2]]), np.float32([[0.5]])
    found = evaluate(rows, weight, scale, np.float32([4]))[:, 0]
    assert found[[0, 1]].tolist() == [4, 4]
    assert np.isnan(found[[3, 4]]).all()


def test_several_samples_are_computed_one_by_one() -> None:
    x = np.random.default_rng(0).normal(size=(4, 1, 6)).astype(np.float32)
    builder = Builder([("x", (1, 1, 6), None)])
    parts = (np.int8([[1, -2, 3, 4, 5, 6]]), np.float32([[0.1, 3.0]]), np.float32([1]))
    y = builder.dynamic_linear(builder.inputs[0], *map(builder.plain, parts))
    module = builder.finish([("y", y)])
    single = [reference.run(module, {"x": each[None]})["y"] for each in x]
    assert np.array_equal(reference.run(module, {"x": x})["y"], np.concatenate(single))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda b, w, s, a: (b.plain(np.ones((4, 8), np.int16)), s, a),
            "weight is tensor<4x8xsi16>, expected plain int8",
        ),
        (
            lambda b, w, s, a: (w, b.plain(np.ones((4, 3), np.float32)), a),
            "scale has shape (4, 3), expected (4, G) with a divisor G of 8",
        ),
        (
            lambda b, w, s, a: (w, s, b.plain(np.ones(3, np.float32))),
            "bias has shape (3,), expected (4,)",
        ),
    ],
)
def test_verifier(change: Callable[..., tuple[ir.Value, ...]], message: str) -> None:
    builder = Builder([("x", (1, 8), None)])
    weight = builder.plain(np.ones((4, 8), np.int8))
    scale, bias = builder.plain(np.ones((4, 2), "f4")), builder.plain(np.ones(4, "f4"))
    y = builder.dynamic_linear(builder.inputs[0], *change(builder, weight, scale, bias))
    with pytest.raises(IrError) as raised:
        builder.finish([("y", y)])
    assert f"bw.dynamic_linear: {message}" in str(raised.value)


def test_a_group_is_not_longer_than_its_sum_allows() -> None:
    builder = Builder([("x", (1, (1 << 15) + 1), None)])
    weight = builder.plain(np.ones((1, (1 << 15) + 1), np.int8))
    one = builder.plain(np.ones((1, 1), "f4"))
    bias = builder.plain(np.ones(1, "f4"))
    y = builder.dynamic_linear(builder.inputs[0], weight, one, bias)
    with pytest.raises(IrError) as raised:
        builder.finish([("y", y)])
    assert "groups are 32769 weights long, expected at most 32768" in str(raised.value)
