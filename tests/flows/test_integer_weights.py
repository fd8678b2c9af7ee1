"""`bitwright generate --weights`: which integers a layer gets, likelihood, the command."""

import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from bitwright.cli import main
from bitwright.flows.decoding import NotFinite, Session
from bitwright.flows.generate import score
from bitwright.flows.integer_weights import (
    IntegerWeights,
    IntegerWeightsError,
    with_integers,
)
from bitwright.frontend.llm.build import DECODE, PREFILL, build
from bitwright.frontend.llm.decoder import BlockWeights, Decoder
from bitwright.frontend.llm.readers import load
from bitwright.ir import graph

sys.path.insert(0, str(Path(__file__).parents[1] / "frontend" / "llm"))
import gguf_models
import tiny_decoder as tiny

WIDE = tiny.decoder(tiny.config(width=64, hidden=172, head_width=16))


def real(weight: NDArray[np.float32] | BlockWeights) -> NDArray[np.float32]:
    assert isinstance(weight, BlockWeights)
    assert weight.values.dtype == np.int8
    assert not weight.zero_points.any()
    return gguf_models.floats(weight)


def file_of(folder: Path, type_: Type) -> Decoder:
    gguf_models.write(folder / "model.gguf", WIDE, "llama", type_=type_)
    return load(folder / "model.gguf")


@pytest.mark.parametrize(
    ("type_", "weights"), [(Type.Q8_0, "8"), (Type.Q4_0, "4"), (Type.Q4_0, "8")]
)
def test_a_file_keeps_its_integers(tmp_path: Path, type_: Type, weights: str) -> None:
    decoder = file_of(tmp_path, type_)
    made = with_integers(decoder, IntegerWeights(weights))
    for name in ("layers.0.q", "layers.1.gate"):
        own, kept = decoder.weights[name], made.weights[name]
        assert isinstance(own, BlockWeights)
        assert isinstance(kept, BlockWeights)
        np.testing.assert_array_equal(kept.values, own.values)
        np.testing.assert_array_equal(kept.scales, own.scales)
    down = made.weights["layers.0.down"]  # 172 are no whole blocks: float32 in the file
    assert isinstance(down, BlockWeights)
    assert down.bits == int(weights)


def test_integers_of_more_bits_become_fewer(tmp_path: Path) -> None:
    decoder = file_of(tmp_path, Type.Q8_0)
    made = with_integers(decoder, IntegerWeights("4", 32)).weights["layers.0.q"]
    assert isinstance(made, BlockWeights)
    assert (made.bits, made.scales.shape, int(made.values.max())) == (4, (64, 2), 7)
    error = real(made) - real(decoder.weights["layers.0.q"])
    assert np.abs(error).max() < 0.8 * made.scales.max()


def test_zero_points_are_subtracted() -> None:
    weight = tiny.blocks(
        np.random.default_rng(0).normal(size=(8, 16)).astype("f4"), 8, signed=False
    )
    made = IntegerWeights("4").of(weight)
    centred = weight.values.astype(np.int16) - np.repeat(weight.zero_points, 8, axis=1)
    np.testing.assert_array_equal(made.values, centred)
    assert not made.zero_points.any()


def test_a_tied_head_becomes_a_matrix_of_its_own() -> None:
    made = with_integers(WIDE, IntegerWeights("3")).weights
    assert "head" not in WIDE.weights
    assert "head" in made
    assert "layers.9.q" not in made
    assert len(made) == len(WIDE.weights) + 1 == len(list(made))
    assert made["embedding"] is WIDE.weights["embedding"]
    assert made["norm"] is WIDE.weights["norm"]
    assert real(made["head"]).shape == (300, 64)


def test_every_layer_is_integer_in_both_functions() -> None:
    decoder = with_integers(WIDE, IntegerWeights("8"))
    module = build(decoder, context=8, prompt=4, integer=True)
    for function in (PREFILL, DECODE):
        kinds = [op.operation.name for op in graph.operations(module, function)]
        assert kinds.count("bw.dynamic_linear") == 7 * WIDE.config.layers + 1
        assert "bw.linear" not in kinds


def test_the_whole_row_or_groups() -> None:
    weight = WIDE.weights["layers.0.down"]
    lengths = {"8": 172, "4": 43, "ternary": 43}
    for weights, length in lengths.items():
        made = IntegerWeights(weights).of(weight)
        assert made.scales.shape == (64, 172 // length)
    assert IntegerWeights("4", 64).of(weight).scales.shape == (64, 2)


@pytest.mark.parametrize(
    ("weights", "group", "message"),
    [
        ("9", None, "weights is '9'; expected one of 8, 7, 6, 5, 4, 3, 2, ternary, 1"),
        ("4", 48, "group is 48; expected one of 0, 32, 64, 128"),
    ],
)
def test_options_that_do_not_exist(weights: str, group: int | None, message: str) -> None:
    with pytest.raises(IntegerWeightsError) as raised:
        IntegerWeights(weights, group)
    assert str(raised.value) == message
    assert raised.value.exit_code == 2


def test_command(tmp_path: Path) -> None:
    model, tokenizer, text = (tmp_path / name for name in ("m.bin", "t.bin", "text"))
    model.write_bytes(tiny.write_version0(tiny.decoder(tiny.config())))
    tokenizer.write_bytes(tiny.write_tokenizer())
    text.write_text("the cab")

    def invoke(*options: str) -> tuple[int, str]:
        arguments = ["generate", str(model), "--tokenizer", str(tokenizer), "--score", str(text)]
        result = CliRunner().invoke(main, [*arguments, *options], prog_name="bitwright")
        return result.exit_code, result.output

    code, found = invoke("--weights", "3", "--group", "0")
    wanted = score(model, text, tokenizer=tokenizer, integers=IntegerWeights("3", 0))
    assert (code, float(found.splitlines()[0])) == (0, pytest.approx(wanted.per_token, abs=1e-6))
    code, found = invoke("--group", "32")
    assert code == 2
    assert found.endswith("Error: --group needs --weights: floats have no groups\n")


@pytest.mark.parametrize(
    ("weights", "group", "loss"), [("8", 0, 1.268), ("4", 32, 1.419), ("4", 64, 1.445)]
)
def test_likelihood_of_stories_260k(
    weights: str, group: int, loss: float, data_folder: Path
) -> None:
    folder = data_folder / "stories260k"
    found = score(
        folder / "stories260K.bin", folder / "tinystories_sample.txt",
        tokenizer=folder / "tok512.bin", target="cpu", integers=IntegerWeights(weights, group),
    )  # fmt: skip
    assert found.tokens == 1804
    assert found.per_token == pytest.approx(loss, abs=0.005)


def test_a_damaged_weight_is_named() -> None:
    weights = {**WIDE.weights, "norm": np.full(64, np.inf, np.float32)}
    session = Session(
        Decoder(WIDE.config, weights, None), context=4, prompt=2, target="cpu",
        integers=IntegerWeights("8"),
    )  # fmt: skip
    with pytest.raises(NotFinite, match=r"^The logits after position 0 are not finite numbers; "):
        session.feed([1, 2])
