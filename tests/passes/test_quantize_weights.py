"""Integer weights and the bias errors that their rounding makes."""

import numpy as np
import pytest

from bitwright.ir import reference
from bitwright.ir.builder import Builder
from bitwright.passes.quantize.weights import (
    conv_bias_error,
    least_squares_scales,
    linear_bias_error,
    quantize_weight,
)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("per_channel", [True, False])
def test_weights_are_symmetric_and_narrow(bits: int, per_channel: bool) -> None:
    weight = np.random.default_rng(bits).standard_normal((6, 4, 3, 3)).astype(np.float32)
    made = quantize_weight(weight, bits, per_channel, np.zeros(6))
    limit = (1 << bits - 1) - 1
    assert np.abs(made.integers).max() <= limit
    assert (made.params.qmin, made.params.qmax, made.params.zero_point) == (-limit, limit, 0)
    assert len(made.params.scales) == (6 if per_channel else 1)
    assert all(float(np.float32(s)) == s for s in made.params.scales)
    np.testing.assert_allclose(weight - made.error, made.params.dequantize(made.integers), 1e-5)


def test_eight_bits_cover_the_largest_weight() -> None:
    made = quantize_weight(np.asarray([[1.0, -2.54], [0.0, 0.1]]), 8, True, np.zeros(2))
    assert made.integers.tolist() == [[50, -127], [0, 127]]


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_scales_of_low_bits_are_next_to_the_best_of_a_fine_search(limit: int) -> None:
    rows = np.random.default_rng(limit).standard_normal((5, 64))
    largest = np.abs(rows).max(axis=1) / limit

    def errors(scales: np.ndarray) -> np.ndarray:
        q = np.clip(np.rint(rows / scales[:, None]), -limit, limit)
        return np.square(rows - q * scales[:, None]).sum(axis=1)

    found = errors(least_squares_scales(rows, largest, limit))
    fine = np.min([errors(largest * f) for f in np.linspace(0.1, 1.2, 3000)], axis=0)
    assert (found <= fine * 1.02).all()


def test_a_channel_of_zeros_takes_its_floor() -> None:
    weight = np.stack([np.zeros(4), np.ones(4)])
    for bits in (4, 8):
        made = quantize_weight(weight, bits, True, np.asarray([0.25, 1e-9]))
        assert made.params.scales[0] == 0.25
        assert (made.integers[0] == 0).all()


def test_the_convolutions_bias_error_is_its_mean_error() -> None:
    random = np.random.default_rng(5)
    x = random.standard_normal((4, 4, 7, 6)).astype(np.float32)
    error = random.standard_normal((6, 2, 3, 2)).astype(np.float32)
    how = {"stride": (2, 1), "padding": (1, 0, 2, 1), "dilation": (1, 2), "groups": 2}
    builder = Builder([("x", (1, 4, 7, 6), None)])
    bias = builder.constant(np.zeros(6, np.float32))
    y = builder.conv2d(builder.inputs[0], builder.constant(error), bias, **how)
    wanted = reference.run(builder.finish([("y", y)]), {"x": x})["y"]
    found = conv_bias_error(
        error.astype(np.float64), x.mean(axis=0, keepdims=True, dtype=np.float64), **how,
        output=wanted.shape,
    )  # fmt: skip
    np.testing.assert_allclose(found, wanted.mean(axis=(0, 2, 3)), atol=1e-5)


def test_the_linear_bias_error_is_its_mean_error() -> None:
    random = np.random.default_rng(6)
    x, error = random.standard_normal((5, 3, 8)), random.standard_normal((4, 8))
    found = linear_bias_error(error, x.mean(axis=0, keepdims=True))
    np.testing.assert_allclose(found, (x @ error.T).mean(axis=(0, 1)))
