"""Quantized ONNX models against ONNX Runtime, and their native code against the reference."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from bitwright.codegen.cpu.library import build_library
from bitwright.frontend.onnx import load
from bitwright.ir import graph, reference
from bitwright.ir.types import shape_of, value_params
from bitwright.passes.integer import Integer, Integral
from bitwright.passes.widths import prove
from bitwright.runtime.library import load_library

sys.path.insert(0, str(Path(__file__).parent))

from qdq_networks import Network, run_onnx  # pyright: ignore[reportMissingImports]

Array = NDArray[Any]
SAMPLES = 12


def _conv(net: Network, x: str) -> str:
    return net.conv(x, 6, activation="Relu", strides=[2, 1])


def _shuffled(net: Network, x: str) -> str:
    y = net.moved("Transpose", x, (1, 7, 6, 4), perm=[0, 2, 3, 1])
    y = net.moved("Reshape", y, (1, 14, 12), np.asarray([1, 14, 12]))
    y = net.moved("Slice", y, (1, 6, 12), np.asarray([1]), np.asarray([13]), np.asarray([1]),
                  np.asarray([2]))  # fmt: skip
    return net.moved("Pad", y, (1, 7, 12), np.asarray([0, 1, 0, 0, 0, 0]), np.float32(0))


def _residual(net: Network, x: str) -> str:
    return net.binary("Add", net.conv(x, 4), net.conv(x, 4, groups=4))


def _joined(net: Network, x: str) -> str:
    y = net.conv(x, 3)
    made = net.node("Concat", [net.real(x), net.real(y)], axis=1)
    return net.quantize(made, (1, 7, 7, 6), net.grid(255 * net.grids[x].scale))


def _pooled(net: Network, x: str) -> str:
    y = net.moved("MaxPool", x, (1, 4, 4, 3), kernel_shape=[1, 2], strides=[2, 2])
    made = net.node("AveragePool", [net.real(y)], kernel_shape=[2, 2])
    y = net.quantize(made, (1, 4, 3, 2), net.grid(251 * net.grids[x].scale))
    y = net.moved("Slice", y, (1, 4, 2, 2), np.asarray([1]), np.asarray([3]), np.asarray([2]))
    made = net.node("GlobalAveragePool", [net.real(y)])
    return net.quantize(made, (1, 4, 1, 1), net.grid(233 * net.grids[x].scale))


def _head(net: Network, x: str) -> str:
    x = net.moved("Slice", x, (1, 4, 4, 4), *(np.asarray(n) for n in ([1, 1], [5, 5], [2, 3])))
    made = net.node("ReduceMean", [net.real(x)], axes=[2, 3], keepdims=0)
    y = net.quantize(made, (1, 4), net.grid(97 * net.grids[x].scale))
    return net.dense(y, 5)


def _functions(net: Network, x: str) -> str:
    y = net.unary("HardSigmoid", x, 1.0)
    y = net.binary("Mul", x, y)
    y = net.unary("LeakyRelu", y, 4.0, alpha=0.25)
    made = net.node("Clip", [net.real(y), net.constant(np.float32(-1)),
                             net.constant(np.float32(1.5))])  # fmt: skip
    return net.quantize(made, net.shapes[y], net.grid(2.5))


def _normalized(net: Network, x: str) -> str:
    """A batch norm between the convolution and its quantize, one of its factors negative."""
    weight, scales = net.weight((4, 4, 3, 3), 0)
    made = net.node("Conv", [net.real(x), weight, net.bias(x, scales, 4)], pads=[1, 1, 1, 1])
    factor = np.float32([[[[0.5]], [[-2.0]], [[1.0]], [[0.25]]]])
    made = net.node("Relu", [net.node("Mul", [made, net.constant(factor)])])
    return net.quantize(made, (1, 4, 7, 6), net.grid(100 * net.grids[x].scale))


def _attention(net: Network, x: str) -> str:
    rows = net.moved("Reshape", x, (1, 4, 42), np.asarray([1, 4, 42]))
    turned = net.moved("Transpose", rows, (1, 42, 4), perm=[0, 2, 1])
    made = net.node("MatMul", [net.real(rows), net.real(turned)])
    return net.quantize(made, (1, 4, 4), net.grid(255 * 1500 * net.grids[x].scale ** 2))


def _asymmetric(net: Network, x: str) -> str:
    """Weights of 8 bits whose zero points make 9 of them, in groups and in a dense layer."""
    y = net.conv(x, 8, groups=2, zero_point=140)
    y = net.moved("Slice", y, (1, 8, 7, 1), *(np.asarray(n) for n in ([2], [3], [3])))
    y = net.moved("Reshape", y, (1, 56), np.asarray([1, 56]))
    return net.dense(y, 6, zero_point=115)


def _late(net: Network, x: str) -> str:
    """Factors (one of them zero), a clamp, a maximum and a transpose before the quantize."""
    weight, scales = net.weight((4, 4, 3, 3), None)
    made = net.node("Conv", [net.real(x), weight, net.bias(x, scales, 4)], pads=[1, 1, 1, 1])
    factor = np.float32([0.5, 0.0, -1.0, 2.0]).reshape(4, 1, 1)
    made = net.node("Relu", [net.node("Mul", [made, net.constant(factor)])])
    made = net.node("MaxPool", [made], kernel_shape=[2, 2], strides=[2, 2])
    made = net.node("Transpose", [made], perm=[0, 2, 3, 1])
    return net.quantize(made, (1, 3, 3, 4), net.grid(100 * net.grids[x].scale))


def _channels(net: Network, x: str) -> str:
    """A factor and an offset for each channel of integers, then one for all of them."""
    factor = np.float32([0.5, -2.0, 1.0, 0.25]).reshape(4, 1, 1)
    made = net.node("Mul", [net.real(x), net.constant(factor)])
    y = net.quantize(made, net.shapes[x], net.grid(255 * net.grids[x].scale))
    made = net.node("Add", [net.real(y), net.constant(np.float32([0.25]))])
    return net.quantize(made, net.shapes[x], net.grid(255 * net.grids[x].scale))


def _constants(net: Network, x: str) -> str:
    """A quantized tensor added, and one multiplied with."""
    added, _ = net.weight((4, 7, 6), None)
    made = net.node("Add", [net.real(x), added])
    y = net.quantize(made, net.shapes[x], net.grid(255 * net.grids[x].scale))
    factor, _ = net.weight((7, 6), None)
    made = net.node("Mul", [net.real(y), factor])
    return net.quantize(made, net.shapes[x], net.grid(64 * net.grids[x].scale))


NETWORKS: dict[str, Callable[[Network, str], str]] = {
    "conv": _conv,
    "depthwise": lambda net, x: net.conv(x, 8, groups=4),
    "per_tensor": lambda net, x: net.conv(x, 5, per_channel=False, dilations=[1, 1]),
    "residual": _residual,
    "joined": _joined,
    "pooled": _pooled,
    "head": _head,
    "functions": _functions,
    "normalized": _normalized,
    "moved": _shuffled,
    "attention": _attention,
    "asymmetric": _asymmetric,
    "late": _late,
    "channels": _channels,
    "constants": _constants,
}


def _network(
    name: str, seed: int, *, exact: bool, dtype: str, even: bool = False
) -> onnx.ModelProto:
    net = Network(np.random.default_rng(seed), exact, dtype, even)
    x = net.input((1, 4, 7, 6), net.grid(4.0))
    return net.model(NETWORKS[name](net, x))


def _codes(integral: Integral, proto: onnx.ModelProto, optimise: bool) -> tuple[Array, Array]:
    """Output codes of the module and of ONNX Runtime, on random real inputs."""
    item, output = graph.inputs(integral.module)[0], graph.outputs(integral.module)[0]
    params, made = value_params(item.value), value_params(output.value)
    rng = np.random.default_rng(5)
    shape = (SAMPLES, *shape_of(item.value)[1:])
    codes = rng.integers(params.qmin, params.qmax + 1, shape).astype(np.int8)
    found = reference.run(integral.module, {item.name: codes})[output.name]
    reals = params.dequantize(codes)
    wanted = [
        array[0]
        for array in run_onnx(
            proto, [{item.name: reals[i : i + 1]} for i in range(SAMPLES)], optimise=optimise
        )
    ]
    steps = np.rint(np.concatenate(wanted) / np.float32(made.scale)) + made.zero_point
    return found.astype(np.int64), steps.astype(np.int64)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("name", NETWORKS)
def test_scales_of_powers_of_two_leave_no_choice(name: str, dtype: str) -> None:
    """Float32 is exact there, so every element is equal, ties among them."""
    for optimise in (False, True):
        proto = _network(name, 1 + optimise, exact=True, dtype=dtype, even=optimise)
        integral = Integer().convert(load(proto.SerializeToString()))
        prove(integral.module)
        assert integral.deviations == ()
        found, wanted = _codes(integral, proto, optimise)
        np.testing.assert_array_equal(found, wanted, err_msg=str(optimise))
        assert len(np.unique(found)) > 8, "the network saturates"


@pytest.mark.parametrize("name", NETWORKS)
def test_any_scales_are_within_a_step(name: str) -> None:
    equal: list[float] = []
    for seed in range(4):
        proto = _network(name, seed, exact=False, dtype="uint8" if seed % 2 else "int8")
        integral = Integer().convert(load(proto.SerializeToString()))
        for optimise in (False, True):
            found, wanted = _codes(integral, proto, optimise)
            equal.append(float((found == wanted).mean()))
            assert np.abs(found - wanted).max() <= 1, (seed, optimise)
    assert np.mean(equal) > 0.98


def _silu(net: Network, x: str) -> str:
    """x * sigmoid(x) without a quantize between."""
    real = net.real(x)
    made = net.node("Mul", [real, net.node("Sigmoid", [real])])
    return net.quantize(made, net.shapes[x], net.grid(200 * net.grids[x].scale))


_STEPS: tuple[Callable[[Network, str], str], ...] = (
    lambda net, x: net.conv(x, 4, activation="Relu"),
    lambda net, x: net.conv(x, 4, groups=2, per_channel=False),
    lambda net, x: net.binary("Add", x, net.conv(x, 4, groups=4)),
    lambda net, x: net.binary("Mul", x, net.unary("Sigmoid", x, 1.0)),
    lambda net, x: net.unary("HardSwish", x, 200 * net.grids[x].scale),
    _silu,
    lambda net, x: net.moved("MaxPool", x, net.shapes[x], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    lambda net, x: net.moved(
        "Pad",
        net.moved("Slice", x, (1, 4, 7, 4), *(np.asarray(n) for n in ([1], [5], [3]))),
        (1, 4, 7, 6),
        np.asarray([0, 0, 0, 2, 0, 0, 0, 0]),
        np.float32(0),
    ),
)


@pytest.mark.parametrize("seed", range(8))
def test_random_networks(seed: int, tmp_path: Path) -> None:
    """Four random steps: close to ONNX Runtime, and native code equal to the reference."""
    net = Network(np.random.default_rng(seed), dtype="uint8" if seed % 2 else "int8")
    start = value = net.input((1, 4, 7, 6), net.grid(4.0))
    for _ in range(4):
        value = _STEPS[net.rng.integers(len(_STEPS))](net, value)
    proto = net.model(value, start)
    integral = Integer().convert(load(proto.SerializeToString()))
    prove(integral.module)
    found, wanted = _codes(integral, proto, optimise=False)
    assert (np.abs(found - wanted) <= 1).mean() > 0.99
    item = graph.inputs(integral.module)[0]
    params = value_params(item.value)
    codes = net.rng.integers(params.qmin, params.qmax + 1, (5, 4, 7, 6)).astype(np.int8)
    library = load_library(build_library(integral.module, tmp_path).library)
    expected = reference.run(integral.module, {item.name: codes})
    made = library.run({item.name: codes})
    assert list(made) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(made[name], array)
