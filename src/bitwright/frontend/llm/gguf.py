"""GGUF files: architecture, metadata and tensors to a `Decoder`.

Source: the GGUF specification and llama.cpp's model loaders, from which the defaults are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitwright.frontend.llm import gguf_blocks, gguf_file, gguf_tokenizer, rope
from bitwright.frontend.llm.decoder import Decoder, DecoderConfig
from bitwright.frontend.llm.errors import InvalidModelError
from bitwright.frontend.llm.fields import GREATEST, MOST_LAYERS, SMALLEST, WIDEST_HEAD, Fields
from bitwright.frontend.llm.gguf_file import GgufFile, GgufTensor
from bitwright.frontend.llm.weights import LazyWeights, Weight, check_shapes, refuse_unread

FACTORS = "rope_freqs.weight"

HARMLESS = frozenset({
    "attention.causal", "expert_used_count", "rope.scaling.finetuned",
    "rope.scaling.original_context_length", "tensor_data_layout", "vocab_size",
})  # fmt: skip
"""Keys of an architecture that say nothing of how one token's logits are computed."""

_LLAMA = {
    "attention_norm": "attn_norm",
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "ffn_norm": "ffn_norm",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}
_HEAD_NORMS = {"q_norm": "attn_q_norm", "k_norm": "attn_k_norm"}
_GEMMA2 = _LLAMA | {
    "attention_post_norm": "post_attention_norm",
    "ffn_post_norm": "post_ffw_norm",
}
_BITNET = _LLAMA | {"attention_sub_norm": "attn_sub_norm", "ffn_sub_norm": "ffn_sub_norm"}
_BIASED = ("q", "k", "v", "o")


@dataclass(frozen=True)
class Architecture:
    """One `general.architecture`: its tensors in a layer and what its metadata leave out."""

    tensors: Mapping[str, str]
    rope_pairs: Literal["neighbours", "halves"] = "halves"
    gemma: bool = False
    """Embeddings scaled by the square root of the width, and GELU."""
    window: int | None = None
    window_every: int | None = None
    """Where layers have windows: all but each n-th do."""
    layers_scaled_by_width: int | None = None
    """The number of layers of the one size that scales queries by width / heads."""
    softcaps: tuple[float | None, float | None] = (None, None)
    """Of the attention and of the logits."""
    local_base: float | None = None
    scaled: bool = False
    """Whether a matrix may have a scale in a tensor of its own."""


ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": Architecture(_LLAMA, rope_pairs="neighbours"),  # the converter permutes q and k
    "qwen2": Architecture(_LLAMA),
    "qwen3": Architecture(_LLAMA | _HEAD_NORMS),
    "gemma": Architecture(_LLAMA, gemma=True),
    "gemma2": Architecture(
        _GEMMA2,
        gemma=True,
        window=4096,
        window_every=2,
        layers_scaled_by_width=46,
        softcaps=(50.0, 30.0),
    ),
    "gemma3": Architecture(
        _GEMMA2 | _HEAD_NORMS,
        gemma=True,
        window_every=6,
        layers_scaled_by_width=62,
        local_base=1e4,
    ),
    "bitnet": Architecture(_BITNET, scaled=True),
}


def load(path: Path) -> Decoder:
    """Read a model; its weights when they are used.

    Raises:
        ModelError: a subclass that says what is wrong with the file.
        MissingPackageError: `gguf` or `tokenizers` is not installed.
    """
    file = gguf_file.read(path)
    where = str(path)
    general = Fields(where, file.metadata)
    parts = general.any("split.count")
    if parts is not None and not (isinstance(parts, int) and parts <= 1):
        raise general.unsupported("split.count", parts, "1; join the parts with gguf-split --merge")
    name = general.any("general.architecture")
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise general.unsupported("general.architecture", name, ", ".join(ARCHITECTURES))
    architecture = ARCHITECTURES[name]
    config = _config(where, name, architecture, file)
    names = _tensor_names(config, architecture, file.tensors)
    shapes = {each: tensor.shape for each, tensor in file.tensors.items()}
    check_shapes(where, config, names, shapes)
    scales = _scales(architecture, names, file.tensors)
    refuse_unread(where, name, file.tensors, {*names.values(), *scales.values(), FACTORS})
    weights: dict[str, Callable[[], Weight]] = {}
    dequantized: dict[str, int] = {}
    for canonical, stored in names.items():
        tensor = file.tensors[stored]
        reader = gguf_blocks.reader(where, tensor)
        weights[canonical] = reader.read
        if canonical in scales:
            scale = _numbers(where, file.tensors[scales[canonical]], 1)[0]
            weights[canonical] = partial(gguf_blocks.scaled, reader.read, scale)
        if reader.dequantized:
            dequantized[tensor.type.name] = dequantized.get(tensor.type.name, 0) + 1
    tokenizer, notes = gguf_tokenizer.of_metadata(where, file.metadata, config.vocabulary)
    said = (f"tensors of type {kind} became float32: {n}" for kind, n in dequantized.items())
    return Decoder(config, LazyWeights(weights), tokenizer, (*said, *notes))


def _config(where: str, name: str, architecture: Architecture, file: GgufFile) -> DecoderConfig:
    """The configuration; keys lose the architecture before them, except in messages."""
    prefix = f"{name}."
    values = {
        key.removeprefix(prefix): _scalar(value)
        for key, value in file.metadata.items()
        if key.startswith(prefix)
    }
    fields = Fields(f"{where}: {name}", values)
    width, heads = fields.integer("embedding_length"), fields.integer("attention.head_count")
    layers = fields.integer("block_count", most=min(MOST_LAYERS, len(file.tensors)))
    head_width = fields.integer("attention.key_length", width // heads, most=WIDEST_HEAD)
    if fields.integer("attention.value_length", head_width) != head_width:
        raise fields.unsupported(
            "attention.value_length", fields.any("attention.value_length"), f"{head_width}, as keys"
        )
    if fields.any("attention.causal") is False:
        raise fields.unsupported("attention.causal", False, "true")
    for key in ("expert_count", "attention.clamp_kqv", "attention.max_alibi_bias", "logit_scale"):
        if fields.any(key):
            raise fields.unsupported(key, fields.any(key), "0")
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None:
        raise InvalidModelError(
            f"{where}: there is no tensor 'token_embd.weight'; expected the embedding of every "
            "token. Download or convert the model again"
        )
    scaled_by = head_width if layers != architecture.layers_scaled_by_width else width / heads
    frequencies, local = _rope(where, fields, architecture, head_width, file)
    softcap, logit_softcap = architecture.softcaps
    activation = _activation(fields, architecture)
    config = DecoderConfig(
        family=name,
        vocabulary=embedding.shape[0],
        width=width,
        hidden=fields.integer("feed_forward_length"),
        layers=layers,
        heads=heads,
        kv_heads=fields.integer("attention.head_count_kv", heads),
        head_width=head_width,
        context=fields.integer("context_length"),
        norm_epsilon=fields.number("attention.layer_norm_rms_epsilon"),
        rope_frequencies=frequencies,
        rope_pairs=architecture.rope_pairs,
        windows=_windows(fields, architecture, layers),
        query_scale=fields.number("attention.scale", scaled_by**-0.5),
        activation=activation,
        embedding_scale=width**0.5 if architecture.gemma else 1.0,
        attention_softcap=fields.optional_number("attn_logit_softcapping") or softcap,
        logit_softcap=fields.optional_number("final_logit_softcapping") or logit_softcap,
        rope_frequencies_local=local,
    )
    if heads % config.kv_heads:
        raise fields.wrong("attention.head_count_kv", config.kv_heads, f"a divisor of {heads}")
    fields.refuse_unread(HARMLESS)
    return config


def _scalar(value: Any) -> Any:
    """A value; one number where an array has the same for every layer."""
    if isinstance(value, np.ndarray):
        return value[0].item() if value.size and (value == value[0]).all() else value.tolist()
    return value


def _activation(
    fields: Fields, architecture: Architecture
) -> Literal["silu", "gelu_tanh", "relu_squared"]:
    kind = fields.any("hidden_act") or fields.any("hidden_activation")
    known: Mapping[Any, Literal["silu", "gelu_tanh", "relu_squared"]]
    if architecture.gemma:
        known = {None: "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
    else:
        known = {None: "silu", "silu": "silu", "relu2": "relu_squared"}
    if not isinstance(kind, str | None) or kind not in known:
        raise fields.unsupported("hidden_act", kind, ", ".join(filter(None, known)))
    return known[kind]


def _windows(fields: Fields, architecture: Architecture, layers: int) -> tuple[int | None, ...]:
    window = fields.any("attention.sliding_window")
    every = architecture.window_every
    if every is None:
        if window:
            raise fields.unsupported("attention.sliding_window", window, "0 for this architecture")
        return (None,) * layers
    if window == 0 or (window is None and architecture.window is None):
        return (None,) * layers
    window = fields.integer("attention.sliding_window", architecture.window)
    pattern = fields.any("attention.sliding_window_pattern")
    if isinstance(pattern, list):
        if len(pattern) != layers:
            raise fields.wrong("attention.sliding_window_pattern", pattern, f"{layers} flags")
        return tuple(window if each else None for each in pattern)
    if isinstance(pattern, bool):  # the same for every layer
        return (window if pattern else None,) * layers
    every = fields.integer("attention.sliding_window_pattern", every)
    return tuple(window if (index + 1) % every else None for index in range(layers))


def _rope(
    where: str, fields: Fields, architecture: Architecture, head_width: int, file: GgufFile
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    rotated = fields.integer("rope.dimension_count", head_width)
    if rotated % 2 or rotated > head_width:
        raise fields.wrong("rope.dimension_count", rotated, f"an even number up to {head_width}")
    result = rope.frequencies(fields.number("rope.freq_base", 1e4), rotated)
    kind = fields.any("rope.scaling.type")
    if kind not in (None, "none", "linear"):
        raise fields.unsupported("rope.scaling.type", kind, "none, linear")
    if fields.any("rope.scaling.factor") and kind != "none":
        result = result / fields.number("rope.scaling.factor")
    if FACTORS in file.tensors:
        result = result / _numbers(where, file.tensors[FACTORS], rotated // 2)
    local = None
    if architecture.local_base is not None:
        base = fields.number("rope.freq_base_swa", architecture.local_base)
        local = rope.frequencies(base, rotated).astype(np.float32)
    return result.astype(np.float32), local


def _numbers(where: str, tensor: GgufTensor, count: int) -> NDArray[np.float32]:
    """What divides each frequency (Llama 3), or what a matrix is multiplied by (BitNet)."""
    if tensor.shape != (count,) or tensor.type.name != "F32":
        raise InvalidModelError(
            f"{where}: tensor {tensor.name!r} is {tensor.type.name} of shape "
            f"{list(tensor.shape)}; expected F32 of shape {[count]}. Download or convert the model "
            "again"
        )
    numbers = tensor.data.view("<f4")
    if not ((numbers >= SMALLEST) & (numbers <= GREATEST)).all():
        raise InvalidModelError(
            f"{where}: tensor {tensor.name!r} has a value outside of {SMALLEST} to {GREATEST}. "
            "Download or convert the model again"
        )
    return numbers


def _tensor_names(
    config: DecoderConfig, architecture: Architecture, tensors: Mapping[str, GgufTensor]
) -> dict[str, str]:
    """Canonical name -> the name in the file; biases and the head where the file has them."""
    names = {"embedding": "token_embd.weight", "norm": "output_norm.weight"}
    if "output.weight" in tensors:
        names["head"] = "output.weight"
    for index in range(config.layers):
        for name, stored in architecture.tensors.items():
            names[f"layers.{index}.{name}"] = f"blk.{index}.{stored}.weight"
        for name in _BIASED:
            stored = f"blk.{index}.{architecture.tensors[name]}.bias"
            if stored in tensors:
                names[f"layers.{index}.{name}_bias"] = stored
    return names


def _scales(
    architecture: Architecture, names: Mapping[str, str], tensors: Mapping[str, GgufTensor]
) -> dict[str, str]:
    """Canonical name of a matrix -> the tensor that it is multiplied by, where there is one."""
    if not architecture.scaled:
        return {}
    found = {name: f"{stored.removesuffix('.weight')}.scale" for name, stored in names.items()}
    return {name: stored for name, stored in found.items() if stored in tensors}
