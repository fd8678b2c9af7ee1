"""Scales as integers: LiteRT's own multipliers, and staircases equal to those of float64."""

import numpy as np
import pytest

from bitwright.frontend.tflite import arithmetic
from bitwright.ir import fixed_point
from bitwright.ir.types import QuantParams


@pytest.mark.parametrize(
    ("real", "found"),
    [
        (0.0, (0, 31)),
        (0.5, (1 << 30, 31)),
        (1.0, (1 << 30, 30)),
        (0.75, (3 << 29, 31)),
        (3.0, (3 << 29, 29)),
        (2.0**-31, (1 << 30, 61)),
        (2.0**-40, (0, 31)),  # smaller than LiteRT shifts
        (1 - 2.0**-40, (1 << 30, 30)),  # rounds up to the next power of two
        (2.0**29, (1 << 30, 1)),
    ],
)
def test_multiplier(real: float, found: tuple[int, int]) -> None:
    assert arithmetic.multiplier(real) == found


def test_a_factor_that_no_layer_has() -> None:
    with pytest.raises(ValueError, match=r"^scales by 1\.07374e\+09; expected a factor from 0 to"):
        arithmetic.multiplier(2.0**30)


@pytest.mark.parametrize("seed", range(6))
def test_a_staircase_equal_to_that_of_float64(seed: int) -> None:
    """At every sum next to a step, and at random ones."""
    rng = np.random.default_rng(seed)
    real = float(2.0 ** rng.uniform(-13, 0)) if seed else 0.5
    limit = int(200 / real)
    multiplier, shift = arithmetic.exact_multiplier(real, limit, 255)
    steps = np.rint((np.arange(256) - 0.5) / real).astype(np.int64)
    near = (steps[:, None] + np.arange(-3, 4)).reshape(-1)
    sums = np.concatenate([near, -near, rng.integers(-limit, limit, 5000), [limit, -limit]])
    sums = sums[np.abs(sums) <= limit]
    product = sums.astype(np.float64) * real
    wanted = np.copysign(np.floor(np.abs(product) + 0.5), product).astype(np.int64)
    np.testing.assert_array_equal(fixed_point.scale_once(sums, multiplier, shift), wanted)


def test_a_staircase_that_no_multiplier_has() -> None:
    with pytest.raises(ValueError, match=r"^scales sums of up to 2147483647 by 1\.002e-06, "):
        arithmetic.exact_multiplier(1.0019999999999999e-06, 2**31 - 1, 255)


def test_bounds_of_fused_activations() -> None:
    params = QuantParams((0.05,), 10, 8, -128, 127)
    assert arithmetic.bounds("NONE", params) == (-128, 127)
    assert arithmetic.bounds("RELU", params) == (10, 127)
    assert arithmetic.bounds("RELU6", params) == (10, 127)
    assert arithmetic.bounds("RELU_N1_TO_1", params) == (-10, 30)
