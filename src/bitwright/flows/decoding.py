"""A language model with its cache: tokens in, logits out."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.codegen.cpu.decoder import build_decoder
from bitwright.errors import BitwrightError
from bitwright.frontend.llm.build import DECODE, PREFILL, build, cache_names
from bitwright.frontend.llm.decoder import Decoder
from bitwright.frontend.llm.errors import ModelError
from bitwright.ir.interpreter import Interpreter
from bitwright.runtime.decoder import DecoderLibrary

Target = Literal["reference", "cpu"]
Array = NDArray[Any]
Run = Callable[[Mapping[str, Array], str], dict[str, Array]]

PROMPT_ROWS = 64
"""Tokens that one call of @prefill takes at most."""


class ContextFull(BitwrightError):
    """More tokens than the context has positions."""

    exit_code = 4


class NotFinite(ModelError):
    """Logits that are infinite or not a number."""


def _reference(module: ir.Module) -> Run:
    interpreter = Interpreter(module)
    for function in (PREFILL, DECODE):
        interpreter.prepare(function)
    return interpreter.run


def _cpu(module: ir.Module) -> Run:
    """Compile, load; a loaded library needs its file no more."""
    with tempfile.TemporaryDirectory(prefix="bitwright-") as folder:
        built = build_decoder(module, (PREFILL, DECODE), Path(folder))
        return DecoderLibrary(built.library, built.description, built.constants).run


_ENGINES: dict[Target, Callable[[ir.Module], Run]] = {"reference": _reference, "cpu": _cpu}


class Session:
    """A decoder at work, from position 0 on.

    Args:
        context: positions of the cache.
        prompt: tokens of the longest `feed` that is expected.
        target: the reference interpreter, or native code, whose float sums are in another order.

    Attributes:
        position: tokens that it has seen.
    """

    def __init__(
        self, decoder: Decoder, *, context: int, prompt: int, target: Target = "reference"
    ) -> None:
        self.context = context
        self._config = decoder.config
        self._rows = max(1, min(prompt, PROMPT_ROWS, context))
        self._run = _ENGINES[target](build(decoder, context=context, prompt=self._rows))
        self.restart()

    def restart(self) -> None:
        """Back to position 0."""
        shape = (1, self.context, self._config.kv_heads, self._config.head_width)
        self.position = 0
        self._caches = {name: np.zeros(shape, np.float32) for name in cache_names(self._config)}

    def feed(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """The logits [len(tokens), vocabulary] after each token.

        Raises:
            ContextFull: where they do not fit the context; nothing is computed then.
            NotFinite: logits that are infinite or not a number.
            ValueError: a token that the model does not have.
        """
        if self.position + len(tokens) > self.context:
            raise ContextFull(
                f"{len(tokens)} tokens from position {self.position} do not fit the context of "
                f"{self.context}; give a shorter text"
            )
        for token in tokens:
            if not 0 <= token < self._config.vocabulary:
                raise ValueError(f"token {token} is outside of 0 to {self._config.vocabulary - 1}")
        logits: list[NDArray[np.float32]] = []
        while tokens:
            rows = self._rows
            if len(tokens) == 1 or self.position + rows > self.context:
                rows = 1
            chunk, tokens = tokens[:rows], tokens[rows:]
            logits.append(self._call(DECODE if rows == 1 else PREFILL, chunk, rows))
            self.position += len(chunk)
        return np.concatenate(logits)

    def _call(self, function: str, chunk: Sequence[int], rows: int) -> NDArray[np.float32]:
        padded = [*chunk, *[0] * (rows - len(chunk))]
        inputs: dict[str, Array] = {
            "tokens": np.array([padded], np.int32),
            "position": np.array([self.position], np.int32),
        }
        outputs = self._run(inputs | self._caches, function)
        logits = outputs.pop("logits")[0, : len(chunk)]
        self._caches = outputs
        if not np.isfinite(logits).all():
            raise NotFinite(
                f"The logits after position {self.position} are not finite numbers; the model's "
                "weights are damaged, or its family is not what the file says"
            )
        return logits
