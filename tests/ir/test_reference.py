"""The interpreter against loops over plain Python integers, and against closed forms."""

from itertools import product

import numpy as np
import pytest

from bitwright.ir import fixed_point, reference
from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams

X = QuantParams((0.5,), -3, 8, -128, 127)
W = QuantParams((0.1,), 0, 8, -127, 127)


def _naive_conv(x, w, b, zero, stride, padding, dilation, groups):  # type: ignore[no-untyped-def]
    _, height, width = x.shape
    outputs, per_group, rows, columns = w.shape
    out_h = (height + padding[0] + padding[2] - dilation[0] * (rows - 1) - 1) // stride[0] + 1
    out_w = (width + padding[1] + padding[3] - dilation[1] * (columns - 1) - 1) // stride[1] + 1
    result = np.zeros((outputs, out_h, out_w), dtype=object)
    for o, oy, ox in product(range(outputs), range(out_h), range(out_w)):
        total = int(b[o])
        for c, ky, kx in product(range(per_group), range(rows), range(columns)):
            y = oy * stride[0] + ky * dilation[0] - padding[0]
            xx = ox * stride[1] + kx * dilation[1] - padding[1]
            if 0 <= y < height and 0 <= xx < width:
                channel = o // (outputs // groups) * per_group + c
                total += int(w[o, c, ky, kx]) * (int(x[channel, y, xx]) - zero)
        result[o, oy, ox] = total
    return result


@pytest.mark.parametrize("seed", range(6))
def test_conv2d_is_the_sum_of_products(seed: int) -> None:
    random = np.random.default_rng(seed)
    groups = int(random.choice([1, 2, 4]))
    stride, dilation = (
        random.integers(1, 3, size=2).tolist(),
        random.integers(1, 3, size=2).tolist(),
    )
    padding = random.integers(0, 3, size=4).tolist()
    x = random.integers(-128, 128, size=(2, 4, 7, 6)).astype(np.int8)
    w = random.integers(-127, 128, size=(8, 4 // groups, 3, 2)).astype(np.int8)
    b = random.integers(-(2**20), 2**20, size=8)
    builder = Builder([("x", (1, 4, 7, 6), X)])
    acc = builder.conv2d(
        builder.inputs[0], builder.constant(w, W), builder.constant(b), stride=stride,
        padding=padding, dilation=dilation, groups=groups,
    )  # fmt: skip
    found = reference.run(builder.finish([("y", acc)]), {"x": x})["y"]
    for sample in range(2):
        expected = _naive_conv(x[sample], w, b, -3, stride, padding, dilation, groups)
        assert (found[sample] == expected).all()


def test_plain_integers_accumulate_exactly_and_wrap() -> None:
    random = np.random.default_rng(0)
    int32 = np.dtype(np.int32)
    x = random.integers(-(2**15), 2**15, (1, 6, 5, 4)).astype(int32)
    w = random.integers(-(2**15), 2**15, (4, 3, 2, 3)).astype(int32)
    builder = Builder([("x", x.shape, int32)])
    acc = builder.conv2d(
        builder.inputs[0], builder.plain(w), builder.plain(np.zeros(4, int32)), stride=(1, 2),
        padding=(1, 0, 2, 1), groups=2,
    )  # fmt: skip
    found = reference.run(builder.finish([("y", acc)]), {"x": x})["y"]
    args = (0, [1, 2], [1, 0, 2, 1], [1, 1], 2)
    expected = _naive_conv(x[0], w, np.zeros(4, np.int64), *args)
    assert np.abs(expected).max() > 2**31  # some wrap, none loses its low bits
    assert found.dtype == int32
    assert (found[0] == expected.astype(np.int64).astype(np.int32)).all()


def test_requantize_rounds_half_up_and_clamps() -> None:
    acc = np.array([[3, 1, -1, -3, 1000, -1000, 2, 0]], dtype=np.int32)
    builder = Builder([("x", acc.shape, X)])
    made = builder.requantize(
        builder.constant(acc), QuantParams((1.0,), 10, 8, -128, 127), multiplier=[1], shift=[1],
        clamp_min=-100, clamp_max=100,
    )  # fmt: skip
    found = reference.run(builder.finish([("y", made)]), {"x": np.zeros(acc.shape, np.int8)})["y"]
    assert found.tolist() == [[12, 11, 10, 9, 100, -100, 11, 10]]


def test_half_up_is_exact_at_the_widest_values() -> None:
    acc = np.array([2**31 - 1, -(2**31)], dtype=np.int32)
    found = fixed_point.SCALES["half_up"](acc, 65535, 46)
    assert found.tolist() == [(int(a) * 65535 + 2**45) >> 46 for a in acc]


def test_accumulator_overflow_is_an_error() -> None:
    builder = Builder([("x", (1, 4), X)])
    weight = builder.constant(np.full((1, 4), 127), W)
    bias = builder.constant(np.array([2**31 - 1]))
    module = builder.finish([("y", builder.linear(builder.inputs[0], weight, bias))])
    with pytest.raises(reference.AccumulatorOverflow) as error:
        reference.run(module, {"x": np.full((1, 4), 127, np.int8)})
    assert str(error.value) == (
        "bw.linear sums to [2147549687, 2147549687], which leaves 32 bits; quantize to fewer bits "
        "or split the layer"
    )


def test_residual_scales_both_sides() -> None:
    other = QuantParams((0.25,), 7, 8, -128, 127)
    builder = Builder([("a", (1, 3), X), ("b", (1, 3), other)])
    acc = builder.add(*builder.inputs, 2, -5)
    a, b = np.array([[1, -128, 127]], np.int8), np.array([[0, 127, -128]], np.int8)
    found = reference.run(builder.finish([("y", acc)]), {"a": a, "b": b})["y"]
    assert found.tolist() == [[2 * 4 + 35, 2 * -125 - 5 * 120, 2 * 130 + 5 * 135]]


def test_integer_softmax_is_close_to_softmax() -> None:
    params = QuantParams((0.1,), 0, 8, -128, 127)
    table = np.rint(65536 * np.exp(-0.1 * np.arange(256))).astype(int)
    builder = Builder([("x", (1, 10), params)])
    module = builder.finish([("y", builder.integer_softmax(builder.inputs[0], 1, table.tolist()))])
    x = np.random.default_rng(0).integers(-128, 128, size=(50, 10)).astype(np.int8)
    found = (reference.run(module, {"x": x})["y"].astype(float) + 128) / 256
    real = np.exp(0.1 * (x.astype(int) - x.max(axis=1, keepdims=True)).astype(float))
    real /= real.sum(axis=1, keepdims=True)
    assert np.abs(found - real).max() <= 1.01 / 256


def test_samples_together_equal_samples_alone() -> None:
    builder = Builder([("x", (1, 2, 4, 4), None)])
    y = builder.relu(builder.inputs[0])
    y = builder.transpose(y, (0, 2, 3, 1))
    y = builder.reshape(builder.concat([y, y, y], 3), (1, 96))
    module = builder.finish([("y", y)])
    x = np.random.default_rng(1).normal(size=(5, 2, 4, 4)).astype(np.float32)
    together = reference.run(module, {"x": x})["y"]
    alone = [reference.run(module, {"x": x[i : i + 1]})["y"] for i in range(5)]
    assert (together == np.concatenate(alone)).all()


def test_an_operation_across_samples_runs_them_one_by_one() -> None:
    builder = Builder([("x", (1, 3, 1, 2), None)])
    y = builder.transpose(builder.inputs[0], (2, 1, 0, 3))
    module = builder.finish([("y", builder.softmax(y, 0))])
    x = np.random.default_rng(1).normal(size=(4, 3, 1, 2)).astype(np.float32)
    assert (reference.run(module, {"x": x})["y"] == 1).all()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "Input 'x' is missing; the model's inputs are: x"),
        (
            {"x": np.zeros((1, 4), np.int8), "z": np.zeros(1)},
            "Input 'z' is not of this model; its inputs are: x",
        ),
        ({"x": np.zeros((1, 5), np.int8)}, "Input 'x' has shape [1, 5]; expected [N, 4]"),
        ({"x": np.zeros((1, 4), np.float32)}, "Input 'x' has type float32; expected int8"),
        ({"x": np.full((1, 4), 8, np.int8)}, "Input 'x' spans [8, 8]; expected [-8, 7]"),
    ],
)
def test_wrong_inputs_are_named(inputs: dict[str, np.ndarray], message: str) -> None:
    params = QuantParams((0.5,), 0, 4, -8, 7)
    builder = Builder([("x", (1, 4), params)])
    module = builder.finish([("y", builder.reshape(builder.inputs[0], (1, 4)))])
    with pytest.raises(reference.InputError) as error:
        reference.run(module, inputs)
    assert str(error.value) == message
