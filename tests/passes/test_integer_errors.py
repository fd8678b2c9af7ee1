"""What has no integer form is refused by name."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from torch_mlir import ir

from bitwright.frontend.onnx import load
from bitwright.ir.builder import Builder
from bitwright.passes.integer import Integer, errors

sys.path.insert(0, str(Path(__file__).parent))

from qdq_networks import Grid, Network  # pyright: ignore[reportMissingImports]

GRID = Grid(0.5)


def _float_weight(net: Network, x: str) -> onnx.ModelProto:
    weight = net.constant(np.ones((2, 4, 1, 1), np.float32))
    made = net.node("Conv", [net.real(x), weight])
    return net.model(net.quantize(made, (1, 2, 7, 6), GRID))


def _not_quantized(net: Network, x: str) -> onnx.ModelProto:
    weight, _ = net.weight((4, 4, 1, 1), None)
    made = net.node("Conv", [net.node("Conv", [net.real(x), weight]), weight])
    return net.model(net.quantize(made, (1, 4, 7, 6), GRID))


def _function_of_sums(net: Network, x: str) -> onnx.ModelProto:
    weight, _ = net.weight((4, 4, 1, 1), None)
    made = net.node("Sigmoid", [net.node("Conv", [net.real(x), weight])])
    return net.model(net.quantize(made, (1, 4, 7, 6), GRID))


def _float_output(net: Network, x: str) -> onnx.ModelProto:
    made = net.model(x)
    made.graph.node.append(onnx.helper.make_node("Relu", [made.graph.output[0].name], ["y"]))
    made.graph.output[0].name = "y"
    return made


def _scale_per_channel(net: Network, x: str) -> onnx.ModelProto:
    scales, zeros = net.constant(np.full(4, 0.5, np.float32)), net.constant(np.zeros(4, np.int8))
    name = net.node("QuantizeLinear", [net.real(x), scales, zeros], axis=1)
    net.grids[name], net.shapes[name] = GRID, (1, 4, 7, 6)
    return net.model(name)


def _positive_weight(net: Network, x: str) -> onnx.ModelProto:
    integers = net.constant(np.full((2, 4, 1, 1), 255, np.uint8))
    made = net.node("DequantizeLinear", [integers, net.constant(np.float32(0.1))])
    return net.model(net.quantize(net.node("Conv", [net.real(x), made]), (1, 2, 7, 6), GRID))


def _wide(net: Network, x: str) -> onnx.ModelProto:
    made = net.node("Relu", [net.real(x)])
    proto = net.model(net.quantize(made, (1, 4, 7, 6), Grid(0.5, 0, "int16")))
    proto.opset_import[0].version = 21
    return proto


def _cumsum(net: Network, x: str) -> onnx.ModelProto:
    made = net.node("CumSum", [net.real(x), net.constant(np.asarray(1))])
    return net.model(net.quantize(made, (1, 4, 7, 6), GRID))


def _dynamic(net: Network, x: str) -> onnx.ModelProto:
    name = net.name("q")
    net.nodes.append(
        helper.make_node("ReduceMax", [net.real(x)], ["largest"], axes=[0, 1, 2, 3], keepdims=0)
    )
    zero = net.constant(np.asarray(0, np.int8))
    net.nodes.append(helper.make_node("QuantizeLinear", [net.real(x), "largest", zero], [name]))
    net.grids[name], net.shapes[name] = GRID, (1, 4, 7, 6)
    return net.model(name)


def _two_floats(net: Network, x: str) -> onnx.ModelProto:
    weight, _ = net.weight((4, 4, 1, 1), None)
    made = net.node("Add", [net.node("Conv", [net.real(x), weight]), net.real(x)])
    return net.model(net.quantize(made, (1, 4, 7, 6), GRID))


CASES: dict[str, tuple[Callable[[Network, str], onnx.ModelProto], type, str]] = {
    "float_weight": (
        _float_weight,
        errors.FloatBetweenMarkers,
        "'t9' (bw.conv2d) has a float weight, but its input is quantized. Quantize the weight as "
        "well (a constant with a DequantizeLinear behind it)",
    ),
    "not_quantized": (
        _not_quantized,
        errors.FloatBetweenMarkers,
        "'t13' (bw.conv2d) reads a float that is not dequantized integers. Quantize the result of "
        "the operation before it",
    ),
    "function_of_sums": (
        _function_of_sums,
        errors.NotAScale,
        "'t16' (bw.quantize) is preceded by a function of a sum that is no scale and offset. "
        "Quantize the sum before it, so that the function becomes a table",
    ),
    "float_output": (
        _float_output,
        errors.FloatBetweenMarkers,
        "Output 'y' of shape [1, 4, 7, 6] is float and not quantized; expected integers, integers "
        "that are dequantized, or sums of products of integers. Quantize the result of the last "
        "layer as well",
    ),
    "scale_per_channel": (
        _scale_per_channel,
        errors.UnsupportedMarker,
        "'t10' (bw.quantize) has 4 scales of shape [1, 4, 1, 1] for an activation; expected one. "
        "Quantize activations per tensor to at most 8 bits, with constant scales",
    ),
    "positive_weight": (
        _positive_weight,
        errors.UnsupportedMarker,
        "'t11' (bw.conv2d) has weights from 255 to 255 after their zero point is taken off; "
        "expected -256 to 254. Quantize weights to 8 bits, symmetrically",
    ),
    "wide": (
        _wide,
        errors.UnsupportedMarker,
        "'t11' (bw.quantize) has integers from -32768 to 32767; expected at most 8 bits. "
        "Quantize activations per tensor to at most 8 bits, with constant scales",
    ),
    "cumsum": (
        _cumsum,
        errors.FloatBetweenMarkers,
        "'t9' (bw.cumsum) has no integer form here. Integer operations are convolutions and "
        "matrix products with quantized weights, sums and products of two quantized tensors, "
        "pooling, means, softmax, elementwise functions, and moves of elements",
    ),
    "dynamic": (
        _dynamic,
        errors.UnsupportedMarker,
        "'q5' (bw.quantize): its scale is computed at run time (dynamic quantization), which "
        "integers of a fixed scale cannot follow. Quantize activations per tensor to at most 8 "
        "bits, with constant scales",
    ),
    "two_floats": (
        _two_floats,
        errors.FloatBetweenMarkers,
        "'t16' (bw.add) has no integer form for 2 tensors computed at run time. Quantize what it "
        "reads and its result, or leave it out of the exported model",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_refused(name: str) -> None:
    make, error, message = CASES[name]
    net = Network(np.random.default_rng(1))
    proto = make(net, net.input((1, 4, 7, 6), Grid(0.1)))
    with pytest.raises(errors.NotIntegerModel) as raised:
        Integer().run(load(proto.SerializeToString()))
    assert type(raised.value) is error
    assert str(raised.value) == message
    assert raised.value.exit_code == 3


def test_a_scale_that_is_not_positive() -> None:
    builder = Builder([("x", (1, 3), None)])
    scale, zero = np.full((1, 1), -0.5, np.float32), np.zeros((1, 1), np.int8)
    codes = builder.named("q").quantize(
        builder.inputs[0], builder.plain(scale), builder.plain(zero), zero.dtype
    )
    module = builder.finish([("y", codes)])
    with pytest.raises(errors.UnsupportedMarker) as raised:
        Integer().run(module)
    assert str(raised.value) == (
        "'q' (bw.quantize) has a scale of -0.5; expected a positive number. Export it again"
    )


@pytest.mark.parametrize("low", [0, -8])
def test_a_relu_of_an_input_that_its_quantize_repeats(low: int) -> None:
    """QKeras writes it; where the integers go below zero it is more than the quantize."""
    builder = Builder([("x", (1, 3), None)])
    grid = builder.plain(np.full((1, 1), 0.5, "f4")), builder.plain(np.zeros((1, 1), np.int8))
    x = builder.named("act").relu(builder.inputs[0])
    codes = builder.quantize(x, *grid, np.dtype(np.int8), minimum=low, maximum=7)
    module = builder.finish([("y", builder.dequantize(codes, *grid))])
    if low == 0:
        assert "bw.relu" not in str(Integer().run(module))
        return
    with pytest.raises(errors.FloatBetweenMarkers) as raised:
        Integer().run(module)
    assert str(raised.value) == (
        "Input 'x' of shape [1, 3] is float, and 'act' (bw.relu) reads it before it is quantized. "
        "Quantize the input, or leave that operation out of the exported model"
    )


def test_an_input_of_two_ranges() -> None:
    builder = Builder([("x", (1, 4), None)])
    scale = builder.plain(np.full((1, 1), 0.5, np.float32))
    zero = builder.plain(np.zeros((1, 1), np.int8))
    outputs: list[tuple[str, ir.Value]] = []
    for name, least in (("wide", -128), ("narrow", -5)):
        made = builder.named(name).quantize(
            builder.inputs[0], scale, zero, np.dtype(np.int8), minimum=least
        )
        outputs.append((name, builder.dequantize(made, scale, zero)))
    module = builder.finish(outputs)
    with pytest.raises(errors.UnsupportedMarker) as raised:
        Integer().run(module)
    assert str(raised.value) == (
        "'wide' (bw.quantize) quantizes an input to -128 to 127, which is quantized to -5 to 127 "
        "as well; expected one range for each input"
    )
