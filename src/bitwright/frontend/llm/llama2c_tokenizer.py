"""llama2.c's tokenizer files: pieces with scores.

Source: `tokenizer.py` and `run.c` of llama2.c. The file is the length of the longest piece, then
score (float32), length (int32) and bytes of each token. Tokens 0 to 2 are unknown, begin and end
of text; 3 to 258 stand for single bytes. The number of tokens is the model's vocabulary.
"""

import struct
from pathlib import Path

from bitwright.frontend.llm.errors import (
    InvalidModelError,
    ModelFileNotFoundError,
    TruncatedModelError,
)
from bitwright.frontend.llm.score_bpe import ScoreBpe

_BEGIN, _END, _FIRST_BYTE = 1, 2, 3
_FIRST_PIECE = _FIRST_BYTE + 256


def load(path: Path, vocabulary: int) -> ScoreBpe:
    """Read the tokenizer of a model with `vocabulary` tokens.

    Raises:
        ModelFileNotFoundError: a path that cannot be read.
        TruncatedModelError, InvalidModelError: a file that is not such a tokenizer.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelFileNotFoundError(
            f"Cannot read the tokenizer {path}: {error.strerror}; name an existing file"
        ) from None
    if vocabulary < _FIRST_PIECE:
        raise InvalidModelError(
            f"The model has {vocabulary} tokens; a tokenizer of llama2.c has at least "
            f"{_FIRST_PIECE}"
        )
    pieces: list[bytes] = []
    scores: list[float] = []
    offset = 4
    for token in range(vocabulary):
        start = offset + 8
        if start > len(data):
            raise TruncatedModelError(
                f"The tokenizer {path} ends before token {token} of {vocabulary}; give the one "
                "that was made with the model"
            )
        score, length = struct.unpack_from("<fi", data, offset)
        offset = start + length
        if length < 0 or offset > len(data):
            raise TruncatedModelError(
                f"The tokenizer {path} says that token {token} has {length} bytes, and "
                f"{len(data) - start} are left; give a tokenizer of llama2.c"
            )
        pieces.append(data[start:offset])
        scores.append(score)
    if offset != len(data):
        raise InvalidModelError(
            f"The tokenizer {path} has {len(data) - offset} bytes behind token {vocabulary - 1}, "
            "the model's last; give the one that was made with the model"
        )
    if pieces[_FIRST_BYTE] != b"<0x00>" or pieces[_FIRST_PIECE - 1] != b"<0xFF>":
        raise InvalidModelError(
            f"The tokenizer {path} has {pieces[_FIRST_BYTE]!r} as token {_FIRST_BYTE}; expected "
            "b'<0x00>', as llama2.c writes it"
        )
    return ScoreBpe(
        pieces,
        scores,
        joined=range(_FIRST_PIECE, vocabulary),
        byte_tokens={byte: _FIRST_BYTE + byte for byte in range(256)},
        begin=_BEGIN,
        stops=frozenset((_BEGIN, _END)),
    )
