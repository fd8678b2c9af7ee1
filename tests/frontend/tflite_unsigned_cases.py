"""The cases of `tflite_cases` with uint8 tensors, their weights with a zero point.

`tflite_unsigned_golden.npz` holds what LiteRT's reference kernels answer on them. To renew it, in
an environment with the packages ai-edge-litert (2.3 made the file), tflite and numpy:

    python tests/frontend/tflite_unsigned_cases.py
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

GOLDEN = Path(__file__).with_name("tflite_unsigned_golden.npz")


def _unsigned(tensor: Tensor, weight_zero: int) -> Tensor:
    """Integers and zero points 128 higher; one scale for all channels, as the old form has it."""
    tensor = replace(tensor, scales=tensor.scales[:1], zero_points=tensor.zero_points[:1])
    if tensor.type != "INT8":
        return tensor
    if tensor.data is None:
        return replace(tensor, type="UINT8", zero_points=[tensor.zero_points[0] + 128])
    return replace(
        tensor, type="UINT8", zero_points=[weight_zero], data=np.asarray(tensor.data) + 128
    )


def _model(tensors: Mapping[str, Tensor], operators: Sequence[Operator], *, zero: int) -> bytes:
    changed = {name: _unsigned(tensor, zero) for name, tensor in tensors.items()}
    return tflite_models.model(changed, operators)


def case(name: str, zero: int) -> bytes:
    """A case of `tflite_cases`, and the zero point of what is constant in it."""
    with patch.object(tflite_cases, "model", partial(_model, zero=zero)):
        return tflite_cases.CASES[name]()


def changed_sign() -> bytes:
    """uint8 to int8 and back, as the converter makes it for models with uint8 inputs."""
    tensors = {
        "x": Tensor((1, 64), (0.05,), (131,), type="UINT8"), "i": Tensor((1, 64), (0.05,), (3,)),
        "t": Tensor((1, 64), (1 / 128,), (0,)),
        "y": Tensor((1, 64), (1 / 128,), (128,), type="UINT8"),
    }  # fmt: skip
    operators = [
        Operator("QUANTIZE", ["x"], ["i"]), Operator("TANH", ["i"], ["t"]),
        Operator("QUANTIZE", ["t"], ["y"]),
    ]  # fmt: skip
    return tflite_models.model(tensors, operators)


def conv_wide() -> bytes:
    """Sums next to where the factor rounded to float32 begins a step and float64 does not."""
    rng = np.random.default_rng(1)
    x, w = np.float32(0.0712), np.float32(0.00317)
    y = np.float32(float(x) * float(w) * 1.5e7)
    steps = rng.integers(20, 100, 64) + 0.5
    narrow, wide = (steps * float(y) / s for s in (float(x * w), float(x) * float(w)))
    bias = narrow + (wide - narrow) * rng.uniform(-0.5, 1.5, 64)
    weight = np.full((64, 1, 1, 1), 129)
    tensors = {
        "x": Tensor((1, 1, 1, 1), (float(x),), (0,), type="UINT8"),
        "w": Tensor((64, 1, 1, 1), (float(w),), (128,), type="UINT8", data=weight),
        "b": Tensor((64,), (float(x * w),), type="INT32", data=bias.round()),
        "y": Tensor((1, 1, 1, 64), (float(y),), (20,), type="UINT8"),
    }  # fmt: skip
    options = {
        "Padding": 1, "StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1,
    }  # fmt: skip
    operators = [Operator("CONV_2D", ["x", "w", "b"], ["y"], "Conv2DOptions", options)]
    return tflite_models.model(tensors, operators)


NAMES = tuple(name for name in tflite_cases.CASES if name != "average_same")  # which is refused
CASES: dict[str, Callable[[], bytes]] = {
    **{name: partial(case, name, 151) for name in NAMES},
    "conv_symmetric": partial(case, "conv_same_strided", 128),
    "depthwise_low": partial(case, "depthwise", 0),
    "changed_sign": changed_sign,
    "conv_wide": conv_wide,
}


def inputs(name: str, shape: tuple[int, ...]) -> Any:
    """As `tflite_cases.inputs`, 128 higher."""
    known = name if name in tflite_cases.CASES else "tanh"
    return (tflite_cases.inputs(known, shape).view(np.uint8)) ^ 128


if __name__ == "__main__":
    renew(GOLDEN, CASES, inputs)
