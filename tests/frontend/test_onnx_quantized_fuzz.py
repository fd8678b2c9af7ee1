"""Quantized nodes with operands and attributes that do not fit: only our own errors."""

import os
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from bitwright.errors import BitwrightError
from bitwright.frontend.onnx import ModelError, load
from bitwright.ir import reference

sys.path.insert(0, str(Path(__file__).parent))

from onnx_quantized_cases import CASES, Case, model_of

# Mutants of each case.
MUTATIONS = int(os.environ.get("BITWRIGHT_FUZZ", "6"))
DTYPES = (
    np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64, np.float16, np.float32, np.float64,
    np.bool_, ml_dtypes.int4, ml_dtypes.uint4, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn,
)  # fmt: skip
VALUES = (0, 1, -1, 2, 3, 16, 1 << 31, -(1 << 62), 0.5, "", "SAME_LOWER", "nothing", [1, 1])
NAMES = (
    "axis", "block_size", "bits", "output_dtype", "precision", "saturate", "K", "N", "group",
    "kernel_shape", "channels_last", "transA", "opset", "alpha", "activation", "gather_axis",
)  # fmt: skip


def _operand(array: Any, rng: random.Random) -> Any:
    """An operand of another type, shape or value, or left out."""
    if array is None:
        return np.float32(rng.choice((0, -1, np.inf, np.nan, 1e-40)))
    array = np.asarray(array)
    match rng.randrange(7):
        case 0:
            return None
        case 1 | 2:
            with np.errstate(all="ignore"):
                return array.astype(rng.choice(DTYPES))
        case 3:
            return array.reshape(-1)
        case 4:
            return array[..., None]
        case 5:
            return array[..., :1] if array.ndim else np.stack([array] * 3)
        case _:
            return (array * 0).astype(array.dtype)


def _mutated(case: Case, rng: random.Random) -> Case:
    operands, computed = list(case.operands), list(case.computed)
    attributes = dict(case.attributes)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(operands))
        match rng.randrange(5):
            case 0 | 1:
                operands[at] = _operand(operands[at], rng)
            case 2:
                computed = [*computed, at]
            case 3:
                attributes[rng.choice((*attributes, *NAMES))] = rng.choice(VALUES)
            case _:
                attributes.pop(rng.choice((*attributes, "")), None)
    computed = [index for index in dict.fromkeys(computed) if operands[index] is not None]
    return replace(case, operands=operands, computed=computed, attributes=attributes)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_mutated_nodes(name: str) -> None:
    rng = random.Random(name)
    for _ in range(MUTATIONS):
        case = _mutated(CASES[name], rng)
        data, feeds = model_of(case)
        try:
            module = load(data)
        except ModelError:
            continue
        try:
            found = reference.run(module, feeds)
        except BitwrightError:
            continue
        assert all(np.asarray(array).size for array in found.values())
