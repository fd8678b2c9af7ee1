"""Small decoders with random weights, and their files."""

import math
import struct
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.frontend.llm.check import shapes
from bitwright.frontend.llm.decoder import BlockWeights, Decoder, DecoderConfig

MAGIC = 0x616B3432
CONFIG = DecoderConfig(
    family="llama", vocabulary=300, width=16, hidden=24, layers=2, heads=4, kv_heads=2,
    head_width=4, context=20, norm_epsilon=1e-5,
    rope_frequencies=np.float32([1, 0.01]), rope_pairs="neighbours", windows=(None, None),
    query_scale=0.5,
)  # fmt: skip


def config(**changes: Any) -> DecoderConfig:
    return replace(CONFIG, **changes)


def decoder(config: DecoderConfig, extras: tuple[str, ...] = (), seed: int = 0) -> Decoder:
    """Random weights; of the optional ones those whose name ends in one of `extras`."""
    random = np.random.default_rng(seed)
    needed, optional = shapes(config)
    chosen = {name: shape for name, shape in optional.items() if name.endswith(extras or ("\n",))}
    weights: dict[str, NDArray[np.float32] | BlockWeights] = {}
    for name, shape in (needed | chosen).items():
        scale = 1.0 if len(shape) == 1 else 1.5 / math.sqrt(shape[-1])
        weights[name] = (scale * random.normal(size=shape)).astype(np.float32)
    return Decoder(config, weights, None)


def blocks(weight: NDArray[np.float32], block: int, *, signed: bool = True) -> BlockWeights:
    """To 4 bits, with a zero point where unsigned."""
    rows = weight.reshape(len(weight), -1, block)
    scales = np.abs(rows).max(axis=2) / np.float32(7)
    codes = np.rint(rows / scales[..., None])
    zero = 0 if signed else 8
    dtype = np.int8 if signed else np.uint8
    values = (codes + zero).astype(dtype).reshape(weight.shape)
    return BlockWeights(values, scales.astype("f4"), np.full(scales.shape, zero, dtype), 4)


def header(config: DecoderConfig, *, negative: bool = False) -> bytes:
    vocabulary = -config.vocabulary if negative else config.vocabulary
    return struct.pack(
        "<7i", config.width, config.hidden, config.layers, config.heads, config.kv_heads,
        vocabulary, config.context,
    )  # fmt: skip


def _layers(decoder: Decoder, *names: str) -> list[NDArray[np.float32]]:
    found = [
        decoder.weights[f"layers.{layer}.{name}"]
        for name in names
        for layer in range(decoder.config.layers)
    ]
    assert all(isinstance(weight, np.ndarray) for weight in found)
    return found  # pyright: ignore[reportReturnType]


def write_version0(decoder: Decoder) -> bytes:
    """llama2.c's first format."""
    head = decoder.weights.get("head")
    angles = np.full((2, decoder.config.context, decoder.config.head_width // 2), 9, np.float32)
    parts: list[Any] = [
        decoder.weights["embedding"], *_layers(decoder, "attention_norm", "q", "k", "v", "o"),
        *_layers(decoder, "ffn_norm", "gate", "down", "up"), decoder.weights["norm"], angles,
        *([] if head is None else [head]),
    ]  # fmt: skip
    data = b"".join(part.astype("<f4").tobytes() for part in parts)
    return header(decoder.config, negative=head is not None) + data


def write_version(decoder: Decoder, version: int, group: int = 0) -> bytes:
    """llama2.c's formats with a header of 256 bytes."""
    head = decoder.weights.get("head")
    start = struct.pack("<Ii", MAGIC, version) + header(decoder.config)
    start += struct.pack("<B", head is None) + (struct.pack("<i", group) if version == 2 else b"")
    norms: list[Any] = [*_layers(decoder, "attention_norm", "ffn_norm"), decoder.weights["norm"]]
    matrices: list[Any] = [
        decoder.weights["embedding"],
        *_layers(decoder, "q", "k", "v", "o", "gate", "down", "up"),
        *([] if head is None else [head]),
    ]
    data = [start.ljust(256, b"\0"), *(norm.astype("<f4").tobytes() for norm in norms)]
    for matrix in matrices:
        if version == 1:
            data.append(matrix.astype("<f4").tobytes())
        else:
            codes, scales = groups(matrix, group)
            data += [codes.tobytes(), scales.astype("<f4").tobytes()]
    return b"".join(data)


def groups(matrix: NDArray[np.float32], group: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """int8 numbers and one scale for each group of the flat matrix."""
    rows = matrix.reshape(-1, group)
    scales = np.abs(rows).max(axis=1) / np.float32(127)
    return np.rint(rows / scales[:, None]).astype(np.int8), scales


def write_tokenizer(vocabulary: int = CONFIG.vocabulary) -> bytes:
    """llama2.c's tokenizer: bytes, then a few letters and pairs of them."""
    pieces = [
        b"<unk>",
        b"\n<s>\n",
        b"\n</s>\n",
        *(f"<0x{byte:02X}>".encode() for byte in range(256)),
    ]
    letters = [bytes([code]) for code in b" abcdefghijklmnopqrstuvwxyz.,"]
    pairs = [b"ab", b" a", b" ab", b"cd", b"abcd", b" the", b"th", b"he", b"the", b"\xc3\xa9"]
    pieces += [*letters, *pairs]
    pieces += [f"piece{index}".encode() for index in range(vocabulary - len(pieces))]
    rows = [
        struct.pack("<fi", float(-index), len(piece)) + piece
        for index, piece in enumerate(pieces[:vocabulary])
    ]
    return struct.pack("<i", max(map(len, pieces))) + b"".join(rows)
