"""Whether a decoder's weights are those that its configuration asks for."""

import numpy as np
from numpy.typing import NDArray

from bitwright.frontend.llm.decoder import BlockWeights, Decoder, DecoderConfig
from bitwright.frontend.llm.errors import InvalidModelError

_LARGEST = 1 << 31


def shapes(config: DecoderConfig) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """The shapes of the weights that have to be there, and of those that may be."""
    query, key = config.heads * config.head_width, config.kv_heads * config.head_width
    width, hidden = config.width, config.hidden
    needed: dict[str, tuple[int, ...]] = {"embedding": (config.vocabulary, width), "norm": (width,)}
    optional: dict[str, tuple[int, ...]] = {"head": (config.vocabulary, width)}
    for layer in range(config.layers):
        parts: dict[str, tuple[int, ...]] = {
            "attention_norm": (width,), "q": (query, width), "k": (key, width), "v": (key, width),
            "o": (width, query), "ffn_norm": (width,), "gate": (hidden, width),
            "up": (hidden, width), "down": (width, hidden),
        }  # fmt: skip
        extras: dict[str, tuple[int, ...]] = {
            "q_bias": (query,), "k_bias": (key,), "v_bias": (key,), "o_bias": (width,),
            "q_norm": (config.head_width,), "k_norm": (config.head_width,),
            "attention_post_norm": (width,), "ffn_post_norm": (width,),
            "attention_sub_norm": (query,), "ffn_sub_norm": (hidden,),
        }  # fmt: skip
        needed |= {f"layers.{layer}.{name}": shape for name, shape in parts.items()}
        optional |= {f"layers.{layer}.{name}": shape for name, shape in extras.items()}
    return needed, optional


def check_config(config: DecoderConfig) -> None:
    """Whether the numbers of a configuration fit each other; readers check before they read.

    Raises:
        InvalidModelError: what does not.
    """
    for name in (
        "vocabulary", "width", "hidden", "layers", "heads", "kv_heads", "head_width", "context",
    ):  # fmt: skip
        value = getattr(config, name)
        if not 1 <= value < _LARGEST:
            raise InvalidModelError(f"The model's {name} is {value}; expected 1 to {_LARGEST - 1}")
    if config.heads % config.kv_heads:
        raise InvalidModelError(
            f"The model has {config.heads} heads for {config.kv_heads} heads of keys and values; "
            "expected a multiple"
        )
    if len(config.windows) != config.layers:
        raise InvalidModelError(
            f"The model has {len(config.windows)} windows for {config.layers} layers; expected "
            "one each"
        )
    for frequencies in (config.rope_frequencies, config.rope_frequencies_local):
        if frequencies is not None and not 0 < 2 * len(frequencies) <= config.head_width:
            raise InvalidModelError(
                f"The model rotates {2 * len(frequencies)} elements of heads of "
                f"{config.head_width}; expected 2 to {config.head_width}"
            )


def check_names(decoder: Decoder) -> dict[str, tuple[int, ...]]:
    """The shape of every weight that there may be; the configuration is checked too.

    Raises:
        InvalidModelError: a weight that is missing, or unknown.
    """
    check_config(decoder.config)
    needed, optional = shapes(decoder.config)
    known = needed | optional
    for name in decoder.weights:
        if name not in known:
            raise InvalidModelError(
                f"The weight {name!r} is none that a decoder has; the reader of this format has "
                "to map it or refuse it"
            )
    for name, shape in needed.items():
        if name not in decoder.weights:
            raise InvalidModelError(f"The model lacks the weight {name!r} of shape {list(shape)}")
    return known


def check_weight(
    name: str, weight: NDArray[np.float32] | BlockWeights, shape: tuple[int, ...]
) -> None:
    """Compare a weight, which may have been read just now, with its shape.

    Raises:
        InvalidModelError: where it differs.
    """
    found = (weight.values if isinstance(weight, BlockWeights) else weight).shape
    if found != shape:
        raise InvalidModelError(
            f"The weight {name!r} has shape {list(found)}; expected {list(shape)}"
        )
