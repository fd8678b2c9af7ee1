"""Every operation in native code against the reference: each element, at the corners too."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.codegen.cpu.level import LEVELS, cpu_level
from bitwright.codegen.cpu.library import build_library
from bitwright.codegen.cpu.lower import KERNELS
from bitwright.ir import graph, reference
from bitwright.ir.builder import Builder
from bitwright.ir.bw import MAX_MULTIPLIER, MAX_SHIFT, SCALE_LIMITS
from bitwright.ir.types import shape_of
from bitwright.runtime.library import Library, load_library

sys.path.insert(0, str(Path(__file__).parent))

import quantized_networks as n

SAMPLES = 4


def compare(module: ir.Module, folder: Path, rng: np.random.Generator, **options: Any) -> Library:
    """Build, run on corner and random samples, and compare every output with the reference."""
    library = load_library(build_library(module, folder, **options).library)
    named = [(item.name, item.value) for item in graph.inputs(module)]
    inputs = n.random_inputs(rng, named, SAMPLES)
    expected = reference.run(module, inputs)
    found = library.run(inputs)
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == np.int8
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    library.threads = 3
    for name, array in library.run(inputs).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=f"{name}, three threads")
    return library


CONVOLUTIONS = {
    "plain": (6, (3, 3), {}),
    "padded": (5, (3, 3), {"padding": (1, 1, 1, 1)}),
    "asymmetric": (4, (3, 2), {"padding": (0, 2, 1, 3)}),
    "strided": (4, (3, 3), {"stride": (2, 2), "padding": (0, 0, 1, 1)}),
    "uneven_strides": (3, (2, 3), {"stride": (3, 1)}),
    "dilated": (3, (3, 3), {"dilation": (2, 3), "padding": (2, 2, 2, 2)}),
    "dilated_rows": (3, (3, 3), {"dilation": (3, 1)}),
    "pointwise": (9, (1, 1), {}),
    "pointwise_strided": (9, (1, 1), {"stride": (2, 2)}),
    "grouped": (8, (3, 3), {"groups": 2, "padding": (1, 1, 1, 1)}),
    "grouped_dilated": (8, (2, 2), {"groups": 2, "dilation": (2, 2)}),
    "depthwise": (8, (3, 3), {"groups": 8, "padding": (1, 1, 1, 1)}),
    "depthwise_strided": (8, (3, 3), {"groups": 8, "stride": (2, 2), "padding": (1, 0, 1, 2)}),
    "depthwise_multiplier": (24, (3, 3), {"groups": 8, "dilation": (1, 2)}),
    "whole_image": (5, (9, 10), {}),
    "deep": (3, (4, 4), {"padding": (3, 3, 3, 3)}),
    **{f"weights_{bits}_bits": (3, (3, 3), {"bits": bits}) for bits in range(2, 9)},
}


def test_convolutions(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    builder = Builder(
        [("x", (1, 8, 9, 10), n.activation(-7)), ("grey", (1, 1, 12, 11), n.activation(3, 4))]
    )
    x, grey = builder.inputs
    outputs = [
        (name, n.conv(builder.named(name), rng, x, outputs, kernel, **options))
        for name, (outputs, kernel, options) in CONVOLUTIONS.items()
    ]
    outputs.append(("grey_wide", n.conv(builder, rng, grey, 6, (3, 3), padding=(1, 1, 1, 1))))
    outputs.append(("grey_narrow", n.conv(builder, rng, grey, 6, (3, 7), stride=(1, 2))))
    compare(builder.finish(outputs), tmp_path, rng)


def test_64_channels_at_once(tmp_path: Path) -> None:
    """Depthwise convolutions and maxima between other operations, of one and of two blocks."""
    rng = np.random.default_rng(4)
    sizes = {"one": (1, 64, 7, 6), "two": (1, 128, 5, 4), "pairs": (1, 32, 4, 7)}
    builder = Builder([(name, shape, n.random_activation(rng)) for name, shape in sizes.items()])
    outputs: list[tuple[str, ir.Value]] = []
    for (name, shape), given in zip(sizes.items(), builder.inputs, strict=True):
        x, channels = n._random_table(builder, rng, given), shape[1]
        for number, options in enumerate((
            {"padding": (1, 1, 1, 1)}, {"stride": (2, 2), "padding": (1, 0, 1, 2)},
        )):  # fmt: skip
            weight = n.weight(builder, rng, (channels, 1, 3, 3))
            acc = builder.conv2d(
                x, weight, n.bias(builder, rng, channels), groups=channels, **options
            )
            y = builder.requantize(
                acc, n.random_activation(rng), rounding="tflite",
                multiplier=rng.integers(1 << 30, 1 << 31, channels).tolist(),
                shift=rng.integers(38, 43, channels).tolist(),
            )  # fmt: skip
            outputs.append((f"{name}{number}", n._random_table(builder, rng, y)))
            most = builder.max_pool2d(
                x, kernel=(3, 2), stride=(1 + number, 1 + number), padding=(2, 1, 1, 0)
            )
            outputs.append((f"{name}{number}most", n._random_table(builder, rng, most)))
    compare(builder.finish(outputs), tmp_path, rng)


ROUNDINGS = ("half_up", "half_away", "half_even", "tflite")


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_convolutions_of_images_inside(tmp_path: Path, rounding: str) -> None:
    """Between other operations, where images have their channels last and sums are fused."""
    rng = np.random.default_rng(31)
    sizes = {"few": (1, 3, 9, 10), "odd": (1, 8, 9, 11), "wide": (1, 16, 7, 9)}
    sizes["deep"] = (1, 48, 6, 5)
    # about the same real scales in the narrow and in the wide form
    least, shifts = (1 << 30, (40, 43)) if rounding == "tflite" else (1 << 14, (24, 28))
    builder = Builder([(name, shape, n.random_activation(rng)) for name, shape in sizes.items()])
    outputs: list[tuple[str, ir.Value]] = []
    for (name, shape), given in zip(sizes.items(), builder.inputs, strict=True):
        x = n._random_table(builder, rng, given)
        channels = shape[1]
        for number, (filters, kernel, options) in enumerate((
            (5, (3, 3), {"padding": (1, 1, 1, 1)}),
            (40, (3, 2), {"stride": (2, 2), "padding": (0, 2, 1, 3)}),
            (33, (1, 1), {}),
            (80, (1, 1), {"stride": (2, 2)}),
            (16, (2, 3), {"dilation": (2, 1)}),
            (16, (2, 2), {"dilation": (2, 2)}),
            (channels, (3, 3), {"groups": channels, "padding": (1, 1, 1, 1)}),
            (channels, (2, 3), {"groups": channels, "stride": (2, 2), "padding": (1, 0, 1, 2)}),
            (channels, (3, 3), {"groups": channels, "dilation": (1, 2)}),
            (2 * channels, (3, 3), {"groups": channels}),
            (7, shape[2:], {}),
        )):  # fmt: skip
            each = (filters, channels // options.get("groups", 1), *kernel)
            acc = builder.conv2d(
                x, n.weight(builder, rng, each), n.bias(builder, rng, filters), **options
            )
            scales = 1 if number % 3 == 0 else filters
            y = builder.requantize(
                acc, n.random_activation(rng), rounding=rounding,
                multiplier=rng.integers(least, 2 * least, scales).tolist(),
                shift=rng.integers(*shifts, scales).tolist(),
            )  # fmt: skip
            outputs.append((f"{name}{number}", n._random_table(builder, rng, y)))
    compare(builder.finish(outputs), tmp_path, rng)


def test_images_in_either_layout(tmp_path: Path) -> None:
    """Every operation that takes an image with its channels last, or gives one."""
    rng = np.random.default_rng(32)
    params = n.activation(-9)
    builder = Builder([("x", (1, 6, 8, 9), params), ("rows", (1, 8, 9, 6), params)])
    given, rows = builder.inputs
    x = builder.table(given, params, rng.integers(-128, 128, 256).tolist())
    y = builder.transpose(rows, (0, 3, 1, 2))
    z = n.conv(builder, rng, x, 6, (3, 3), padding=(1, 1, 1, 1))
    joined = builder.concat([builder.table(z, params, list(range(-128, 128))), y, x], 1)
    pooled = builder.max_pool2d(joined, kernel=(3, 2), stride=(2, 2), padding=(1, 1, 0, 0))
    mean = builder.integer_avg_pool2d(
        pooled, kernel=(2, 2), stride=(1, 1), padding=(1, 0, 0, 1), clamp_max=90
    )
    row = builder.constant(rng.integers(-128, 128, (1, 6, 1, 9)), n.activation(5))
    sums = {
        "same": builder.add(x, y, 3, 5),
        "row": builder.add(x, row, 2, 7),
        "product": builder.mul(y, x),
        "total": builder.sum_pool2d(x, kernel=(8, 9), stride=(1, 1)),
        "window": builder.sum_pool2d(y, kernel=(2, 3), stride=(2, 2), padding=(0, 1, 1, 0)),
        "reduced": builder.reduce_sum(joined, (2, 3), True),
    }
    back = builder.transpose(pooled, (0, 2, 3, 1))
    outputs = [("joined", joined), ("mean", mean), ("back", back)]
    for name, acc in sums.items():
        made = n.requantize(builder, rng, acc, 4000.0)
        outputs += [(name, made), (f"{name}_inside", n._random_table(builder, rng, made))]
    outputs.append(("sliced", builder.slice(joined, (0, 1, 0, 2), (1, 9, 4, 3), (1, 2, 2, 1))))
    framed = builder.pad(mean, (0, 1, 2, 0), (0, 2, 0, 1), 17)
    flat = builder.reshape(framed, (1, int(np.prod(shape_of(framed)))))
    dense = builder.linear(
        flat, n.weight(builder, rng, (21, shape_of(flat)[1])), n.bias(builder, rng, 21)
    )
    outputs += [("framed", framed), ("dense", n.requantize(builder, rng, dense, 40000.0))]
    outputs.append(("softmax", builder.integer_softmax(x, 1, n.exponentials(0.1))))
    compare(builder.finish(outputs), tmp_path, rng)


def test_products_of_matrices(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    builder = Builder(
        [
            ("rows", (1, 5, 33), n.activation(11)),
            ("row", (1, 64), n.activation(-128)),
            ("left", (1, 3, 4, 6), n.activation(-5)),
            ("right", (1, 1, 6, 7), n.activation(127)),
        ]
    )
    rows, row, left, right = builder.inputs
    acc = builder.linear(rows, n.weight(builder, rng, (9, 33), 4), n.bias(builder, rng, 9))
    outputs = [("tokens", n.requantize(builder, rng, acc, 2000.0, axis=2))]
    acc = builder.linear(row, n.weight(builder, rng, (10, 64)), n.bias(builder, rng, 10))
    outputs.append(("dense", n.requantize(builder, rng, acc, 40000.0)))
    batched = builder.matmul(left, right)
    outputs.append(("batched", n.requantize(builder, rng, batched, 9000.0)))
    flipped = builder.matmul(
        builder.transpose(right, (0, 1, 3, 2)), builder.transpose(left, (0, 1, 3, 2))
    )
    outputs.append(("flipped", n.requantize(builder, rng, flipped, 9000.0, axis=3)))
    square = builder.matmul(builder.transpose(rows, (0, 2, 1)), rows)
    outputs.append(("gram", n.requantize(builder, rng, square, 9000.0)))
    compare(builder.finish(outputs), tmp_path, rng)


def test_elementwise_operations(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    builder = Builder(
        [
            ("x", (1, 5, 6, 7), n.activation(-128)),
            ("y", (1, 5, 6, 7), n.activation(127)),
            ("channel", (1, 5, 1, 1), n.activation(9)),
            ("column", (1, 1, 6, 1), n.activation(0, 4)),
        ]
    )
    x, y, channel, column = builder.inputs
    fixed = builder.constant(rng.integers(-128, 128, (6, 7)), n.activation(1))
    one = builder.constant(np.array([77]), n.activation(-3))
    sums = {
        "same": builder.add(x, y, 127, -127),
        "itself": builder.add(x, x, 3, 5),
        "channels": builder.add(x, channel, 1, 64),
        "outer": builder.add(channel, column, -2, 3),
        "fixed": builder.add(fixed, y, 10, 20),
        "scalar": builder.add(x, one),
    }
    products = {
        "product": builder.mul(x, y),
        "gated": builder.mul(channel, x),
        "outer_product": builder.mul(column, channel),
        "scaled": builder.mul(one, y),
    }
    outputs = [(k, n.requantize(builder, rng, v, 9000.0)) for k, v in {**sums, **products}.items()]
    outputs.append(("table", n._random_table(builder, rng, x)))
    for axis in (1, 2, 3):
        soft = builder.integer_softmax(y, axis, n.exponentials(0.03 * axis * axis))
        outputs.append((f"softmax{axis}", soft))
    compare(builder.finish(outputs), tmp_path, rng)


def test_pooling_and_reduction(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    builder = Builder(
        [("x", (1, 5, 9, 8), n.activation(-20)), ("small", (1, 5, 9, 8), n.activation(2, 4))]
    )
    x, small = builder.inputs
    pools: list[tuple[str, dict[str, Any]]] = [
        ("halved", {"kernel": (2, 2), "stride": (2, 2)}),
        ("padded", {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 0, 2, 1)}),
        ("overlapping", {"kernel": (3, 2), "stride": (1, 1), "padding": (1, 1, 1, 1)}),
        ("whole", {"kernel": (9, 8), "stride": (1, 1)}),
    ]
    outputs: list[tuple[str, ir.Value]] = []
    for name, options in pools:
        for source, value in (("x", x), ("small", small)):
            outputs.append((f"max_{name}_{source}", builder.max_pool2d(value, **options)))
            total = builder.sum_pool2d(value, **options)
            spread = 60.0 * float(np.prod(options["kernel"])) ** 0.5
            outputs.append((f"sum_{name}_{source}", n.requantize(builder, rng, total, spread)))
    dilated = builder.max_pool2d(x, kernel=(2, 3), stride=(1, 2), dilation=(3, 2))
    outputs.append(("max_dilated", dilated))
    for axes in ((1,), (2, 3), (1, 3), (1, 2, 3)):
        for keep in (True, False):
            total = builder.reduce_sum(x, axes, keep)
            name = f"reduced{''.join(map(str, axes))}{keep}"
            outputs.append((name, n.requantize(builder, rng, total, 600.0)))
    compare(builder.finish(outputs), tmp_path, rng)


def test_movement_and_sharing(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    params = n.activation(4)
    builder = Builder([("x", (1, 3, 4, 5), params), ("y", (1, 2, 4, 5), params)])
    x, y = builder.inputs
    fixed = builder.constant(rng.integers(-128, 128, (1, 1, 4, 5)), params)
    joined = builder.concat([x, fixed, y, x], 1)
    flat = builder.reshape(joined, (1, 180))
    squared = builder.table(joined, params, [(i * i) % 256 - 128 for i in range(256)])
    module = builder.finish(
        [
            ("joined", joined),
            ("flat", flat),
            ("columns", builder.concat([x, builder.transpose(x, (0, 1, 2, 3))], 3)),
            ("turned", builder.transpose(joined, (0, 3, 1, 2))),
            ("part", builder.slice(x, (0, 1, 0, 0), (1, 2, 2, 1), (1, 1, 2, 1))),
            ("reversed", builder.slice(x, (0, 2, 1, 0), (1, 3, 1, 1), (1, -1, 1, 1))),
            ("padded", builder.pad(x, (0, 1, 0, 2), (0, 0, 3, 1), -100)),
            ("reused", builder.table(squared, params, list(range(-128, 128)))),
            ("squared", squared),
            ("passed", x),
            ("passed_again", builder.reshape(x, (1, 60))),
            ("squared_again", squared),
            ("fixed", builder.reshape(fixed, (1, 20))),
        ]
    )
    library = load_library(build_library(module, tmp_path).library)
    inputs = n.random_inputs(rng, [("x", x), ("y", y)], 1)
    for name, array in reference.run(module, inputs).items():
        np.testing.assert_array_equal(library.run(inputs)[name], array, err_msg=name)


def test_requantize_corners(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    builder = Builder([("x", (1, 8), n.activation(0))])
    extremes = [2**31 - 1, -(2**31), 2**30, -(2**30), 1, -1, 0, -12345]
    zeros = builder.constant(np.zeros((8, 8), np.int8), n.activation())
    acc = builder.linear(builder.inputs[0], zeros, builder.constant(np.array(extremes)))
    outputs: list[tuple[str, ir.Value]] = []
    for multiplier, shift in (
        (MAX_MULTIPLIER, 1), (MAX_MULTIPLIER, MAX_SHIFT), (1, 1), (0, 7), (1, MAX_SHIFT),
        (32768, 40), (32768, 39), (3, 26),
    ):  # fmt: skip
        for zero in (-128, 0, 127):
            name = f"m{multiplier}_s{shift}_z{zero}"
            options = {"multiplier": [multiplier], "shift": [shift]}
            outputs.append((name, builder.requantize(acc, n.activation(zero), **options)))
    each = builder.requantize(
        acc, n.activation(-3, 4), multiplier=[1, 65535, 1, 2, 65535, 40000, 0, 9], axis=1,
        shift=[31, 46, 28, 30, 14, 13, 1, 12], clamp_min=-5, clamp_max=6,
    )  # fmt: skip
    compare(builder.finish([*outputs, ("each", each)]), tmp_path, rng)


@pytest.mark.parametrize("rounding", ["half_away", "half_even", "tflite"])
def test_fixed_point_requantize_corners(tmp_path: Path, rounding: str) -> None:
    rng = np.random.default_rng(8)
    builder = Builder([("x", (1, 12), n.activation(0))])
    extremes = [2**31 - 1, -(2**31), 2**30, -(2**30), 1, -1, 0, -12345, 3, -3, 6, -6]
    zeros = builder.constant(np.zeros((12, 12), np.int8), n.activation())
    acc = builder.linear(builder.inputs[0], zeros, builder.constant(np.array(extremes)))
    outputs: list[tuple[str, ir.Value]] = []
    largest, furthest = SCALE_LIMITS[rounding]
    for multiplier in (0, 1, 1 << 30, (1 << 30) + 12345, largest):
        for shift in (1, 2, 29, 30, 31, 32, 33, 45, furthest):
            options: dict[str, Any] = {"multiplier": [multiplier], "shift": [shift]}
            made = builder.requantize(acc, n.activation(-3), rounding=rounding, **options)
            outputs.append((f"m{multiplier}_s{shift}", made))
    each = builder.requantize(
        acc, n.activation(5), multiplier=rng.integers(1 << 30, largest, 12).tolist(),
        shift=[31, 32, 33, 34, 31, 32, 30, 45, 32, 32, 33, 33], rounding=rounding,
    )  # fmt: skip
    compare(builder.finish([*outputs, ("each", each)]), tmp_path, rng)


def test_fixed_point_operations(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    builder = Builder(
        [("x", (1, 4, 7, 6), n.activation(-128)), ("y", (1, 4, 7, 6), n.activation(127)),
         ("channel", (1, 4, 1, 1), n.activation(9))]
    )  # fmt: skip
    x, y, channel = builder.inputs
    outputs: list[tuple[str, ir.Value]] = []
    for name, rhs, scales in (
        ("same", y, ((1 << 30, 31), (1234567890, 35))),
        ("channels", channel, ((2**31 - 1, 31), (2**31 - 1, 31))),
        ("little", x, ((1, 62), (1 << 30, 41))),
    ):
        acc = builder.scaled_add(x, rhs, left_shift=20, lhs_scale=scales[0], rhs_scale=scales[1])
        made = builder.requantize(
            acc, n.activation(-7), multiplier=[1700000000], shift=[51], rounding="tflite"
        )
        outputs.append((f"add_{name}", made))
    for name, options in (
        ("same", {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1, 1, 1)}),
        ("even", {"kernel": (2, 2), "stride": (1, 2), "padding": (0, 0, 1, 1)}),
        ("whole", {"kernel": (7, 6), "stride": (1, 1), "clamp_min": -20, "clamp_max": 30}),
    ):
        for source, value in (("x", x), ("y", y)):
            made = builder.integer_avg_pool2d(value, **options)
            outputs.append((f"average_{name}_{source}", made))
    for scale in (0.003, 0.1, 2.0):
        distances = -np.arange(256, dtype=np.float64) * scale
        table = np.minimum(np.round(np.exp(distances) * 2.0**31), 2.0**31 - 1).astype(np.int64)
        for axis in (1, 2, 3):
            made = builder.fixed_point_softmax(y, axis, table.tolist())
            outputs.append((f"softmax{axis}_{scale}", made))
    compare(builder.finish(outputs), tmp_path, rng)


def test_saturation(tmp_path: Path) -> None:
    """Weights and inputs at their extremes, with the largest difference from the zero point."""
    rng = np.random.default_rng(7)
    builder = Builder([("low", (1, 64, 6, 6), n.activation(-128)),
                       ("high", (1, 64, 6, 6), n.activation(127))])  # fmt: skip
    outputs: list[tuple[str, ir.Value]] = []
    for name, x in zip(("low", "high"), builder.inputs, strict=True):
        for sign in (127, -127):
            values = np.full((4, 64, 3, 3), sign)
            params = n.QuantParams((0.01,), 0, 8, -127, 127)
            taps, zeros = builder.constant(values, params), builder.constant(np.zeros(4, int))
            acc = builder.conv2d(x, taps, zeros, padding=(1, 1, 1, 1))
            narrow = {"multiplier": [451], "shift": [26]}
            result = builder.requantize(acc, n.activation(-128 if sign > 0 else 127), **narrow)
            outputs.append((f"{name}{sign}", result))
    compare(builder.finish(outputs), tmp_path, rng)


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_random_networks(tmp_path: Path, seed: int) -> None:
    """Six networks in one library, so that the buffers of all share the arena."""
    rng = np.random.default_rng(seed)
    shapes = [
        (1, int(rng.integers(1, 9)), *(int(e) for e in rng.integers(5, 14, 2))) for _ in range(6)
    ]
    inputs = [(f"in{i}", shape, n.random_activation(rng)) for i, shape in enumerate(shapes)]
    builder = Builder(inputs)
    outputs = [
        (f"out{i}", n.random_branch(builder.named(f"branch/{i}"), rng, x))
        for i, x in enumerate(builder.inputs)
    ]
    compare(builder.finish(outputs), tmp_path, rng)


HERE = cpu_level("host")
LEVELS_HERE = [
    level.name
    for level in LEVELS.values()
    if level.machine == HERE.machine and set(level.features) <= set(HERE.features)
]


@pytest.mark.parametrize("level", LEVELS_HERE)
def test_levels_agree(tmp_path: Path, level: str) -> None:
    """Each instruction set gives the same integers."""
    rng = np.random.default_rng(21)
    builder = Builder([("x", (1, 6, 12, 12), n.activation(-30))])
    x = builder.inputs[0]
    x = n.conv(builder, rng, x, 8, (3, 3), padding=(1, 1, 1, 1))
    x = n.conv(builder, rng, x, 8, (3, 3), groups=8, stride=(2, 2))
    library = compare(builder.finish([("y", x)]), tmp_path, rng, levels=(cpu_level(level),))
    assert library.cpu == level


def test_thresholds(tmp_path: Path) -> None:
    rng = np.random.default_rng(13)
    builder = Builder([("x", (1, 6, 5, 7), n.activation(-3))])
    x = builder.inputs[0]
    sums = builder.conv2d(x, n.weight(builder, rng, (4, 6, 3, 3)), n.bias(builder, rng, 4))
    limits = np.iinfo(np.int32)
    steps = np.sort(rng.integers(-300_000, 300_000, (4, 15)), axis=1)
    steps[0, 0], steps[1, -1] = limits.min, limits.max
    steps[2] = 4  # one step of fifteen
    codes = np.sort(rng.integers(-130, 130, (6, 255)), axis=1)
    outputs = [
        ("each", builder.multi_threshold(sums, n.activation(0, 4), steps)),
        ("shared", builder.multi_threshold(sums, n.activation(2, 4), steps[3:])),
        ("codes", builder.multi_threshold(x, n.activation(0, 8), codes)),
        ("bit", builder.multi_threshold(x, n.activation(0, 2), codes[:5, 100:101], axis=2)),
    ]
    compare(builder.finish(outputs), tmp_path, rng)


def test_every_integer_operation_is_compared() -> None:
    """Fails for a new kernel until a test above has it."""
    assert sorted(kind.removeprefix("bw.") for kind in KERNELS) == [
        "add", "concat", "conv2d", "fixed_point_softmax", "integer_avg_pool2d", "integer_softmax",
        "linear", "matmul", "max_pool2d", "mul", "multi_threshold", "pad", "reduce_sum",
        "requantize", "reshape", "scaled_add", "slice", "sum_pool2d", "table", "transpose",
    ]  # fmt: skip
