"""llama2.c's models and tokenizers: every version, and files that are none."""

import struct
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bitwright.errors import BitwrightError
from bitwright.frontend.llm import llama2c, llama2c_tokenizer
from bitwright.frontend.llm.check import check_names, check_weight
from bitwright.frontend.llm.decoder import BlockWeights, Decoder
from bitwright.frontend.llm.errors import (
    InvalidModelError,
    ModelError,
    ModelFileNotFoundError,
    TruncatedModelError,
)

sys.path.insert(0, str(Path(__file__).parent))
import tiny_decoder as tiny
from numpy_decoder import dense


def load(data: bytes, folder: Path) -> Decoder:
    path = folder / "model.bin"
    path.write_bytes(data)
    decoder = llama2c.load(path)
    shapes = check_names(decoder)
    for name, weight in decoder.weights.items():
        check_weight(name, weight, shapes[name])
    return decoder


@pytest.mark.parametrize("extras", [(), ("head",)])
@pytest.mark.parametrize("version", [0, 1])
def test_floats(version: int, extras: tuple[str, ...], tmp_path: Path) -> None:
    made = tiny.decoder(tiny.config(), extras)
    data = tiny.write_version(made, 1) if version else tiny.write_version0(made)
    decoder = load(data, tmp_path)
    assert set(decoder.weights) == set(made.weights)
    for name, weight in made.weights.items():
        assert np.array_equal(decoder.weights[name], weight), name  # pyright: ignore
    config, wanted = decoder.config, made.config
    np.testing.assert_allclose(config.rope_frequencies, [1, 0.01], rtol=1e-6)
    for name in ("vocabulary", "hidden", "kv_heads", "context", "rope_pairs", "query_scale"):
        assert getattr(config, name) == getattr(wanted, name), name


@pytest.mark.parametrize("extras", [(), ("head",)])
def test_groups_of_integers(extras: tuple[str, ...], tmp_path: Path) -> None:
    made = tiny.decoder(tiny.config(hidden=32), extras)
    decoder = load(tiny.write_version(made, 2, 16), tmp_path)
    assert decoder.notes == ()
    for name, weight in made.weights.items():
        found = decoder.weights[name]
        assert isinstance(weight, np.ndarray)
        if weight.ndim == 1:
            assert np.array_equal(found, weight)  # pyright: ignore
            continue
        assert isinstance(found, BlockWeights)
        codes, scales = tiny.groups(weight, 16)
        assert np.array_equal(found.values, codes.reshape(weight.shape))
        assert np.array_equal(
            dense(found), (codes * scales[:, None].astype("f8")).reshape(weight.shape)
        )


def test_groups_that_cross_rows_become_floats(tmp_path: Path) -> None:
    made = tiny.decoder(tiny.config())
    decoder = load(tiny.write_version(made, 2, 16), tmp_path)
    assert decoder.notes == ("down: groups of 16 cross its rows; read as float32",)
    weight, found = made.weights["layers.1.down"], decoder.weights["layers.1.down"]
    assert isinstance(weight, np.ndarray)
    assert isinstance(found, np.ndarray)
    codes, scales = tiny.groups(weight, 16)
    assert np.array_equal(found, (codes * scales[:, None]).reshape(weight.shape))


GOOD = tiny.write_version0(tiny.decoder(tiny.config()))
VERSION2 = tiny.write_version(tiny.decoder(tiny.config()), 2, 16)


def ints(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}i", *numbers)


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (b"", TruncatedModelError, "{path} has 0 bytes; expected a model of llama2.c"),
        (GOOD[:-4], TruncatedModelError,
         f"{{path}} has {len(GOOD) - 4} bytes; its header of llama2.c, version 0, asks for "
         f"{len(GOOD)}. Check that it is whole, and a model of llama2.c"),
        (GOOD + b"\0", InvalidModelError,
         f"{{path}} has {len(GOOD) + 1} bytes; its header of llama2.c, version 0, asks for "
         f"{len(GOOD)}. Check that it is whole, and a model of llama2.c"),
        (b"PK\3\4" + bytes(60), InvalidModelError,
         "{path} is no model of llama2.c: its header says width 67324752, 0 heads and 0 layers; "
         "expected heads of an even width"),
        (ints(64, 8, 1 << 30, 4, 4, 300, 8), TruncatedModelError,
         "{path} has 28 bytes; its header of llama2.c says 1073741824 layers of width 64, which "
         "need more. Check that it is whole, and a model of llama2.c"),
        (ints(16, -8, 2, 4, 4, 300, 8) + bytes(256), InvalidModelError,
         "The model's hidden is -8; expected 1 to 2147483647"),
        (ints(tiny.MAGIC, 1, 16), TruncatedModelError,
         "{path} has 12 bytes; expected a model of llama2.c"),
        (VERSION2[:99], TruncatedModelError, "{path} ends in its header, at 99 bytes of 256"),
        (ints(tiny.MAGIC, 3).ljust(256, b"\0"), InvalidModelError,
         "{path} is a model of llama2.c, version 3; expected 0, 1 or 2"),
        (VERSION2[:37] + ints(5) + VERSION2[41:], InvalidModelError,
         "{path} has groups of 5 numbers; expected a divisor of its width 16"),
        (VERSION2[:-4] + struct.pack("<f", -1.0), InvalidModelError,
         "{path} has scales of 'layers.1.up' that are negative or not finite. Early exporters "
         "wrote all scales behind all numbers, which cannot be told by the header; export the "
         "model again"),
    ],
)  # fmt: skip
def test_files_that_are_none(
    data: bytes, kind: type[BitwrightError], message: str, tmp_path: Path
) -> None:
    with pytest.raises(kind) as raised:
        load(data, tmp_path)
    assert str(raised.value) == message.format(path=tmp_path / "model.bin")
    assert raised.value.family == 3


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileNotFoundError) as raised:
        llama2c.load(tmp_path / "none.bin")
    assert str(raised.value) == (
        f"Cannot read the model {tmp_path / 'none.bin'}: No such file or directory; name an "
        "existing file"
    )


def test_damaged_headers_are_our_errors(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    refused = 0
    for original in (GOOD, VERSION2):
        for _ in range(300):
            data = bytearray(
                original[: random.integers(1, 400)] if random.random() < 0.3 else original
            )
            for _ in range(random.integers(1, 4)):
                data[random.integers(0, min(45, len(data)))] = random.integers(0, 256)
            try:
                load(bytes(data), tmp_path)
            except ModelError:
                refused += 1
    assert refused > 400


def read_tokenizer(data: bytes, folder: Path, vocabulary: int = 300) -> llama2c_tokenizer.ScoreBpe:
    path = folder / "tokenizer.bin"
    path.write_bytes(data)
    return llama2c_tokenizer.load(path, vocabulary)


def test_tokenizer(tmp_path: Path) -> None:
    tokenizer = read_tokenizer(tiny.write_tokenizer(), tmp_path)
    assert tokenizer.stops == {1, 2}
    assert tokenizer.encode("") == [1]
    for text in ("abcd, the cab", "caf\u00e9 \u4f60\n!", " ab  ab"):
        tokens = tokenizer.encode(text)
        assert tokens[0] == 1
        pairs = pairwise(tokens)
        assert b"".join(tokenizer.piece(a, b) for a, b in pairs).decode() == text
    assert len(tokenizer.encode("the")) == 2  # begin, " the"
    assert 3 + 0xE4 in tokenizer.encode("\u4f60")


TOKENIZER = tiny.write_tokenizer()


@pytest.mark.parametrize(
    ("data", "vocabulary", "kind", "message"),
    [
        (TOKENIZER, 100, InvalidModelError,
         "The model has 100 tokens; a tokenizer of llama2.c has at least 259"),
        (TOKENIZER, 301, TruncatedModelError,
         "The tokenizer {path} ends before token 300 of 301; give the one that was made with the "
         "model"),
        (TOKENIZER[:-1], 300, TruncatedModelError,
         "The tokenizer {path} says that token 299 has 6 bytes, and 5 are left; give a tokenizer "
         "of llama2.c"),
        (TOKENIZER, 299, InvalidModelError,
         "The tokenizer {path} has 14 bytes behind token 298, the model's last; give the one that "
         "was made with the model"),
        (TOKENIZER.replace(b"<0x00>", b"<0y00>"), 300, InvalidModelError,
         "The tokenizer {path} has b'<0y00>' as token 3; expected b'<0x00>', as llama2.c writes "
         "it"),
    ],
)  # fmt: skip
def test_tokenizers_that_are_none(
    data: bytes, vocabulary: int, kind: type[BitwrightError], message: str, tmp_path: Path
) -> None:
    with pytest.raises(kind) as raised:
        read_tokenizer(data, tmp_path, vocabulary)
    assert str(raised.value) == message.format(path=tmp_path / "tokenizer.bin")
