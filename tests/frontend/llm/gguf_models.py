"""Writes GGUF files of decoders with the `gguf` package, as llama.cpp's converter does."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from bitwright.frontend.llm import rope
from bitwright.frontend.llm.decoder import BlockWeights, Decoder

NAMES = {
    "attention_norm": "attn_norm", "q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output",
    "ffn_norm": "ffn_norm", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down",
    "q_norm": "attn_q_norm", "k_norm": "attn_k_norm", "attention_post_norm": "post_attention_norm",
    "ffn_post_norm": "post_ffw_norm", "attention_sub_norm": "attn_sub_norm",
    "ffn_sub_norm": "ffn_sub_norm",
}  # fmt: skip
Add = Callable[[gguf.GGUFWriter], None]


def name_of(name: str) -> str:
    """The name that llama.cpp gives a weight."""
    whole = {"embedding": "token_embd", "norm": "output_norm", "head": "output"}
    if name in whole:
        return f"{whole[name]}.weight"
    _, index, part = name.split(".")
    kind = "bias" if part.endswith("_bias") else "weight"
    return f"blk.{index}.{NAMES[part.removesuffix('_bias')]}.{kind}"


def halves_to_neighbours(weight: NDArray[Any], heads: int) -> NDArray[Any]:
    """The converter's order of q and k for `llama`: rows i and i + n / 2 of a head in pairs."""
    pairs = weight.reshape(heads, 2, -1, *weight.shape[1:])
    return pairs.swapaxes(1, 2).reshape(weight.shape)


def floats(weight: NDArray[Any] | BlockWeights) -> NDArray[np.float32]:
    if not isinstance(weight, BlockWeights):
        return weight
    block = weight.values.shape[1] // weight.scales.shape[1]
    return weight.values.astype(np.float32) * np.repeat(weight.scales, block, axis=1)


def write(
    path: Path,
    decoder: Decoder,
    architecture: str,
    *,
    type_: Type = Type.F32,
    raw: Mapping[str, tuple[Type, NDArray[np.uint8]]] | None = None,
    scaling: tuple[float, float, float, float] | None = None,
    base: float = 1e4,
    without: str = "",
    metadata: Add = lambda writer: None,
) -> None:
    """Matrices in `type_` or, by canonical name, as `raw` has them; Llama 3's scaling as factors.

    Rows that are no multiple of a type's block stay float32. `without` is a key left to `metadata`.
    """
    config = decoder.config
    writer = gguf.GGUFWriter(path, architecture)
    prefix = f"{architecture}."
    numbers: dict[str, int] = {
        "context_length": config.context, "embedding_length": config.width,
        "block_count": config.layers, "feed_forward_length": config.hidden,
        "attention.head_count": config.heads, "attention.head_count_kv": config.kv_heads,
        "attention.key_length": config.head_width, "attention.value_length": config.head_width,
        "vocab_size": config.vocabulary,
    }  # fmt: skip
    constants = {
        "attention.layer_norm_rms_epsilon": config.norm_epsilon, "rope.freq_base": base,
    }  # fmt: skip
    for key in [key for key in numbers if prefix + key != without]:
        writer.add_uint32(prefix + key, numbers[key])
    for key in [key for key in constants if prefix + key != without]:
        writer.add_float32(prefix + key, constants[key])
    metadata(writer)
    if scaling is not None:
        unscaled = rope.frequencies(base, config.head_width)
        factors = unscaled / rope.llama3(unscaled, *scaling)
        writer.add_tensor("rope_freqs.weight", factors.astype(np.float32))
    for name, weight in decoder.weights.items():
        array = floats(weight)
        part = name.rpartition(".")[2].removesuffix("_bias")
        if architecture == "llama" and config.rope_pairs == "halves" and part in ("q", "k"):
            array = halves_to_neighbours(array, config.heads if part == "q" else config.kv_heads)
        kind = type_
        if raw and name in raw:
            kind, data = raw[name]
            writer.add_tensor(name_of(name), data, raw_dtype=kind)
            continue
        if array.ndim == 1 or array.shape[-1] % gguf.GGML_QUANT_SIZES[kind][0]:
            kind = Type.F32
        writer.add_tensor(name_of(name), gguf.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
