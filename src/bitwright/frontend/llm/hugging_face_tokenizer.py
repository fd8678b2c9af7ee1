"""Tokenizers of the `tokenizers` package: tokenizer.json, or one made of GGUF's metadata."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitwright.frontend.llm.errors import InvalidModelError
from bitwright.frontend.llm.json_file import read_json
from bitwright.frontend.llm.packages import package

KIND = "tokenizers"
SPACE = "\u2581"


def _byte_characters() -> dict[str, int]:
    """GPT-2's printable character for every byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    characters = {chr(byte): byte for byte in printable}
    return characters | {chr(256 + index): byte for index, byte in enumerate(others)}


BYTE_CHARACTERS = _byte_characters()


class HuggingFaceTokenizer:
    """Wraps a `tokenizers.Tokenizer`.

    Args:
        tokenizer: the tokenizer.
        byte_level: whether its pieces are written in GPT-2's characters for bytes; if not, they
            are SentencePiece's, with a sign for the space and pieces such as <0x0A> for bytes.
        begin: begins every prompt, where the tokenizer does not add it itself.
        stops: tokens that end a text.
    """

    def __init__(
        self, tokenizer: Any, *, byte_level: bool, begin: int | None, stops: frozenset[int]
    ) -> None:
        self.stops = stops
        self._tokenizer = tokenizer
        tokenizer.no_truncation()  # a tokenizer.json may be left with both on
        tokenizer.no_padding()
        self._begin = [] if begin is None else [begin]
        self._byte_level = byte_level
        added = tokenizer.get_added_tokens_decoder()
        self._added = {token: "" if each.special else each.content for token, each in added.items()}
        first = self.encode("")
        self._first = first[0] if first else None
        self._strips_space = not byte_level and tokenizer.decode(tokenizer.encode("a").ids) == "a"

    def encode(self, text: str) -> list[int]:
        """The tokens of a prompt, the begin-of-text token first where the model wants one."""
        return self._begin + self._tokenizer.encode(text).ids

    def piece(self, previous: int, token: int) -> bytes:
        """The bytes that `token` adds to a text whose last token was `previous`."""
        if token in self._added:
            return self._added[token].encode()
        text = self._tokenizer.id_to_token(token) or ""
        if self._byte_level:
            return bytes(
                BYTE_CHARACTERS[character] for character in text if character in BYTE_CHARACTERS
            )
        if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
            return bytes.fromhex(text[3:5])
        data = text.replace(SPACE, " ").encode()
        return data.removeprefix(b" ") if self._strips_space and previous == self._first else data

    def described(self) -> dict[str, Any]:
        """See `Tokenizer`."""
        return {
            "kind": KIND,
            "tokenizer": self._tokenizer.to_str(),
            "byte_level": self._byte_level,
            "begin": self._begin[0] if self._begin else None,
            "stops": sorted(self.stops),
        }

    @classmethod
    def of_description(cls, given: Mapping[str, Any]) -> "HuggingFaceTokenizer":
        """The inverse of `described`."""
        library = package("tokenizers", "byte-level tokenizers")
        return cls(
            library.Tokenizer.from_str(given["tokenizer"]), byte_level=given["byte_level"],
            begin=given["begin"], stops=frozenset(given["stops"]),
        )  # fmt: skip


def of_folder(
    folder: Path, vocabulary: int, config: Mapping[str, Any]
) -> HuggingFaceTokenizer | None:
    """The tokenizer of tokenizer.json; None where there is no such file.

    Raises:
        ModelError: the file is damaged, or has tokens that the model does not have.
        MissingPackageError: `tokenizers` is not installed.
    """
    path = folder / "tokenizer.json"
    if not path.exists():
        return None
    table = read_json(path)
    try:
        tokenizer = package("tokenizers", "tokenizer.json").Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises nothing more special
        raise InvalidModelError(
            f"{path} is no tokenizer that the package `tokenizers` can read: {error}. Download the "
            "model again"
        ) from None
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
    if largest >= vocabulary:
        raise InvalidModelError(
            f"{path} has the token {largest}; the model has {vocabulary}. Take both from one model"
        )
    return HuggingFaceTokenizer(
        tokenizer,
        byte_level=_has_byte_level(table.get("decoder")),
        begin=None,
        stops=stop_tokens(folder, config),
    )


def _has_byte_level(decoder: Any) -> bool:
    """Whether a decoder, or one in a sequence of decoders, is GPT-2's."""
    if not isinstance(decoder, dict):
        return False
    parts = decoder.get("decoders")
    parts = parts if isinstance(parts, list) else []
    return decoder.get("type") == "ByteLevel" or any(map(_has_byte_level, parts))


def stop_tokens(folder: Path, config: Mapping[str, Any]) -> frozenset[int]:
    """The end-of-text tokens, as for generation where the folder says it."""
    path = folder / "generation_config.json"
    found = read_json(path).get("eos_token_id") if path.exists() else None
    found = config.get("eos_token_id") if found is None else found
    tokens = found if isinstance(found, list) else [found]
    return frozenset(token for token in tokens if isinstance(token, int))
