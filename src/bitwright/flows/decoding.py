"""A language model with its cache: tokens in, logits out."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.codegen.cpu.decoder import build_decoder
from bitwright.errors import BitwrightError
from bitwright.flows.integer_weights import IntegerWeights, with_integers
from bitwright.frontend.llm.build import DECODE, PREFILL, build, cache_names
from bitwright.frontend.llm.decoder import Decoder
from bitwright.frontend.llm.errors import ModelError
from bitwright.ir import graph
from bitwright.ir.interpreter import Interpreter
from bitwright.ir.types import shape_of
from bitwright.runtime.decoder import BoundFunction, DecoderLibrary

Target = Literal["reference", "cpu"]
Array = NDArray[Any]
PROMPT_ROWS = 64
"""Tokens that one call of @prefill takes at most."""


class ContextFull(BitwrightError):
    """More tokens than the context has positions."""

    exit_code = 4


class NotFinite(ModelError):
    """Logits that are infinite or not a number."""


class _Engine(Protocol):
    """A module at work on caches of its own."""

    def restart(self) -> None:
        """Caches of zeros."""
        ...

    def call(self, function: str, tokens: Sequence[int], position: int) -> Array:
        """The logits [rows, vocabulary], which the next call may change."""
        ...


class _Reference:
    def __init__(self, module: ir.Module, caches: Mapping[str, Array]) -> None:
        self._interpreter = Interpreter(module)
        for function in (PREFILL, DECODE):
            self._interpreter.prepare(function)
        self._empty = caches

    def restart(self) -> None:
        self._caches = self._empty

    def call(self, function: str, tokens: Sequence[int], position: int) -> Array:
        inputs = {
            "tokens": np.array([tokens], np.int32), "position": np.array([position], np.int32),
        }  # fmt: skip
        outputs = self._interpreter.run({**inputs, **self._caches}, function)
        logits = outputs.pop("logits")[0]
        self._caches = outputs
        return logits


class _Cpu:
    """Compiles and loads; a loaded library needs its file no more."""

    def __init__(self, module: ir.Module, caches: Mapping[str, Array]) -> None:
        self._caches = caches
        self._position = np.zeros(1, np.int32)
        self._tokens: dict[str, Array] = {}
        self._bound: dict[str, BoundFunction] = {}
        with tempfile.TemporaryDirectory(prefix="bitwright-") as folder:
            built = build_decoder(module, (PREFILL, DECODE), Path(folder))
            library = DecoderLibrary(built.library, built.description, built.constants)
        for function in (PREFILL, DECODE):
            tokens = graph.inputs(module, function)[0].value
            self._tokens[function] = np.zeros(shape_of(tokens), np.int32)
            inputs = {"tokens": self._tokens[function], "position": self._position, **caches}
            self._bound[function] = library.bound(inputs, function)

    def restart(self) -> None:
        for cache in self._caches.values():
            cache[:] = 0

    def call(self, function: str, tokens: Sequence[int], position: int) -> Array:
        self._tokens[function][0] = tokens
        self._position[0] = position
        bound = self._bound[function]
        bound()
        return bound.outputs["logits"][0]


_ENGINES: dict[Target, Callable[[ir.Module, Mapping[str, Array]], _Engine]] = {
    "reference": _Reference, "cpu": _Cpu,
}  # fmt: skip


class Session:
    """A decoder at work, from position 0 on.

    Args:
        context: positions of the cache.
        prompt: tokens of the longest `feed` that is expected.
        target: the reference interpreter, or native code, whose float sums are in another order.
        integers: compute linear layers in integers, on weights like these.

    Attributes:
        position: tokens that it has seen.
    """

    def __init__(
        self, decoder: Decoder, *, context: int, prompt: int, target: Target = "reference",
        integers: IntegerWeights | None = None,
    ) -> None:  # fmt: skip
        self.context = context
        self._vocabulary = decoder.config.vocabulary
        self._rows = max(1, min(prompt, PROMPT_ROWS, context))
        if integers is not None:
            decoder = with_integers(decoder, integers)
        is_integer = integers is not None
        module = build(decoder, context=context, prompt=self._rows, integer=is_integer)
        shape = (1, context, decoder.config.kv_heads, decoder.config.head_width)
        caches = {name: np.zeros(shape, np.float32) for name in cache_names(decoder.config)}
        self._engine = _ENGINES[target](module, caches)
        self._zeros = np.zeros(self._vocabulary, np.float32)
        self.restart()

    def restart(self) -> None:
        """Back to position 0."""
        self.position = 0
        self._engine.restart()

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
            if not 0 <= token < self._vocabulary:
                raise ValueError(f"token {token} is outside of 0 to {self._vocabulary - 1}")
        logits: list[NDArray[np.float32]] = []
        while tokens:
            rows = self._rows
            if len(tokens) == 1 or self.position + rows > self.context:
                rows = 1
            chunk, tokens = tokens[:rows], tokens[rows:]
            logits.append(self._call(chunk, rows))
            self.position += len(chunk)
        return logits[0] if len(logits) == 1 else np.concatenate(logits)

    def _call(self, chunk: Sequence[int], rows: int) -> NDArray[np.float32]:
        padded = [*chunk, *[0] * (rows - len(chunk))]
        found = self._engine.call(DECODE if rows == 1 else PREFILL, padded, self.position)
        logits = found[: len(chunk)].copy()
        if np.isnan(logits @ self._zeros).any():  # 0 * x is 0 where x is finite
            raise NotFinite(
                f"The logits after position {self.position} are not finite numbers; the model's "
                "weights are damaged, or its family is not what the file says"
            )
        return logits
