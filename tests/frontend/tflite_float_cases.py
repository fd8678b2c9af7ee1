"""One small float TFLite model for each operator and variant that the importer has.

`tflite_float_golden.npz` holds what LiteRT's reference kernels answer on them. To renew it, in an
environment with the packages ai-edge-litert (2.3 made the file), tflite and numpy:

    python tests/frontend/tflite_float_cases.py
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tflite_models import Operator, Tensor, model
from tflite_oracle import renew

GOLDEN = Path(__file__).with_name("tflite_float_golden.npz")
SAMPLES = 2
NONE, RELU, RELU_N1, RELU6 = range(4)
SAME, VALID = range(2)
IMAGE = (1, 5, 6, 4)


def floats(shape: Sequence[int], data: Any = None) -> Tensor:
    return Tensor(shape, (), type="FLOAT32", data=data)


def numbers(*values: int) -> Tensor:
    return Tensor((len(values),), (), type="INT32", data=values)


def weights(seed: int, *shape: int) -> Tensor:
    return floats(shape, np.random.default_rng(seed).normal(0, 0.5, shape))


def one(
    kind: str, x: Sequence[int], y: Sequence[int], table: str = "",
    options: dict[str, Any] | None = None, **others: Tensor,
) -> bytes:  # fmt: skip
    """One operator on `x` and then the tensors `others`."""
    tensors = {"x": floats(x), **others, "y": floats(y)}
    operator = Operator(kind, ["x", *others], ["y"], table, options or {})
    return model(tensors, [operator])


def window(padding: int, stride: tuple[int, int], activation: int = NONE, **more: int) -> Any:
    return {
        "Padding": padding, "StrideH": stride[0], "StrideW": stride[1],
        "FusedActivationFunction": activation, **more,
    }  # fmt: skip


def conv(
    x: Sequence[int], w: Sequence[int], y: Sequence[int], padding: int, stride: tuple[int, int],
    dilation: int = 1, activation: int = NONE, depthwise: bool = False,
) -> bytes:  # fmt: skip
    options = window(
        padding, stride, activation, DilationHFactor=dilation, DilationWFactor=dilation
    )
    others = {"w": weights(1, *w), "b": weights(2, w[3 if depthwise else 0])}
    if depthwise:
        options["DepthMultiplier"] = w[3] // x[3]
        return one("DEPTHWISE_CONV_2D", x, y, "DepthwiseConv2DOptions", options, **others)
    return one("CONV_2D", x, y, "Conv2DOptions", options, **others)


def pool(kind: str, y: Sequence[int], kernel: int, padding: int, activation: int = NONE) -> bytes:
    options = window(padding, (2, 2), activation, FilterHeight=kernel, FilterWidth=kernel)
    return one(f"{kind}_POOL_2D", IMAGE, y, "Pool2DOptions", options)


def arithmetic(kind: str, other: Sequence[int], activation: int | None = NONE) -> bytes:
    """`other` stays away from 0, as a divisor should."""
    data = np.random.default_rng(3).uniform(0.5, 2, other)
    options = {} if activation is None else {"FusedActivationFunction": activation}
    table = "MaximumMinimumOptions" if activation is None else f"{kind.title()}Options"
    return one(kind, IMAGE, IMAGE, table, options, w=floats(other, data))


def computed(kind: str) -> bytes:
    """x and exp(x), so that one input makes two operands."""
    tensors = {"x": floats(IMAGE), "e": floats(IMAGE), "y": floats(IMAGE)}
    operators = [Operator("EXP", ["x"], ["e"]), Operator(kind, ["x", "e"], ["y"])]
    return model(tensors, operators)


def positive(kind: str) -> bytes:
    """A function of exp(x)."""
    tensors = {"x": floats((1, 9)), "e": floats((1, 9)), "y": floats((1, 9))}
    return model(tensors, [Operator("EXP", ["x"], ["e"]), Operator(kind, ["e"], ["y"])])


def unary(kind: str, table: str = "", **options: Any) -> bytes:
    return one(kind, (1, 40), (1, 40), table, options)


def reduction(kind: str, axes: Sequence[int], keep: bool, y: Sequence[int]) -> bytes:
    return one(kind, IMAGE, y, "ReducerOptions", {"KeepDims": keep}, a=numbers(*axes))


def resize(kind: str, size: tuple[int, int], corners: bool, half: bool) -> bytes:
    table = "ResizeBilinearOptions" if kind == "BILINEAR" else "ResizeNearestNeighborOptions"
    options = {"AlignCorners": corners, "HalfPixelCenters": half}
    kind = f"RESIZE_{kind}" + ("_NEIGHBOR" if kind == "NEAREST" else "")
    return one(kind, IMAGE, (1, *size, 4), table, options, s=numbers(*size))


def sliced(y: Sequence[int], begin: Any, end: Any, strides: Any, **masks: int) -> bytes:
    others = {"b": numbers(*begin), "e": numbers(*end), "s": numbers(*strides)}
    return one("STRIDED_SLICE", IMAGE, y, "StridedSliceOptions", masks, **others)


def matmul(adjoint: bool) -> bytes:
    """x [1, 3, 4] times x transposed."""
    if adjoint:
        tensors = {"x": floats((1, 3, 4)), "y": floats((1, 3, 3))}
        options = {"AdjX": False, "AdjY": True}
        return model(
            tensors, [Operator("BATCH_MATMUL", ["x", "x"], ["y"], "BatchMatMulOptions", options)]
        )
    return one(
        "BATCH_MATMUL", (1, 3, 4), (1, 3, 5), "BatchMatMulOptions", {}, w=weights(4, 1, 4, 5)
    )


def stored(kind: str) -> bytes:
    """A matrix that is stored as float16 or as int8 and dequantized."""
    data = np.random.default_rng(5).integers(-100, 100, (3, 8))
    scaled = Tensor((3, 8), (0.02, 0.05, 0.01), (0, 0, 0), type="INT8", data=data)
    half = Tensor((3, 8), (), type="FLOAT16", data=data / 64)
    tensors = {
        "x": floats((1, 8)), "s": half if kind == "FLOAT16" else scaled, "w": floats((3, 8)),
        "y": floats((1, 3)),
    }  # fmt: skip
    operators = [
        Operator("DEQUANTIZE", ["s"], ["w"]),
        Operator("FULLY_CONNECTED", ["x", "w", None], ["y"], "FullyConnectedOptions", {}),
    ]
    return model(tensors, operators)


def network() -> bytes:
    """A convolution, a pad, a join, a flattening of several pixels, and a dense layer."""
    tensors = {
        "x": floats((1, 5, 6, 3)), "w": weights(6, 4, 2, 2, 3), "b": weights(7, 4),
        "c": floats((1, 4, 5, 4)),
        "paddings": Tensor((4, 2), (), type="INT32", data=[0, 0, 1, 0, 0, 2, 0, 0]),
        "p": floats((1, 5, 7, 4)), "s": floats((1, 5, 7, 4)), "j": floats((1, 5, 7, 8)),
        "m": floats((1, 2, 3, 8)), "shape": numbers(1, 48), "f": floats((1, 48)),
        "v": weights(8, 7, 48), "d": floats((1, 7)), "y": floats((1, 7)),
    }  # fmt: skip
    conv2d = window(VALID, (1, 1), RELU, DilationHFactor=1, DilationWFactor=1)
    maximum = window(VALID, (2, 2), RELU6, FilterHeight=2, FilterWidth=2)
    return model(
        tensors,
        [
            Operator("CONV_2D", ["x", "w", "b"], ["c"], "Conv2DOptions", conv2d),
            Operator("PAD", ["c", "paddings"], ["p"]),
            Operator("HARD_SWISH", ["p"], ["s"]),
            Operator("CONCATENATION", ["p", "s"], ["j"], "ConcatenationOptions", {"Axis": -1}),
            Operator("MAX_POOL_2D", ["j"], ["m"], "Pool2DOptions", maximum),
            Operator("RESHAPE", ["m", "shape"], ["f"]),
            Operator("FULLY_CONNECTED", ["f", "v", None], ["d"], "FullyConnectedOptions", {}),
            Operator("SOFTMAX", ["d"], ["y"], "SoftmaxOptions", {"Beta": 1.0}),
        ],
    )


PLAIN = (
    "ABS", "COS", "ELU", "EXP", "FLOOR", "HARD_SWISH", "LOGISTIC", "NEG", "RELU", "RELU6",
    "RELU_0_TO_1", "RELU_N1_TO_1", "SIN", "SQUARE", "TANH",
)  # fmt: skip

CASES: dict[str, Callable[[], bytes]] = {
    "conv_same": lambda: conv(
        (1, 9, 8, 3), (5, 3, 3, 3), (1, 5, 4, 5), SAME, (2, 2), activation=RELU6
    ),
    "conv_dilated": lambda: conv((1, 9, 8, 4), (6, 3, 2, 4), (1, 5, 6, 6), VALID, (1, 1), 2),
    "conv_grouped": lambda: conv((1, 4, 4, 6), (4, 1, 1, 3), (1, 4, 4, 4), SAME, (1, 1)),
    "depthwise": lambda: conv(
        (1, 8, 7, 3), (1, 3, 3, 6), (1, 4, 4, 6), SAME, (2, 2), activation=RELU_N1, depthwise=True
    ),
    "dense": lambda: one(
        "FULLY_CONNECTED", (1, 3, 10), (1, 3, 4), "FullyConnectedOptions",
        {"KeepNumDims": True, "FusedActivationFunction": RELU}, w=weights(9, 4, 10),
        b=weights(10, 4),
    ),
    "matmul": lambda: matmul(False),
    "matmul_adjoint": lambda: matmul(True),
    "average": lambda: pool("AVERAGE", (1, 3, 3, 4), 3, SAME, RELU),
    "maximum": lambda: pool("MAX", (1, 2, 2, 4), 3, VALID, RELU6),
    "add": lambda: arithmetic("ADD", (4,), RELU),
    "sub": lambda: arithmetic("SUB", IMAGE),
    "mul": lambda: arithmetic("MUL", (1, 1, 1, 4), RELU6),
    "div": lambda: arithmetic("DIV", (4,)),
    "greater": lambda: arithmetic("MAXIMUM", IMAGE, None),
    "less": lambda: arithmetic("MINIMUM", (4,), None),
    "add_computed": lambda: computed("ADD"),
    "sub_computed": lambda: computed("SUB"),
    "div_computed": lambda: computed("DIV"),
    **{kind.lower(): lambda kind=kind: unary(kind) for kind in PLAIN},
    "log": lambda: positive("LOG"),
    "sqrt": lambda: positive("SQRT"),
    "rsqrt": lambda: positive("RSQRT"),
    "leaky_relu": lambda: unary("LEAKY_RELU", "LeakyReluOptions", Alpha=0.1),
    "prelu": lambda: one("PRELU", IMAGE, IMAGE, w=weights(11, 1, 1, 4)),
    "prelu_one": lambda: one("PRELU", IMAGE, IMAGE, w=floats((1, 1, 4), np.full((1, 1, 4), 0.3))),
    "softmax": lambda: unary("SOFTMAX", "SoftmaxOptions", Beta=1.0),
    "softmax_beta": lambda: unary("SOFTMAX", "SoftmaxOptions", Beta=2.5),
    "mean": lambda: reduction("MEAN", (1, 2), False, (1, 4)),
    "mean_kept": lambda: reduction("MEAN", (2, 1), True, (1, 1, 1, 4)),
    "mean_channels": lambda: reduction("MEAN", (-1,), False, (1, 5, 6)),
    "sum": lambda: reduction("SUM", (1,), False, (1, 6, 4)),
    "reduce_max": lambda: reduction("REDUCE_MAX", (2,), True, (1, 5, 1, 4)),
    "reduce_min": lambda: reduction("REDUCE_MIN", (3,), False, (1, 5, 6)),
    "transpose": lambda: one("TRANSPOSE", IMAGE, (1, 6, 4, 5), p=numbers(0, 2, 3, 1)),
    "squeeze": lambda: one("SQUEEZE", (1, 1, 6), (6,), "SqueezeOptions"),
    "expand_dims": lambda: one("EXPAND_DIMS", (1, 6), (1, 1, 6), a=numbers(1)),
    "padv2": lambda: one(
        "PADV2", (1, 6), (1, 9), c=Tensor((2, 2), (), type="INT32", data=[0, 0, 2, 1]),
        v=floats((1,), [0.25]),
    ),
    "slice": lambda: one("SLICE", IMAGE, (1, 2, 5, 4), b=numbers(0, 1, 1, 0),
                         s=numbers(1, 2, -1, -1)),
    "strided": lambda: sliced((1, 2, 3, 4), (0, 1, 0, 0), (1, 5, 6, 4), (1, 2, 2, 1)),
    "strided_masks": lambda: sliced((1, 6, 2), (0, -1, 5, 0), (0, 0, 0, -2), (1, 1, -1, 1),
                                    BeginMask=9, EndMask=5, ShrinkAxisMask=2),
    "nearest": lambda: resize("NEAREST", (10, 9), False, False),
    "nearest_half": lambda: resize("NEAREST", (3, 12), False, True),
    "nearest_corners": lambda: resize("NEAREST", (9, 4), True, False),
    "bilinear": lambda: resize("BILINEAR", (10, 9), False, False),
    "bilinear_half": lambda: resize("BILINEAR", (3, 12), False, True),
    "bilinear_corners": lambda: resize("BILINEAR", (9, 4), True, False),
    "stored_float16": lambda: stored("FLOAT16"),
    "stored_int8": lambda: stored("INT8"),
    "network": network,
}  # fmt: skip


def inputs(name: str, shape: tuple[int, ...]) -> Any:
    rng = np.random.default_rng(sorted(CASES).index(name))
    return rng.normal(0, 2, (SAMPLES, *shape[1:])).astype(np.float32)


if __name__ == "__main__":
    renew(GOLDEN, CASES, inputs, ("elu",))
