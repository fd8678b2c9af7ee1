"""Sums behind float functions and a narrow quantize, against the float module at every sum."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.ir import bw, graph, reference
from bitwright.ir.builder import Builder
from bitwright.ir.types import shape_of
from bitwright.passes.integer import Integer, NotIntegerModel
from bitwright.passes.split_sums import SplitSums

CHANNELS = 6
INT8 = np.dtype(np.int8)
Function = Callable[[Builder, ir.Value], ir.Value]


def _grid(build: Builder, x: ir.Value, scale: float, zero_point: int = 0) -> Any:
    shape = (1,) * len(shape_of(x))
    return (
        build.plain(np.full(shape, scale, np.float32)),
        build.plain(np.full(shape, zero_point, np.int8)),
    )


def _quantized(
    build: Builder, x: ir.Value, scale: float, low: int, high: int, rounding: str = "half_even"
) -> ir.Value:
    grid = _grid(build, x, scale)
    codes = build.quantize(x, *grid, INT8, minimum=low, maximum=high, rounding=rounding)
    return build.dequantize(codes, *grid)


def _batch_norm(build: Builder, x: ir.Value) -> ir.Value:
    """Rising, falling and constant channels."""
    rng = np.random.default_rng(7)
    scale = np.array([1.3, -0.7, 0.0, 0.01, -2.0, 0.4], np.float32)
    rest = [rng.uniform(low, 1, CHANNELS).astype(np.float32) for low in (-1, -1, 0.1)]
    constants = [build.constant(array) for array in (scale, *rest)]
    return build.batch_norm(x, *constants, 1e-5)  # pyright: ignore[reportArgumentType]


def _away(build: Builder, x: ir.Value) -> ir.Value:
    """sign(x) * ceil(|x|): monotone, but not by its operations."""
    return build.mul(build.function("sign", x), build.function("ceil", build.function("abs", x)))


FUNCTIONS: dict[str, Function] = {
    "nothing": lambda build, x: x,
    "relu": lambda build, x: build.relu(x),
    "batch norm": _batch_norm,
    "batch norm, relu": lambda build, x: build.relu(_batch_norm(build, x)),
    "batch norm, clip": lambda build, x: build.unary(
        bw.ClipOp, _batch_norm(build, x), minimum=-0.4, maximum=0.3
    ),
    "sigmoid": lambda build, x: build.unary(bw.SigmoidOp, x),
    "leaky": lambda build, x: build.unary(bw.LeakyReluOp, x, alpha=0.1),
    "away from zero": _away,
}


def _module(function: Function, low: int, high: int, rounding: str, bias: np.ndarray) -> ir.Module:
    """One input code times the weight 1, so that every sum is an input."""
    build = Builder([("x", (1, CHANNELS, 16, 16), None)])
    x = _quantized(build, build.inputs[0], 0.037, -128, 127)
    ones = build.plain(np.ones((CHANNELS, 1, 1, 1), np.int8))
    scales = np.random.default_rng(1).uniform(0.5, 1.5, (CHANNELS, 1, 1, 1)).astype(np.float32)
    weight = build.dequantize(
        ones, build.plain(scales), build.plain(np.zeros((CHANNELS, 1, 1, 1), np.int8))
    )
    y = function(build, build.conv2d(x, weight, build.constant(bias), groups=CHANNELS))
    return build.finish([("y", _quantized(build, y, 0.17, low, high, rounding))])


@pytest.mark.parametrize(
    ("low", "high", "rounding"), [(0, 7, "half_even"), (-8, 7, "floor"), (-1, 1, "half_even")]
)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_sum_gives_the_model_s_code(name: str, low: int, high: int, rounding: str) -> None:
    for bias in (np.zeros(CHANNELS), np.linspace(-0.3, 0.3, CHANNELS)):
        module = _module(FUNCTIONS[name], low, high, rounding, bias.astype(np.float32))
        integral = Integer().convert(module)
        assert integral.deviations == ()
        codes = np.tile(np.arange(-128, 128).reshape(1, 1, 16, 16), (1, CHANNELS, 1, 1))
        real = codes.astype(np.float32) * np.float32(0.037)
        wanted = reference.run(module, {"x": real})["y"]
        (output,) = graph.outputs(integral.module)
        found = reference.run(integral.module, {"x": codes.astype(np.int8)})["y"]
        np.testing.assert_array_equal(output.params.dequantize(found), wanted)


@pytest.mark.parametrize("levels", [7, 40])
def test_thresholds_of_floats(levels: int) -> None:
    """QONNX's MultiThreshold behind a convolution, falling channels among it."""
    rng = np.random.default_rng(levels)
    build = Builder([("x", (1, CHANNELS, 16, 16), None)])
    x = _quantized(build, build.inputs[0], 0.037, -128, 127)
    grid = build.plain(np.ones((1, 1, 1, 1), np.float32)), build.plain(np.zeros((1,) * 4, np.int8))
    weight = build.dequantize(build.plain(np.ones((CHANNELS, 1, 1, 1), np.int8)), *grid)
    zeros = build.constant(np.zeros(CHANNELS, np.float32))
    y = _batch_norm(build, build.conv2d(x, weight, zeros, groups=CHANNELS))
    steps = np.sort(rng.uniform(-3, 3, (CHANNELS, levels)), axis=1).astype(np.float32)
    counts = build.multi_threshold(y, np.dtype(np.uint8), steps)
    grid = build.plain(np.ones((1,) * 4, np.float32)), build.plain(np.zeros((1,) * 4, np.uint8))
    module = build.finish([("y", build.dequantize(counts, *grid))])
    integer = Integer().run(module)
    codes = np.tile(np.arange(-128, 128).reshape(1, 1, 16, 16), (1, CHANNELS, 1, 1))
    real = codes.astype(np.float32) * np.float32(0.037)
    (output,) = graph.outputs(integer)
    found = reference.run(integer, {"x": codes.astype(np.int8)})["y"]
    np.testing.assert_array_equal(
        output.params.dequantize(found), reference.run(module, {"x": real})["y"]
    )


def test_pure_scales_stay_a_requantize() -> None:
    text = str(Integer().run(_module(FUNCTIONS["relu"], 0, 7, "half_even", np.zeros(6, "f4"))))
    assert "bw.requantize" in text
    assert "bw.multi_threshold" not in text


def test_a_function_that_rises_and_falls_is_refused() -> None:
    module = _module(
        lambda build, x: build.function("abs", x), 0, 7, "half_even", np.zeros(6, "f4")
    )
    with pytest.raises(NotIntegerModel) as error:
        Integer().run(module)
    assert str(error.value) == (
        "'bw.quantize' (bw.quantize) is preceded by a function of a sum that rises and falls, or "
        "of too many sums to tell. Quantize the sum before it, so that the function becomes a table"
    )


def _sums(weight_scales: np.ndarray, weights: np.ndarray, shape: tuple[int, ...]) -> ir.Module:
    build = Builder([("x", shape, None)])
    x = _quantized(build, build.inputs[0], 0.5, -7, 7)
    grid = weight_scales.reshape(-1, *[1] * (weights.ndim - 1)).astype(np.float32)
    weight = build.dequantize(
        build.plain(weights.astype(np.int8)), build.plain(grid),
        build.plain(np.zeros(grid.shape, np.int8)),
    )  # fmt: skip
    bias = build.constant(np.zeros(len(weights), np.float32))
    made = build.linear(x, weight, bias) if weights.ndim == 2 else build.conv2d(x, weight, bias)
    return build.finish([("y", made)])


@pytest.mark.parametrize("shape", [(1, 200), (1, 4, 3, 5)])
def test_sums_leave_as_they_are_and_in_pieces(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(2)
    weights = rng.integers(-7, 8, (5, 200) if len(shape) == 2 else (5, 4, 2, 2))
    module = _sums(np.array([0.25]), weights, shape)
    integer = Integer().run(module)
    (output,) = graph.outputs(integer)
    assert output.params.scale == 0.125
    codes = rng.integers(-7, 8, (20, *shape[1:])).astype(np.int8)
    codes[0] = 7 * np.sign(weights[0]).reshape(-1)[: codes[0].size].reshape(-1)[0]
    real = reference.run(module, {"x": codes * np.float32(0.5)})["y"]
    sums = reference.run(integer, {"x": codes})["y"]
    np.testing.assert_array_equal(sums * np.float32(0.125), real)
    split = SplitSums().run(integer)
    np.testing.assert_array_equal(reference.run(split, {"x": codes})["y"], sums)
    assert "bw.reduce_sum" in str(split)
    assert graph.outputs(split)[0].params.scale == 0.125


def test_sums_of_several_scales_are_refused() -> None:
    with pytest.raises(NotIntegerModel) as error:
        Integer().run(_sums(np.array([0.5, 0.25]), np.ones((2, 4)), (1, 4)))
    assert str(error.value) == (
        "Output 'y' is a sum that is not quantized, with 2 scales; expected one scale, so that its "
        "integers compare. Quantize it"
    )
