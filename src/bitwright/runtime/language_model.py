"""Loads and runs the library of a language model: sessions that take tokens and give logits."""

import ctypes
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.errors import BitwrightError
from bitwright.files import is_sealed
from bitwright.runtime.library import (
    LANGUAGE_MODEL,
    Library,
    LibraryError,
    Loaded,
    open_library,
    text_of,
)

_BAD_ARGUMENT, _NO_WEIGHTS, _OTHER_WEIGHTS, _NO_MEMORY = 2, 4, 5, 6
_BAD_TOKEN, _CONTEXT_FULL, _NOT_FINITE = 7, 8, 9


class TokenError(BitwrightError):
    """Tokens that the model does not have, or that are no list of whole numbers."""

    exit_code = 4


class SessionError(BitwrightError):
    """More tokens than a session has positions, or one of a size that cannot be."""

    exit_code = 4


class DamagedModel(BitwrightError):
    """A language model whose logits are no numbers."""

    exit_code = 3


class LanguageModel(Loaded):
    """A loaded language model.

    Attributes:
        vocabulary: tokens are 0 to `vocabulary` - 1.
        context: positions of a session, at most.
        weights: the file of weights, or None where they lie in the library.
    """

    def __init__(self, path: Path, library: ctypes.CDLL) -> None:
        super().__init__(path, library)
        self.library = library
        for name in ("bw_vocabulary", "bw_largest_context", "bw_position"):
            getattr(library, name).restype = ctypes.c_int64
        self.vocabulary = int(library.bw_vocabulary())
        self.context = int(library.bw_largest_context())
        name = text_of(library, "bw_weights_file")
        self.weights = path.parent / name if name else None
        library.bw_session_create.argtypes = [
            ctypes.c_char_p, ctypes.c_int64, ctypes.POINTER(ctypes.c_void_p),
        ]  # fmt: skip
        library.bw_prefill.argtypes = [
            ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64,
        ]  # fmt: skip
        for name in ("bw_position", "bw_reset", "bw_session_free"):
            getattr(library, name).argtypes = [ctypes.c_void_p]

    def session(self, context: int | None = None) -> "LanguageSession":
        """A text at position 0.

        Args:
            context: positions that it can hold; the model's by default.

        Raises:
            SessionError: a context that is not within 1 and the model's, or for which there is not
                enough memory.
            LibraryError: the file of weights is missing, or not the library's.
        """
        return LanguageSession(self, self.context if context is None else context)


class LanguageSession:
    """A text at work, from position 0 on; for one thread at a time.

    The lock of the interpreter is released while it computes.

    Attributes:
        context: positions that it can hold.
    """

    def __init__(self, model: LanguageModel, context: int) -> None:
        if not 1 <= context <= model.context:
            raise SessionError(
                f"A session of {context} positions is asked for; {model.path} has 1 to "
                f"{model.context}"
            )
        self.context = context
        self._model, self._library = model, model.library
        handle = ctypes.c_void_p()
        weights = None if model.weights is None else str(model.weights.resolve()).encode()
        status = self._library.bw_session_create(weights, context, ctypes.byref(handle))
        if status == _NO_WEIGHTS:
            raise LibraryError(
                f"The weights {model.weights} cannot be opened; they belong beside {model.path}, "
                "so move the folder as a whole, or compile the model again"
            )
        if status == _OTHER_WEIGHTS:
            raise LibraryError(
                f"The weights {model.weights} are not those that {model.path} was compiled with, "
                "or are truncated; take both from one folder, or compile the model again"
            )
        if status == _NO_MEMORY:
            raise SessionError(
                f"There is not enough memory for a session of {context} positions of {model.path}; "
                "ask for fewer"
            )
        self._check(status)
        self._handle = handle
        weakref.finalize(self, self._library.bw_session_free, handle)

    def _check(self, status: int) -> None:
        if status != 0:
            raise LibraryError(f"{self._model.path}: a session returned {status}; expected 0")

    @property
    def position(self) -> int:
        """Tokens that it has seen."""
        return int(self._library.bw_position(self._handle))

    def restart(self) -> None:
        """Back to position 0."""
        self._check(self._library.bw_reset(self._handle))

    def feed(self, tokens: Sequence[int] | NDArray[Any]) -> NDArray[np.float32]:
        """The logits [len(tokens), vocabulary] after each token.

        Raises:
            TokenError: no list of whole numbers, or one that is not of the vocabulary.
            SessionError: more tokens than positions are left.
            DamagedModel: logits that are infinite or not a number.
        """
        return self._feed(tokens, last_only=False)

    def step(self, tokens: int | Sequence[int] | NDArray[Any]) -> NDArray[np.float32]:
        """The logits [vocabulary] after one token, or after the last of some; errors as `feed`."""
        given = np.atleast_1d(np.asarray(tokens))
        return self._feed(given, last_only=True)[0]

    def _feed(self, tokens: Any, *, last_only: bool) -> NDArray[np.float32]:
        """What is wrong is said; what was fed before stays."""
        model = self._model
        given = np.asarray(tokens)
        if given.ndim != 1 or not given.size or given.dtype.kind not in "iu":
            raise TokenError(
                f"The tokens are {given.dtype} {list(given.shape)}; expected a list of at least "
                "one whole number"
            )
        wrong = np.flatnonzero((given < 0) | (given >= model.vocabulary))
        if wrong.size:
            raise TokenError(
                f"Token {given[wrong[0]]} is none of {model.path}; expected 0 to "
                f"{model.vocabulary - 1}"
            )
        ids = np.ascontiguousarray(given, np.int32)
        wanted = 1 if last_only else len(ids)
        logits = np.empty((wanted, model.vocabulary), np.float32)
        status = self._library.bw_prefill(
            self._handle, ids.ctypes.data, len(ids), logits.ctypes.data, wanted
        )
        if status == _CONTEXT_FULL:
            raise SessionError(
                f"{len(ids)} tokens from position {self.position} do not fit the context of "
                f"{self.context}; give a shorter text, or restart"
            )
        if status == _NOT_FINITE:
            raise DamagedModel(
                f"The logits after position {self.position} are not finite numbers; the weights of "
                f"{model.path} are damaged, so compile the model again"
            )
        self._check(status)
        return logits


def load_language_model(path: Path) -> LanguageModel:
    """Load a language model and check that this machine can run it.

    Raises:
        LibraryError, CpuTooOldError: as `open_library`; or a library of a network; or its file of
            weights is missing or damaged.
    """
    loaded = load_any(path)
    if not isinstance(loaded, LanguageModel):
        raise LibraryError(f"{path} is no language model; `bitwright run` is for other networks")
    return loaded


def load_any(path: Path) -> Library | LanguageModel:
    """Load a library of either kind; see `load_language_model` and `load_library`.

    The checksum of a file of weights is compared, which reads all of it.
    """
    path = Path(path)
    library = open_library(path)
    if text_of(library, "bw_kind") != LANGUAGE_MODEL:
        return Library(path, library)
    made = LanguageModel(path, library)
    if made.weights is not None and not made.weights.is_file():
        raise LibraryError(
            f"{path} needs the file of weights {made.weights}, which is not there; move the folder "
            "as a whole, or compile the model again"
        )
    if made.weights is not None and not is_sealed(made.weights):
        raise LibraryError(
            f"{made.weights} is truncated or changed since it was made: it does not end with its "
            "checksum. Compile the model again"
        )
    return made
