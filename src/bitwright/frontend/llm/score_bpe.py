"""A tokenizer that joins characters by score, as llama2.c's and GGUF's `llama` and Gemma's are.

Source: SentencePiece's BPE model (Kudo and Richardson, arXiv 1808.06226): of all neighbours whose
joined text is a piece, those of the highest score are joined first, the left one of equals.
Characters that end up in no piece become byte tokens.
"""

import heapq
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

KIND = "score bpe"
_Candidate = tuple[float, int, int, bytes]
"""Negated score, where its left and its right part start, the joined text."""


class ScoreBpe:
    """Pieces with scores.

    Args:
        pieces: per token the bytes that it stands for, spaces as spaces.
        scores: per token; a higher one is joined earlier.
        joined: the tokens that may come of joining, all others are not for plain text.
        byte_tokens: byte -> token, for characters that are no piece.
        unknown: stands for a character where there is no byte token; None gives no token.
        begin: begins every prompt, or None.
        stops: tokens that end a text.
        whole: tokens whose text is cut out of a prompt before anything is joined.
        silent: tokens that print nothing.
        prefix_space: whether a text begins with an added space, which `piece` takes away again.
    """

    def __init__(
        self,
        pieces: Sequence[bytes],
        scores: Sequence[float],
        *,
        joined: Iterable[int],
        byte_tokens: Mapping[int, int],
        unknown: int | None = None,
        begin: int | None = None,
        stops: frozenset[int] = frozenset(),
        whole: Iterable[int] = (),
        silent: frozenset[int] = frozenset(),
        prefix_space: bool = True,
    ) -> None:
        self.stops = stops
        self._scores = scores
        self._pieces, self._joined_tokens = pieces, sorted(joined)
        self._silent = silent
        self._tokens = {pieces[token]: token for token in reversed(self._joined_tokens)}
        self._byte_tokens = byte_tokens
        self._unknown = () if unknown is None else (unknown,)
        self._begin = begin
        self._whole = {pieces[token]: token for token in whole if pieces[token]}
        longest_first = sorted(self._whole, key=len, reverse=True)
        self._cut = re.compile(b"|".join(map(re.escape, longest_first)) or rb"(?!)")
        self._prefix_space = prefix_space
        self._printed = list(pieces)
        for byte, token in byte_tokens.items():
            self._printed[token] = bytes([byte])
        for token in silent:
            self._printed[token] = b""

    def encode(self, text: str) -> list[int]:
        """The tokens of a prompt, the begin-of-text token first where the model wants one."""
        data = text.encode("utf-8", "replace")
        tokens = [] if self._begin is None else [self._begin]
        end = 0
        for match in self._cut.finditer(data):
            tokens += self._joined(data[end : match.start()])
            tokens.append(self._whole[match.group()])
            end = match.end()
        return tokens + self._joined(data[end:])

    def piece(self, previous: int, token: int) -> bytes:
        """The bytes that `token` adds to a text whose last token was `previous`."""
        printed = self._printed[token] if token < len(self._printed) else b""
        return (
            printed.removeprefix(b" ")
            if self._prefix_space and previous == self._begin
            else printed
        )

    def described(self) -> dict[str, Any]:
        """See `Tokenizer`."""
        return {
            "kind": KIND,
            "pieces": [piece.decode("latin-1") for piece in self._pieces],
            "scores": list(self._scores),
            "joined": self._joined_tokens,
            "byte_tokens": list(self._byte_tokens.items()),
            "unknown": self._unknown[0] if self._unknown else None,
            "begin": self._begin,
            "stops": sorted(self.stops),
            "whole": sorted(self._whole.values()),
            "silent": sorted(self._silent),
            "prefix_space": self._prefix_space,
        }

    @classmethod
    def of_description(cls, given: Mapping[str, Any]) -> "ScoreBpe":
        """The inverse of `described`."""
        return cls(
            [piece.encode("latin-1") for piece in given["pieces"]], given["scores"],
            joined=given["joined"], byte_tokens=dict(given["byte_tokens"]),
            unknown=given["unknown"], begin=given["begin"], stops=frozenset(given["stops"]),
            whole=given["whole"], silent=frozenset(given["silent"]),
            prefix_space=given["prefix_space"],
        )  # fmt: skip

    def _joined(self, text: bytes) -> list[int]:
        if not text:
            return []
        parts = [character.encode() for character in text.decode()]
        if self._prefix_space:
            parts.insert(0, b" ")
        # `parts[i]` is the piece that starts at character i; a part that was joined to its left
        # neighbour is empty. `after` and `before` lead from part to part.
        after = list(range(1, len(parts) + 1))
        before = list(range(-1, len(parts) - 1))
        heap: list[_Candidate] = []

        def consider(left: int, right: int) -> None:
            if left < 0 or right >= len(parts):
                return
            joined = parts[left] + parts[right]
            token = self._tokens.get(joined)
            if token is not None:
                heapq.heappush(heap, (-self._scores[token], left, right, joined))

        for left in range(len(parts) - 1):
            consider(left, left + 1)
        while heap:
            _, left, right, joined = heapq.heappop(heap)
            if not parts[left] or not parts[right] or parts[left] + parts[right] != joined:
                continue  # one of them was joined to another part meanwhile
            parts[left], parts[right] = joined, b""
            after[left] = after[right]
            if after[left] < len(parts):
                before[after[left]] = left
            consider(before[left], left)
            consider(left, after[left])
        return [token for part in parts if part for token in self._tokens_of(part)]

    def _tokens_of(self, part: bytes) -> Iterable[int]:
        token = self._tokens.get(part)
        if token is not None:
            return (token,)
        if all(byte in self._byte_tokens for byte in part):
            return (self._byte_tokens[byte] for byte in part)
        return self._unknown
