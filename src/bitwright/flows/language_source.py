"""What generates: the file of a language model, or the package that `compile` made of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bitwright.codegen.cpu.package import LIBRARY
from bitwright.errors import BitwrightError
from bitwright.flows.decoding import Session, Target
from bitwright.flows.folder import BuildFolder
from bitwright.flows.integer_weights import IntegerWeights
from bitwright.frontend.llm import llama2c_tokenizer, readers, tokenizer_file
from bitwright.frontend.llm.decoder import Tokenizer
from bitwright.frontend.llm.errors import ModelError
from bitwright.runtime.language_model import load_language_model


class NoTokenizer(ModelError):
    """A model without a tokenizer in its files."""


class NotForPackage(BitwrightError):
    """An option that a compiled model has no more, or that only one has."""

    exit_code = 2


class Stepper(Protocol):
    """A text at work, in this process or in a package."""

    @property
    def position(self) -> int:
        """Tokens that it has seen."""
        ...

    def restart(self) -> None:
        """Back to position 0."""
        ...

    def feed(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """The logits [len(tokens), vocabulary] after each token."""
        ...


@dataclass(frozen=True)
class Source:
    """A model that is ready to generate.

    Attributes:
        session: makes one of so many positions, for a prompt of so many tokens.
        notes: what the reader of the model changed.
    """

    words: Tokenizer
    vocabulary: int
    context: int
    session: Callable[[int, int], Stepper]
    notes: tuple[str, ...] = ()


def open_source(
    model: Path, *, tokenizer: Path | None = None, target: Target | None = None,
    integers: IntegerWeights | None = None, threads: int | None = None,
) -> Source:  # fmt: skip
    """Open a model file, a build folder, its `lib` folder or its library.

    Raises:
        NotForPackage: an option that was decided when the package was compiled, or threads for a
            model file.
        ModelError: a model that cannot be read, or that has no tokenizer.
        LibraryError, CpuTooOldError: a package that cannot be loaded.
    """
    library = _library_of(model)
    if library is not None:
        return _package(
            model, library, tokenizer, threads,
            {"--target": None if target == "cpu" else target, "--weights": integers},
        )  # fmt: skip
    if threads is not None:
        raise NotForPackage(
            f"--threads is {threads}, and {model} is not compiled; `bitwright compile` makes a "
            "library of it that has threads"
        )
    decoder = readers.load(model)
    vocabulary = decoder.config.vocabulary
    if tokenizer is not None:
        decoder = replace(decoder, tokenizer=llama2c_tokenizer.load(tokenizer, vocabulary))
    if decoder.tokenizer is None:
        raise NoTokenizer(
            f"{model} has no tokenizer; name its file with --tokenizer, such as tokenizer.bin"
        )

    def session(context: int, prompt: int) -> Session:
        return Session(
            decoder, context=context, prompt=prompt, target=target or "reference",
            integers=integers,
        )  # fmt: skip

    return Source(decoder.tokenizer, vocabulary, decoder.config.context, session, decoder.notes)


def _library_of(model: Path) -> Path | None:
    folders = (BuildFolder(model).library, model)
    found = [folder / LIBRARY for folder in folders if (folder / LIBRARY).is_file()]
    return found[0] if found else model if model.suffix == ".so" else None


def _package(
    model: Path, library: Path, tokenizer: Path | None, threads: int | None,
    decided: dict[str, Any],
) -> Source:  # fmt: skip
    for option, value in decided.items():
        if value is not None:
            raise NotForPackage(
                f"{option} is given, and {model} is compiled already; leave it out, or give the "
                "model file"
            )
    loaded = load_language_model(library)
    if threads is not None:
        loaded.threads = threads
    path = library.parent / tokenizer_file.NAME
    if tokenizer is not None:
        words: Tokenizer = llama2c_tokenizer.load(tokenizer, loaded.vocabulary)
    elif path.exists():
        words = tokenizer_file.load(path)
    else:
        raise NoTokenizer(
            f"{library.parent} has no {tokenizer_file.NAME}, since the model came without; name a "
            "file with --tokenizer, such as tokenizer.bin"
        )
    return Source(
        words, loaded.vocabulary, loaded.context, lambda context, _: loaded.session(context)
    )
