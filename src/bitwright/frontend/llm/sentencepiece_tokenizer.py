"""SentencePiece's tokenizer.model, of folders that have no tokenizer.json."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitwright.frontend.llm.errors import InvalidModelError
from bitwright.frontend.llm.hugging_face_tokenizer import SPACE, stop_tokens
from bitwright.frontend.llm.json_file import read_json
from bitwright.frontend.llm.packages import package

KIND = "sentencepiece"
MOST_BYTES = 1 << 26


class SentencePieceTokenizer:
    """Wraps a `sentencepiece.SentencePieceProcessor`.

    Args:
        processor: the processor.
        begin: whether a prompt begins with its begin-of-text token.
        stops: tokens that end a text.
    """

    def __init__(self, processor: Any, *, begin: bool, stops: frozenset[int]) -> None:
        self.stops = stops
        self._processor = processor
        self._begin = [processor.bos_id()] if begin and processor.bos_id() >= 0 else []
        self._printed = [_printed(processor, token) for token in range(processor.get_piece_size())]
        first = processor.encode("a", out_type=str)
        self._prefix_space = bool(first) and first[0].startswith(SPACE)

    def encode(self, text: str) -> list[int]:
        """The tokens of a prompt, the begin-of-text token first where the model wants one."""
        return self._begin + self._processor.encode(text)

    def piece(self, previous: int, token: int) -> bytes:
        """The bytes that `token` adds to a text whose last token was `previous`."""
        printed = self._printed[token] if token < len(self._printed) else b""
        first = self._prefix_space and [previous] == self._begin
        return printed.removeprefix(b" ") if first else printed

    def described(self) -> dict[str, Any]:
        """See `Tokenizer`."""
        return {
            "kind": KIND,
            "model": base64.b64encode(self._processor.serialized_model_proto()).decode(),
            "begin": bool(self._begin),
            "stops": sorted(self.stops),
        }

    @classmethod
    def of_description(cls, given: Mapping[str, Any]) -> "SentencePieceTokenizer":
        """The inverse of `described`."""
        library = package("sentencepiece", "tokenizer.model")
        processor = library.SentencePieceProcessor(model_proto=base64.b64decode(given["model"]))
        return cls(processor, begin=given["begin"], stops=frozenset(given["stops"]))


def _printed(processor: Any, token: int) -> bytes:
    piece: str = processor.id_to_piece(token)
    if processor.is_byte(token):
        return bytes.fromhex(piece[3:5])
    if processor.is_control(token) or processor.is_unknown(token):
        return b""
    return piece.replace(SPACE, " ").encode()


def of_folder(
    folder: Path, vocabulary: int, config: Mapping[str, Any]
) -> SentencePieceTokenizer | None:
    """The tokenizer of tokenizer.model; None where there is no such file.

    Raises:
        ModelError: the file is damaged, or has tokens that the model does not have.
        MissingPackageError: `sentencepiece` is not installed.
    """
    path = folder / "tokenizer.model"
    if not path.exists():
        return None
    with path.open("rb") as file:
        data = file.read(MOST_BYTES)
    table = folder / "tokenizer_config.json"
    begin = read_json(table).get("add_bos_token") if table.exists() else None
    library = package("sentencepiece", "tokenizer.model")
    try:
        # its default for an empty file is a processor that answers nothing
        processor = library.SentencePieceProcessor(model_proto=data or b"\0")
        size = processor.get_piece_size()
        tokenizer = SentencePieceTokenizer(
            processor, begin=begin is not False, stops=stop_tokens(folder, config)
        )
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise InvalidModelError(
            f"{path} is no tokenizer that the package `sentencepiece` can read: {error}. Download "
            "the model again"
        ) from None
    if size > vocabulary:
        raise InvalidModelError(
            f"{path} has {size} tokens; the model has {vocabulary}. Take both from one model"
        )
    return tokenizer
