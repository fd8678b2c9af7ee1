"""Integer weights and the bias errors that their rounding makes."""

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.ir import graph, reference
from bitwright.ir.builder import Builder
from bitwright.passes.quantize.moments import Moments, at_weights
from bitwright.passes.quantize.weights import least_squares_scales, quantize_weight


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("per_channel", [True, False])
def test_weights_are_symmetric_and_narrow(bits: int, per_channel: bool) -> None:
    weight = np.random.default_rng(bits).standard_normal((6, 4, 3, 3)).astype(np.float32)
    made = quantize_weight(weight, bits, per_channel, np.zeros(6), np.ones(weight.shape))
    limit = (1 << bits - 1) - 1
    assert np.abs(made.integers).max() <= limit
    assert (made.params.qmin, made.params.qmax, made.params.zero_point) == (-limit, limit, 0)
    assert len(made.params.scales) == (6 if per_channel else 1)
    assert all(float(np.float32(s)) == s for s in made.params.scales)
    np.testing.assert_allclose(weight - made.error, made.params.dequantize(made.integers), 1e-5)


def test_eight_bits_cover_the_largest_weight() -> None:
    weight = np.asarray([[1.0, -2.54], [0.0, 0.1]])
    made = quantize_weight(weight, 8, True, np.zeros(2), np.ones((2, 2)))
    assert made.integers.tolist() == [[50, -127], [0, 127]]


@pytest.mark.parametrize("limit", [1, 3, 7])
@pytest.mark.parametrize("weighted", [True, False])
def test_scales_of_low_bits_are_next_to_the_best_of_a_fine_search(
    limit: int, weighted: bool
) -> None:
    random = np.random.default_rng(limit)
    rows = random.standard_normal((5, 64))
    importance = random.exponential(size=(5, 64)) if weighted else np.ones((5, 64))
    largest = np.abs(rows).max(axis=1) / limit

    def errors(scales: np.ndarray) -> np.ndarray:
        q = np.clip(np.rint(rows / scales[:, None]), -limit, limit)
        return (importance * np.square(rows - q * scales[:, None])).sum(axis=1)

    found = errors(least_squares_scales(rows, largest, limit, importance))
    fine = np.min([errors(largest * f) for f in np.linspace(0.1, 1.2, 3000)], axis=0)
    assert (found <= fine * 1.02).all()


def test_a_channel_of_zeros_takes_its_floor() -> None:
    weight = np.stack([np.zeros(4), np.ones(4)])
    for bits in (4, 8):
        made = quantize_weight(weight, bits, True, np.asarray([0.25, 1e-9]), np.ones((2, 4)))
        assert made.params.scales[0] == 0.25
        assert (made.integers[0] == 0).all()


def weighted(body: object, shape: tuple[int, ...], weight: np.ndarray) -> ir.Module:
    builder = Builder([("x", shape, None)])
    bias = builder.constant(np.zeros(len(weight), np.float32))
    y = body(builder, builder.inputs[0], builder.constant(weight), bias)
    return builder.finish([("y", y)])


def last(module: ir.Module) -> ir.OpView:
    return list(graph.operations(module))[-1]


def moments_of(x: np.ndarray, shape: tuple[int, ...]) -> Moments:
    moments = Moments()
    for piece in np.array_split(x, 2):
        moments.add(piece, shape)
    return moments


def test_a_convolutions_mean_error_is_its_weights_error_at_the_mean_input() -> None:
    random = np.random.default_rng(5)
    x = random.standard_normal((4, 4, 7, 6)).astype(np.float32)
    error = random.standard_normal((6, 2, 3, 2)).astype(np.float32)
    how = {"stride": (2, 1), "padding": (1, 0, 2, 1), "dilation": (1, 2), "groups": 2}
    shape = (1, 4, 7, 6)
    module = weighted(lambda b, *operands: b.conv2d(*operands, **how), shape, error)
    wanted = reference.run(module, {"x": x})["y"]
    found = (error * at_weights(last(module), moments_of(x, shape).mean())).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(found, wanted.mean(axis=(0, 2, 3)), atol=1e-5)


def test_a_linears_moments() -> None:
    random = np.random.default_rng(6)
    x, error = random.standard_normal((5, 3, 8)), random.standard_normal((4, 8))
    module = weighted(lambda b, *o: b.linear(*o), (1, 3, 8), error)
    moments = moments_of(x, (1, 3, 8))
    found = (error * at_weights(last(module), moments.mean())).sum(axis=1)
    np.testing.assert_allclose(found, (x @ error.T).mean(axis=(0, 1)))
    power = at_weights(last(module), moments.mean_square())
    np.testing.assert_allclose(power, np.tile(np.square(x).mean(axis=(0, 1)), (4, 1)))
