"""`bitwright generate`: text from a language model, and how likely it finds a text."""

import codecs
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from bitwright.errors import BitwrightError
from bitwright.flows.decoding import ContextFull, Target
from bitwright.flows.integer_weights import IntegerWeights
from bitwright.flows.language_source import Source, Stepper, open_source
from bitwright.flows.sampling import Sampler, Sampling
from bitwright.frontend.llm.errors import InvalidModelError

END_OF_TEXT = "<|endoftext|>"
"""Stands between the texts of a file that is scored."""

Ending = Literal["tokens", "stop token", "stop text", "context"]
Write = Callable[[str], None]


class TextError(BitwrightError):
    """A text that cannot be read, or from which nothing can be predicted."""

    exit_code = 4


@dataclass(frozen=True)
class Generated:
    """What came of a prompt.

    Attributes:
        text: without the prompt.
        ending: why it ends: `tokens` as many as asked for, `stop token`, `stop text`, `context`.
        prompt_seconds: from the first call to the first token.
        notes: what the reader of the model changed.
    """

    text: str
    ending: Ending
    prompt_tokens: int
    new_tokens: int
    prompt_seconds: float
    seconds: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """The mean negative natural logarithm of the probability of each token of a file's texts."""

    per_token: float
    tokens: int
    texts: int
    seconds: float


def generate(
    model: Path, prompt: str = "", *, tokenizer: Path | None = None, tokens: int = 256,
    sampling: Sampling | None = None, stop: Sequence[str] = (), target: Target | None = None,
    integers: IntegerWeights | None = None, threads: int | None = None, write: Write | None = None,
) -> Generated:  # fmt: skip
    """Continue `prompt`.

    Args:
        model: a file or folder of `frontend.llm.readers`, or a package: the build folder that
            `compile` made, or the library in it.
        tokenizer: a tokenizer file of llama2.c; other formats bring theirs.
        tokens: how many at most.
        stop: texts that end the generation; they are not part of the result.
        target: `reference` (the default) or `cpu`; of a package, always `cpu`.
        integers: compute linear layers in integers, on weights like these; not of a package.
        threads: of a package, 1 by default.
        write: called with each part of the text as it comes.

    Raises:
        ModelError, LibraryError: a model that cannot be read, or that has no tokenizer.
        NotForPackage: an option that the package has no more.
        ContextFull: a prompt that leaves no room in the model's context.
    """
    source = open_source(
        model, tokenizer=tokenizer, target=target, integers=integers, threads=threads
    )
    words = source.words
    given = _checked(words.encode(prompt), source)
    if not given:
        raise TextError("The prompt has no tokens, and the model no token to begin with; give one")
    if len(given) > source.context:
        raise ContextFull(
            f"The prompt has {len(given)} tokens; the model's context is "
            f"{source.context}. Give a shorter prompt"
        )
    context = min(source.context, len(given) + tokens)
    session = source.session(context, len(given))
    sampler, output = Sampler(sampling or Sampling()), _Output(stop, write)
    start = time.perf_counter()
    logits = session.feed(given)[-1]
    prompted = time.perf_counter()
    previous, count = given[-1], 0
    ending: Ending = "tokens"
    while count < tokens:
        token = sampler.next(logits)
        if token in words.stops:
            ending = "stop token"
            break
        count += 1
        if output.add(words.piece(previous, token)):
            ending = "stop text"
            break
        previous = token
        if count < tokens:
            if session.position == context:
                ending = "context"
                break
            logits = session.feed([token])[-1]
    text = output.finish()
    end = time.perf_counter()
    return Generated(
        text, ending, len(given), count, prompted - start, end - prompted, source.notes
    )


def score(
    model: Path, text: Path, *, tokenizer: Path | None = None, target: Target | None = None,
    integers: IntegerWeights | None = None, threads: int | None = None,
) -> Score:  # fmt: skip
    """How likely a model finds the texts of a file, which `<|endoftext|>` separates.

    Each text is stripped of blanks at its ends and begins at position 0, with the model's
    begin-of-text token where it has one, which is not predicted. Of a text longer than the
    context, each next window begins with the last token of the one before.

    Raises:
        ModelError: a model that cannot be read, or that has no tokenizer.
        TextError: a file that cannot be read, or that has nothing to predict.
    """
    try:
        texts = [part.strip() for part in text.read_text("utf-8").split(END_OF_TEXT)]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise TextError(f"Cannot read the text {text}: {reason}; expected a text file") from None
    source = open_source(
        model, tokenizer=tokenizer, target=target, integers=integers, threads=threads
    )
    encoded = [_checked(source.words.encode(part), source) for part in texts if part]
    encoded = [tokens for tokens in encoded if len(tokens) > 1]
    if not encoded:
        raise TextError(f"The text {text} has nothing to predict; expected at least two tokens")
    context = min(source.context, max(map(len, encoded)))
    session = source.session(context, context)
    start = time.perf_counter()
    total, count = 0.0, 0
    for tokens in encoded:
        for first in range(0, len(tokens) - 1, max(1, context - 1)):
            window = tokens[first : first + context]
            session.restart()
            total -= _log_likelihood(session, window)
            count += len(window) - 1
    return Score(total / count, count, len(encoded), time.perf_counter() - start)


def _log_likelihood(session: Stepper, tokens: Sequence[int]) -> float:
    """Of all tokens but the first."""
    logits = session.feed(tokens)[:-1].astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    chosen = np.take_along_axis(logits, np.asarray(tokens[1:])[:, None], axis=1)[:, 0]
    return float((chosen - np.log(np.exp(logits).sum(axis=1))).sum())


def _checked(tokens: list[int], source: Source) -> list[int]:
    for token in tokens:
        if not 0 <= token < source.vocabulary:
            raise InvalidModelError(
                f"The tokenizer gives token {token}, and the model has "
                f"{source.vocabulary}; give the tokenizer that was made with the model"
            )
    return tokens


class _Output:
    """Bytes to text as it comes: whole characters, and nothing that may begin a stop text."""

    def __init__(self, stop: Sequence[str], write: Write | None) -> None:
        self._stop = [text for text in stop if text]
        self._write = write
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._held = ""
        self._parts: list[str] = []

    def add(self, data: bytes) -> bool:
        """Whether a stop text has come."""
        self._held += self._decode(data)
        found = [at for at in map(self._held.find, self._stop) if at >= 0]
        if found:
            self._held = self._held[: min(found)]
            return True
        self._emit(len(self._held) - self._may_begin())
        return False

    def _may_begin(self) -> int:
        """Length of the longest end of what is held that begins a stop text."""
        longest = max(map(len, self._stop), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(text.startswith(self._held[-length:]) for text in self._stop):
                return length
        return 0

    def _emit(self, length: int) -> None:
        part, self._held = self._held[:length], self._held[length:]
        if part:
            self._parts.append(part)
            if self._write is not None:
                self._write(part)

    def finish(self) -> str:
        """The rest; the whole text."""
        self._held += self._decode(b"", True)
        self._emit(len(self._held))
        return "".join(self._parts)
