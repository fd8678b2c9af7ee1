"""Which options each operator has, by the names of the schema."""

from dataclasses import dataclass
from typing import Any

import tflite


@dataclass(frozen=True)
class Options:
    """A table of the schema, its tag in the union `BuiltinOptions`, and the fields to read."""

    table: Any
    tag: int
    fields: tuple[str, ...]


_WINDOW = ("Padding", "StrideH", "StrideW", "FusedActivationFunction")
_DILATION = ("DilationHFactor", "DilationWFactor")
_POOL = (*_WINDOW, "FilterHeight", "FilterWidth")


def _options(name: str, *fields: str) -> Options:
    return Options(getattr(tflite, name), getattr(tflite.BuiltinOptions, name), fields)


OPTIONS: dict[str, Options] = {
    "ADD": _options("AddOptions", "FusedActivationFunction", "PotScaleInt16"),
    "AVERAGE_POOL_2D": _options("Pool2DOptions", *_POOL),
    "CONCATENATION": _options("ConcatenationOptions", "Axis", "FusedActivationFunction"),
    "CONV_2D": _options("Conv2DOptions", *_WINDOW, *_DILATION, "QuantizedBiasType"),
    "DEPTHWISE_CONV_2D": _options(
        "DepthwiseConv2DOptions", *_WINDOW, *_DILATION, "DepthMultiplier"
    ),
    "FULLY_CONNECTED": _options(
        "FullyConnectedOptions",
        "FusedActivationFunction",
        "WeightsFormat",
        "KeepNumDims",
        "QuantizedBiasType",
    ),
    "BATCH_MATMUL": _options("BatchMatMulOptions", "AdjX", "AdjY"),
    "DIV": _options("DivOptions", "FusedActivationFunction"),
    "LEAKY_RELU": _options("LeakyReluOptions", "Alpha"),
    "MAX_POOL_2D": _options("Pool2DOptions", *_POOL),
    "MEAN": _options("ReducerOptions", "KeepDims"),
    "MUL": _options("MulOptions", "FusedActivationFunction"),
    "REDUCE_MAX": _options("ReducerOptions", "KeepDims"),
    "REDUCE_MIN": _options("ReducerOptions", "KeepDims"),
    "RESIZE_BILINEAR": _options("ResizeBilinearOptions", "AlignCorners", "HalfPixelCenters"),
    "RESIZE_NEAREST_NEIGHBOR": _options(
        "ResizeNearestNeighborOptions", "AlignCorners", "HalfPixelCenters"
    ),
    "SOFTMAX": _options("SoftmaxOptions", "Beta"),
    "STRIDED_SLICE": _options(
        "StridedSliceOptions",
        "BeginMask",
        "EndMask",
        "EllipsisMask",
        "NewAxisMask",
        "ShrinkAxisMask",
        "Offset",
    ),
    "SUB": _options("SubOptions", "FusedActivationFunction"),
    "SUM": _options("ReducerOptions", "KeepDims"),
}
