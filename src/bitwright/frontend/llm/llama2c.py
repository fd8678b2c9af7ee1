"""llama2.c's model files: Llama in float32 (versions 0 and 1) or in groups of int8 (version 2).

Source: `export.py` and `run.c` of llama2.c. Version 0 is a header of seven integers and tables
of rotary angles, which `run.c` and this reader pass over; 1 and 2 begin with the magic number
"ak42" and a header of 256 bytes. All of them rotate neighbours at base 10,000 and have epsilon
1e-5. Numbers are little-endian.
"""

import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitwright.frontend.llm.check import check_config
from bitwright.frontend.llm.decoder import BlockWeights, Decoder, DecoderConfig
from bitwright.frontend.llm.errors import (
    InvalidModelError,
    ModelFileNotFoundError,
    TruncatedModelError,
)

MAGIC = 0x616B3432
_HEADER_BYTES = 256
_LAYER_MATRICES = ("q", "k", "v", "o", "gate", "down", "up")
_Shape = tuple[int, ...]


@dataclass(frozen=True)
class _Header:
    version: int
    config: DecoderConfig
    tied: bool
    group: int
    """Numbers that share a scale, in version 2."""
    size: int


def load(path: Path) -> Decoder:
    """Read a model; it has no tokenizer, which is a file of its own.

    Raises:
        ModelFileNotFoundError: a path that cannot be read.
        InvalidModelError: a header that is not llama2.c's, or scales that are none.
        TruncatedModelError: fewer bytes than the header asks for (more are invalid).
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER_BYTES)
            length = file.seek(0, 2)
        header = _header(path, head, length)
        expected = header.size + _bytes(header)
        if length != expected:
            kind = TruncatedModelError if length < expected else InvalidModelError
            raise kind(
                f"{path} has {length} bytes; its header of llama2.c, version {header.version}, "
                f"asks for {expected}. Check that it is whole, and a model of llama2.c"
            )
        data = np.memmap(path, np.uint8, "r", offset=header.size)
    except OSError as error:
        raise ModelFileNotFoundError(
            f"Cannot read the model {path}: {error.strerror}; name an existing file"
        ) from None
    if header.version == 2:
        weights, notes = _blocks(path, header, data)
        return Decoder(header.config, weights, None, notes)
    return Decoder(header.config, _floats(header, data), None)


def _header(path: Path, head: bytes, length: int) -> _Header:
    if len(head) < 28:
        raise TruncatedModelError(f"{path} has {len(head)} bytes; expected a model of llama2.c")
    version, start, size, group = 0, 0, 28, 0
    if struct.unpack_from("<I", head)[0] == MAGIC:
        if len(head) < _HEADER_BYTES:
            raise TruncatedModelError(
                f"{path} ends in its header, at {len(head)} bytes of {_HEADER_BYTES}"
            )
        (version,) = struct.unpack_from("<i", head, 4)
        start, size = 8, _HEADER_BYTES
        if version not in (1, 2):
            raise InvalidModelError(
                f"{path} is a model of llama2.c, version {version}; expected 0, 1 or 2"
            )
    width, hidden, layers, heads, kv_heads, vocabulary, context = struct.unpack_from(
        "<7i", head, start
    )
    tied = vocabulary > 0 if version == 0 else head[start + 28] != 0
    if version == 0:
        vocabulary = abs(vocabulary)
    if heads < 1 or width < 1 or width % heads or (width // heads) % 2 or layers < 1:
        raise InvalidModelError(
            f"{path} is no model of llama2.c: its header says width {width}, {heads} heads and "
            f"{layers} layers; expected heads of an even width"
        )
    if 8 * layers * width > length:  # two norms in each layer
        raise TruncatedModelError(
            f"{path} has {length} bytes; its header of llama2.c says {layers} layers of width "
            f"{width}, which need more. Check that it is whole, and a model of llama2.c"
        )
    if version == 2:
        (group,) = struct.unpack_from("<i", head, start + 29)
        if group < 1 or width % group:
            raise InvalidModelError(
                f"{path} has groups of {group} numbers; expected a divisor of its width {width}"
            )
    head_width = width // heads
    exponents = np.arange(0, head_width, 2, dtype=np.float32) / np.float32(head_width)
    config = DecoderConfig(
        family="llama",
        vocabulary=vocabulary,
        width=width,
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_width=head_width,
        context=context,
        norm_epsilon=1e-5,
        rope_frequencies=(np.float32(1) / np.float32(10000) ** exponents).astype(np.float32),
        rope_pairs="neighbours",
        windows=(None,) * layers,
        query_scale=1 / math.sqrt(head_width),
    )
    check_config(config)
    return _Header(version, config, tied, group, size)


def _matrix_shapes(config: DecoderConfig) -> dict[str, _Shape]:
    width, hidden, key = config.width, config.hidden, config.kv_heads * config.head_width
    return {
        "q": (width, width), "k": (key, width), "v": (key, width), "o": (width, width),
        "gate": (hidden, width), "down": (width, hidden), "up": (hidden, width),
    }  # fmt: skip


def _order(header: _Header) -> list[tuple[str, _Shape]]:
    """Name and shape of what a file holds, in its order; a name of None is passed over."""
    config, numbers = header.config, range(header.config.layers)
    norm, matrices = (config.width,), _matrix_shapes(config)
    embedding = ("embedding", (config.vocabulary, config.width))
    head = [] if header.tied else [("head", embedding[1])]

    def each(name: str, shape: _Shape) -> list[tuple[str, _Shape]]:
        return [(f"layers.{layer}.{name}", shape) for layer in numbers]

    def layers(*names: str) -> list[tuple[str, _Shape]]:
        return [item for name in names for item in each(name, matrices[name])]

    attention_norms, ffn_norms = each("attention_norm", norm), each("ffn_norm", norm)
    if header.version == 0:
        angles = ("", (2, config.context, config.head_width // 2))
        return [
            embedding, *attention_norms, *layers("q", "k", "v", "o"), *ffn_norms,
            *layers("gate", "down", "up"), ("norm", norm), angles, *head,
        ]  # fmt: skip
    return [
        *attention_norms, *ffn_norms, ("norm", norm), embedding, *layers(*_LAYER_MATRICES), *head,
    ]  # fmt: skip


def _bytes(header: _Header) -> int:
    """Of everything behind the header."""
    total = 0
    for _, shape in _order(header):
        count = math.prod(shape)
        if header.version == 2 and len(shape) == 2:
            total += count + 4 * (count // header.group)
        else:
            total += 4 * count
    return total


def _floats(header: _Header, data: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    weights: dict[str, NDArray[np.float32]] = {}
    offset = 0
    for name, shape in _order(header):
        end = offset + 4 * math.prod(shape)
        if name:
            weights[name] = data[offset:end].view("<f4").reshape(shape)
        offset = end
    return weights


def _blocks(
    path: Path, header: _Header, data: NDArray[np.uint8]
) -> tuple[dict[str, NDArray[np.float32] | BlockWeights], tuple[str, ...]]:
    """Version 2: each matrix is its int8 numbers, then the scales of its groups.

    Groups run over the flat matrix. Where one crosses the end of a row, the matrix becomes floats.
    """
    weights: dict[str, NDArray[np.float32] | BlockWeights] = {}
    crossing: set[str] = set()
    offset = 0
    for name, shape in _order(header):
        count = math.prod(shape)
        if len(shape) == 1:
            weights[name] = data[offset : offset + 4 * count].view("<f4")
            offset += 4 * count
            continue
        values = data[offset : offset + count].view(np.int8)
        offset += count
        groups = count // header.group
        scales = np.frombuffer(data[offset : offset + 4 * groups].tobytes(), "<f4")
        offset += 4 * groups
        if not np.all(np.isfinite(scales)) or np.any(scales < 0):
            raise InvalidModelError(
                f"{path} has scales of {name!r} that are negative or not finite. Early exporters "
                "wrote all scales behind all numbers, which cannot be told by the header; export "
                "the model again"
            )
        if shape[1] % header.group == 0:
            grid = scales.reshape(shape[0], -1)
            zeros = np.zeros(grid.shape, np.int8)
            weights[name] = BlockWeights(values.reshape(shape), grid, zeros, 8)
        else:
            crossing.add(name.rsplit(".", 1)[-1])
            real = values.reshape(groups, -1).astype(np.float32) * scales[:, None]
            weights[name] = real.reshape(shape)
    notes = [
        f"{name}: groups of {header.group} cross its rows; read as float32"
        for name in sorted(crossing)
    ]
    return weights, tuple(notes)
