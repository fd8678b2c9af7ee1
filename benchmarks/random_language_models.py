"""Language models with weights of no meaning, and GGUF files of them."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from bitwright.frontend.llm import rope
from bitwright.frontend.llm.check import shapes
from bitwright.frontend.llm.decoder import Decoder, DecoderConfig
from bitwright.frontend.llm.weights import LazyWeights

NAMES = {
    "embedding": "token_embd", "norm": "output_norm", "head": "output",
    "attention_norm": "attn_norm", "q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output",
    "ffn_norm": "ffn_norm", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down",
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """Of a decoder of Llama's family."""

    width: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int


SHAPES = {
    "15M": Shape(288, 768, 6, 6, 6),
    "110M": Shape(768, 2048, 12, 12, 12),
    "1.1B": Shape(2048, 5632, 22, 32, 4),
}
"""llama2.c's models of those sizes, and TinyLlama."""


def random_decoder(size: str) -> Decoder:
    """A model of one of `SHAPES`; a weight is drawn whenever it is read."""
    shape = SHAPES[size]
    head = shape.width // shape.heads
    config = DecoderConfig(
        family="llama", vocabulary=32000, width=shape.width, hidden=shape.hidden,
        layers=shape.layers, heads=shape.heads, kv_heads=shape.kv_heads, head_width=head,
        context=1024, norm_epsilon=1e-5,
        rope_frequencies=rope.frequencies(1e4, head).astype(np.float32), rope_pairs="neighbours",
        windows=(None,) * shape.layers, query_scale=head**-0.5,
    )  # fmt: skip

    def draw(seed: int, extents: tuple[int, ...]) -> NDArray[np.float32]:
        factor = np.float32(1.0 if len(extents) == 1 else extents[-1] ** -0.5)
        return factor * np.random.default_rng(seed).standard_normal(extents, np.float32)

    weights = {
        name: partial(draw, seed, extents)
        for seed, (name, extents) in enumerate(shapes(config)[0].items())
    }
    return Decoder(config, LazyWeights(weights), None)


def write(path: Path, decoder: Decoder, kind: Type) -> None:
    """A GGUF file without a tokenizer; rows without whole blocks stay float32."""
    config = decoder.config
    writer = gguf.GGUFWriter(path, "llama")
    for key, number in (
        ("context_length", config.context), ("embedding_length", config.width),
        ("block_count", config.layers), ("feed_forward_length", config.hidden),
        ("attention.head_count", config.heads), ("attention.head_count_kv", config.kv_heads),
        ("rope.dimension_count", config.head_width), ("vocab_size", config.vocabulary),
    ):  # fmt: skip
        writer.add_uint32(f"llama.{key}", number)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", config.norm_epsilon)
    writer.add_tokenizer_model("none")
    for name, weight in decoder.weights.items():
        assert isinstance(weight, np.ndarray)
        *layer, part = name.split(".")
        stored = f"{'blk.' + layer[1] + '.' if layer else ''}{NAMES[part]}.weight"
        fits = weight.ndim > 1 and weight.shape[1] % gguf.GGML_QUANT_SIZES[kind][0] == 0
        type_ = kind if fits else Type.F32
        writer.add_tensor(stored, gguf.quantize(weight, type_), raw_dtype=type_)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
