"""Damaged files of language models: one of our errors says what is wrong, soon, in little memory.

`BITWRIGHT_FUZZ` multiplies the number of inputs.
"""

import json
import math
import os
import random
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gguf import GGMLQuantizationType as Type

from bitwright.errors import BitwrightError
from bitwright.frontend.llm import (
    gguf,
    hugging_face_tokenizer,
    safetensors,
    sentencepiece_tokenizer,
)
from bitwright.frontend.llm.decoder import Decoder

sys.path.insert(0, str(Path(__file__).parent))

import gguf_models
import test_tokenizers
import tiny_decoder

FIXTURES = Path(__file__).parent / "fixtures"
MUTATIONS = 150 * int(os.environ.get("BITWRIGHT_FUZZ", "1"))
VALUES = (None, [], [1], {}, {"a": 1}, "text", -1, 0, 7, 2**70, 10**400, 1e-300, math.inf, True)
KEYS = [
    f"llama.{key}"
    for key in (
        "context_length", "embedding_length", "block_count", "feed_forward_length",
        "attention.head_count", "attention.head_count_kv", "attention.key_length",
        "attention.value_length", "attention.layer_norm_rms_epsilon", "rope.freq_base",
        "vocab_size", "rope.scaling.type", "rope.scaling.factor", "rope.dimension_count",
        "hidden_act", "attention.causal", "expert_count", "attention.sliding_window",
        "attention.scale", "attn_logit_softcapping",
    )
]  # fmt: skip
WORDS = (0, 1, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)


def mutated(data: bytes, rng: random.Random, end: int) -> bytes:
    """Some bytes, numbers or stretches before `end` replaced, or the file cut off."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at = rng.randrange(max(1, min(end, len(changed))))
        match rng.randrange(6):
            case 0:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                changed[at : at + 1] = bytes(
                    [changed[at] ^ 1 << rng.randrange(8)] if changed else []
                )
            case 2:
                changed[at : at + 8] = rng.choice(WORDS).to_bytes(8, "little")
            case 3:
                changed[at : at + 4] = (rng.choice(WORDS) & 0xFFFFFFFF).to_bytes(4, "little")
            case 4:
                other = rng.randrange(max(1, len(changed)))
                changed[at : at + 8] = changed[other : other + 8]
            case _:
                if rng.random() < 0.3:
                    del changed[at:]
    return bytes(changed)


def add(writer: Any, key: str, value: Any) -> None:
    """Metadata by the kind of a Python value."""
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, int):
        writer.add_int64(key, value)
    elif isinstance(value, float):
        writer.add_float64(key, value)
    else:
        writer.add_array(key, list(value) if isinstance(value, list) else value.tolist())


def use(decoder: Decoder) -> None:
    """Everything that is read late."""
    for name in decoder.weights:
        assert decoder.weights[name] is not None
    if decoder.tokenizer is not None:
        tokens = decoder.tokenizer.encode("the cat <s> é")
        for token in tokens:
            decoder.tokenizer.piece(0, token)


def fuzz(name: str, mutate: Callable[[random.Random], None], read: Callable[[], None]) -> None:
    rng = random.Random(name)
    read()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = 0
    for _ in range(MUTATIONS):
        mutate(rng)
        start = time.process_time()
        try:
            read()
        except BitwrightError:
            refused += 1
        assert time.process_time() - start < 5
    assert refused > MUTATIONS // 10
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000, f"{grown} KiB"


@pytest.mark.parametrize("kind", ["bytes", "pieces"])
def test_gguf(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.gguf"
    original = tiny_decoder.decoder(tiny_decoder.config(vocabulary=330))

    def metadata(writer: Any) -> None:
        for key, value in test_tokenizers.metadata(kind).items():
            add(writer, key, value)

    gguf_models.write(path, original, "llama", type_=Type.F16, metadata=metadata)
    data = path.read_bytes()
    header = data.rindex(b"blk.1.") + 60
    fuzz(
        kind,
        lambda rng: path.write_bytes(mutated(data, rng, header)) and None,
        lambda: use(gguf.load(path)),
    )


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("name", ["gemma3", "bitnet"])
def test_folders(tmp_path: Path, name: str, file: str) -> None:
    folder = tmp_path / name
    shutil.copytree(FIXTURES / name, folder)
    (folder / "tokenizer.json").write_bytes((FIXTURES / "tokenizer_bytes.json").read_bytes())
    data = (folder / file).read_bytes()
    end = len(data) if file != "model.safetensors" else data.index(b"}}") + 2

    def read() -> None:
        if file == "tokenizer.json":
            hugging_face_tokenizer.of_folder(folder, 300, {})
            return
        (folder / "tokenizer.json").unlink(missing_ok=True)
        use(safetensors.load(folder))

    fuzz(
        name + file, lambda rng: (folder / file).write_bytes(mutated(data, rng, end)) and None, read
    )


def test_tokenizer_model(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    data = (FIXTURES / "tokenizer.model").read_bytes()
    path.write_bytes(data)

    def read() -> None:
        tokenizer = sentencepiece_tokenizer.of_folder(tmp_path, 400, {})
        assert tokenizer is not None
        tokenizer.encode("the cat <s> é")

    fuzz("model", lambda rng: path.write_bytes(mutated(data, rng, len(data))) and None, read)


def test_truncated_gguf(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    gguf_models.write(path, safetensors.load(FIXTURES / "gemma2"), "gemma2")
    data = path.read_bytes()
    for end in (*range(0, 3000, 13), *range(3000, len(data), 911)):
        path.write_bytes(data[:end])
        with pytest.raises(BitwrightError):
            gguf.load(path)


def test_truncated_safetensors(tmp_path: Path) -> None:
    folder = tmp_path / "gemma2"
    shutil.copytree(FIXTURES / "gemma2", folder)
    data = (folder / "model.safetensors").read_bytes()
    for end in (*range(0, 3000, 29), *range(3000, len(data), 911)):
        (folder / "model.safetensors").write_bytes(data[:end])
        with pytest.raises(BitwrightError):
            safetensors.load(folder)


def test_every_key_of_gguf_with_values_of_other_kinds(tmp_path: Path) -> None:
    original = tiny_decoder.decoder(tiny_decoder.config(vocabulary=330))
    path = tmp_path / "model.gguf"
    refused = tried = 0
    tokenizer = test_tokenizers.metadata("pieces")
    for key in (*KEYS, *tokenizer, "tokenizer.ggml.add_bos_token", "split.count"):
        for value in ([1, 2], [1, 1], ["a", "b"], "text", -1, 0, 2**40, float("nan"), 1e-30, True):

            def metadata(writer: Any, key: str = key, value: object = value) -> None:
                for each, found in (tokenizer | {key: value}).items():
                    add(writer, each, found)

            gguf_models.write(path, original, "llama", metadata=metadata, without=key)
            tried += 1
            try:
                use(gguf.load(path))
            except BitwrightError:
                refused += 1
    assert refused > tried // 2


def test_every_key_of_a_configuration_with_values_of_other_kinds(tmp_path: Path) -> None:
    refused = tried = 0
    for name in ("qwen2", "gemma3"):
        folder = tmp_path / name
        shutil.copytree(FIXTURES / name, folder)
        config = json.loads((folder / "config.json").read_text())
        rope = config["rope_parameters"]
        tables = [{key: value} for key in config for value in VALUES]
        tables += [{"rope_parameters": rope | {key: value}} for key in rope for value in VALUES]
        for table in tables:
            (folder / "config.json").write_text(json.dumps(config | table))
            tried += 1
            try:
                use(safetensors.load(folder))
            except BitwrightError:
                refused += 1
    assert refused > tried // 3
