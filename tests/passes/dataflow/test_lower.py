"""Pipelines compute what the reference computes; what has no stage is refused by name."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.errors import BitwrightError
from bitwright.hwgen.dataflow import golden
from bitwright.ir import graph, reference
from bitwright.ir.builder import Builder
from bitwright.ir.dataflow import ChannelwiseStage, MatrixStage, Pipeline, Requantize, Sums, Tensor
from bitwright.ir.types import QuantParams, shape_of, value_params
from bitwright.passes.dataflow import UnsupportedInDataflow, lower
from bitwright.passes.partition import partition

sys.path.insert(0, str(Path(__file__).parents[2] / "whole"))
from random_networks import random_network  # noqa: E402

X = QuantParams((0.5,), 3, 8, -128, 127)
W = QuantParams((1.0,), 0, 4, -7, 7)
Y = QuantParams((1.0,), -4, 3, -4, 3)
SAMPLES = 3


def random(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def weights(build: Builder, *shape: int) -> ir.Value:
    return build.constant(random(sum(shape)).integers(-7, 8, shape), W)


def zeros(build: Builder, count: int) -> ir.Value:
    return build.constant(np.zeros(count, np.int32))


def check(module: ir.Module) -> Pipeline:
    """Lower `module` and compare; every tensor also has to fit the bits that it is given."""
    pipeline = lower(module)
    (item,), (result,) = graph.inputs(module), graph.outputs(module)
    params = value_params(item.value)
    shape = (SAMPLES, *shape_of(item.value)[1:])
    x = random().integers(params.qmin, params.qmax + 1, shape).astype(np.int8)
    wanted = reference.run(module, {item.name: x})[result.name]
    source = pipeline.input
    for sample in range(SAMPLES):
        image = x[sample].reshape(source.channels, source.height, source.width)
        found = golden.run(pipeline, image.transpose(1, 2, 0).astype(np.int64))
        for tensor in (source, *(stage.result for stage in pipeline.stages)):
            _check_range(tensor, found[tensor.name])
        last = found[pipeline.output.name].transpose(2, 0, 1)
        np.testing.assert_array_equal(last.ravel(), wanted[sample].ravel())
    return pipeline


def _check_range(tensor: Tensor, values: NDArray[np.int64]) -> None:
    low = -(1 << tensor.bits - 1) if tensor.signed else 0
    assert low <= values.min()
    assert values.max() < low + (1 << tensor.bits)


@pytest.mark.parametrize("seed", range(60))
def test_random_networks(seed: int) -> None:
    module = random_network(seed)
    kinds = {operation.operation.name for operation in graph.operations(module)}
    if "bw.concat" in kinds or len(graph.outputs(module)) > 1:
        with pytest.raises(UnsupportedInDataflow):
            lower(partition(module).core)
    else:
        check(partition(module).core)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 1, 2)])
def test_a_map_is_flattened_in_any_order(order: tuple[int, ...]) -> None:
    build = Builder([("x", (1, 3, 4, 5), X)])
    maps = build.max_pool2d(build.inputs[0], kernel=(2, 2), stride=(1, 1))
    flat = build.reshape(build.transpose(maps, order), (1, 36))
    sums = build.linear(flat, weights(build, 6, 36), zeros(build, 6))
    pipeline = check(build.finish([("y", sums)]))
    stage = pipeline.stages[-1]
    assert isinstance(stage, MatrixStage)
    assert stage.weights.shape == (6, 1, 1, 36)  # folded in any way, not channel by channel
    assert isinstance(stage.output, Sums)


@pytest.mark.parametrize("rows", [1, 5])
def test_thresholds_after_reshaped_sums(rows: int) -> None:
    build = Builder([("x", (1, 4, 3, 3), X)])
    sums = build.conv2d(build.inputs[0], weights(build, 5, 4, 3, 3), zeros(build, 5))
    flat = build.reshape(sums, (1, 5))
    levels = np.sort(random().integers(-3000, 3000, (rows, 7)), axis=1)
    levels[0, 0], levels[-1, -1] = np.iinfo(np.int32).min, np.iinfo(np.int32).max
    steps = build.multi_threshold(flat, Y, levels)
    check(build.finish([("y", build.multi_threshold(steps, Y, np.array([[-3, 0, 1]])))]))


def test_one_bit_of_weight_and_few_bits_of_activation() -> None:
    build = Builder([("x", (1, 8), Y)])
    signs = build.constant(random().choice([-1, 1], (6, 8)), W)
    sums = build.linear(build.inputs[0], signs, zeros(build, 6))
    positive = build.requantize(sums, X, multiplier=[1], shift=[1], clamp_min=0, clamp_max=15)
    last = build.linear(positive, weights(build, 2, 6), zeros(build, 2))
    pipeline = check(build.finish([("y", last)]))
    first = pipeline.stages[0]
    assert isinstance(first, MatrixStage)
    assert first.weight_bits == 1
    assert (first.result.bits, first.result.signed) == (4, False)


def test_a_table_becomes_part_of_the_stage_before_it() -> None:
    build = Builder([("x", (1, 4, 3, 3), X)])
    sums = build.sum_pool2d(build.inputs[0], kernel=(3, 3), stride=(1, 1))
    codes = build.requantize(sums, X, multiplier=[3], shift=[5], clamp_min=-60, clamp_max=70)
    squares = [int(v * v // 200) for v in range(-128, 128)]
    pipeline = check(build.finish([("y", build.table(codes, X, squares))]))
    (stage,) = pipeline.stages
    assert isinstance(stage, ChannelwiseStage)
    assert isinstance(stage.output, Requantize)
    assert stage.output.table is not None


def test_accumulators_hold_every_sum_with_and_without_the_bias() -> None:
    build = Builder([("x", (1, 2), QuantParams((1.0,), -128, 8, -128, 127))])
    weight = build.constant(np.full((1, 2), 7), W)
    pipeline = check(build.finish([("y", build.linear(build.inputs[0], weight, zeros(build, 1)))]))
    (stage,) = pipeline.stages
    assert isinstance(stage, MatrixStage)
    assert stage.acc_bits == 13  # 0 to 3,570 with what the zero point adds, -1,792 to 1,778 without


def _error(module: ir.Module) -> str:
    with pytest.raises(BitwrightError) as error:
        lower(module)
    assert isinstance(error.value, UnsupportedInDataflow)
    return str(error.value)


def _requantized(build: Builder, sums: ir.Value, **more: Any) -> ir.Value:
    return build.requantize(sums, X, multiplier=[1], shift=[4], **more)


def test_a_second_output_is_refused() -> None:
    build = Builder([("x", (1, 4), X)])
    first = build.linear(build.inputs[0], weights(build, 4, 4), zeros(build, 4))
    module = build.finish([("y", first), ("z", _requantized(build, first))])
    assert _error(module) == (
        "Output 'z' is one output more than a pipeline has; compile with --style overlay"
    )


def test_a_second_input_is_refused() -> None:
    build = Builder([("a", (1, 4), X), ("b", (1, 4), X)])
    module = build.finish([("y", _requantized(build, build.add(*build.inputs)))])
    assert _error(module) == (
        "Input 'b' is one input more than a pipeline has; compile with --style overlay"
    )


def test_an_input_of_rank_5_is_refused() -> None:
    build = Builder([("x", (1, 2, 2, 2, 2), X)])
    module = build.finish([("y", build.reshape(build.inputs[0], (1, 16)))])
    assert _error(module) == (
        "Input 'x' has shape [1, 2, 2, 2, 2]; expected batch 1 and rank 2, 3 or 4; compile with "
        "--style overlay"
    )


def test_an_output_whose_elements_were_moved_is_refused() -> None:
    build = Builder([("x", (1, 2, 3, 3), X)])
    y = build.max_pool2d(build.inputs[0], kernel=(2, 2), stride=(1, 1))
    module = build.finish([("y", build.transpose(y, (0, 2, 3, 1)))])
    assert _error(module) == (
        "Output 'y' is not the result of the last layer as it is; compile with --style overlay"
    )


def test_an_operation_without_a_stage_is_refused() -> None:
    build = Builder([("x", (1, 4, 3, 3), X)])
    x = build.inputs[0]
    product = build.named("square").mul(x, x)
    assert _error(build.finish([("y", _requantized(build, product))])) == (
        "bw.mul (square) with operands [1, 4, 3, 3], [1, 4, 3, 3]: a pipeline has no stage for it; "
        "compile with --style overlay, or change the model there"
    )


def test_a_convolution_of_moved_elements_is_refused() -> None:
    build = Builder([("x", (1, 3, 4, 4), X)])
    turned = build.transpose(build.inputs[0], (0, 2, 3, 1))
    sums = build.named("conv").conv2d(turned, weights(build, 2, 4, 1, 1), zeros(build, 2))
    assert _error(build.finish([("y", sums)])) == (
        "bw.conv2d (conv) with operands [1, 4, 4, 3], [2, 4, 1, 1], [2]: its operand is a tensor "
        "whose elements were moved; compile with --style overlay, or change the model there"
    )


def test_a_bias_from_run_time_is_refused() -> None:
    build = Builder([("x", (1, 4), X)])
    x, weight = build.inputs[0], weights(build, 1, 4)
    bias = build.reshape(build.linear(x, weight, zeros(build, 1)), (1,))
    sums = build.named("fc").linear(x, weight, bias)
    assert _error(build.finish([("y", sums)])) == (
        "bw.linear (fc) with operands [1, 4], [1, 4], [1]: its weight or bias is computed at run "
        "time; compile with --style overlay, or change the model there"
    )


def test_scales_along_another_axis_are_refused() -> None:
    build = Builder([("x", (1, 3, 2, 2), X)])
    sums = build.conv2d(build.inputs[0], weights(build, 3, 3, 1, 1), zeros(build, 3))
    codes = build.named("scale").requantize(sums, X, multiplier=[1, 2], shift=[1, 1], axis=2)
    assert _error(build.finish([("y", codes)])) == (
        "bw.requantize (scale) with operands [1, 3, 2, 2]: what it does along axis 2 is not per "
        "channel; compile with --style overlay, or change the model there"
    )
