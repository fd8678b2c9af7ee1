"""Matrices to integers with a scale for each group."""

import numpy as np
import pytest

from bitwright.passes.quantize.groups import WEIGHTS, Levels, group_length, quantize_matrix


def test_levels() -> None:
    assert {name: levels.bits for name, levels in WEIGHTS.items()} == {
        "8": 8, "7": 7, "6": 6, "5": 5, "4": 4, "3": 3, "2": 2, "ternary": 2, "1": 1,
    }  # fmt: skip


@pytest.mark.parametrize("width", WEIGHTS)
def test_weights_on_the_grid_stay_as_they_are(width: str) -> None:
    levels = WEIGHTS[width]
    random = np.random.default_rng(0)
    values = random.choice(np.arange(-levels.most, levels.most + 1, levels.step), (5, 4, 8))
    values[..., 0] = levels.most
    scales = (2.0 ** random.integers(-9, 9, (5, 4))).astype(np.float32)
    weight = (values * scales[..., None]).astype(np.float32).reshape(5, 32)
    found = quantize_matrix(weight, levels, 8)
    np.testing.assert_array_equal(found.values, values.reshape(5, 32))
    np.testing.assert_array_equal(found.scales, scales)


@pytest.mark.parametrize("width", WEIGHTS)
def test_codes_are_the_nearest_and_clipping_only_helps(width: str) -> None:
    levels = WEIGHTS[width]
    weight = np.random.default_rng(1).normal(size=(16, 64)).astype(np.float32)
    found = quantize_matrix(weight, levels, 32)
    grid = np.arange(-levels.most, levels.most + 1, levels.step)
    scales = np.repeat(found.scales, 32, axis=1)
    errors = np.abs(weight[..., None] - grid * scales[..., None]).min(axis=-1)
    real = found.values * scales
    np.testing.assert_allclose(np.abs(weight - real), errors, atol=1e-5)
    np.testing.assert_array_equal(found.scales, found.scales.astype(np.float16).astype("f4"))
    greatest = np.abs(weight.reshape(16, 2, 32)).max(axis=-1) / levels.most
    plain = np.abs(weight[..., None] - grid * np.repeat(greatest, 32, 1)[..., None]).min(axis=-1)
    assert np.square(weight - real).sum() < 1.001 * np.square(plain).sum()


def test_what_no_float16_reaches_keeps_its_scale() -> None:
    weight = np.float32([[1e-20, 0], [1e20, -1e20], [0, 0]])
    found = quantize_matrix(weight, Levels(127), 2)
    assert found.values.tolist() == [[127, 0], [127, -127], [0, 0]]
    np.testing.assert_array_equal(
        found.scales[:, 0], np.float32([1e-20, 1e20, 0]) / np.float32(127)
    )


@pytest.mark.parametrize(
    ("depth", "wanted", "longest", "length"),
    [(4096, 128, 32768, 128), (172, 32, 32768, 43), (172, 64, 32768, 86), (172, 0, 32768, 172),
     (65536, 0, 32768, 32768), (16, 32, 32768, 16)],
)  # fmt: skip
def test_a_group_divides_the_row(depth: int, wanted: int, longest: int, length: int) -> None:
    assert group_length(depth, wanted, longest) == length
