"""Tokenizers of folders and of GGUF's metadata, against the packages that know them."""

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import tokenizers

from bitwright.frontend.llm import sentencepiece_tokenizer
from bitwright.frontend.llm.decoder import Tokenizer
from bitwright.frontend.llm.errors import (
    InvalidModelError,
    ModelError,
    UnsupportedAttributeError,
)
from bitwright.frontend.llm.gguf_tokenizer import EXPRESSIONS, of_metadata
from bitwright.frontend.llm.hugging_face_tokenizer import of_folder

FIXTURES = Path(__file__).parent / "fixtures"
TEXTS = [
    "", "the cat sat", " the  cats of 2026\n\n\tand more ", "I'll: we've, CAN'T!",
    "naïve 日本語 🙂", "x<|end|>the cat</s>the mat", "123456789", "…e\u0301\x00",
]  # fmt: skip


def text_of(tokenizer: Tokenizer, tokens: list[int]) -> str:
    return b"".join(tokenizer.piece(*pair) for pair in pairwise([-1, *tokens])).decode()


def folder(tmp_path: Path, kind: str, generation: dict[str, Any] | None = None) -> Path:
    shutil.copy(FIXTURES / f"tokenizer_{kind}.json", tmp_path / "tokenizer.json")
    if generation is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(generation))
    return tmp_path


@pytest.mark.parametrize("kind", ["bytes", "pieces"])
@pytest.mark.parametrize("text", TEXTS)
def test_tokens_and_texts_of_tokenizer_json(tmp_path: Path, kind: str, text: str) -> None:
    library = tokenizers.Tokenizer.from_file(str(FIXTURES / f"tokenizer_{kind}.json"))
    tokenizer = of_folder(folder(tmp_path, kind), 400, {})
    assert tokenizer is not None
    tokens = tokenizer.encode(text)
    assert tokens == library.encode(text).ids
    found = text_of(tokenizer, tokens)
    assert found == library.decode(tokens)
    if "cat</s>the" not in text or kind == "bytes":  # after </s> it adds a space, and prints it
        assert found == text.replace("<|end|>", "" if kind == "bytes" else "<|end|>")


def test_stop_tokens(tmp_path: Path) -> None:
    def stops(config: Any, generation: Any = None) -> frozenset[int]:
        found = of_folder(folder(tmp_path, "bytes", generation), 400, {"eos_token_id": config})
        assert found is not None
        return found.stops

    assert stops(7) == {7}
    assert stops([7, 9]) == {7, 9}
    assert stops(None) == set()
    assert stops(7, {"eos_token_id": [1, 2]}) == {1, 2}
    assert of_folder(FIXTURES, 400, {}) is None


def test_truncation_and_padding_are_off(tmp_path: Path) -> None:
    """Which a tokenizer.json has where it was left with them after training."""
    library = tokenizers.Tokenizer.from_file(str(FIXTURES / "tokenizer_bytes.json"))
    library.enable_truncation(4)
    library.enable_padding(length=4)
    library.save(str(tmp_path / "tokenizer.json"))
    tokenizer = of_folder(tmp_path, 400, {})
    assert tokenizer is not None
    assert len(tokenizer.encode("the cat sat on the mat 12345")) > 4
    assert len(tokenizer.encode("a")) == 1


def test_a_tokenizer_of_another_model(tmp_path: Path) -> None:
    path = folder(tmp_path, "bytes")
    with pytest.raises(InvalidModelError) as caught:
        of_folder(path, 64, {})
    assert str(caught.value) == (
        f"{path}/tokenizer.json has the token 286; the model has 64. Take both from one model"
    )


def test_a_damaged_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(InvalidModelError) as caught:
        of_folder(tmp_path, 64, {})
    found = str(caught.value)
    assert found.startswith(
        f"{tmp_path}/tokenizer.json is no tokenizer that the package `tokenizers` "
    )
    assert found.endswith(". Download the model again")


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_and_texts_of_tokenizer_model(tmp_path: Path, text: str) -> None:
    shutil.copy(FIXTURES / "tokenizer.model", tmp_path)
    library = sentencepiece.SentencePieceProcessor(model_file=str(FIXTURES / "tokenizer.model"))
    tokenizer = sentencepiece_tokenizer.of_folder(tmp_path, 400, {"eos_token_id": 2})
    assert tokenizer is not None
    tokens = tokenizer.encode(text)
    assert tokens == [1, *library.encode(text)]
    assert text_of(tokenizer, tokens) == library.decode(tokens[1:])
    assert tokenizer.stops == {2}
    (tmp_path / "tokenizer_config.json").write_text('{"add_bos_token": false}')
    plain = sentencepiece_tokenizer.of_folder(tmp_path, 400, {})
    assert plain is not None
    assert plain.encode(text) == tokens[1:]


@pytest.mark.parametrize("data", [b"", b"abc", b"\n\xff"])
def test_a_damaged_tokenizer_model(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "tokenizer.model").write_bytes(data)
    with pytest.raises(InvalidModelError) as caught:
        sentencepiece_tokenizer.of_folder(tmp_path, 400, {})
    found = str(caught.value)
    assert found.startswith(
        f"{tmp_path}/tokenizer.model is no tokenizer that the package `sentencepiece` can read: "
    )
    assert found.endswith(". Download the model again")


def test_a_tokenizer_model_of_another_model(tmp_path: Path) -> None:
    shutil.copy(FIXTURES / "tokenizer.model", tmp_path)
    with pytest.raises(InvalidModelError) as caught:
        sentencepiece_tokenizer.of_folder(tmp_path, 64, {})
    assert str(caught.value) == (
        f"{tmp_path}/tokenizer.model has 330 tokens; the model has 64. Take both from one model"
    )


def metadata(kind: str, **changes: Any) -> dict[str, Any]:
    """GGUF's metadata of a fixture, as llama.cpp's converter writes them."""
    table = json.loads((FIXTURES / f"tokenizer_{kind}.json").read_text())
    vocabulary = sorted(table["model"]["vocab"].items(), key=lambda item: item[1])
    tokens = [text.encode() for text, _ in vocabulary]
    types = np.full(len(tokens), 1, np.int32)
    for added in table["added_tokens"]:
        types[added["id"]] = 3
    found: dict[str, Any] = {"tokens": tokens, "token_type": types}
    if kind == "bytes":
        merges = [" ".join(pair).encode() for pair in table["model"]["merges"]]
        found |= {"model": "gpt2", "pre": "gpt-2", "merges": merges, "eos_token_id": 0}
    else:
        types[0] = 2
        types[3:259] = 6
        scores = -np.arange(len(tokens), dtype=np.float32)
        found |= {
            "model": "llama", "scores": scores, "bos_token_id": 1, "eos_token_id": 2,
            "unknown_token_id": 0,
        }  # fmt: skip
    found |= changes
    return {f"tokenizer.ggml.{key}": value for key, value in found.items() if value is not None}


def of_gguf(kind: str, **changes: Any) -> Tokenizer:
    tokenizer, notes = of_metadata("model.gguf", metadata(kind, **changes), 400)
    assert tokenizer is not None
    assert notes == ()
    return tokenizer


@pytest.mark.parametrize("kind", ["bytes", "pieces"])
@pytest.mark.parametrize("text", TEXTS)
def test_gguf_has_the_same_tokens(tmp_path: Path, kind: str, text: str) -> None:
    original = of_folder(folder(tmp_path, kind), 400, {})
    assert original is not None
    tokenizer = of_gguf(kind)
    tokens = tokenizer.encode(text)
    assert tokens == original.encode(text)
    assert text_of(tokenizer, tokens) == text_of(original, tokens)


def test_gguf_flags() -> None:
    assert of_gguf("bytes").stops == {0}
    assert of_gguf("bytes", eot_token_id=5).stops == {0, 5}
    assert of_gguf("pieces").encode("a")[0] == 1
    assert of_gguf("pieces", add_bos_token=False).encode("a")[0] != 1
    assert of_gguf("bytes", add_bos_token=True, bos_token_id=9).encode("a")[0] == 9
    spaced, plain = of_gguf("pieces"), of_gguf("pieces", add_space_prefix=False)
    assert text_of(plain, spaced.encode("the cat")) == " the cat"
    assert text_of(plain, plain.encode("the cat")) == "the cat"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("default", [*"I'm ", "123", "45", " ", "<=>=", " y", "  ", " zÉa", *"/b", "\n\n"]),
        ("gpt-2", ["I", "'m", " 12345", " <=>=", " y", "  ", " zÉa", "/", "b", "\n\n"]),
        ("llama-bpe", ["I", "'m", " ", "123", "45", " <=>=", " y", "  ", " zÉa", "/b", "\n\n"]),
        ("qwen2", ["I", "'m", " ", *"12345", " <=>=", " y", "  ", " zÉa", "/b", "\n\n"]),
        ("deepseek-r1-qwen", ["I", "'m", " ", *"12345", " <=>=", " y", "  ", " zÉa", "/b", "\n\n"]),
        ("smollm", ["I", "'m", " ", *"12345", " <=>=", " y", "  ", " zÉa", "/", "b", "\n\n"]),
        ("tekken", ["I", "'m", " ", *"12345", " <=>=", " y", "  ", " z", "Éa", "/b", "\n\n"]),
    ],
)
def test_words_are_cut_as_the_name_says(name: str, words: list[str]) -> None:
    tokenizer: Any = of_gguf("bytes", pre=name, bos_token_id=0)
    cut = tokenizer._tokenizer.pre_tokenizer.pre_tokenize_str("".join(words))
    found = ["".join(words)[start:end] for _, (start, end) in cut]
    assert found == words


def test_every_name_is_tried() -> None:
    (mark,) = test_words_are_cut_as_the_name_says.pytestmark  # pyright: ignore[reportFunctionMemberAccess]
    assert {name for name, _ in mark.args[1]} == set(EXPRESSIONS)


def test_whole_words_before_merges() -> None:
    """Llama 3 takes a word that is a token as it is, though no merge leads there."""
    tokens = [*metadata("bytes")["tokenizer.ggml.tokens"], b"qqq"]
    for pre, whole in (("gpt-2", False), ("llama-bpe", True)):
        read = of_gguf("bytes", tokens=tokens, token_type=None, pre=pre, bos_token_id=0)
        assert (read.encode("qqq")[-1] == len(tokens) - 1) == whole


def test_without_a_name_the_default_is_said() -> None:
    _, notes = of_metadata("model.gguf", metadata("bytes", pre=None), 400)
    assert notes == ("tokenizer.ggml.pre is missing: words are cut as `default` does",)


@pytest.mark.parametrize(
    ("kind", "changes", "error", "message"),
    [
        (
            "bytes", {"pre": "poro"}, UnsupportedAttributeError,
            "tokenizer.ggml.pre is 'poro', which is not supported; supported: default, gpt-2, "
            "llama-bpe, qwen2, deepseek-r1-qwen, smollm, tekken. Choose a model without it",
        ),
        (
            "bytes", {"add_eos_token": True}, UnsupportedAttributeError,
            "tokenizer.ggml.add_eos_token is True, which is not supported; supported: false. "
            "Choose a model without it",
        ),
        (
            "bytes", {"merges": [b"one"]}, InvalidModelError,
            "tokenizer.ggml.merges is 'one without a space'; expected two pieces each. Download or "
            "convert the model again",
        ),
        (
            "bytes", {"eos_token_id": 300}, InvalidModelError,
            "tokenizer.ggml.eos_token_id is 300; expected a token, 0 to 286. Download or convert "
            "the model again",
        ),
        (
            "bytes", {"tokens": [b"a"] * 401}, InvalidModelError,
            "tokenizer.ggml.tokens is 401; expected 1 to 400 strings. Download or convert the "
            "model again",
        ),
        (
            "pieces", {"scores": np.zeros(3, np.float32)}, InvalidModelError,
            "tokenizer.ggml.scores is '3 values'; expected 321 numbers. Download or convert the "
            "model again",
        ),
        (
            "pieces", {"scores": np.full(321, np.nan, np.float32)}, InvalidModelError,
            "tokenizer.ggml.scores is 'infinite or no numbers'; expected numbers. Download or "
            "convert the model again",
        ),
        (
            "pieces", {"token_type": np.full(321, 6, np.int32)}, InvalidModelError,
            "tokenizer.ggml.tokens is b'<unk>'; expected a byte such as <0x0A> as token 0. "
            "Download or convert the model again",
        ),
    ],
)  # fmt: skip
def test_metadata_that_are_refused(
    kind: str, changes: dict[str, Any], error: type[ModelError], message: str
) -> None:
    with pytest.raises(error) as caught:
        of_metadata("model.gguf", metadata(kind, **changes), 400)
    assert str(caught.value) == f"model.gguf: {message}"
