"""What Hugging Face's config.json says of each family, and what its tensors are called.

Source: the configuration and model classes of `transformers`, families by their `model_type`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitwright.frontend.llm import rope
from bitwright.frontend.llm.decoder import DecoderConfig
from bitwright.frontend.llm.fields import MOST_LAYERS, WIDEST_HEAD, Fields

Windows = tuple[int | None, ...]

HARMLESS = frozenset({
    "_attn_implementation", "_name_or_path", "_sliding_window_pattern", "architectures",
    "attention_dropout", "attn_implementation", "auto_map", "bos_token_id",
    "cache_implementation", "chunk_size_feed_forward", "dtype", "eos_token_id", "id2label",
    "initializer_range", "label2id", "max_window_layers", "model_type", "num_logits_to_keep",
    "pad_token_id", "pretraining_tp", "problem_type", "return_dict", "task_specific_params",
    "tokenizer_class", "torch_dtype", "transformers_version", "use_cache",
})  # fmt: skip
"""Keys that say nothing of how one token's logits are computed."""

ACTIVATIONS: Mapping[str, Literal["silu", "gelu_tanh", "relu_squared"]] = {
    "silu": "silu",
    "swish": "silu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu2": "relu_squared",
}


@dataclass(frozen=True)
class Family:
    """One `model_type`: its tensors in a layer, the defaults of its keys, its layers' windows."""

    tensors: Mapping[str, str]
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    windows: Callable[[Fields, int], Windows] = lambda fields, layers: (None,) * layers
    biases: tuple[str, ...] | None = None
    """Which projections have one; None where the key attention_bias says it of all four."""
    added_to_norms: float = 0.0
    gemma: bool = False
    """Embeddings scaled by the square root of the width."""


def _all_layers(fields: Fields, layers: int) -> Windows:
    """Mistral: every layer, unless the window is null."""
    window = fields.any("sliding_window")
    return (None if window is None else fields.integer("sliding_window"),) * layers


def _upper_layers(fields: Fields, layers: int) -> Windows:
    """Qwen: none, or by type, or the layers from max_window_layers on."""
    types, window = fields.any("layer_types"), fields.any("sliding_window")
    if not fields.flag("use_sliding_window") or window is None:
        return (None,) * layers
    first = fields.any("max_window_layers")
    if types is None and (not isinstance(first, int) or first < 0):
        raise fields.wrong("max_window_layers", first, "a number of layers")
    return _by_type(fields, layers, lambda index: index >= first)


def _all_but_every(pattern: int) -> Callable[[Fields, int], Windows]:
    """Gemma: all but each `pattern`-th layer."""

    def windows(fields: Fields, layers: int) -> Windows:
        every = fields.integer("sliding_window_pattern", pattern)
        return _by_type(fields, layers, lambda index: (index + 1) % every != 0)

    return windows


def _by_type(fields: Fields, layers: int, otherwise: Callable[[int], bool]) -> Windows:
    types = fields.any("layer_types")
    if types is None:
        sliding = [otherwise(index) for index in range(layers)]
    elif not isinstance(types, list) or len(types) != layers:
        raise fields.wrong("layer_types", types, f"one type for each of {layers} layers")
    else:
        for kind in types:
            if kind not in ("full_attention", "sliding_attention"):
                raise fields.unsupported("layer_types", kind, "full_attention, sliding_attention")
        sliding = [kind == "sliding_attention" for kind in types]
    if not any(sliding):
        fields.any("sliding_window")
        return (None,) * layers
    window = fields.integer("sliding_window")
    return tuple(window if each else None for each in sliding)


_LLAMA = {
    "attention_norm": "input_layernorm",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
_HEAD_NORMS = {"q_norm": "self_attn.q_norm", "k_norm": "self_attn.k_norm"}
_GEMMA2 = _LLAMA | {
    "attention_post_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "ffn_post_norm": "post_feedforward_layernorm",
}
_BITNET = _LLAMA | {
    "attention_sub_norm": "self_attn.attn_sub_norm",
    "ffn_sub_norm": "mlp.ffn_sub_norm",
}
_QWEN_DEFAULTS = {"sliding_window": 4096, "max_window_layers": 28}
_GEMMA_DEFAULTS = {"head_dim": 256, "tie_word_embeddings": True}

FAMILIES: Mapping[str, Family] = {
    "llama": Family(_LLAMA),
    "mistral": Family(
        _LLAMA, {"num_key_value_heads": 8, "sliding_window": 4096}, _all_layers, biases=()
    ),
    "qwen2": Family(_LLAMA, _QWEN_DEFAULTS, _upper_layers, biases=("q", "k", "v")),
    "qwen3": Family(_LLAMA | _HEAD_NORMS, {**_QWEN_DEFAULTS, "head_dim": 128}, _upper_layers),
    "gemma": Family(_LLAMA, _GEMMA_DEFAULTS, added_to_norms=1.0, gemma=True),
    "gemma2": Family(
        _GEMMA2,
        {
            **_GEMMA_DEFAULTS,
            "query_pre_attn_scalar": 256,
            "sliding_window": 4096,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
        },
        _all_but_every(2),
        added_to_norms=1.0,
        gemma=True,
    ),
    "gemma3_text": Family(
        _GEMMA2 | _HEAD_NORMS,
        {
            **_GEMMA_DEFAULTS,
            "query_pre_attn_scalar": 256,
            "sliding_window": 4096,
            "rope_theta": 1e6,
            "rope_local_base_freq": 1e4,
        },
        _all_but_every(6),
        added_to_norms=1.0,
        gemma=True,
    ),
    "bitnet": Family(_BITNET, {"rope_theta": 5e5, "hidden_act": "relu2"}),
}


def family_of(fields: Fields) -> Family:
    """The row of the model's family."""
    kind = fields.any("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise fields.unsupported("model_type", kind, ", ".join(FAMILIES))
    return FAMILIES[kind]


def decoder_config(fields: Fields, family: Family) -> DecoderConfig:
    """The configuration, every key of it read or known to be harmless.

    Raises:
        InvalidModelError: a value that no model has.
        UnsupportedAttributeError: a value or a key that is not supported.
    """
    width, heads = fields.integer("hidden_size"), fields.integer("num_attention_heads")
    layers = fields.integer("num_hidden_layers", most=MOST_LAYERS)
    head_width = fields.integer("head_dim", width // heads, most=WIDEST_HEAD)
    if head_width % 2:
        raise fields.wrong("head_dim", head_width, "an even number")
    kv_heads = fields.integer("num_key_value_heads", heads)
    if heads % kv_heads:
        raise fields.wrong("num_key_value_heads", kv_heads, f"a divisor of {heads} heads")
    for key in ("mlp_bias", "use_bidirectional_attention", "is_encoder_decoder"):
        if fields.flag(key):
            raise fields.unsupported(key, True, "false")
    windows = family.windows(fields, layers)
    frequencies, local = _rope(fields, head_width)
    config = DecoderConfig(
        family=fields.any("model_type"),
        vocabulary=fields.integer("vocab_size"),
        width=width,
        hidden=fields.integer("intermediate_size"),
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_width=head_width,
        context=fields.integer("max_position_embeddings", 2048),
        norm_epsilon=fields.number("rms_norm_eps", 1e-6),
        rope_frequencies=frequencies,
        rope_pairs="halves",
        windows=windows,
        query_scale=(fields.optional_number("query_pre_attn_scalar") or head_width) ** -0.5,
        activation=_activation(fields, family),
        embedding_scale=width**0.5 if family.gemma else 1.0,
        attention_softcap=fields.optional_number("attn_logit_softcapping"),
        logit_softcap=fields.optional_number("final_logit_softcapping"),
        rope_frequencies_local=local,
    )
    fields.flag("attention_bias")
    fields.flag("tie_word_embeddings")
    fields.table("quantization_config")
    fields.refuse_unread(HARMLESS)
    return config


def tensor_names(fields: Fields, family: Family) -> dict[str, str]:
    """Canonical name -> the name in the file, for every weight that the model has."""
    biases = family.biases
    if biases is None:
        biases = ("q", "k", "v", "o") if fields.flag("attention_bias") else ()
    names = {"embedding": "model.embed_tokens.weight", "norm": "model.norm.weight"}
    if not fields.flag("tie_word_embeddings"):
        names["head"] = "lm_head.weight"
    for index in range(fields.integer("num_hidden_layers")):
        for name, stored in family.tensors.items():
            names[f"layers.{index}.{name}"] = f"model.layers.{index}.{stored}.weight"
        for name in biases:
            stored = family.tensors[name]
            names[f"layers.{index}.{name}_bias"] = f"model.layers.{index}.{stored}.bias"
    return names


def _activation(fields: Fields, family: Family) -> Literal["silu", "gelu_tanh", "relu_squared"]:
    key = "hidden_act"
    kind = fields.any(key)
    if family.gemma:  # its first checkpoints say "gelu" and mean the approximation by tanh
        kind = "gelu_pytorch_tanh" if kind in (None, "gelu") else kind
        if fields.any("hidden_activation") is not None:
            key, kind = "hidden_activation", fields.any("hidden_activation")
    elif kind is None:
        kind = "silu"
    if not isinstance(kind, str) or kind not in ACTIVATIONS:
        raise fields.unsupported(key, kind, ", ".join(ACTIVATIONS))
    return ACTIVATIONS[kind]


def _rope(
    fields: Fields, head_width: int
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """The frequencies of all layers, or of those without and of those with a window.

    Since version 5 `transformers` writes all of them into rope_parameters; before, the base was a
    key of its own and rope_scaling changed it.
    """
    base = fields.number("rope_theta", 1e4)
    local_base = fields.optional_number("rope_local_base_freq")
    scaling = fields.table("rope_scaling") or {}
    parameters = fields.table("rope_parameters") or {}
    if local_base is None:
        return _frequencies(fields, {**scaling, **parameters}, base, head_width), None
    tables = Fields(f"{fields.where}: rope_parameters", parameters)
    full = {**scaling, **(tables.table("full_attention") or {})}
    sliding = tables.table("sliding_attention") or {}
    tables.refuse_unread(frozenset())
    return (
        _frequencies(fields, full, base, head_width),
        _frequencies(fields, sliding, local_base, head_width),
    )


def _frequencies(
    outer: Fields, table: Mapping[str, Any], base: float, head_width: int
) -> NDArray[np.float32]:
    fields = Fields(f"{outer.where}: rope parameters", table)
    unscaled = rope.frequencies(fields.number("rope_theta", base), head_width)
    if fields.number("partial_rotary_factor", 1.0) != 1:
        raise fields.unsupported("partial_rotary_factor", fields.any("partial_rotary_factor"), "1")
    former = fields.any("type")
    kind = fields.any("rope_type") or former or "default"
    match kind:
        case "default":
            result = unscaled
        case "linear":
            result = unscaled / fields.number("factor")
        case "llama3":
            low, high = fields.number("low_freq_factor"), fields.number("high_freq_factor")
            if high <= low:
                raise fields.wrong("high_freq_factor", high, f"more than low_freq_factor, {low}")
            original = fields.number("original_max_position_embeddings")
            result = rope.llama3(unscaled, fields.number("factor"), low, high, original)
        case _:
            raise fields.unsupported("rope_type", kind, "default, linear, llama3")
    fields.refuse_unread(frozenset({"original_max_position_embeddings"}))
    return result.astype(np.float32)
