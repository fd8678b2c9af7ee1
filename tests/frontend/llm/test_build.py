"""Decoders of every family as prefill and decode, against a decoder in plain NumPy."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.frontend.llm.build import DECODE, PREFILL, build, cache_names
from bitwright.frontend.llm.decoder import BlockWeights, Decoder, DecoderConfig
from bitwright.frontend.llm.errors import InvalidModelError
from bitwright.ir import graph, serialize
from bitwright.ir.context import parse
from bitwright.ir.interpreter import Interpreter

sys.path.insert(0, str(Path(__file__).parent))
import numpy_decoder
import tiny_decoder as tiny

CONTEXT, ROWS = 14, 5


def run(module: ir.Module, config: DecoderConfig, tokens: list[int]) -> NDArray[np.float32]:
    """The logits after each token: two padded prefills, then one token at a time."""
    interpreter = Interpreter(module)
    shape = (1, CONTEXT, config.kv_heads, config.head_width)
    caches = {name: np.zeros(shape, np.float32) for name in cache_names(config)}
    logits: list[NDArray[np.float32]] = []
    position = 0
    for function, count in ((PREFILL, 5), (PREFILL, 3), *[(DECODE, 1)] * 6):
        rows = ROWS if function == PREFILL else 1
        chunk = [*tokens[position : position + count], *[7] * (rows - count)]
        inputs: dict[str, Any] = {"tokens": np.int32([chunk]), "position": np.int32([position])}
        outputs = interpreter.run(inputs | caches, function)
        logits.append(outputs.pop("logits")[0, :count])
        caches = outputs
        position += count
    return np.concatenate(logits)


FAMILIES: dict[str, tuple[DecoderConfig, tuple[str, ...]]] = {
    "llama": (tiny.config(), ("head",)),
    "llama3, tied, one head of keys": (tiny.config(kv_heads=1, rope_pairs="halves"), ()),
    "qwen2": (tiny.config(rope_pairs="halves"), ("q_bias", "k_bias", "v_bias")),
    "qwen3, wide heads": (
        tiny.config(
            head_width=8, rope_pairs="halves", rope_frequencies=np.float32([1, 0.1, 0.02, 0.01])
        ),
        ("q_norm", "k_norm", "head"),
    ),
    "phi, partial rotation": (tiny.config(rope_frequencies=np.float32([0.5])), ("_bias", "head")),
    "mistral": (tiny.config(windows=(3, 3)), ("head",)),
    "gemma2": (
        tiny.config(
            windows=(4, None), activation="gelu_tanh", embedding_scale=4.0, attention_softcap=2.0,
            logit_softcap=3.0, query_scale=0.3, rope_pairs="halves",
        ),
        ("attention_post_norm", "ffn_post_norm"),
    ),
    "gemma3": (
        tiny.config(
            windows=(4, None), activation="gelu_tanh", embedding_scale=4.0, rope_pairs="halves",
            rope_frequencies_local=np.float32([1, 0.3]),
        ),
        ("q_norm", "k_norm", "attention_post_norm", "ffn_post_norm"),
    ),
    "bitnet": (tiny.config(activation="relu_squared"), ("attention_sub_norm", "ffn_sub_norm")),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family: str) -> None:
    config, extras = FAMILIES[family]
    decoder = tiny.decoder(config, extras)
    assert all(any(name.endswith(extra) for name in decoder.weights) for extra in extras)
    module = build(decoder, context=CONTEXT, prompt=ROWS)
    tokens = np.random.default_rng(1).integers(0, config.vocabulary, CONTEXT).tolist()
    wanted = numpy_decoder.logits(decoder, tokens)
    found = run(module, config, tokens)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("signed", [True, False])
def test_weights_in_blocks(signed: bool, tmp_path: Path) -> None:
    config = tiny.config()
    decoder = tiny.decoder(config)
    weights = {
        name: tiny.blocks(weight, 8, signed=signed)
        if isinstance(weight, np.ndarray) and weight.ndim == 2 else weight
        for name, weight in decoder.weights.items()
    }  # fmt: skip
    decoder = replace(decoder, weights=weights)
    module = build(decoder, context=CONTEXT, prompt=ROWS)
    tokens = list(range(100, 100 + CONTEXT))
    found = run(module, config, tokens)
    wanted = numpy_decoder.logits(decoder, tokens)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-5 * np.abs(wanted).max())
    kinds = [operation.operation.name for operation in graph.operations(module, DECODE)]
    assert kinds.count("bw.dequantize") == 1 + 7 * config.layers
    serialize.save(module, tmp_path / "model.mlir")
    assert np.array_equal(run(serialize.load(tmp_path / "model.mlir"), config, tokens), found)
    assert np.array_equal(run(parse(str(module)), config, tokens), found)


def test_both_functions_share_their_constants() -> None:
    module = build(tiny.decoder(tiny.config()), context=CONTEXT, prompt=ROWS)

    def constants(function: str) -> set[ir.Attribute]:
        return {
            operation.attributes["value"]
            for operation in graph.operations(module, function)
            if operation.operation.name == "bw.constant"
        }

    assert constants(PREFILL) == constants(DECODE)
    assert len(constants(DECODE)) > 20


def test_names_and_shapes() -> None:
    module = build(tiny.decoder(tiny.config()), context=CONTEXT, prompt=ROWS)
    caches = ["keys.0", "values.0", "keys.1", "values.1"]
    for function, rows in ((PREFILL, ROWS), (DECODE, 1)):
        inputs = {item.name: str(item.value.type) for item in graph.inputs(module, function)}
        outputs = {item.name: str(item.value.type) for item in graph.outputs(module, function)}
        cache = f"tensor<1x{CONTEXT}x2x4xf32>"
        assert inputs == {
            "tokens": f"tensor<1x{rows}xsi32>", "position": "tensor<1xsi32>",
            **dict.fromkeys(caches, cache),
        }  # fmt: skip
        assert outputs == {"logits": f"tensor<1x{rows}x300xf32>", **dict.fromkeys(caches, cache)}


def test_a_prompt_has_to_fit() -> None:
    with pytest.raises(ValueError, match=r"^a prompt of 6 does not fit a context of 5$"):
        build(tiny.decoder(tiny.config()), context=5, prompt=6)


def changed(**weights: Any) -> Decoder:
    decoder = tiny.decoder(tiny.config())
    kept = {n: w for n, w in decoder.weights.items() if weights.get(n, 0) is not None}
    return replace(decoder, weights=kept | {n: w for n, w in weights.items() if w is not None})


@pytest.mark.parametrize(
    ("decoder", "message"),
    [
        (
            changed(**{"layers.1.up": None}),
            "The model lacks the weight 'layers.1.up' of shape [24, 16]",
        ),
        (
            changed(**{"layers.0.q": np.zeros((16, 8), np.float32)}),
            "The weight 'layers.0.q' has shape [16, 8]; expected [16, 16]",
        ),
        (
            changed(**{"layers.0.q": tiny.blocks(np.ones((8, 16), np.float32), 8)}),
            "The weight 'layers.0.q' has shape [8, 16]; expected [16, 16]",
        ),
        (
            changed(**{"layers.2.q": np.zeros((16, 16), np.float32)}),
            "The weight 'layers.2.q' is none that a decoder has; the reader of this format has to "
            "map it or refuse it",
        ),
        (
            replace(changed(), config=tiny.config(kv_heads=3)),
            "The model has 4 heads for 3 heads of keys and values; expected a multiple",
        ),
        (
            replace(changed(), config=tiny.config(windows=(None,))),
            "The model has 1 windows for 2 layers; expected one each",
        ),
        (
            replace(changed(), config=tiny.config(rope_frequencies=np.ones(3, np.float32))),
            "The model rotates 6 elements of heads of 4; expected 2 to 4",
        ),
        (
            replace(changed(), config=tiny.config(hidden=0)),
            "The model's hidden is 0; expected 1 to 2147483647",
        ),
    ],
)
def test_weights_that_do_not_fit(decoder: Decoder, message: str) -> None:
    with pytest.raises(InvalidModelError) as raised:
        build(decoder, context=CONTEXT, prompt=ROWS)
    assert str(raised.value) == message


def test_blocks_are_what_they_say() -> None:
    weight = np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32)
    for signed in (True, False):
        made = tiny.blocks(weight, 8, signed=signed)
        assert isinstance(made, BlockWeights)
        assert np.abs(numpy_decoder.dense(made) - weight).max() < 0.3
