"""A decoder in plain NumPy, every switch of `DecoderConfig`: what the tests compare with.

Computed in float64, the whole text at once, without a cache.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.frontend.llm.decoder import BlockWeights, Decoder, DecoderConfig

Array = NDArray[np.float64]


def dense(weights: NDArray[Any] | BlockWeights) -> Array:
    """The real numbers of a matrix."""
    if not isinstance(weights, BlockWeights):
        return weights.astype(np.float64)
    block = weights.values.shape[1] // weights.scales.shape[1]
    scales, zero_points = (
        np.repeat(each.astype(np.float64), block, axis=1)
        for each in (weights.scales, weights.zero_points)
    )
    return (weights.values.astype(np.float64) - zero_points) * scales


def logits(decoder: Decoder, tokens: Sequence[int]) -> Array:
    """The logits [len(tokens), vocabulary] after each token."""
    config = decoder.config
    weights = {name: dense(decoder.weights[name]) for name in decoder.weights}

    def norm(x: Array, name: str) -> Array:
        """Along the last axis; the identity where the model has no such norm."""
        if name not in weights:
            return x
        mean = np.mean(x * x, axis=-1, keepdims=True)
        return x / np.sqrt(mean + config.norm_epsilon) * weights[name]

    x = weights["embedding"][list(tokens)] * config.embedding_scale
    for index in range(config.layers):
        layer = f"layers.{index}"

        def linear(x: Array, name: str, layer: str = layer) -> Array:
            return x @ weights[f"{layer}.{name}"].T + weights.get(f"{layer}.{name}_bias", 0.0)

        attended = norm(x, f"{layer}.attention_norm")
        q, k, v = (
            linear(attended, name).reshape(len(tokens), -1, config.head_width) for name in "qkv"
        )
        q, k = (norm(each, f"{layer}.{name}_norm") for each, name in ((q, "q"), (k, "k")))
        attended = attention(config, index, q, k, v)
        attended = linear(norm(attended, f"{layer}.attention_sub_norm"), "o")
        x = x + norm(attended, f"{layer}.attention_post_norm")

        fed = norm(x, f"{layer}.ffn_norm")
        fed = activate(config, linear(fed, "gate")) * linear(fed, "up")
        fed = linear(norm(fed, f"{layer}.ffn_sub_norm"), "down")
        x = x + norm(fed, f"{layer}.ffn_post_norm")
    result = norm(x, "norm") @ weights.get("head", weights["embedding"]).T
    return softcap(result, config.logit_softcap)


def attention(config: DecoderConfig, layer: int, q: Array, k: Array, v: Array) -> Array:
    """q [T, heads, head_width], k and v [T, kv_heads, head_width] to [T, heads * head_width]."""
    window = config.windows[layer]
    frequencies = config.rope_frequencies
    if window is not None and config.rope_frequencies_local is not None:
        frequencies = config.rope_frequencies_local
    q, k = rotate(config, q, frequencies), rotate(config, k, frequencies)
    repeats = config.heads // config.kv_heads
    k, v = np.repeat(k, repeats, axis=1), np.repeat(v, repeats, axis=1)
    scores = softcap(np.einsum("qhd,khd->hqk", q, k) * config.query_scale, config.attention_softcap)
    distance = np.arange(len(q))[:, None] - np.arange(len(k))
    seen = (distance >= 0) & (distance < (len(k) if window is None else window))
    scores = np.where(seen, scores, -np.inf)
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    scores /= scores.sum(axis=-1, keepdims=True)
    return np.einsum("hqk,khd->qhd", scores, v).reshape(len(q), -1)


def rotate(config: DecoderConfig, x: Array, frequencies: NDArray[np.float32]) -> Array:
    """x [T, heads, head_width], turned by its position; what lies past the rotated part stays."""
    count = len(frequencies)
    angles = np.arange(len(x))[:, None, None] * frequencies.astype(np.float64)
    cos, sin = np.cos(angles), np.sin(angles)
    neighbours = config.rope_pairs == "neighbours"
    first = slice(0, 2 * count, 2) if neighbours else slice(0, count)
    second = slice(1, 2 * count, 2) if neighbours else slice(count, 2 * count)
    a, b = x[..., first], x[..., second]
    turned = x.copy()
    turned[..., first], turned[..., second] = a * cos - b * sin, a * sin + b * cos
    return turned


def activate(config: DecoderConfig, x: Array) -> Array:
    match config.activation:
        case "silu":
            return x / (1 + np.exp(-x))
        case "relu_squared":
            return np.maximum(x, 0) ** 2
        case "gelu_tanh":
            return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def softcap(x: Array, cap: float | None) -> Array:
    return x if cap is None else np.tanh(x / cap) * cap
