"""The cases of `tflite_cases` with int16 activations and int64 biases.

`tflite_int16_golden.npz` holds what LiteRT's reference kernels answer on them. To renew it, in
an environment with the packages ai-edge-litert (2.3 made the file), tflite and numpy:

    python tests/frontend/tflite_int16_cases.py
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import tflite_cases
import tflite_models
from tflite_models import Operator, Tensor
from tflite_oracle import renew

GOLDEN = Path(__file__).with_name("tflite_int16_golden.npz")
FINER = 256


def _wide(tensor: Tensor) -> Tensor:
    """Activations 256 times finer, of zero point 0."""
    if tensor.type == "INT32" and tensor.scales:
        scales = [scale / FINER for scale in tensor.scales]
        return replace(
            tensor, type="INT64", scales=scales, data=np.asarray(tensor.data) * FINER - 7
        )
    weight = tensor.data is not None and (len(tensor.shape) != 1 and tuple(tensor.shape) != IMAGE)
    if tensor.type != "INT8" or weight:
        return tensor
    data = None if tensor.data is None else np.asarray(tensor.data) * 251
    return replace(
        tensor, type="INT16", scales=(tensor.scales[0] / FINER,), zero_points=(0,), data=data
    )


IMAGE = (1, 4, 4, 3)
"""Shape of the constant operand of an ADD, which is no weight."""


def _model(tensors: Mapping[str, Tensor], operators: Sequence[Operator]) -> bytes:
    changed = {name: _wide(tensor) for name, tensor in tensors.items()}
    added = [
        replace(op, options={**op.options, "PotScaleInt16": False}) if op.kind == "ADD" else op
        for op in operators
    ]
    return tflite_models.model(changed, added)


def case(name: str) -> bytes:
    """A case of `tflite_cases`."""
    with patch.object(tflite_cases, "model", _model):
        return tflite_cases.CASES[name]()


def sums(dense: bool) -> bytes:
    """Sums next to where steps of the result begin, with the multiplier of 31 or 15 bits."""
    rng = np.random.default_rng(1)
    x, w = np.float32(0.000712), np.float32(0.00317)
    y = np.float32(float(x) * float(w) * 3000.3)
    step = (rng.integers(-30000, 30000, 256) + 0.5) * float(y) / (float(x) * float(w))
    spread = rng.integers(-3, 4, 256) + step * rng.uniform(-2e-5, 2e-5, 256)
    shape = (256, 1) if dense else (256, 1, 1, 1)
    tensors = {
        "x": Tensor((1, 1) if dense else (1, 1, 1, 1), (float(x),), type="INT16"),
        "w": Tensor(shape, (float(w),), data=np.ones(shape)),
        "b": Tensor((256,), (float(x * w),), type="INT64", data=(step + spread).round()),
        "y": Tensor((1, 256) if dense else (1, 1, 1, 256), (float(y),), type="INT16"),
    }  # fmt: skip
    options = {
        "Padding": 1, "StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1,
    }  # fmt: skip
    operator = (
        Operator("FULLY_CONNECTED", ["x", "w", "b"], ["y"], "FullyConnectedOptions", {})
        if dense
        else Operator("CONV_2D", ["x", "w", "b"], ["y"], "Conv2DOptions", options)
    )
    return tflite_models.model(tensors, [operator])


def dense_ties() -> bytes:
    """Half of every sum, rounded."""
    tensors = {
        "x": Tensor((1, 4), (0.5,), type="INT16"),
        "w": Tensor((2, 4), (0.25,), data=[[1, 1, 1, 0], [-1, 2, 0, 3]]),
        "y": Tensor((1, 2), (0.25,), type="INT16"),
    }  # fmt: skip
    operator = Operator("FULLY_CONNECTED", ["x", "w", None], ["y"], "FullyConnectedOptions", {})
    return tflite_models.model(tensors, [operator])


def add_powers() -> bytes:
    """Scales that are powers of two, which PotScaleInt16 is about."""
    with patch.object(tflite_cases, "model", _model):
        return tflite_cases.binary("ADD", (1 / 16, 1 / 64, 1 / 8), (0, 0, 0))


def function(kind: str, scale: float) -> bytes:
    """LOGISTIC or TANH."""
    tensors = {
        "x": Tensor((1, 128), (scale,), type="INT16"),
        "y": Tensor((1, 128), (1 / 32768,), type="INT16"),
    }
    return tflite_models.model(tensors, [Operator(kind, ["x"], ["y"])])


NAMES = (
    "conv_same_strided", "conv_valid_dilated", "conv_grouped", "conv_even", "depthwise",
    "depthwise_multiplier", "dense", "dense_relu", "dense_coarse", "dense_rows",
    "dense_flat_rows", "dense_channels", "average_same", "average_valid", "average_whole",
    "maximum_same", "add", "add_relu", "add_fine", "add_constant", "add_channels", "mul",
    "mul_finer", "mul_channels", "relu", "relu_finer", "relu6", "quantize_finer",
    "quantize_coarser", "network", "mean", "mean_finer", "mean_kept",
    "mean_channels",
)  # fmt: skip
CASES: dict[str, Callable[[], bytes]] = {
    **{name: partial(case, name) for name in NAMES},
    "sums": partial(sums, dense=False),
    "dense_sums": partial(sums, dense=True),
    "dense_ties": dense_ties,
    "add_powers": add_powers,
    "logistic": partial(function, "LOGISTIC", 0.0002),
    "logistic_steep": partial(function, "LOGISTIC", 4.0),
    "logistic_power": partial(function, "LOGISTIC", 1 / 2048),
    "tanh": partial(function, "TANH", 0.0001),
    "tanh_flat": partial(function, "TANH", 1.1e-6),
    "tanh_power": partial(function, "TANH", 1 / 4096),
}


def inputs(name: str, shape: tuple[int, ...]) -> Any:
    """Random integers, after a sample each of the least and the greatest."""
    rng = np.random.default_rng(sorted(CASES).index(name))
    x = rng.integers(-(1 << 15), 1 << 15, (tflite_cases.SAMPLES, *shape[1:]))
    x[0], x[1] = -(1 << 15), (1 << 15) - 1
    x[6:] = x[6:] >> np.arange(6).reshape(-1, *[1] * (len(shape) - 1))
    if name.endswith(("sums", "ties")):
        x = x >> 6
    return x.astype(np.int16)


if __name__ == "__main__":
    renew(GOLDEN, CASES, inputs)
