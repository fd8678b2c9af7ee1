"""`bitwright inspect` of a language model: its configuration, its size, its work per token."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from bitwright.errors import BitwrightError
from bitwright.frontend.llm.check import check_names, check_weight
from bitwright.frontend.llm.decoder import BlockWeights, Decoder
from bitwright.frontend.llm.readers import load

_SHOWN = (
    "family", "vocabulary", "width", "hidden", "layers", "heads", "kv_heads", "head_width",
    "context", "activation",
)  # fmt: skip


class NotForLanguageModels(BitwrightError):
    """An option of `inspect` that language models do not have."""

    exit_code = 2


@dataclass(frozen=True)
class DecoderInspection:
    """Names and values, in the order of the table.

    Attributes:
        rows: numbers, or text for people.
        notes: what the reader of the model changed.
    """

    model: str
    rows: dict[str, int | float | str]
    notes: tuple[str, ...]

    def table(self) -> Table:
        """For a terminal."""
        table = Table("", "value", title=self.model, caption="\n".join(self.notes) or None)
        for name, value in self.rows.items():
            table.add_row(name.replace("_", " "), value if isinstance(value, str) else f"{value:,}")
        return table

    def json(self) -> str:
        """The rows and notes for scripts."""
        return json.dumps({"model": self.model, **self.rows, "notes": list(self.notes)}, indent=2)

    def save_html(self, path: Path) -> None:
        """There is no such page.

        Raises:
            NotForLanguageModels: always.
        """
        raise NotForLanguageModels(
            f"{self.model} is a language model, and --html draws other networks; leave it out"
        )


def inspect_decoder(
    model: Path, target: str | None = None, shapes: Mapping[str, Any] | None = None
) -> DecoderInspection:
    """What a language model consists of.

    Raises:
        ModelError: a model that cannot be read.
        NotForLanguageModels: where a target or shapes are given.
    """
    for option, value in (("--target", target), ("--shape", shapes)):
        if value:
            raise NotForLanguageModels(
                f"{model} is a language model, and {option} is for other networks; leave it out, "
                "and see `bitwright generate --help`"
            )
    return inspection_of(load(model), str(model))


def inspection_of(decoder: Decoder, name: str) -> DecoderInspection:
    """The table of a decoder; every weight is read once.

    Raises:
        ModelError: weights that do not fit the configuration, or cannot be read.
    """
    config, shapes = decoder.config, check_names(decoder)
    rows: dict[str, int | float | str] = {key: getattr(config, key) for key in _SHOWN}
    windows = sorted({window for window in config.windows if window is not None})
    if windows:
        count = sum(window is not None for window in config.windows)
        rows["windows"] = f"{', '.join(map(str, windows))} positions in {count} layers"
    parameters, size, macs = 0, 0, 0
    for key, weight in decoder.weights.items():
        check_weight(key, weight, shapes[key])
        matrix = weight.values if isinstance(weight, BlockWeights) else weight
        parameters += matrix.size
        size += _bytes(weight)
        if matrix.ndim == 2 and (key != "embedding" or "head" not in decoder.weights):
            macs += matrix.size
    spans = [min(window or config.context, config.context) for window in config.windows]
    heads = config.heads * config.head_width
    cache = config.layers * config.context * config.kv_heads * config.head_width
    return DecoderInspection(
        name,
        {
            **rows,
            "embedding": "its own head" if "head" in decoder.weights else "tied to the head",
            "parameters": parameters,
            "weight_bytes": size,
            "bits_per_parameter": round(8 * size / parameters, 2),
            "macs_per_token": macs,
            "attention_macs_at_full_context": 2 * heads * sum(spans),
            "cache_bytes_at_full_context": 2 * cache * np.dtype(np.float32).itemsize,
            "tokenizer": "none in its files" if decoder.tokenizer is None else "in its files",
        },
        decoder.notes,
    )


def _bytes(weight: BlockWeights | np.ndarray) -> int:
    if isinstance(weight, np.ndarray):
        return weight.nbytes
    packed = -(-weight.values.size * weight.bits // 8)
    zeros = -(-weight.zero_points.size * weight.bits // 8) if weight.zero_points.any() else 0
    return packed + weight.scales.nbytes + zeros
