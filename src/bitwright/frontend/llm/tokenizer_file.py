"""Tokenizers of every format in one file, `tokenizer.json` of a packaged language model."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bitwright.frontend.llm import hugging_face_tokenizer, score_bpe, sentencepiece_tokenizer
from bitwright.frontend.llm.decoder import Tokenizer
from bitwright.frontend.llm.errors import InvalidModelError, MissingPackageError

NAME = "tokenizer.json"

KINDS: Mapping[str, Callable[[Mapping[str, Any]], Tokenizer]] = {
    score_bpe.KIND: score_bpe.ScoreBpe.of_description,
    hugging_face_tokenizer.KIND: hugging_face_tokenizer.HuggingFaceTokenizer.of_description,
    sentencepiece_tokenizer.KIND: sentencepiece_tokenizer.SentencePieceTokenizer.of_description,
}


def text_of(tokenizer: Tokenizer) -> str:
    """What the file of a tokenizer holds."""
    return json.dumps(tokenizer.described()) + "\n"


def load(path: Path) -> Tokenizer:
    """Read a file that holds what `text_of` gives.

    Raises:
        InvalidModelError: a file that cannot be read, or that holds something else.
        MissingPackageError: the package that its kind needs is not installed.
    """
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        return KINDS[given["kind"]](given)
    except MissingPackageError:
        raise
    except Exception as error:  # the packages raise nothing more special
        raise InvalidModelError(
            f"{path} is not a tokenizer as `bitwright compile` writes it "
            f"({type(error).__name__}: {error}); compile the model again"
        ) from None
