"""`bw.multi_threshold`: against one number at a time, as text, and what its verifier refuses."""

import numpy as np
import pytest

from bitwright.ir import reference
from bitwright.ir.builder import Builder
from bitwright.ir.context import IrError, parse
from bitwright.ir.types import QuantParams

CODES = QuantParams((0.5,), 0, 3, -4, 3)
X = QuantParams((1.0,), 0, 8, -128, 127)


@pytest.mark.parametrize(("rows", "axis"), [(1, 1), (3, 1), (2, 2)])
def test_counts(rows: int, axis: int) -> None:
    rng = np.random.default_rng(rows)
    thresholds = np.sort(rng.integers(-140, 140, (rows, 7)), axis=1)
    thresholds[0, 2:4] = thresholds[0, 2]  # a step of two
    builder = Builder([("x", (1, 3, 2, 50), X)])
    module = builder.finish(
        [("y", builder.multi_threshold(builder.inputs[0], CODES, thresholds, axis))]
    )
    x = rng.integers(-128, 128, (4, 3, 2, 50), dtype=np.int8)
    found = reference.run(module, {"x": x})["y"]
    for at in np.ndindex(x.shape):
        row = thresholds[at[axis] if rows > 1 else 0]
        assert found[at] == -4 + sum(int(t) <= int(x[at]) for t in row)


def test_sums_are_compared_as_they_are() -> None:
    builder = Builder([("x", (1, 2), X)])
    weight = builder.constant(np.array([[127, 127]]), QuantParams((1.0,), 0, 8, -128, 127))
    sums = builder.linear(builder.inputs[0], weight, builder.constant(np.zeros(1, np.int32)))
    thresholds = np.array([[np.iinfo(np.int32).min, 0, 32258, 32258, np.iinfo(np.int32).max]])
    codes = builder.multi_threshold(sums, CODES, thresholds)
    module = builder.finish([("y", codes)])
    x = np.array([[127, 127], [-128, -128], [0, 0], [127, 126]], np.int8)
    assert reference.run(module, {"x": x})["y"].ravel().tolist() == [0, -3, -2, -2]
    text = str(module)
    assert '"bw.multi_threshold"' in text
    assert str(parse(text)) == text


def test_floats_become_plain_counts() -> None:
    thresholds = np.array([[-0.5, 0.1, np.nextafter(np.float32(0.1), np.float32(1))]], np.float32)
    builder = Builder([("x", (1, 5), None)])
    counts = builder.multi_threshold(builder.inputs[0], np.dtype(np.int8), thresholds)
    x = np.array([[-1, -0.5, 0.1, 0.10000001, 9]], np.float32)
    found = reference.run(builder.finish([("y", counts)]), {"x": x})["y"]
    assert found.dtype == np.int8
    assert found.ravel().tolist() == [0, 1, 2, 3, 3]


@pytest.mark.parametrize(
    ("thresholds", "axis", "message"),
    [
        (np.zeros((1, 8)), 1, "8 thresholds for tensor<1x3x4x!quant.uniform<i3:f32, "
         "5.000000e-01>>; expected at most 7"),
        (np.zeros((2, 7)), 1, "thresholds are tensor<2x7xi32>; expected i32 of shape (1, n) or "
         "(3, n)"),
        (np.zeros((3, 7)), 3, "axis 3 is outside of (1, 3, 4)"),
        (np.array([[0, 5], [1, 2], [4, 3]]), 1, "thresholds 4, 3 of row 2 descend, expected "
         "ascending ones"),
    ],
)  # fmt: skip
def test_refusals(thresholds: np.ndarray, axis: int, message: str) -> None:
    builder = Builder([("x", (1, 3, 4), X)])
    y = builder.multi_threshold(builder.inputs[0], CODES, thresholds.astype(np.int32), axis)
    with pytest.raises(IrError) as caught:
        builder.finish([("y", y)])
    assert f"bw.multi_threshold: {message}" in str(caught.value)
