"""Tokenizers of every kind through the file of a package, and damaged files."""

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import tiny_decoder as tiny

from bitwright.frontend.llm import (
    hugging_face_tokenizer,
    llama2c_tokenizer,
    sentencepiece_tokenizer,
    tokenizer_file,
)
from bitwright.frontend.llm.decoder import Tokenizer
from bitwright.frontend.llm.errors import InvalidModelError
from bitwright.frontend.llm.gguf_tokenizer import of_metadata

FIXTURES = Path(__file__).parent / "fixtures"
TEXTS = ["", "the cat sat", " ab  cd\n", "naïve 日本語 🙂", "x<|end|>the cat</s>the mat"]


def tokenizers(folder: Path) -> dict[str, Tokenizer | None]:
    (folder / "t.bin").write_bytes(tiny.write_tokenizer())
    found: dict[str, Tokenizer | None] = {"llama2.c": llama2c_tokenizer.load(folder / "t.bin", 300)}
    for name, file in (("bytes", "tokenizer.json"), ("pieces", "tokenizer.json")):
        shutil.copy(FIXTURES / f"tokenizer_{name}.json", folder / file)
        config = {"eos_token_id": [1, 2]}
        found[name] = hugging_face_tokenizer.of_folder(folder, 400, config)
    shutil.copy(FIXTURES / "tokenizer.model", folder)
    found["sentencepiece"] = sentencepiece_tokenizer.of_folder(folder, 1000, {"eos_token_id": 2})
    pieces = [b"<unk>", b"<s>", b"</s>", b"<0x41>", "\u2581the".encode(), b"the", b"t", b"h", b"e"]
    metadata: dict[str, Any] = {
        "model": "llama", "tokens": pieces, "unknown_token_id": 0, "bos_token_id": 1,
        "eos_token_id": 2,
    }  # fmt: skip
    found["gguf"], _ = of_metadata(
        "m", {f"tokenizer.ggml.{name}": value for name, value in metadata.items()}, 20
    )
    return found


def test_they_come_back_the_same(tmp_path: Path) -> None:
    kinds: set[str] = set()
    for tokenizer in tokenizers(tmp_path).values():
        assert tokenizer is not None
        path = tmp_path / tokenizer_file.NAME
        path.write_text(tokenizer_file.text_of(tokenizer))
        kinds.add(json.loads(path.read_text())["kind"])
        again = tokenizer_file.load(path)
        assert again.stops == tokenizer.stops
        for text in TEXTS:
            tokens = tokenizer.encode(text)
            assert again.encode(text) == tokens
            for pair in pairwise([-1, *tokens, 19]):
                assert again.piece(*pair) == tokenizer.piece(*pair)
    assert kinds == set(tokenizer_file.KINDS)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 "
              "(char 1)"),
        ('{"kind": "unknown"}', "KeyError: 'unknown'"),
        ('{"kind": "score bpe"}', "KeyError: 'pieces'"),
        ("[1]", "TypeError: list indices must be integers or slices, not str"),
    ],
)  # fmt: skip
def test_damaged_files(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(text)
    with pytest.raises(InvalidModelError) as raised:
        tokenizer_file.load(path)
    assert str(raised.value) == (
        f"{path} is not a tokenizer as `bitwright compile` writes it ({reason}); compile the model "
        "again"
    )
