"""One small TFLite model for each operator and variant that the importer has.

`tflite_golden.npz` holds what LiteRT's reference kernels answer on them. To renew it, in an
environment with the packages ai-edge-litert (2.3 made the file), tflite and numpy:

    python tests/frontend/tflite_cases.py
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tflite_models import Operator, Tensor, model
from tflite_oracle import renew

GOLDEN = Path(__file__).with_name("tflite_golden.npz")
SAMPLES = 12
NONE, RELU, RELU_N1, RELU6 = range(4)
SAME, VALID = range(2)


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _window(padding: int, stride: tuple[int, int], activation: int = NONE) -> dict[str, int]:
    return {
        "Padding": padding, "StrideH": stride[0], "StrideW": stride[1],
        "FusedActivationFunction": activation,
    }  # fmt: skip


def _scales(rng: np.random.Generator, count: int) -> tuple[float, ...]:
    return tuple(float(s) for s in rng.uniform(0.002, 0.02, count))


def conv(
    seed: int, x: tuple[int, ...], weight: tuple[int, ...], y: tuple[int, ...], padding: int,
    stride: tuple[int, int] = (1, 1), dilation: tuple[int, int] = (1, 1), activation: int = NONE,
    depthwise: bool = False, per_tensor: bool = False,
) -> bytes:  # fmt: skip
    rng = _rng(seed)
    axis = 3 if depthwise else 0
    outputs = weight[axis]
    scales = _scales(rng, 1 if per_tensor else outputs)
    fan_in = int(np.prod(weight)) // outputs
    options: dict[str, Any] = {
        **_window(padding, stride, activation), "DilationHFactor": dilation[0],
        "DilationWFactor": dilation[1],
    }  # fmt: skip
    if depthwise:
        options["DepthMultiplier"] = outputs // x[3]
    tensors = {
        "x": Tensor(x, (0.05,), (int(rng.integers(-128, 128)),)),
        "w": Tensor(weight, scales, (0,) * len(scales), axis, data=rng.integers(-127, 128, weight)),
        "b": Tensor((outputs,), tuple(0.05 * s for s in scales), (0,) * len(scales), type="INT32",
                    data=rng.integers(-3000, 3000, outputs)),
        "y": Tensor(y, (0.02 * fan_in**0.5,), (int(rng.integers(-60, 60)),)),
    }  # fmt: skip
    kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    table = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
    return model(tensors, [Operator(kind, ["x", "w", "b"], ["y"], table, options)])


def dense(
    seed: int, x: tuple[int, ...], outputs: int, y: tuple[int, ...], activation: int = NONE,
    bias: bool = True, keep: bool = False, channels: bool = False, out: float = 1.0,
) -> bytes:  # fmt: skip
    rng = _rng(seed)
    depth = int(np.prod(x)) // (int(np.prod(y)) // outputs)
    scales = _scales(rng, outputs if channels else 1)
    tensors = {
        "x": Tensor(x, (0.05,), (int(rng.integers(-128, 128)),)),
        "w": Tensor((outputs, depth), scales, (0,) * len(scales),
                    data=rng.integers(-128, 128, (outputs, depth))),
        "b": Tensor((outputs,), tuple(0.05 * s for s in scales), (0,) * len(scales), type="INT32",
                    data=rng.integers(-3000, 3000, outputs)),
        "y": Tensor(y, (out * 0.02 * depth**0.5,), (int(rng.integers(-60, 60)),)),
    }  # fmt: skip
    options = {"FusedActivationFunction": activation, "KeepNumDims": keep}
    inputs = ["x", "w", "b" if bias else None]
    return model(
        tensors, [Operator("FULLY_CONNECTED", inputs, ["y"], "FullyConnectedOptions", options)]
    )


def pool(
    kind: str, x: tuple[int, ...], y: tuple[int, ...], kernel: tuple[int, int], padding: int,
    stride: tuple[int, int], activation: int = NONE, zero: int = 5,
) -> bytes:  # fmt: skip
    options = {
        **_window(padding, stride, activation), "FilterHeight": kernel[0],
        "FilterWidth": kernel[1],
    }  # fmt: skip
    tensors = {"x": Tensor(x, (0.07,), (zero,)), "y": Tensor(y, (0.07,), (zero,))}
    return model(tensors, [Operator(f"{kind}_POOL_2D", ["x"], ["y"], "Pool2DOptions", options)])


def binary(
    kind: str, scales: tuple[float, float, float], zeros: tuple[int, int, int],
    activation: int = NONE, constant: tuple[int, ...] | None = None,
) -> bytes:  # fmt: skip
    """x with itself transposed (or a constant), so that one input makes two operands."""
    shape = (1, 4, 4, 3)
    other = constant or shape
    tensors = {
        "x": Tensor(shape, scales[:1], zeros[:1]),
        "q": Tensor(other, scales[1:2], zeros[1:2],
                    data=_rng(5).integers(-128, 128, other) if constant else None),
        "t": Tensor(shape, scales[:1], zeros[:1]),
        "p": Tensor((4,), (), type="INT32", data=[0, 2, 1, 3]),
        "y": Tensor(shape, scales[2:], zeros[2:]),
    }  # fmt: skip
    options = {"FusedActivationFunction": activation}
    table = f"{kind.title()}Options"
    operators = [Operator(kind, ["x", "q"], ["y"], table, options)]
    if constant is None:
        operators = [
            Operator("TRANSPOSE", ["x", "p"], ["t"]), Operator("QUANTIZE", ["t"], ["q"]),
            *operators,
        ]  # fmt: skip
    return model(tensors, operators)


def unary(
    kind: str, scales: tuple[float, float], zeros: tuple[int, int], table: str = "", **options: Any
) -> bytes:
    shape = (1, 64)
    tensors = {"x": Tensor(shape, scales[:1], zeros[:1]), "y": Tensor(shape, scales[1:], zeros[1:])}
    return model(tensors, [Operator(kind, ["x"], ["y"], table, options)])


def softmax(classes: int, scale: float, beta: float = 1.0) -> bytes:
    tensors = {
        "x": Tensor((1, classes), (scale,), (14,)), "y": Tensor((1, classes), (1 / 256,), (-128,)),
    }  # fmt: skip
    return model(tensors, [Operator("SOFTMAX", ["x"], ["y"], "SoftmaxOptions", {"Beta": beta})])


def mean(axes: list[int], keep: bool, y: tuple[int, ...], out: float) -> bytes:
    tensors = {
        "x": Tensor((1, 5, 7, 6), (0.05,), (-30,)),
        "a": Tensor((len(axes),), (), type="INT32", data=axes),
        "y": Tensor(y, (out,), (11,)),
    }
    return model(
        tensors, [Operator("MEAN", ["x", "a"], ["y"], "ReducerOptions", {"KeepDims": keep})]
    )


def network() -> bytes:
    """A convolution, a pad, a join, a flattening of several pixels, and a dense layer."""
    rng = _rng(9)
    scales = _scales(rng, 4)
    act = (0.1,)
    tensors = {
        "x": Tensor((1, 5, 6, 3), (0.05,), (3,)),
        "w": Tensor((4, 2, 2, 3), scales, (0,) * 4, data=rng.integers(-127, 128, (4, 2, 2, 3))),
        "b": Tensor(
            (4,),
            tuple(0.05 * s for s in scales),
            (0,) * 4,
            type="INT32",
            data=rng.integers(-3000, 3000, 4),
        ),
        "c": Tensor((1, 4, 5, 4), act, (-9,)),
        "paddings": Tensor((4, 2), (), type="INT32", data=[0, 0, 1, 0, 0, 2, 0, 0]),
        "p": Tensor((1, 5, 7, 4), act, (-9,)),
        "s": Tensor((1, 5, 7, 4), act, (-9,)),
        "j": Tensor((1, 5, 7, 8), act, (-9,)),
        "m": Tensor((1, 2, 3, 8), act, (-9,)),
        "shape": Tensor((2,), (), type="INT32", data=[1, 48]),
        "f": Tensor((1, 48), act, (-9,)),
        "v": Tensor((7, 48), (0.004,), data=rng.integers(-127, 128, (7, 48))),
        "y": Tensor((1, 7), (0.2,), (4,)),
    }
    conv2d = {**_window(VALID, (1, 1), RELU), "DilationHFactor": 1, "DilationWFactor": 1}
    maximum = {**_window(VALID, (2, 2), RELU6), "FilterHeight": 2, "FilterWidth": 2}
    return model(
        tensors,
        [
            Operator("CONV_2D", ["x", "w", "b"], ["c"], "Conv2DOptions", conv2d),
            Operator("PAD", ["c", "paddings"], ["p"]),
            Operator("RELU6", ["p"], ["s"]),
            Operator("CONCATENATION", ["p", "s"], ["j"], "ConcatenationOptions", {"Axis": -1}),
            Operator("MAX_POOL_2D", ["j"], ["m"], "Pool2DOptions", maximum),
            Operator("RESHAPE", ["m", "shape"], ["f"]),
            Operator("FULLY_CONNECTED", ["f", "v", None], ["y"], "FullyConnectedOptions", {}),
        ],
    )


CASES: dict[str, Callable[[], bytes]] = {
    "conv_same_strided": lambda: conv(
        1, (1, 9, 8, 3), (5, 3, 3, 3), (1, 5, 4, 5), SAME, (2, 2), activation=RELU6
    ),
    "conv_valid_dilated": lambda: conv(
        2, (1, 9, 8, 4), (6, 3, 2, 4), (1, 5, 5, 6), VALID, dilation=(2, 3), per_tensor=True
    ),
    "conv_grouped": lambda: conv(3, (1, 4, 4, 6), (4, 1, 1, 3), (1, 4, 4, 4), SAME),
    "conv_even": lambda: conv(
        4, (1, 6, 5, 2), (3, 2, 2, 2), (1, 6, 5, 3), SAME, activation=RELU_N1
    ),
    "depthwise": lambda: conv(
        5, (1, 8, 7, 4), (1, 3, 3, 4), (1, 4, 4, 4), SAME, (2, 2), activation=RELU, depthwise=True
    ),
    "depthwise_multiplier": lambda: conv(
        6, (1, 8, 7, 3), (1, 3, 2, 6), (1, 6, 6, 6), VALID, depthwise=True
    ),
    "dense": lambda: dense(7, (1, 40), 9, (1, 9)),
    "dense_relu": lambda: dense(8, (1, 64), 12, (1, 12), RELU, bias=False),
    "dense_coarse": lambda: dense(17, (1, 64), 12, (1, 12), out=0.03),
    "dense_rows": lambda: dense(9, (1, 3, 10), 4, (1, 3, 4), keep=True),
    "dense_flat_rows": lambda: dense(10, (1, 3, 10), 4, (3, 4)),
    "dense_channels": lambda: dense(11, (1, 20), 6, (1, 6), channels=True),
    "average_same": lambda: pool("AVERAGE", (1, 7, 6, 3), (1, 4, 3, 3), (3, 3), SAME, (2, 2)),
    "average_valid": lambda: pool(
        "AVERAGE", (1, 7, 6, 3), (1, 3, 5, 3), (3, 2), VALID, (2, 1), RELU
    ),
    "average_whole": lambda: pool("AVERAGE", (1, 5, 5, 4), (1, 1, 1, 4), (5, 5), VALID, (5, 5)),
    "maximum_same": lambda: pool("MAX", (1, 7, 6, 3), (1, 4, 3, 3), (3, 3), SAME, (2, 2), RELU6),
    "add": lambda: binary("ADD", (0.05, 0.031, 0.09), (3, -50, 7)),
    "add_relu": lambda: binary("ADD", (0.02, 0.5, 0.4), (-128, 127, -90), RELU),
    "add_fine": lambda: binary("ADD", (0.05, 0.05, 0.001), (0, 0, 0)),
    "add_constant": lambda: binary("ADD", (0.05, 0.031, 0.09), (3, -50, 7), constant=(1, 4, 4, 3)),
    "add_channels": lambda: binary("ADD", (0.05, 0.031, 0.09), (3, -50, 7), constant=(3,)),
    "mul": lambda: binary("MUL", (0.05, 0.031, 0.09), (3, -50, 7)),
    "mul_finer": lambda: binary("MUL", (0.05, 0.05, 0.001), (3, -50, 7), RELU6),
    "mul_channels": lambda: binary("MUL", (0.05, 0.02, 0.06), (3, 0, 7), constant=(3,)),
    "softmax": lambda: softmax(10, 0.14469251),
    "softmax_sharp": lambda: softmax(12, 0.9),
    "softmax_flat": lambda: softmax(300, 0.003),
    "softmax_beta": lambda: softmax(5, 0.05, 3.5),
    "mean": lambda: mean([1, 2], False, (1, 6), 0.03),
    "mean_finer": lambda: mean([2, 1], False, (1, 6), 0.02),
    "mean_kept": lambda: mean([1, 2], True, (1, 1, 1, 6), 0.05),
    "mean_channels": lambda: mean([-1], False, (1, 5, 7), 0.04),
    "logistic": lambda: unary("LOGISTIC", (0.04, 1 / 256), (-3, -128)),
    "tanh": lambda: unary("TANH", (0.03, 1 / 128), (17, 0)),
    "relu": lambda: unary("RELU", (0.05, 0.03), (-3, -128)),
    "relu_finer": lambda: unary("RELU", (0.05, 0.02), (-3, -128)),
    "relu6": lambda: unary("RELU6", (0.08, 0.0235), (-7, -128)),
    "relu_n1_to_1": lambda: unary("RELU_N1_TO_1", (0.02, 0.0078), (0, 0)),
    "relu_0_to_1": lambda: unary("RELU_0_TO_1", (0.02, 0.004), (0, -128)),
    "leaky_relu": lambda: unary(
        "LEAKY_RELU", (0.05, 0.03), (-3, -60), "LeakyReluOptions", Alpha=0.1
    ),
    "leaky_relu_finer": lambda: unary(
        "LEAKY_RELU", (0.05, 0.02), (4, -60), "LeakyReluOptions", Alpha=0.2
    ),
    "leaky_relu_negative": lambda: unary(
        "LEAKY_RELU", (0.05, 0.05), (4, -60), "LeakyReluOptions", Alpha=-0.5
    ),
    "quantize_finer": lambda: unary("QUANTIZE", (0.05, 0.02), (-3, 40)),
    "quantize_coarser": lambda: unary("QUANTIZE", (0.05, 0.1), (-3, 40)),
    "network": network,
}


def inputs(name: str, shape: tuple[int, ...]) -> Any:
    """Random integers, after a sample each of the least, the greatest, and all in a row."""
    rng = np.random.default_rng(sorted(CASES).index(name))
    x = rng.integers(-128, 128, (SAMPLES, *shape[1:]))
    x[0], x[1] = -128, 127
    for sample in range(2, 6):  # together these hold every integer, for 64 elements and more
        row = np.arange(x[sample].size) + 64 * (sample - 2)
        x[sample] = (row % 256 - 128).reshape(x[sample].shape)
    return x.astype(np.int8)


if __name__ == "__main__":
    renew(GOLDEN, CASES, inputs)
