"""The tokenizer that joins by score, against llama2.c's own and by hand."""

import struct
from itertools import pairwise
from pathlib import Path

from bitwright.frontend.llm.score_bpe import ScoreBpe

LETTERS = [
    b"<s>",
    b"</s>",
    b"<0xC3>",
    b"<0xA9>",
    b" ",
    b"a",
    b"b",
    b"ab",
    b"ba",
    b" a",
    b"bab",
    b"<x>",
]
SCORES = [0.0, 0.0, 0.0, 0.0, -9.0, -8.0, -7.0, -3.0, -2.0, -4.0, -1.0, 0.0]


def tokenizer(**options: object) -> ScoreBpe:
    defaults = {
        "joined": range(4, 11), "byte_tokens": {0xC3: 2, 0xA9: 3}, "begin": 0,
        "stops": frozenset({1}), "whole": [0, 11], "silent": frozenset({0, 1}),
    }  # fmt: skip
    return ScoreBpe(LETTERS, SCORES, **(defaults | options))


def test_the_highest_score_is_joined_first() -> None:
    # "ba" before "ab" and " a", then "bab" before it
    assert tokenizer().encode("abab") == [0, 9, 10]
    assert tokenizer(prefix_space=False).encode("abab") == [0, 5, 10]


def test_the_left_one_of_equal_scores_is_joined_first() -> None:
    even = ScoreBpe(LETTERS, [0.0] * len(LETTERS), joined=[5, 7, 8, 6], byte_tokens={})
    assert even.encode("aba") == [7, 5]


def test_characters_without_a_piece_become_bytes_or_the_unknown_token() -> None:
    assert tokenizer().encode("aé") == [0, 9, 2, 3]
    assert tokenizer().encode("a€") == [0, 9]
    assert tokenizer(unknown=11).encode("a€") == [0, 9, 11]


def test_whole_tokens_are_cut_out_first() -> None:
    assert tokenizer().encode("<x>a<s>") == [0, 11, 9, 0]
    assert tokenizer(whole=[]).encode("") == [0]


def test_pieces_are_printed() -> None:
    read = tokenizer()
    assert [read.piece(5, token) for token in (0, 1, 2, 9, 11)] == [
        b"",
        b"",
        b"\xc3",
        b" a",
        b"<x>",
    ]
    assert read.piece(0, 9) == b"a"
    assert tokenizer(prefix_space=False).piece(0, 9) == b" a"


def test_llama2c_tokens_give_the_golden_text_back(data_folder: Path) -> None:
    folder = data_folder / "stories260k"
    data = (folder / "tok512.bin").read_bytes()
    pieces: list[bytes] = []
    scores: list[float] = []
    at = 4
    while at < len(data):
        score, length = struct.unpack_from("<fi", data, at)
        pieces.append(data[at + 8 : at + 8 + length])
        scores.append(score)
        at += 8 + length
    read = ScoreBpe(
        pieces, scores, joined=range(259, 512), byte_tokens={b: b + 3 for b in range(256)}, begin=1
    )
    text = (folder / "golden_t0_200steps.txt").read_text()
    tokens = read.encode(text)
    assert tokens[:6] == [1, 403, 407, 261, 378, 432]
    printed = [read.piece(*pair) for pair in pairwise(tokens)]
    assert b"".join(printed).decode() == text
    assert len(tokens) == 1 + 200
