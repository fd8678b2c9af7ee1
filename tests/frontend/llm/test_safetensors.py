"""Folders in Hugging Face's form against the logits that `transformers` computed for them."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bitwright.flows.decoding import Session
from bitwright.frontend.llm.decoder import BlockWeights
from bitwright.frontend.llm.errors import (
    InvalidModelError,
    MissingPackageError,
    ModelError,
    ModelFileNotFoundError,
    UnsupportedAttributeError,
    UnsupportedTypeError,
)
from bitwright.frontend.llm.safetensors import load

sys.path.insert(0, str(Path(__file__).parent))

import numpy_decoder

FIXTURES = Path(__file__).parent / "fixtures"
FAMILIES = sorted(path.parent.name for path in FIXTURES.glob("*/golden.npz"))


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_are_those_of_transformers(name: str) -> None:
    decoder = load(FIXTURES / name)
    with np.load(FIXTURES / name / "golden.npz") as golden:
        tokens, expected = golden["tokens"], golden["logits"]
    found = numpy_decoder.logits(decoder, tokens)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(expected).max() > 0.5


@pytest.mark.parametrize("name", FAMILIES)
def test_the_module_computes_the_same(name: str) -> None:
    """A prompt of 7 tokens in chunks of 4 by @prefill, the others by @decode."""
    with np.load(FIXTURES / name / "golden.npz") as golden:
        tokens, expected = golden["tokens"].tolist(), golden["logits"]
    session = Session(load(FIXTURES / name), context=16, prompt=4)
    found = [session.feed(tokens[:7]), *(session.feed([token]) for token in tokens[7:])]
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-4)


def test_every_family_has_a_folder() -> None:
    families = {load(FIXTURES / name).config.family for name in FAMILIES}
    assert families == {
        "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "bitnet",
    }  # fmt: skip


def copied(tmp_path: Path, name: str, remove: tuple[str, ...] = (), **changes: Any) -> Path:
    """A copy of a fixture with another configuration."""
    folder = tmp_path / name
    shutil.copytree(FIXTURES / name, folder)
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: config[key] for key in config if key not in remove}))
    return folder


@pytest.mark.parametrize(
    ("name", "remove", "changes"),
    [
        (
            "llama",
            ("rope_parameters", "head_dim", "mlp_bias"),
            {
                "rope_theta": 1e4,
                "rope_scaling": {
                    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0, "original_max_position_embeddings": 16,
                },
            },
        ),
        (
            "llama_biased",
            ("rope_parameters",),
            {"rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 2.0}},
        ),
        (
            "gemma3",
            ("rope_parameters", "layer_types", "_sliding_window_pattern"),
            {
                "rope_theta": 500.0, "rope_local_base_freq": 1e4,
                "rope_scaling": {"rope_type": "linear", "factor": 2.0},
            },
        ),
        ("gemma", ("hidden_activation",), {"hidden_act": "gelu"}),
        ("gemma2", ("layer_types", "tie_word_embeddings"), {}),
        ("qwen2", ("layer_types",), {"torch_dtype": "bfloat16"}),
    ],
)  # fmt: skip
def test_older_configurations_say_the_same(
    tmp_path: Path, name: str, remove: tuple[str, ...], changes: dict[str, Any]
) -> None:
    now, before = (
        load(folder).config
        for folder in (FIXTURES / name, copied(tmp_path, name, remove, **changes))
    )
    for field, value in vars(now).items():
        np.testing.assert_array_equal(getattr(before, field), value, err_msg=field)


def test_packed_ternary_weights_stay_blocks() -> None:
    decoder = load(FIXTURES / "bitnet")
    weights = decoder.weights["layers.0.down"]
    assert isinstance(weights, BlockWeights)
    assert weights.values.shape == (16, 32)
    assert weights.bits == 2
    assert set(np.unique(weights.values)) == {-1, 0, 1}
    np.testing.assert_array_equal(weights.scales, np.full((16, 1), 1 / 8))
    np.testing.assert_array_equal(weights.zero_points, np.zeros((16, 1)))
    assert isinstance(decoder.weights["embedding"], np.ndarray)
    assert decoder.notes == (
        "the model's linear layers quantize their inputs to 8 bits per token; here they stay "
        "floats",
    )


@pytest.mark.parametrize(
    ("table", "scale"),
    [
        ({"quant_method": "bitnet", "linear_class": "autobitlinear"}, 8.0),
        ({"quant_method": "bitnet", "linear_class": "bitlinear"}, 1 / 8),
    ],
)
def test_the_scale_of_packed_weights(tmp_path: Path, table: dict[str, str], scale: float) -> None:
    decoder = load(copied(tmp_path, "bitnet", quantization_config=table))
    np.testing.assert_array_equal(decoder.weights["layers.0.q"].scales, np.full((16, 1), scale))


def test_weights_that_are_ternarized_when_used(tmp_path: Path) -> None:
    table = {
        "quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online",
    }  # fmt: skip
    folder = copied(tmp_path, "bitnet", quantization_config=table)
    stored = load_file(folder / "model.safetensors")
    unpacked = load(FIXTURES / "bitnet")
    for name in [name for name in stored if name.endswith("_scale")]:
        del stored[name]
    rng = np.random.default_rng(0)
    for index in range(2):
        for name, part in {
            "q": "self_attn.q", "k": "self_attn.k", "v": "self_attn.v", "o": "self_attn.o",
            "gate": "mlp.gate", "up": "mlp.up", "down": "mlp.down",
        }.items():  # fmt: skip
            shape = unpacked.weights[f"layers.{index}.{name}"].values.shape
            stored[f"model.layers.{index}.{part}_proj.weight"] = rng.normal(size=shape).astype(
                np.float32
            )
    save_file(stored, folder / "model.safetensors")
    weights = load(folder).weights["layers.1.up"]
    original = stored["model.layers.1.mlp.up_proj.weight"]
    scale = np.abs(original).mean()
    np.testing.assert_allclose(weights.scales, np.full((32, 1), scale), rtol=1e-6)
    np.testing.assert_array_equal(weights.values, np.clip(np.rint(original / scale), -1, 1))


@pytest.mark.parametrize(
    ("name", "changes", "error", "message"),
    [
        (
            "llama", {"model_type": "phi3"}, UnsupportedAttributeError,
            "model_type is 'phi3', which is not supported; supported: llama, mistral, qwen2, "
            "qwen3, gemma, gemma2, gemma3_text, bitnet. Choose a model without it",
        ),
        (
            "llama", {"residual_multiplier": 0.5}, UnsupportedAttributeError,
            "residual_multiplier is 0.5, a key that this reader does not know and that may change "
            "the arithmetic; remove it where it does not, or choose another model",
        ),
        (
            "llama", {"rope_parameters": {"rope_type": "yarn", "factor": 4.0}},
            UnsupportedAttributeError,
            "rope_parameters: rope_type is 'yarn', which is not supported; supported: default, "
            "linear, llama3. Choose a model without it",
        ),
        (
            "llama", {"mlp_bias": True}, UnsupportedAttributeError,
            "mlp_bias is True, which is not supported; supported: false. Choose a model without it",
        ),
        (
            "llama", {"hidden_act": "relu"}, UnsupportedAttributeError,
            "hidden_act is 'relu', which is not supported; supported: silu, swish, "
            "gelu_pytorch_tanh, relu2. Choose a model without it",
        ),
        (
            "llama", {"quantization_config": {"quant_method": "gptq", "bits": 4}},
            UnsupportedAttributeError,
            "quantization_config: quant_method is 'gptq', which is not supported; supported: "
            "bitnet. Choose a model without it",
        ),
        (
            "bitnet", {"quantization_config": {"quant_method": "bitnet", "use_rms_norm": True}},
            UnsupportedAttributeError,
            "quantization_config: use_rms_norm is True, a key that this reader does not know and "
            "that may change the arithmetic; remove it where it does not, or choose another model",
        ),
        (
            "bitnet",
            {
                "quantization_config": {
                    "quant_method": "bitnet", "linear_class": "autobitlinear",
                    "quantization_mode": "online", "modules_to_not_convert": ["lm_head"],
                }
            },
            UnsupportedAttributeError,
            "quantization_config: modules_to_not_convert is ['lm_head'], which is not supported; "
            "supported: null, in the mode online. Choose a model without it",
        ),
        (
            "llama", {"num_key_value_heads": 3}, InvalidModelError,
            "num_key_value_heads is 3; expected a divisor of 4 heads. Download or convert the "
            "model again",
        ),
        (
            "llama", {"hidden_size": None}, InvalidModelError,
            "hidden_size is missing; expected an integer from 1 to 2147483647. Download or "
            "convert the model again",
        ),
        (
            "llama", {"num_hidden_layers": 2**31 - 1}, InvalidModelError,
            "num_hidden_layers is 2147483647; expected an integer from 1 to 10000. Download or "
            "convert the model again",
        ),
        (
            "llama", {"num_hidden_layers": 9999}, InvalidModelError,
            "num_hidden_layers is 9999; expected no more than 21 tensors. Download or convert the "
            "model again",
        ),
        (
            "qwen2", {"layer_types": ["full_attention", "chunked_attention"]},
            UnsupportedAttributeError,
            "layer_types is 'chunked_attention', which is not supported; supported: "
            "full_attention, sliding_attention. Choose a model without it",
        ),
    ],
)  # fmt: skip
def test_configurations_that_are_refused(
    tmp_path: Path, name: str, changes: dict[str, Any], error: type[ModelError], message: str
) -> None:
    folder = copied(tmp_path, name, **changes)
    with pytest.raises(error) as caught:
        load(folder)
    found = str(caught.value).replace(f"{folder}/config.json: ", "")
    assert found.replace("rope parameters: ", "rope_parameters: ") == message


def changed_tensors(tmp_path: Path, name: str, **changes: Any) -> Path:
    """A fixture with other tensors; None takes one away."""
    folder = copied(tmp_path, name)
    stored = load_file(folder / "model.safetensors") | changes
    stored = {name: array for name, array in stored.items() if array is not None}
    save_file(stored, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"model.norm.weight": np.zeros(15, np.float32)}, InvalidModelError,
            "tensor 'model.norm.weight' has shape [15]; expected [16] by the model's "
            "configuration. Download or convert the model again",
        ),
        (
            {"model.layers.1.mlp.up_proj.weight": None}, InvalidModelError,
            "there is no tensor 'model.layers.1.mlp.up_proj.weight'; expected one of shape "
            "[32, 16]. Download or convert the model again",
        ),
        (
            {"model.layers.1.mlp.experts": np.zeros(3, np.float32)}, UnsupportedAttributeError,
            "tensor 'model.layers.1.mlp.experts' is not part of a qwen3 model as this reader knows "
            "it; choose a model without it",
        ),
        (
            {"model.norm.weight": np.zeros(16, np.int8)}, UnsupportedTypeError,
            "tensor 'model.norm.weight' has elements of type I8, expected one of F32, F16, BF16; "
            "choose a checkpoint in one of these",
        ),
    ],
)  # fmt: skip
def test_tensors_that_are_refused(
    tmp_path: Path, changes: dict[str, Any], error: type[ModelError], message: str
) -> None:
    folder = changed_tensors(tmp_path, "qwen3", **changes)
    with pytest.raises(error) as caught:
        load(folder)
    assert str(caught.value) == f"{folder}: {message}"


SCALE = "model.layers.0.mlp.up_proj.weight_scale"


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (None, "is missing; expected one number. Download the model again"),
        (
            np.zeros((2, 3), np.float32),
            "is F32 of shape [2, 3]; expected one number. Download the model again",
        ),
        (
            np.float32([0]),
            "is 0.0; expected a finite number, and not 0. Download the model again",
        ),
    ],
)  # fmt: skip
def test_scales_that_are_refused(tmp_path: Path, scale: Any, message: str) -> None:
    folder = changed_tensors(tmp_path, "bitnet", **{SCALE: scale})
    with pytest.raises(InvalidModelError) as caught:
        load(folder)
    assert str(caught.value) == (
        f"{folder}: tensor {SCALE!r}, the scale of packed ternary weights, {message}"
    )


def test_a_packed_value_that_is_none(tmp_path: Path) -> None:
    changed = {SCALE.removesuffix("_scale"): np.full((8, 16), 0b11, np.uint8)}
    decoder = load(changed_tensors(tmp_path, "bitnet", **changed))
    with pytest.raises(InvalidModelError) as caught:
        _ = decoder.weights["layers.0.up"]
    assert str(caught.value) == (
        "A packed ternary matrix has the value 3 in it; expected 0 to 2. Download it again"
    )


def test_files_that_are_damaged(tmp_path: Path) -> None:
    folder = copied(tmp_path, "qwen3")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InvalidModelError) as caught:
        load(folder)
    found = str(caught.value)
    assert found.startswith(f"{path} is not a safetensors file, or it is truncated or damaged: ")
    assert found.endswith(". Download it again")
    path = folder / "config.json"
    for text, message in (
        ("{", "is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 "
         "(char 1). Download the model again"),
        ("[" * 100_000, "is not JSON: maximum recursion depth exceeded while decoding a JSON array "
         "from a unicode string. Download the model again"),
        ("[]", "is not a table in JSON; download the model again"),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(InvalidModelError) as caught:
            load(folder)
        assert str(caught.value) == f"{path} {message}"


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelFileNotFoundError) as caught:
        load(tmp_path)
    assert str(caught.value) == (
        f"Cannot read {tmp_path}/config.json: No such file or directory; expected a folder with "
        "config.json, *.safetensors and tokenizer.json"
    )
    folder = copied(tmp_path, "qwen3")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelFileNotFoundError) as caught:
        load(folder)
    assert str(caught.value) == (
        f"{folder} has neither model.safetensors nor model.safetensors.index.json; expected the "
        "weights beside config.json. Download the model again, or convert it to safetensors"
    )


def test_a_shard_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = copied(tmp_path, "llama")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}))
    with pytest.raises(InvalidModelError) as caught:
        load(folder)
    assert str(caught.value) == (
        f"{index}: weight_map has the file '../secret.safetensors'; expected one beside the index"
    )


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(MissingPackageError) as caught:
        load(FIXTURES / "llama")
    assert str(caught.value) == (
        "The Python package 'safetensors' is needed to read safetensors files and is not "
        "installed; install it with: pip install 'bitwright[llm]'"
    )
