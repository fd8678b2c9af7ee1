"""Which files are language models, and who reads them."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from bitwright.frontend.llm.decoder import Decoder
from bitwright.frontend.llm.errors import ModelError, ModelFileNotFoundError


class NotALanguageModel(ModelError):
    """A file or folder that none of the readers takes."""


@dataclass(frozen=True)
class Reader:
    """One format.

    Args:
        name: for people.
        loader: `module:function`, a function from a path to a `Decoder`; imported when needed.
        takes: whether a path looks like this format, by its name or its first bytes.
    """

    name: str
    loader: str
    takes: Callable[[Path], bool]

    def load(self, path: Path) -> Decoder:
        """Read the model.

        Raises:
            ModelError: a file that is damaged, foreign, or not supported.
        """
        module, function = self.loader.split(":")
        decoder: Decoder = getattr(import_module(module), function)(path)
        return decoder


def _begins(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError:
        return False


READERS = (
    Reader(
        "GGUF", "bitwright.frontend.llm.gguf:load",
        lambda path: path.suffix.lower() == ".gguf" or _begins(path, b"GGUF"),
    ),
    Reader(
        "folder with config.json and safetensors", "bitwright.frontend.llm.safetensors:load",
        lambda path: (path / "config.json").is_file(),
    ),
    Reader(
        "llama2.c", "bitwright.frontend.llm.llama2c:load",
        lambda path: path.suffix.lower() == ".bin" or _begins(path, b"24ka"),
    ),
)  # fmt: skip


def reader_of(path: Path) -> Reader | None:
    """The reader of a file or folder, None where it is no language model."""
    return next((reader for reader in READERS if reader.takes(path)), None)


def load(path: Path) -> Decoder:
    """Read a language model of any format.

    Raises:
        NotALanguageModel: where no reader takes it.
        ModelError: a file that is damaged, foreign, or not supported.
    """
    if not path.exists():
        raise ModelFileNotFoundError(
            f"Cannot read the model {path}: it does not exist; name an existing file or folder"
        )
    reader = reader_of(path)
    if reader is None:
        known = "; ".join(each.name for each in READERS)
        raise NotALanguageModel(
            f"{path} is not a language model that is known; expected: {known}. "
            "`bitwright compile` is for other networks"
        )
    return reader.load(path)
