"""Whole small networks: the integer module against the float one, and the report."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_mlir import ir

from bitwright.ir import bw, graph, reference
from bitwright.ir.builder import Builder
from bitwright.ir.types import quant_params, shape_of, value_params
from bitwright.passes.quantize import Quantize, Quantized, calibrate

Body = Callable[[Builder, ir.Value], ir.Value]


def model(shape: tuple[int, ...], body: Body) -> ir.Module:
    builder = Builder([("x", shape, None)])
    return builder.finish([("y", body(builder, builder.inputs[0]))])


def conv(builder: Builder, x: ir.Value, outputs: int, seed: int, **how: object) -> ir.Value:
    random = np.random.default_rng(seed)
    channels = shape_of(x)[1] // int(how.get("groups", 1))
    weight = random.standard_normal((outputs, channels, 3, 3)) / math.sqrt(9 * channels)
    bias = random.standard_normal(outputs) / 4
    return builder.conv2d(
        x, builder.constant(weight.astype(np.float32)), builder.constant(bias.astype(np.float32)),
        padding=(1, 1, 1, 1), **how,
    )  # fmt: skip


def samples(module: ir.Module, count: int = 8, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        item.name: random.standard_normal((count, *shape_of(item.value)[1:])).astype(np.float32)
        for item in graph.inputs(module)
    }


def run_integers(made: Quantized, inputs: dict[str, np.ndarray]) -> np.ndarray:
    codes = {
        item.name: value_params(item.value).quantize(inputs[item.name])
        for item in graph.inputs(made.module)
    }
    output = graph.outputs(made.module)[0]
    return value_params(output.value).dequantize(reference.run(made.module, codes)[output.name])


def sqnr(wanted: np.ndarray, found: np.ndarray) -> float:
    return 10 * math.log10(np.square(wanted).sum() / max(np.square(wanted - found).sum(), 1e-30))


def residual(builder: Builder, x: ir.Value) -> ir.Value:
    a = builder.relu(conv(builder, x, 6, 1))
    b = conv(builder, builder.relu(conv(builder, a, 6, 2)), 6, 3)
    return builder.relu(builder.named("sum").add(a, b))


@given(
    seed=st.integers(0, 1 << 30), depthwise=st.booleans(), stride=st.integers(1, 2),
    pool=st.sampled_from(["max", "average", "none"]),
    activation=st.sampled_from(
        ["none", "relu", "clip", "leaky_relu", "hard_swish", "sigmoid", "tanh", "hard_sigmoid"]
    ),
    ranges=st.sampled_from(["minmax", "mse"]),
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_eight_bits_are_near_the_float_model(
    seed: int, depthwise: bool, stride: int, pool: str, activation: str, ranges: str
) -> None:
    functions = {
        "leaky_relu": (bw.LeakyReluOp, {"alpha": 0.1}), "hard_swish": (bw.HardSwishOp, {}),
        "sigmoid": (bw.SigmoidOp, {}), "tanh": (bw.TanhOp, {}), "relu": (bw.ReluOp, {}),
        "hard_sigmoid": (bw.HardSigmoidOp, {"alpha": 0.2, "beta": 0.5}),
        "clip": (bw.ClipOp, {"minimum": -0.5, "maximum": 1.0}),
    }  # fmt: skip

    def body(builder: Builder, x: ir.Value) -> ir.Value:
        y = conv(builder, x, 4, seed, stride=(stride, stride), groups=4 if depthwise else 1)
        if pool == "max":
            y = builder.max_pool2d(y, kernel=(2, 2), stride=(1, 1), padding=(1, 0, 0, 1))
        if activation in functions:
            operation, attributes = functions[activation]
            y = builder.unary(operation, y, **attributes)
        y = builder.relu(builder.add(conv(builder, y, 4, seed + 1), y))
        if pool == "average":
            y = builder.avg_pool2d(y, kernel=(2, 2), stride=(2, 2))
        return builder.reduce_mean(conv(builder, y, 5, seed + 2), [2, 3], False)

    module = model((1, 4, 8, 8), body)
    inputs = samples(module, 6, seed)
    made = Quantize(ranges=ranges, samples=inputs).quantize(module)
    wanted = reference.run(module, inputs)["y"]
    assert sqnr(wanted, run_integers(made, inputs)) > 25


def test_a_pooled_relu_gives_nothing_for_negative_inputs_in_either_order() -> None:
    pool = {"kernel": (2, 2), "stride": (2, 2)}
    first = model((1, 2, 6, 6), lambda b, x: b.max_pool2d(b.relu(conv(b, x, 3, 4)), **pool))
    second = model((1, 2, 6, 6), lambda b, x: b.relu(b.max_pool2d(conv(b, x, 3, 4), **pool)))
    inputs = samples(first)
    results = [run_integers(Quantize(samples=inputs).quantize(m), inputs) for m in (first, second)]
    np.testing.assert_array_equal(*results)
    assert results[0].min() == 0


def test_the_scales_of_a_residual_are_in_the_ratio_of_its_multipliers() -> None:
    module = model((1, 3, 8, 8), residual)
    made = Quantize(samples=samples(module)).quantize(module)
    (add,) = (op for op in graph.operations(made.module) if op.operation.name == "bw.add")
    lhs, rhs = value_params(add.lhs).scale, value_params(add.rhs).scale
    ratio = (lhs / add.lhs_multiplier.value) / (rhs / add.rhs_multiplier.value)
    assert ratio == pytest.approx(1, abs=2**-23)


def test_a_residual_is_exact_up_to_one_rounding() -> None:
    """The integer add of what its inputs mean is off by at most half an output step."""
    module = model((1, 3, 8, 8), residual)
    made = Quantize(samples=samples(module)).quantize(module)
    seen: dict[ir.Value, np.ndarray] = {}
    codes = {"x": value_params(graph.inputs(made.module)[0].value).quantize(samples(module)["x"])}
    reference.evaluate(made.module, codes, lambda value, array: seen.update({value: array}))
    (add,) = (op for op in graph.operations(made.module) if op.operation.name == "bw.add")
    result = graph.outputs(made.module)[0].value
    real = [
        (seen[v].astype(np.float64) - value_params(v).zero_point) * value_params(v).scale
        for v in (add.lhs, add.rhs)
    ]
    params = value_params(result)
    wanted = np.clip(real[0] + real[1], 0, params.scale * 255) / params.scale
    found = seen[result].astype(np.float64) - params.zero_point
    assert np.abs(wanted - found).max() <= 0.5 + 2e-3


def test_a_chain_of_residuals_and_a_doubled_value() -> None:
    def body(builder: Builder, x: ir.Value) -> ir.Value:
        x = builder.relu(conv(builder, x, 4, 0))
        for seed in range(3):
            x = builder.relu(builder.add(conv(builder, x, 4, seed), x))
        return builder.add(x, x)

    module = model((1, 4, 6, 6), body)
    inputs = samples(module)
    made = Quantize(samples=inputs).quantize(module)
    assert sqnr(reference.run(module, inputs)["y"], run_integers(made, inputs)) > 30
    assert not any(op.operation.name == "bw.table" for op in graph.operations(made.module))


def test_operands_of_very_different_size_and_of_zeros() -> None:
    def body(builder: Builder, x: ir.Value) -> ir.Value:
        small = builder.mul(x, builder.constant(np.full((1,), 1e-4, np.float32)))
        nothing = builder.mul(x, builder.constant(np.zeros((1,), np.float32)))
        both = builder.add(builder.add(x, small), nothing)
        thousand = builder.mul(small, builder.constant(np.full((1,), 1e4, np.float32)))
        return builder.add(both, thousand)

    module = model((1, 16), body)
    inputs = samples(module)
    made = Quantize(samples=inputs).quantize(module)
    wanted = 2 * inputs["x"]
    assert sqnr(wanted, run_integers(made, inputs)) > 35


def test_a_concat_of_private_shared_and_constant_operands() -> None:
    def body(builder: Builder, x: ir.Value) -> ir.Value:
        a = builder.relu(conv(builder, x, 2, 1))
        b = conv(builder, a, 2, 2)
        c = builder.constant(np.full((1, 1, 6, 6), 1.5, np.float32))
        return builder.concat([a, b, c, builder.softmax(b, 1)], 1)

    module = model((1, 2, 6, 6), body)
    inputs = samples(module, 1)
    made = Quantize(samples=inputs).quantize(module)
    wanted, found = reference.run(module, inputs)["y"], run_integers(made, inputs)
    scale = value_params(graph.outputs(made.module)[0].value).scale
    assert np.abs(wanted - found).max() < 4 * scale


def test_matmul_of_activations_and_softmax() -> None:
    def body(builder: Builder, x: ir.Value) -> ir.Value:
        scores = builder.matmul(x, builder.transpose(x, [0, 2, 1]))
        return builder.matmul(builder.softmax(scores, 2), x)

    module = model((1, 6, 8), body)
    inputs = samples(module)
    made = Quantize(samples=inputs).quantize(module)
    assert sqnr(reference.run(module, inputs)["y"], run_integers(made, inputs)) > 28


def test_channels_without_weights_keep_their_bias_and_narrow_accumulators() -> None:
    weight = np.asarray([[0.0, 0.0], [1e-9, -1e-9], [1.0, 0.5]], np.float32)
    bias = np.asarray([0.75, -0.5, 0.1], np.float32)
    module = model(
        (1, 2), lambda b, x: b.named("dense").linear(x, b.constant(weight), b.constant(bias))
    )
    inputs = samples(module, 32)
    made = Quantize(samples=inputs).quantize(module)
    wanted, found = reference.run(module, inputs)["y"], run_integers(made, inputs)
    assert np.abs(wanted - found).max() < 0.03
    bits = made.report.layer("dense").accumulator_bits
    assert bits is not None
    assert bits <= 23


def test_bias_correction_removes_the_mean_error_of_weights() -> None:
    module = model((1, 3, 8, 8), lambda b, x: conv(b, x, 8, 7))
    inputs = {"x": samples(module, 16)["x"] + 2}
    wanted = reference.run(module, inputs)["y"].mean(axis=(0, 2, 3))
    errors = [
        np.abs(run_integers(made, inputs).mean(axis=(0, 2, 3)) - wanted).max()
        for on in (True, False)
        for made in [Quantize(weights=3, bias_correction=on, samples=inputs).quantize(module)]
    ]
    assert errors[0] < 0.1 * errors[1]


def test_more_bits_are_better() -> None:
    module = model((1, 3, 8, 8), residual)
    inputs = samples(module)
    statistics = calibrate(module, inputs)
    wanted = reference.run(module, inputs)["y"]
    found = [
        sqnr(wanted, run_integers(made, inputs))
        for b in (2, 4, 6, 8)
        for made in [Quantize(weights=b, activations=b).quantize(module, statistics)]
    ]
    assert found == sorted(found)
    assert found[-1] > 35


def test_the_same_samples_give_the_same_module() -> None:
    module = model((1, 3, 8, 8), residual)
    inputs = samples(module, 20)
    texts = {str(Quantize(weights=4, ranges="mse", samples=inputs).run(module)) for _ in range(2)}
    assert len(texts) == 1


def test_boundary_bits_and_weights() -> None:
    def body(builder: Builder, x: ir.Value) -> ir.Value:
        for index in range(3):
            x = builder.relu(conv(builder.named(f"conv{index}"), x, 3, index))
        return builder.reshape(x, (1, 108))

    module = model((1, 3, 6, 6), body)
    options = {"weights": 3, "activations": 4, "samples": samples(module)}
    report = Quantize(**options, boundary_weights=8).quantize(module).report
    assert [layer.bits for layer in report.layers] == [8, 4, 4, 8]
    assert [layer.weight_bits for layer in report.layers] == [None, 8, 3, 8]
    report = Quantize(**options, boundary_bits=None).quantize(module).report
    assert [layer.bits for layer in report.layers] == [4, 4, 4, 4]
    assert [layer.weight_bits for layer in report.layers] == [None, 3, 3, 3]


def test_the_report_says_what_was_done_and_measures_on_request() -> None:
    def body(builder: Builder, x: ir.Value) -> ir.Value:
        y = builder.relu(conv(builder.named("conv"), x, 4, 1))
        return builder.named("tanh").unary(bw.TanhOp, y)

    module = model((1, 3, 6, 6), body)
    inputs = samples(module, 20)
    made = Quantize(ranges="percentile", percentile=99.0, samples=inputs).quantize(module)
    image, layer, table = made.report.layers
    assert (image.kind, layer.kind, table.kind) == ("input", "conv2d", "tanh")
    assert 0.01 < image.clipped < 0.03
    assert layer.zero_point == -128
    assert layer.accumulator_bits is not None
    assert layer.weight_sqnr_db is not None
    assert layer.weight_sqnr_db > 38
    assert table.table_error is not None
    assert made.report.samples == 20
    assert layer.sqnr_db is None
    measured = made.measure(inputs)
    assert all(item.sqnr_db is not None and item.sqnr_db > 20 for item in measured.layers)
    assert measured.output_sqnr_db == {"y": measured.layer("tanh").sqnr_db}
    assert measured.asdict()["layers"][1]["name"] == "conv"
    with pytest.raises(KeyError):
        measured.layer("pool")


def test_a_clip_that_nothing_precedes_has_a_range_of_its_own() -> None:
    builder = Builder([("x", (1, 64), None)])
    clipped = builder.unary(bw.ClipOp, builder.inputs[0], minimum=5.0, maximum=9.0)
    module = builder.finish([("y", clipped)])
    x = np.random.default_rng(0).normal(size=(20, 64)).astype(np.float32)
    x[:, 0] = 7.5
    quantized = Quantize(samples={"x": x}).run(module)
    params = quant_params(graph.inputs(quantized)[0].value.type)
    result = quant_params(graph.outputs(quantized)[0].value.type)
    assert params is not None
    assert result is not None
    y = result.dequantize(reference.run(quantized, {"x": params.quantize(x)})["y"])
    assert np.abs(y - np.clip(x, 5, 9)).max() <= params.scale
