"""Native code of decoders against the reference interpreter, and what it refuses."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.codegen.cpu.decoder import build_decoder
from bitwright.codegen.cpu.errors import NoFloatCode
from bitwright.flows.decoding import Session
from bitwright.flows.integer_weights import IntegerWeights
from bitwright.frontend.llm.decoder import Decoder
from bitwright.ir import reference
from bitwright.ir.builder import Builder
from bitwright.ir.bw import TanhOp
from bitwright.runtime.decoder import DecoderLibrary

sys.path.insert(0, str(Path(__file__).parents[1] / "frontend" / "llm"))
import tiny_decoder as tiny

Array = NDArray[Any]
Make = Callable[[Builder, ir.Value], ir.Value]


def in_blocks(decoder: Decoder, block: int, *, signed: bool) -> Decoder:
    weights = {
        name: tiny.blocks(weight, block, signed=signed)
        if isinstance(weight, np.ndarray) and weight.ndim == 2 else weight
        for name, weight in decoder.weights.items()
    }  # fmt: skip
    return replace(decoder, weights=weights)


LLAMA = tiny.decoder(tiny.config(rope_frequencies=np.float32([0.5])), ("_bias", "head"))
GEMMA = tiny.decoder(
    tiny.config(
        windows=(4, None), activation="gelu_tanh", embedding_scale=4.0, attention_softcap=2.0,
        logit_softcap=3.0, query_scale=0.3, rope_pairs="halves",
        rope_frequencies_local=np.float32([1, 0.3]),
    ),
    ("q_norm", "k_norm", "attention_post_norm", "ffn_post_norm"),
)  # fmt: skip
BITNET = tiny.decoder(
    tiny.config(activation="relu_squared", hidden=36, kv_heads=1),
    ("attention_sub_norm", "ffn_sub_norm"),
)


@pytest.mark.parametrize(
    "decoder",
    [LLAMA, in_blocks(LLAMA, 8, signed=True), GEMMA, BITNET, in_blocks(BITNET, 4, signed=False)],
    ids=["llama", "llama in blocks", "gemma", "bitnet", "bitnet in blocks with zero points"],
)
def test_decoders(decoder: Decoder) -> None:
    """A prompt in chunks of 7 rows (a tile of 4 and 3 single ones), then token by token."""
    sessions = [
        Session(decoder, context=16, prompt=7, target=target) for target in ("reference", "cpu")
    ]
    tokens = np.random.default_rng(0).integers(0, 300, 16).tolist()
    first, *rest = tokens[:9], *([token] for token in tokens[9:])
    wanted, found = (session.feed(first) for session in sessions)
    assert np.abs(found - wanted).max() < 2e-5 * np.abs(wanted).max()
    for chunk in rest:
        wanted, other = (session.feed(chunk) for session in sessions)
        assert np.abs(other - wanted).max() < 2e-5 * np.abs(wanted).max()
    sessions[1].restart()
    assert np.array_equal(sessions[1].feed(first), found)


@pytest.mark.parametrize(
    ("decoder", "integers"),
    [(LLAMA, IntegerWeights("4")), (GEMMA, None), (BITNET, None)],
    ids=["llama in integers", "gemma", "bitnet"],
)
def test_logits_do_not_depend_on_the_rows_computed_together(
    decoder: Decoder, integers: IntegerWeights | None
) -> None:
    tokens = np.random.default_rng(0).integers(0, 300, 14).tolist()
    alone, together = (
        Session(decoder, context=16, prompt=rows, target="cpu", integers=integers).feed(tokens)
        for rows in (1, 6)
    )
    np.testing.assert_array_equal(alone, together)


def run(module: ir.Module, folder: Path, **inputs: Array) -> None:
    """Compare with the reference."""
    built = build_decoder(module, ("main",), folder)
    library = DecoderLibrary(built.library, built.description, built.constants)
    wanted = reference.run(module, inputs)
    found = library.run(inputs, "main")
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("depth", [1, 6, 40, 96, 172])
def test_products_of_any_depth(depth: int, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    builder = Builder([("x", (2, 3, depth), None)])
    weight = builder.plain(random.normal(size=(5, depth)).astype(np.float32))
    bias = builder.plain(random.normal(size=5).astype(np.float32))
    y = builder.linear(builder.inputs[0], weight, bias)
    x = random.normal(size=(2, 3, depth)).astype(np.float32)
    run(builder.finish([("y", y)]), tmp_path, x=x)


def test_the_shape_of_inputs_is_checked(tmp_path: Path) -> None:
    builder = Builder([("x", (2, 3), None)])
    module = builder.finish([("y", builder.add(builder.inputs[0], builder.inputs[0]))])
    built = build_decoder(module, ("main",), tmp_path)
    library = DecoderLibrary(built.library, built.description, built.constants)
    x = np.float32([[1, 2, 3], [4, 5, 6]])
    assert np.array_equal(library.run({"x": x}, "main")["y"], 2 * x)
    for wrong in (x.T, x.astype(np.float64), np.asfortranarray(x)):
        with pytest.raises(ValueError, match=r"^'x' of main is float\d\d \[\d, \d\]; expected flo"):
            library.run({"x": wrong}, "main")


def cache_read_twice(builder: Builder, x: ir.Value) -> ir.Value:
    position = builder.plain(np.zeros(1, np.int32))
    updated = builder.cache_update(x, x, position)
    return builder.add(updated, x)


def blocks_outside_of_a_product(builder: Builder, x: ir.Value) -> ir.Value:
    codes, scale = builder.plain(np.ones((2, 2), np.int8)), builder.plain(np.ones((2, 1), "f4"))
    zero = builder.plain(np.zeros((2, 1), np.int8))
    return builder.unary(TanhOp, builder.named("d").dequantize(codes, scale, zero))


FLOATS = np.ones((4, 8), np.float32)
CODES, SCALES = np.ones((4, 8), np.int16), np.ones((4, 2), np.float32)
ELSEWHERE = ", for which there is no CPU code; run it on the reference interpreter"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda b, x: b.named("s").softmax(x, 3),
            "s (bw.softmax) is none of bw.linear, bw.dynamic_linear, bw.gather, bw.rms_norm, "
            "bw.rope, bw.cache_update, bw.attention, bw.glu, bw.tanh, bw.add, bw.mul, bw.div"
            + ELSEWHERE,
        ),
        (lambda b, x: b.named("s").add(x, x, 1, -1), "s (bw.add) subtracts" + ELSEWHERE),
        (
            lambda b, x: b.named("s").mul(x, b.plain(np.ones(8, np.float32))),
            "s (bw.mul) broadcasts tensor<8xf32> to tensor<1x2x3x8xf32>" + ELSEWHERE,
        ),
        (
            lambda b, x: b.named("g").gather(x, b.plain(np.zeros(1, np.int32)), 1),
            "g (bw.gather) gathers along axis 1 of tensor<1x2x3x8xf32>" + ELSEWHERE,
        ),
        (
            lambda b, x: b.named("l").linear(
                x,
                b.dequantize(b.plain(CODES), b.plain(SCALES), b.plain(CODES[:, :2])),
                b.plain(FLOATS[:, 0]),
            ),
            "l (bw.linear) has weights of tensor<4x8xsi16> with scales of tensor<4x2xf32>"
            + ELSEWHERE,
        ),
        (
            lambda b, x: b.named("l").dynamic_linear(
                x,
                b.plain(CODES.astype(np.int8)),
                b.plain(SCALES),
                b.add(b.plain(FLOATS[:, 0]), b.plain(FLOATS[:, 0])),
            ),
            "l (bw.dynamic_linear) has weights that are computed" + ELSEWHERE,
        ),
        (
            blocks_outside_of_a_product,
            "d (bw.dequantize) is read by another operation than a product" + ELSEWHERE,
        ),
        (
            lambda b, x: b.named("i").add(*[b.plain(np.ones((2, 2), np.int32))] * 2),
            "i (bw.add) gives tensor<2x2xsi32>" + ELSEWHERE,
        ),
        (
            lambda b, x: b.cast(x, np.dtype(np.float64)),
            "There is no CPU code for a value of type tensor<1x2x3x8xf64>; expected float32, "
            "int32, int8, uint8",
        ),
        (
            cache_read_twice,
            "bw.cache_update (bw.cache_update) changes a tensor that is not an argument, or "
            "that is read elsewhere; CPU code updates in place",
        ),
        (
            lambda b, x: b.reshape(x, (6, 8)),
            "Output 'y' of @main is an input, a constant, or returned twice; there is no CPU code "
            "for that",
        ),
    ],
)
def test_what_there_is_no_code_for(make: Make, message: str, tmp_path: Path) -> None:
    builder = Builder([("x", (1, 2, 3, 8), None)])
    module = builder.finish([("y", make(builder, builder.inputs[0]))])
    with pytest.raises(NoFloatCode) as raised:
        build_decoder(module, ("main",), tmp_path)
    assert str(raised.value) == message
