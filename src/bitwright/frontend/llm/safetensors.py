"""Folders in Hugging Face's form: config.json, *.safetensors, tokenizer.json or .model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.frontend.llm import (
    bitnet,
    hugging_face,
    hugging_face_tokenizer,
    sentencepiece_tokenizer,
)
from bitwright.frontend.llm.decoder import Decoder
from bitwright.frontend.llm.errors import (
    InvalidModelError,
    ModelFileNotFoundError,
    UnsupportedTypeError,
)
from bitwright.frontend.llm.fields import Fields
from bitwright.frontend.llm.json_file import read_json
from bitwright.frontend.llm.packages import package
from bitwright.frontend.llm.weights import LazyWeights, Weight, check_shapes, refuse_unread

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
FLOATS = ("F32", "F16", "BF16")


@dataclass(frozen=True)
class Stored:
    """A tensor in a file: its shape, its element type by the format's name, and how it is read."""

    name: str
    shape: tuple[int, ...]
    type: str
    read: Callable[[], NDArray[Any]]


def load(folder: Path) -> Decoder:
    """Read a model; its weights when they are used.

    Raises:
        ModelError: a subclass that says what is wrong with which file.
        MissingPackageError: `safetensors` or `tokenizers` is not installed.
    """
    path = folder / "config.json"
    values = read_json(path)
    family = hugging_face.family_of(Fields(str(path), values))
    fields = Fields(str(path), values, family.defaults)
    config = hugging_face.decoder_config(fields, family)
    tensors = _tensors(folder)
    # What follows is bounded by the files, not by a number in the configuration.
    if config.layers > len(tensors):
        raise fields.wrong(
            "num_hidden_layers", config.layers, f"no more than {len(tensors)} tensors"
        )
    names = hugging_face.tensor_names(fields, family)
    reader = _Reader(folder, fields, family, tensors)
    weights = {name: reader.weight(name, names[name]) for name in names if names[name] in tensors}
    check_shapes(str(folder), config, names, reader.shapes)
    unused = {name for name in tensors if name.endswith("rotary_emb.inv_freq")}
    if "head" not in names:  # tied, and stored nevertheless
        unused.add("lm_head.weight")
    refuse_unread(str(folder), config.family, tensors, reader.used | unused)
    tokenizer = hugging_face_tokenizer.of_folder(folder, config.vocabulary, values)
    if tokenizer is None:
        tokenizer = sentencepiece_tokenizer.of_folder(folder, config.vocabulary, values)
    return Decoder(config, LazyWeights(weights), tokenizer, reader.notes)


class _Reader:
    """Makes of each tensor the reader of a weight; `shapes` are those after unpacking."""

    def __init__(
        self,
        folder: Path,
        fields: Fields,
        family: hugging_face.Family,
        tensors: Mapping[str, Stored],
    ) -> None:
        self._folder = folder
        self._tensors = tensors
        self._added_to_norms = family.added_to_norms
        self._bitnet = None
        table = fields.table("quantization_config")
        if table is not None:
            where = f"{fields.where}: quantization_config"
            self._bitnet = bitnet.quantization(Fields(where, table))
        self.notes = () if self._bitnet is None else (bitnet.NOTE,)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.used: set[str] = set()

    def weight(self, name: str, stored: str) -> Callable[[], Weight]:
        """The reader of the weight with this canonical name."""
        tensor = self._tensors[stored]
        self.used.add(stored)
        self.shapes[stored] = tensor.shape
        linear = name.rpartition(".")[2] in bitnet.LINEARS
        if self._bitnet and linear and tensor.type == "U8" and len(tensor.shape) == 2:
            self.shapes[stored] = (4 * tensor.shape[0], tensor.shape[1])
            scale = self._scale(f"{stored}_scale")
            return lambda: bitnet.unpacked(tensor.read(), scale)
        if tensor.type not in FLOATS:
            raise UnsupportedTypeError(
                f"{self._folder}: tensor {stored!r} has elements of type {tensor.type}, expected "
                f"one of {', '.join(FLOATS)}; choose a checkpoint in one of these"
            )
        if self._bitnet and linear and self._bitnet.scale == "found":
            return lambda: bitnet.ternarized(tensor.read())
        added = self._added_to_norms if name.endswith("norm") else 0.0
        return partial(_floats, tensor, added)

    def _scale(self, stored: str) -> float:
        """What a packed matrix is multiplied by."""
        tensor = self._tensors.get(stored)
        if tensor is None or tensor.type not in FLOATS or tensor.shape not in ((), (1,)):
            found = "missing" if tensor is None else f"{tensor.type} of shape {list(tensor.shape)}"
            raise InvalidModelError(
                f"{self._folder}: tensor {stored!r}, the scale of packed ternary weights, is "
                f"{found}; expected one number. Download the model again"
            )
        self.used.add(stored)
        scale = float(tensor.read().astype(np.float32).reshape(-1)[0])
        divided = self._bitnet is not None and self._bitnet.scale == "divided"
        if not np.isfinite(scale) or scale == 0:
            raise InvalidModelError(
                f"{self._folder}: tensor {stored!r}, the scale of packed ternary weights, is "
                f"{scale}; expected a finite number, and not 0. Download the model again"
            )
        return 1 / scale if divided else scale


def _floats(tensor: Stored, added: float) -> NDArray[np.float32]:
    values = tensor.read().astype(np.float32)
    return values + np.float32(added) if added else values


def _tensors(folder: Path) -> dict[str, Stored]:
    """Every tensor of the folder by its name."""
    files = [folder / WEIGHTS]
    if not files[0].exists():
        index = folder / INDEX
        if not index.exists():
            raise ModelFileNotFoundError(
                f"{folder} has neither {WEIGHTS} nor {INDEX}; expected the weights beside "
                "config.json. Download the model again, or convert it to safetensors"
            )
        files = [folder / name for name in _shards(index)]
    tensors: dict[str, Stored] = {}
    for path in files:
        tensors |= _file_tensors(path)
    return tensors


def _shards(index: Path) -> list[str]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise InvalidModelError(f"{index}: weight_map is missing; download the model again")
    shards = sorted({str(name) for name in names.values()})
    for name in shards:
        if Path(name).name != name:
            raise InvalidModelError(
                f"{index}: weight_map has the file {name[:200]!r}; expected one beside the index"
            )
    return shards


def _file_tensors(path: Path) -> dict[str, Stored]:
    safetensors = package("safetensors", "safetensors files")
    if not path.is_file():
        raise ModelFileNotFoundError(
            f"Cannot read {path}: there is no such file; download it again"
        )
    try:
        file = safetensors.safe_open(path, framework="numpy")
        found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
        return {
            name: Stored(
                name, tuple(each.get_shape()), each.get_dtype(), partial(file.get_tensor, name)
            )
            for name, each in found.items()
        }
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise InvalidModelError(
            f"{path} is not a safetensors file, or it is truncated or damaged: {error}. Download "
            "it again"
        ) from None
