"""Thresholds on the overlay: the same steps as a line for each channel, or refused by name."""

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.ir import graph, reference
from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams
from bitwright.passes.legalize import Legalize
from bitwright.passes.partition import partition
from bitwright.passes.thresholds import Codes, fit
from bitwright.passes.tile import Tile
from bitwright.passes.tile_program import UnsupportedOnOverlay
from bitwright.passes.widths import channel_ranges

X = QuantParams((0.5,), -2, 4, -8, 7)
WEIGHT = QuantParams((0.1,), 0, 3, -3, 3)
U3 = QuantParams((0.25,), 0, 8, 0, 7)
S3 = QuantParams((0.25,), 1, 3, -4, 3)


def _steps(rng: np.random.Generator, channels: int, levels: int, width: float) -> np.ndarray:
    """Even steps of any real width and offset, as thresholds of sums."""
    widths = rng.uniform(width / 2, width, (channels, 1))
    return np.ceil(rng.uniform(-30, 30, (channels, 1)) + widths * np.arange(levels)).astype(int)


@pytest.mark.parametrize(
    ("channels", "levels", "width", "gain"),
    [(64, 7, 30, 1), (64, 7, 0.7, 1), (16, 15, 100, 1), (16, 15, 1000, 16), (9, 3, 2000, 4)],
)  # fmt: skip
def test_lines_step_where_the_thresholds_do(
    channels: int, levels: int, width: float, gain: int
) -> None:
    thresholds = _steps(np.random.default_rng(levels), channels, levels, width)
    sums = np.arange(-3000, 3000)
    lines = fit(thresholds, np.tile([[-3000, 2999]], (channels, 1)), gain=gain)
    assert lines is not None
    for line, row in zip(lines.channels, thresholds, strict=True):
        found = (line.codes(gain * sums) - lines.codes.base) // lines.codes.gap
        wanted = np.searchsorted(row, sums, side="right")
        np.testing.assert_array_equal(np.clip(found, 0, levels), wanted)


def test_steps_that_lie_outside_of_the_range_do_not_count() -> None:
    far = np.iinfo(np.int32)
    thresholds = np.array([[far.min, far.min, 5], [far.min, 2, far.max], [far.max] * 3])
    lines = fit(thresholds, np.array([[-7, 9], [0, 9], [-100, 100]]))
    assert lines is not None
    for line, row, (low, high) in zip(
        lines.channels, thresholds, [(-7, 9), (0, 9), (-100, 100)], strict=True
    ):
        sums = np.arange(low, high + 1)
        found = (line.codes(sums) - lines.codes.base) // lines.codes.gap
        np.testing.assert_array_equal(
            np.clip(found, 0, 3), np.searchsorted(row, sums, side="right")
        )


def test_uneven_steps_have_no_line() -> None:
    assert fit(np.array([[0, 10, 11]]), np.array([[-100, 100]])) is None


def test_the_first_codes_need_no_table() -> None:
    lines = fit(np.array([[0, 4, 8]]), np.array([[-100, 100]]), first=Codes(3, 1))
    assert lines is not None
    assert lines.codes == Codes(3, 1)


def _network(kind: str, rng: np.random.Generator) -> ir.Module:
    builder = Builder([("x", (1, 6, 5, 5), X)])
    x = builder.inputs[0]
    weight = builder.constant(rng.integers(-3, 4, (10, 6, 3, 3)), WEIGHT)
    bias = builder.constant(rng.integers(-40, 40, 10).astype(np.int32))
    if kind == "conv":
        sums = builder.conv2d(x, weight, bias, padding=(1, 1, 1, 1))
        return builder.finish([("y", builder.multi_threshold(sums, S3, _steps(rng, 10, 7, 15)))])
    if kind == "linear":
        flat = builder.reshape(x, (1, 150))
        wide = builder.constant(rng.integers(-3, 4, (10, 150)), WEIGHT)
        steps = _steps(rng, 10, 7, 40)
        hidden = builder.multi_threshold(builder.linear(flat, wide, bias), U3, steps)
        last = builder.constant(rng.integers(-3, 4, (4, 10)), WEIGHT)
        sums = builder.linear(hidden, last, builder.constant(np.zeros(4, np.int32)))
        return builder.finish([("y", builder.multi_threshold(sums, S3, _steps(rng, 1, 7, 20)))])
    if kind == "pool":
        sums = builder.sum_pool2d(x, kernel=(2, 2), stride=(1, 1))
        return builder.finish([("y", builder.multi_threshold(sums, S3, np.array([[-9, 0, 9]])))])
    steps = np.sort(rng.integers(-9, 9, (1, 7) if kind == "codes" else (6, 7)), axis=1)
    if kind == "codes of channels":
        steps = np.array([[k + c % 3 for k in range(-4, 3)] for c in range(6)])
    return builder.finish([("y", builder.multi_threshold(x, S3, steps))])


@pytest.mark.parametrize("kind", ["conv", "linear", "pool", "codes", "codes of channels"])
def test_what_the_overlay_runs_computes_the_same(kind: str) -> None:
    rng = np.random.default_rng(5)
    module = _network(kind, rng)
    x = rng.integers(-8, 8, (20, 6, 5, 5)).astype(np.int8)
    x[0], x[1] = -8, 7
    parts = partition(module)
    legal = Legalize().run(parts.core)
    assert "bw.multi_threshold" not in str(legal)
    given = reference.run(parts.before, {"x": x})
    name = graph.outputs(parts.core)[0].name
    found = reference.run(parts.after, reference.run(legal, given))["y"]
    np.testing.assert_array_equal(found, reference.run(module, {"x": x})["y"])
    assert name
    Tile().run(legal)


def test_ties_to_even_are_a_requantize_to_even() -> None:
    """Levels of sums / 16 from -5 to 2: all begin at a tie or behind one."""
    rng = np.random.default_rng(1)
    builder = Builder([("x", (1, 6, 5, 5), X)])
    weight = builder.constant(rng.integers(-3, 4, (10, 6, 3, 3)), WEIGHT)
    sums = builder.conv2d(builder.inputs[0], weight, builder.constant(np.arange(10, dtype="i4")))
    steps = np.searchsorted(np.rint(np.arange(-200, 200) / 16), np.arange(-4, 3)) - 200
    module = builder.finish([("y", builder.multi_threshold(sums, S3, steps[None]))])
    legal = Legalize().run(module)
    assert "half_even" in str(legal)
    x = rng.integers(-8, 8, (100, 6, 5, 5)).astype(np.int8)
    found = reference.run(legal, {"x": x})["y"]
    assert len(np.unique(found)) == 8
    np.testing.assert_array_equal(found, reference.run(module, {"x": x})["y"])
    Tile().run(legal)


def test_what_has_no_line_is_refused_by_name() -> None:
    builder = Builder([("x", (1, 6, 5, 5), X)])
    sums = builder.sum_pool2d(builder.inputs[0], kernel=(2, 2), stride=(1, 1))
    y = builder.named("act").multi_threshold(sums, S3, np.array([[-9, 0, 1]]))
    with pytest.raises(UnsupportedOnOverlay) as error:
        Legalize().run(builder.finish([("y", y)]))
    assert str(error.value) == (
        "bw.multi_threshold (act) with operands [1, 6, 4, 4], [1, 3]: no multipliers, shifts and "
        "biases were found that make its 3 steps in all of 6 channels, and the overlay's output "
        "stage makes equal steps with multipliers of 16 bits; quantize to fewer levels; compile "
        "with --target cpu, or change the model there"
    )


def test_ranges_of_channels_are_those_of_the_weights() -> None:
    builder = Builder([("x", (1, 2), X)])
    weight = builder.constant(np.array([[3, 0], [-1, 2]]), WEIGHT)
    sums = builder.linear(builder.inputs[0], weight, builder.constant(np.array([5, 0], np.int32)))
    builder.finish([("y", builder.multi_threshold(sums, S3, np.array([[0]])))])
    # x - zero point is -6 to 9
    assert channel_ranges(sums.owner.opview, 2).tolist() == [[-13, 32], [-21, 24]]
