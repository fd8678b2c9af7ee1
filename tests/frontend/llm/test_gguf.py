"""GGUF files that the `gguf` package wrote: logits, blocks, a real model, and what is refused."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from bitwright.flows.generate import generate, score
from bitwright.frontend.llm import llama2c, safetensors
from bitwright.frontend.llm.decoder import BlockWeights
from bitwright.frontend.llm.errors import (
    InvalidModelError,
    MissingPackageError,
    ModelError,
    ModelFileNotFoundError,
    TruncatedModelError,
    UnsupportedAttributeError,
    UnsupportedTypeError,
)
from bitwright.frontend.llm.gguf import ARCHITECTURES, load

sys.path.insert(0, str(Path(__file__).parent))

import gguf_models
import numpy_decoder
import tiny_decoder

FIXTURES = Path(__file__).parent / "fixtures"


def sliding(writer: gguf.GGUFWriter) -> None:
    writer.add_sliding_window(4)


def of_gemma2(writer: gguf.GGUFWriter) -> None:
    sliding(writer)
    writer.add_attn_logit_softcapping(2.0)
    writer.add_final_logit_softcapping(3.0)
    writer.add_float32("gemma2.attention.scale", 10**-0.5)


def of_gemma3(writer: gguf.GGUFWriter) -> None:
    sliding(writer)
    writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(2.0)
    writer.add_array("gemma3.attention.sliding_window_pattern", [True, False])
    writer.add_float32("gemma3.attention.scale", 12**-0.5)


def linear(writer: gguf.GGUFWriter) -> None:
    writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(2.0)


def of_bitnet(writer: gguf.GGUFWriter) -> None:
    writer.add_string("bitnet.hidden_act", "relu2")


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {"scaling": (8.0, 1.0, 4.0, 16.0)}),
    "llama_biased": ("llama", {"base": 500.0, "metadata": linear}),
    "qwen3": ("qwen3", {}),
    "gemma": ("gemma", {}),
    "gemma2": ("gemma2", {"metadata": of_gemma2}),
    "gemma3": ("gemma3", {"base": 500.0, "metadata": of_gemma3}),
    "bitnet": ("bitnet", {"base": 5e5, "metadata": of_bitnet}),
}


@pytest.mark.parametrize("name", CASES)
def test_logits_are_those_of_transformers(tmp_path: Path, name: str) -> None:
    """The models of `fixtures`, converted as llama.cpp does."""
    architecture, options = CASES[name]
    original = safetensors.load(FIXTURES / name)
    if name == "bitnet":  # llama.cpp ties them always
        weights = {key: original.weights[key] for key in original.weights if key != "head"}
        weights["embedding"] = original.weights["head"]
        tied = replace(original, weights=weights)
        gguf_models.write(tmp_path / "model.gguf", tied, architecture, **options)
        tokens = np.arange(12)
        expected = numpy_decoder.logits(tied, tokens)
    else:
        gguf_models.write(tmp_path / "model.gguf", original, architecture, **options)
        with np.load(FIXTURES / name / "golden.npz") as golden:
            tokens, expected = golden["tokens"], golden["logits"]
    decoder = load(tmp_path / "model.gguf")
    np.testing.assert_allclose(numpy_decoder.logits(decoder, tokens), expected, atol=1e-4)
    assert decoder.notes == ("the file has no tokenizer",)


def test_logits_of_qwen2(tmp_path: Path) -> None:
    """Its fixture has a window, which GGUF's Qwen 2 has not: compared with the reader's own."""
    original = safetensors.load(FIXTURES / "qwen2")
    original = replace(original, config=replace(original.config, windows=(None, None)))
    gguf_models.write(tmp_path / "model.gguf", original, "qwen2")
    found = numpy_decoder.logits(load(tmp_path / "model.gguf"), range(12))
    np.testing.assert_allclose(found, numpy_decoder.logits(original, range(12)), atol=1e-6)


def test_every_architecture_is_tried() -> None:
    assert {architecture for architecture, _ in CASES.values()} | {"qwen2"} == set(ARCHITECTURES)


@pytest.mark.parametrize("name", ["none", "no_vocab"])
def test_files_that_say_that_they_have_no_tokenizer(tmp_path: Path, name: str) -> None:
    def without(writer: gguf.GGUFWriter) -> None:
        writer.add_tokenizer_model(name)

    gguf_models.write(tmp_path / "model.gguf", WIDE, "llama", metadata=without)
    decoder = load(tmp_path / "model.gguf")
    assert (decoder.tokenizer, decoder.notes) == (None, ("the file has no tokenizer",))


def test_gemma_defaults(tmp_path: Path) -> None:
    """What older files leave out."""
    original = safetensors.load(FIXTURES / "gemma2")
    gguf_models.write(tmp_path / "2.gguf", original, "gemma2")
    config = load(tmp_path / "2.gguf").config
    assert config.windows == (4096, None)
    assert (config.attention_softcap, config.logit_softcap) == (50.0, 30.0)
    assert config.query_scale == 8**-0.5
    original = safetensors.load(FIXTURES / "gemma3")
    gguf_models.write(tmp_path / "3.gguf", original, "gemma3", metadata=sliding, base=1e6)
    config = load(tmp_path / "3.gguf").config
    assert config.windows == (4, 4)
    assert (config.attention_softcap, config.logit_softcap) == (None, None)
    np.testing.assert_allclose(config.rope_frequencies, 1e6 ** -(np.arange(4) / 4), rtol=1e-6)
    assert config.rope_frequencies_local is not None
    np.testing.assert_allclose(config.rope_frequencies_local, 1e4 ** -(np.arange(4) / 4), rtol=1e-6)


@pytest.mark.parametrize(("layers", "scale"), [(45, 8**-0.5), (46, 0.5)])
def test_the_largest_gemma2_scales_queries_by_its_width(
    tmp_path: Path, layers: int, scale: float
) -> None:
    config = tiny_decoder.config(layers=layers, windows=(None,) * layers, head_width=8)
    decoder = tiny_decoder.decoder(config, ("post_norm",))
    gguf_models.write(tmp_path / "model.gguf", decoder, "gemma2")
    assert load(tmp_path / "model.gguf").config.query_scale == scale


WIDE = tiny_decoder.decoder(
    tiny_decoder.config(width=256, hidden=512, heads=2, kv_heads=2, head_width=128,
                        rope_frequencies=np.ones(64, np.float32), vocabulary=8)
)  # fmt: skip


@pytest.mark.parametrize(
    ("type_", "bits", "block"),
    [
        (Type.Q4_0, 4, 32), (Type.Q5_0, 5, 32), (Type.Q8_0, 8, 32), (Type.TQ1_0, 2, 256),
        (Type.TQ2_0, 2, 256),
    ],
)  # fmt: skip
def test_integers_with_a_scale_stay_blocks(
    tmp_path: Path, type_: Type, bits: int, block: int
) -> None:
    gguf_models.write(tmp_path / "model.gguf", WIDE, "llama", type_=type_)
    decoder = load(tmp_path / "model.gguf")
    for name in ("embedding", "layers.1.down"):
        weight = decoder.weights[name]
        original = gguf_models.floats(WIDE.weights[name])
        assert isinstance(weight, BlockWeights)
        assert weight.bits == bits
        assert weight.values.dtype == weight.zero_points.dtype == np.int8
        assert weight.values.shape == original.shape
        assert weight.scales.shape == (len(original), original.shape[1] // block)
        assert -(2 ** (bits - 1)) <= weight.values.min() < weight.values.max() < 2 ** (bits - 1)
        expected = gguf.dequantize(gguf.quantize(original, type_), type_)
        np.testing.assert_array_equal(gguf_models.floats(weight), expected)
    assert decoder.notes == ("the file has no tokenizer",)


@pytest.mark.parametrize("type_", [Type.F16, Type.BF16, Type.Q4_1, Type.Q5_1])
def test_other_types_become_floats_and_it_is_said(tmp_path: Path, type_: Type) -> None:
    gguf_models.write(tmp_path / "model.gguf", WIDE, "llama", type_=type_)
    decoder = load(tmp_path / "model.gguf")
    for name in ("embedding", "layers.1.down"):
        original = gguf_models.floats(WIDE.weights[name])
        expected = gguf.dequantize(gguf.quantize(original, type_), type_)
        np.testing.assert_array_equal(decoder.weights[name], expected)
    assert decoder.notes == (
        f"tensors of type {type_.name} became float32: 15",
        "the file has no tokenizer",
    )


@pytest.mark.parametrize(
    "type_", [Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K, Type.IQ4_NL, Type.IQ4_XS,
              Type.IQ2_XXS, Type.IQ3_S, Type.IQ1_S, Type.MXFP4],
)  # fmt: skip
def test_types_that_the_package_cannot_write(tmp_path: Path, type_: Type) -> None:
    """Bytes at random for them: what they stand for is the package's to say."""
    path = tmp_path / "model.gguf"
    block, size = gguf.GGML_QUANT_SIZES[type_]
    rng = np.random.default_rng(0)
    data = rng.integers(0, 60, (512, 256 // block * size), dtype=np.uint8)
    gguf_models.write(path, WIDE, "llama", raw={"layers.0.gate": (type_, data)})
    decoder = load(path)
    expected = gguf.dequantize(data, type_)
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(decoder.weights["layers.0.gate"], expected)
    assert decoder.notes[0] == f"tensors of type {type_.name} became float32: 1"


@pytest.mark.parametrize("type_", [Type.F32, Type.TQ2_0])
def test_scales_of_bitnet(tmp_path: Path, type_: Type) -> None:
    """A ternary matrix with its scale in a tensor of its own."""
    norms = {"attention_sub_norm": 256, "ffn_sub_norm": 512}
    weights = WIDE.weights | {
        f"layers.{index}.{name}": np.ones(width, np.float32)
        for index in range(2)
        for name, width in norms.items()
    }
    path = tmp_path / "model.gguf"
    ternary = replace(WIDE, weights={name: np.sign(each) for name, each in weights.items()})
    scale = np.float32([0.75])

    def metadata(writer: gguf.GGUFWriter) -> None:
        writer.add_tensor("blk.1.ffn_up.scale", scale)

    gguf_models.write(path, ternary, "bitnet", type_=type_, metadata=metadata)
    decoder = load(path)
    for name, factor in (("layers.1.up", 0.75), ("layers.0.up", 1)):
        found = numpy_decoder.dense(decoder.weights[name])
        np.testing.assert_array_equal(found, np.sign(WIDE.weights[name]) * factor)
    scale[0] = np.nan
    gguf_models.write(path, ternary, "bitnet", metadata=metadata)
    with pytest.raises(InvalidModelError) as caught:
        load(path)
    assert str(caught.value) == (
        f"{path}: tensor 'blk.1.ffn_up.scale' has a value outside of 1e-12 to "
        "1000000000000.0. Download or convert the model again"
    )


@pytest.mark.parametrize("type_", [Type.Q4_1, Type.Q5_1])
def test_a_minimum_that_is_a_multiple_of_the_scale_is_a_zero_point(
    tmp_path: Path, type_: Type
) -> None:
    bits = 4 if type_ == Type.Q4_1 else 5
    rng = np.random.default_rng(0)
    values = rng.integers(-3, 2**bits - 3, (8, 256)).astype(np.float32)
    values[:, ::32], values[:, 1::32] = -3, 2**bits - 4  # every block has its whole range
    raw = {"embedding": (type_, gguf.quantize(values / 4, type_))}
    gguf_models.write(tmp_path / "model.gguf", WIDE, "llama", raw=raw)
    weight = load(tmp_path / "model.gguf").weights["embedding"]
    assert isinstance(weight, BlockWeights)
    assert weight.values.dtype == weight.zero_points.dtype == np.uint8
    assert (weight.zero_points == 3).all()
    assert (weight.scales == 0.25).all()
    np.testing.assert_array_equal(numpy_decoder.dense(weight), values / 4)


def stories(data_folder: Path, path: Path, type_: Type) -> Path:
    """stories260K as GGUF, with its tokenizer in the metadata."""
    folder = data_folder / "stories260k"
    words = llama2c_pieces(folder / "tok512.bin")

    def metadata(writer: gguf.GGUFWriter) -> None:
        writer.add_tokenizer_model("llama")
        writer.add_token_list([piece.replace(b" ", "\u2581".encode()) for piece, _ in words])
        writer.add_token_scores([score for _, score in words])
        writer.add_token_types([2, 3, 3, *[6] * 256, *[1] * (len(words) - 259)])
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_unk_token_id(0)

    decoder = llama2c.load(folder / "stories260K.bin")
    gguf_models.write(path, decoder, "llama", type_=type_, metadata=metadata)
    return path


def llama2c_pieces(path: Path) -> list[tuple[bytes, float]]:
    data = path.read_bytes()
    pieces: list[tuple[bytes, float]] = []
    at = 4
    while at < len(data):
        score, length = np.frombuffer(data, "<f4,<i4", 1, at)[0].item()
        pieces.append((data[at + 8 : at + 8 + length], score))
        at += 8 + length
    return pieces


def test_a_real_model_in_float32(data_folder: Path, tmp_path: Path) -> None:
    model = stories(data_folder, tmp_path / "stories.gguf", Type.F32)
    original = llama2c.load(data_folder / "stories260k" / "stories260K.bin")
    decoder = load(model)
    assert decoder.weights.keys() == original.weights.keys()
    for name in original.weights:
        np.testing.assert_array_equal(decoder.weights[name], original.weights[name])
    made = generate(model, tokens=200)
    golden = data_folder / "stories260k" / "golden_t0_200steps.txt"
    assert made.text.encode() == golden.read_bytes()
    found = score(model, data_folder / "stories260k" / "tinystories_sample.txt")
    assert found.tokens == 1804
    assert found.per_token == pytest.approx(1.2664, abs=0.0005)


@pytest.mark.parametrize("type_", [Type.F16, Type.Q8_0, Type.Q4_0])
def test_a_real_model_in_fewer_bits(data_folder: Path, tmp_path: Path, type_: Type) -> None:
    model = stories(data_folder, tmp_path / "stories.gguf", type_)
    original = llama2c.load(data_folder / "stories260k" / "stories260K.bin")
    decoder = load(model)
    assert isinstance(decoder.weights["layers.0.q"], BlockWeights) == (type_ != Type.F16)
    for name, weight in decoder.weights.items():
        expected = gguf_models.floats(original.weights[name])
        if isinstance(weight, BlockWeights) or (type_ == Type.F16 and expected.ndim == 2):
            expected = gguf.dequantize(gguf.quantize(expected, type_), type_)
        np.testing.assert_array_equal(gguf_models.floats(weight), expected, err_msg=name)
    if type_ == Type.Q8_0:
        found = score(model, data_folder / "stories260k" / "tinystories_sample.txt")
        assert found.per_token == pytest.approx(1.2664, abs=0.002)


def tiny(path: Path, metadata: Any = lambda writer: None, architecture: str = "llama") -> Path:
    gguf_models.write(
        path, tiny_decoder.decoder(tiny_decoder.CONFIG), architecture, metadata=metadata
    )
    return path


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (
            lambda writer: writer.add_rope_scaling_type(gguf.RopeScalingType.YARN),
            "llama: rope.scaling.type is 'yarn', which is not supported; supported: none, linear. "
            "Choose a model without it",
        ),
        (
            lambda writer: writer.add_expert_count(8),
            "llama: expert_count is 8, which is not supported; supported: 0. Choose a model "
            "without it",
        ),
        (
            lambda writer: writer.add_causal_attention(False),
            "llama: attention.causal is False, which is not supported; supported: true. Choose a "
            "model without it",
        ),
        (
            lambda writer: writer.add_logit_scale(0.5),
            "llama: logit_scale is 0.5, which is not supported; supported: 0. Choose a model "
            "without it",
        ),
        (
            lambda writer: writer.add_float32("llama.residual_scale", 0.5),
            "llama: residual_scale is 0.5, a key that this reader does not know and that may "
            "change the arithmetic; remove it where it does not, or choose another model",
        ),
        (
            sliding,
            "llama: attention.sliding_window is 4, which is not supported; supported: 0 for this "
            "architecture. Choose a model without it",
        ),
        (
            lambda writer: writer.add_uint16("split.count", 2),
            "split.count is 2, which is not supported; supported: 1; join the parts with "
            "gguf-split --merge. Choose a model without it",
        ),
        (
            lambda writer: writer.add_tokenizer_model("t5"),
            "tokenizer.ggml.model is 't5', which is not supported; supported: llama, gpt2. Choose "
            "a model without it",
        ),
    ],
)
def test_metadata_that_are_refused(tmp_path: Path, metadata: Any, message: str) -> None:
    path = tiny(tmp_path / "model.gguf", metadata)
    with pytest.raises(UnsupportedAttributeError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (
            lambda writer: writer.add_rope_dimension_count(3),
            ": llama: rope.dimension_count is 3; expected an even number up to 4.",
        ),
        (
            lambda writer: writer.add_tensor("rope_freqs.weight", np.ones(5, np.float32)),
            ": tensor 'rope_freqs.weight' is F32 of shape [5]; expected F32 of shape [2].",
        ),
        (
            lambda writer: writer.add_array("llama.x", [[1], [2]]),
            " has an array of type 9 in its metadata; expected numbers or strings.",
        ),
        (
            lambda writer: writer.add_uint32("general.alignment", 0),
            " has general.alignment 0; expected 1 to 1048576.",
        ),
    ],
)
def test_metadata_that_contradict(tmp_path: Path, metadata: Any, message: str) -> None:
    path = tiny(tmp_path / "model.gguf", metadata)
    with pytest.raises(InvalidModelError) as caught:
        load(path)
    assert str(caught.value) == f"{path}{message} Download or convert the model again"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            b"blk.1.ffn_up.weight", b"blk.0.ffn_up.weight",
            " has the tensor 'blk.0.ffn_up.weight' twice; expected it once.",
        ),
        (
            b"blk.1.ffn_up.weight\2\0\0\0", b"blk.1.ffn_up.weight\5\0\0\0",
            " has tensor 'blk.1.ffn_up.weight' with 5 dimensions; expected 1 to 4.",
        ),
        (
            b"blk.1.ffn_up.weight\2\0\0\0\x10", b"blk.1.ffn_up.weight\2\0\0\0\0",
            " has tensor 'blk.1.ffn_up.weight' of shape [24, 0]; expected no empty one.",
        ),
        (
            b"llama.context_length", b"llama.embedding_leng",
            ": llama: context_length is missing; expected an integer from 1 to 2147483647.",
        ),
        (
            b"token_embd.weight", b"token_embd.weighs",
            ": there is no tensor 'token_embd.weight'; expected the embedding of every token.",
        ),
        (
            b"blk.1.ffn_up.weight", b"blk.1.ffn_xx.weight",
            ": there is no tensor 'blk.1.ffn_up.weight'; expected one of shape [24, 16].",
        ),
    ],
)  # fmt: skip
def test_headers_that_contradict(tmp_path: Path, old: bytes, new: bytes, message: str) -> None:
    path = tiny(tmp_path / "model.gguf")
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))
    with pytest.raises(InvalidModelError) as caught:
        load(path)
    assert str(caught.value) == f"{path}{message} Download or convert the model again"


def test_an_architecture_that_is_refused(tmp_path: Path) -> None:
    path = tiny(tmp_path / "model.gguf", architecture="mamba")
    with pytest.raises(UnsupportedAttributeError) as caught:
        load(path)
    assert str(caught.value) == (
        f"{path}: general.architecture is 'mamba', which is not supported; supported: llama, "
        "qwen2, qwen3, gemma, gemma2, gemma3, bitnet. Choose a model without it"
    )


def test_a_type_that_the_package_cannot_dequantize(tmp_path: Path) -> None:
    path = tiny(tmp_path / "model.gguf")
    data = bytearray(path.read_bytes())
    at = data.index(b"blk.1.ffn_up.weight") + len("blk.1.ffn_up.weight") + 4 + 16
    data[at : at + 4] = int(Type.I32).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(UnsupportedTypeError) as caught:
        load(path)
    assert str(caught.value) == (
        f"{path}: tensor 'blk.1.ffn_up.weight' has elements of type I32, which the package `gguf` "
        "cannot dequantize; convert the model to another type"
    )
    data[at : at + 4] = (36).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(UnsupportedTypeError) as caught:
        load(path)
    assert str(caught.value) == (
        f"{path}: tensor 'blk.1.ffn_up.weight' has elements of type 36, which the package `gguf` "
        "does not know; update it, or convert the model to another type"
    )


@pytest.mark.parametrize(
    ("at", "found", "error", "message"),
    [
        (0, b"GGML", InvalidModelError, " is not a GGUF file: it starts with 47 47 4d 4c; expected "
         "47 47 55 46 (GGUF). Download or convert the model again"),
        (4, b"\1\0\0\0", InvalidModelError, " has version 1; expected 2 or 3. Download or convert "
         "the model again"),
        (4, b"\0\0\0\3", InvalidModelError, " has version 50331648 (big-endian); expected 2 or 3. "
         "Download or convert the model again"),
        (8, b"\xff" * 8, InvalidModelError, " has 18446744073709551615 tensors; expected at most "
         "1048576. Download or convert the model again"),
        (24, b"\xff" * 8, TruncatedModelError, " is truncated or damaged: it has 36576 bytes, and "
         "its header goes on at byte 18446744073709551647; download or convert the model again"),
    ],
)  # fmt: skip
def test_headers_that_are_refused(
    tmp_path: Path, at: int, found: bytes, error: type[ModelError], message: str
) -> None:
    path = tiny(tmp_path / "model.gguf")
    data = bytearray(path.read_bytes())
    data[at : at + len(found)] = found
    path.write_bytes(data)
    with pytest.raises(error) as caught:
        load(path)
    assert str(caught.value) == f"{path}{message}"


def test_a_missing_file_and_a_missing_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelFileNotFoundError) as caught:
        load(tmp_path / "none.gguf")
    assert str(caught.value) == (
        f"Cannot read {tmp_path}/none.gguf: No such file or directory; expected a GGUF file"
    )
    path = tiny(tmp_path / "model.gguf")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingPackageError) as missing:
        load(path)
    assert str(missing.value) == (
        "The Python package 'gguf' is needed to read GGUF files and is not installed; install it "
        "with: pip install 'bitwright[llm]'"
    )
