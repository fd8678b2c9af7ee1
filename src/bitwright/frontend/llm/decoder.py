"""A decoder-only language model as every format gives it: configuration, weights, tokenizer.

Weights have canonical names, each matrix as [outputs, inputs]:

    embedding                     [vocabulary, width]
    layers.0.attention_norm       [width]
    layers.0.q                    [heads * head_width, width]
    layers.0.k, layers.0.v        [kv_heads * head_width, width]
    layers.0.o                    [width, heads * head_width]
    layers.0.ffn_norm             [width]
    layers.0.gate, layers.0.up    [hidden, width]
    layers.0.down                 [width, hidden]
    norm                          [width]
    head                          [vocabulary, width]; absent where tied to the embedding

Optional, used where they are there: `q_bias`, `k_bias`, `v_bias`, `o_bias` (Qwen2); `q_norm`,
`k_norm` [head_width] (Qwen3, Gemma 3); `attention_post_norm`, `ffn_post_norm` [width] (Gemma 2);
`attention_sub_norm` [heads * head_width], `ffn_sub_norm` [hidden] (BitNet). Norm weights are
what the normalised value is multiplied by: where a family stores w for 1 + w, the reader adds 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class DecoderConfig:
    """The shape and the constants of a decoder.

    `rope_frequencies` [rotated / 2] are in radians per position, any long-context scaling already
    in them; rotated pairs are neighbours (llama2.c, GGUF's Llama) or halves (Hugging Face).
    `windows` has one entry per layer: how many positions it attends to, the token's own among them,
    or None for all.
    """

    family: str
    vocabulary: int
    width: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_width: int
    context: int
    norm_epsilon: float
    rope_frequencies: NDArray[np.float32]
    rope_pairs: Literal["neighbours", "halves"]
    windows: tuple[int | None, ...]
    query_scale: float
    activation: Literal["silu", "gelu_tanh", "relu_squared"] = "silu"
    embedding_scale: float = 1.0
    attention_softcap: float | None = None
    logit_softcap: float | None = None
    rope_frequencies_local: NDArray[np.float32] | None = None
    """Where layers with a window rotate at their own base (Gemma 3)."""


@dataclass(frozen=True)
class BlockWeights:
    """A quantized matrix: real = (values - zero_points) * scales, each repeated over its block.

    `values` [N, K] int8 or uint8 of `bits` bits; `scales` [N, K / block] float32; `zero_points`
    the same shape and the type of `values`. As `bw.dequantize` takes them.
    """

    values: NDArray[Any]
    scales: NDArray[np.float32]
    zero_points: NDArray[Any]
    bits: int


class Tokenizer(Protocol):
    """Text to token numbers and back."""

    stops: frozenset[int]
    """Tokens that end a text."""

    def encode(self, text: str) -> list[int]:
        """The tokens of a prompt, the model's begin-of-text token first where it wants one."""
        ...

    def piece(self, previous: int, token: int) -> bytes:
        """The bytes that `token` adds to a text whose last token was `previous`."""
        ...

    def described(self) -> dict[str, Any]:
        """What `tokenizer_file` makes it from again, as JSON-ready data; `kind` says which."""
        ...


@dataclass(frozen=True)
class Decoder:
    """A language model as read from its files; float32 arrays may be read when first used.

    `notes` says what a reader changed (a quantized type that it dequantized, for example).
    """

    config: DecoderConfig
    weights: Mapping[str, NDArray[np.float32] | BlockWeights]
    tokenizer: Tokenizer | None
    notes: tuple[str, ...] = ()
