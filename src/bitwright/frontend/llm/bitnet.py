"""Ternary weights of BitNet checkpoints as Hugging Face keeps them.

Source: The Era of 1-bit LLMs (arXiv 2402.17764, section 2); the layout is that of `transformers`'
integration: four rows in one row of bytes, two bits each, row r of the bits 2i and 2i + 1 being row
r + i * N / 4 of the matrix; stored is the value plus 1.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitwright.frontend.llm.decoder import BlockWeights
from bitwright.frontend.llm.errors import InvalidModelError
from bitwright.frontend.llm.fields import Fields

LINEARS = ("q", "k", "v", "o", "gate", "up", "down")
NOTE = "the model's linear layers quantize their inputs to 8 bits per token; here they stay floats"
_IGNORED = frozenset({"rms_norm_eps"})


@dataclass(frozen=True)
class BitNetQuantization:
    """How the linear layers of a checkpoint are kept."""

    scale: Literal["multiplied", "divided", "found"]
    """What is done with the stored scale; found from the floating-point weights where none is."""


def quantization(fields: Fields) -> BitNetQuantization:
    """Read the table quantization_config.

    Raises:
        UnsupportedAttributeError: names what is not supported in it.
    """
    method = fields.any("quant_method")
    if method != "bitnet":
        raise fields.unsupported("quant_method", method, "bitnet")
    kind = fields.any("linear_class") or "bitlinear"
    if kind not in ("bitlinear", "autobitlinear"):
        raise fields.unsupported("linear_class", kind, "bitlinear, autobitlinear")
    mode = fields.any("quantization_mode") or "offline"
    if mode not in ("offline", "online"):
        raise fields.unsupported("quantization_mode", mode, "offline, online")
    kept = fields.any("modules_to_not_convert")
    if kept and mode == "online":
        raise fields.unsupported("modules_to_not_convert", kept, "null, in the mode online")
    fields.refuse_unread(_IGNORED)  # among them use_rms_norm, a norm before each linear layer
    if kind == "bitlinear":
        return BitNetQuantization("divided")
    return BitNetQuantization("multiplied" if mode == "offline" else "found")


def unpacked(packed: NDArray[np.uint8], scale: float) -> BlockWeights:
    """packed [N / 4, K], values 0 to 2 in two bits, to [N, K] in -1 to 1, times `scale`.

    Raises:
        InvalidModelError: where a value is 3.
    """
    stored = np.concatenate([packed >> shift & 3 for shift in (0, 2, 4, 6)])
    if stored.size and stored.max() == 3:
        raise InvalidModelError(
            "A packed ternary matrix has the value 3 in it; expected 0 to 2. Download it again"
        )
    return _per_tensor(stored.astype(np.int8) - np.int8(1), scale)


def ternarized(weights: NDArray[Any]) -> BlockWeights:
    """weights [N, K] to the nearest of -1, 0 and 1 times their mean magnitude."""
    scale = max(float(np.abs(weights).mean(dtype=np.float32)), 1e-5)
    values = np.clip(np.rint(weights.astype(np.float32) / np.float32(scale)), -1, 1)
    return _per_tensor(values.astype(np.int8), scale)


def _per_tensor(values: NDArray[np.int8], scale: float) -> BlockWeights:
    rows = (len(values), 1)
    return BlockWeights(values, np.full(rows, scale, np.float32), np.zeros(rows, np.int8), 2)
