"""Weights in external memory: what is split, and that all of it computes the same."""

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.hwgen import golden
from bitwright.hwgen.assemble import Assembled, assemble
from bitwright.ir import reference
from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams
from bitwright.passes.allocate import Allocate
from bitwright.passes.stream import Stream
from bitwright.passes.tile import Tile
from bitwright.passes.tile_program import UnsupportedOnOverlay
from bitwright.runtime.layout import tensor_to_words, words_to_tensor

X = QuantParams((0.5,), 3, 8, -128, 127)
TILE = Tile(lanes=4, rows=8, requant_lanes=2)
BUFFER = Stream(weight_words=256, memory="fixed", memory_latency=4)


def network(inputs: int, outputs: int) -> ir.Module:
    rng = np.random.default_rng(3)
    builder = Builder([("x", (1, inputs, 2, 3), X)])
    params = QuantParams((0.5,) * outputs, 0, 4, -7, 7, axis=0)
    weight = rng.integers(-7, 8, (outputs, inputs, 1, 1)).astype(np.int8)
    acc = builder.named("conv").conv2d(
        builder.inputs[0], builder.constant(weight, params),
        builder.constant(rng.integers(-99, 99, outputs)),
    )  # fmt: skip
    factors = rng.integers(20_000, 60_000, outputs).tolist()
    return builder.finish(
        [("y", builder.requantize(acc, X, multiplier=factors, shift=[22] * outputs, axis=1))]
    )


def compiled(module: ir.Module, stream: Stream = BUFFER) -> Assembled:
    return assemble(Allocate().run(stream.run(TILE.run(module))))


def test_a_layer_is_split_by_blocks_of_outputs() -> None:
    # 5 blocks of 8 outputs, each 4 planes x 6 blocks of inputs; 128 - 64 of 256 words to a part.
    module = network(24, 37)
    assembled = compiled(module)
    parts = assembled.instructions[1:-2]
    assert [part["n_block"] for part in parts] == [2, 2, 1]
    assert [part["w_base"] for part in parts] == [0, 48, 96]
    assert [part["p_base"] for part in parts] == [0, 8, 16]
    assert [part["dst_base"] for part in parts] == [0, 24, 48]
    assert [part["dst_words_last"] for part in parts] == [2, 2, 2]
    assert assembled.layers[1:-2] == ("conv",) * 3
    assert len(assembled.image.weights) == 128  # two bursts
    x = np.random.default_rng(1).integers(-128, 128, (1, 24, 2, 3)).astype(np.int8)
    found = golden.run(assembled.image, tensor_to_words(x[0], 4))
    wanted = reference.run(module, {"x": x})["y"][0]
    np.testing.assert_array_equal(words_to_tensor(found, (37, 2, 3), 4), wanted)


def test_the_buffer_is_large_enough_without_a_size() -> None:
    least = Stream(memory="fixed", memory_latency=4)
    assert compiled(network(24, 37), least).machine.weight_words == 4096  # 16 KiB
    # 2 x 4 planes x 600 blocks of inputs and two bursts
    assert compiled(network(2400, 9), least).machine.weight_words == 8192


def test_a_block_that_does_not_fit() -> None:
    with pytest.raises(UnsupportedOnOverlay) as caught:
        compiled(network(200, 8))
    assert str(caught.value) == (
        "Layer 'conv' has 200 weight words for one block of outputs; with weight_words = 256 an "
        "instruction can use 128 from external memory; make weight_words larger, or compile with "
        "--target cpu"
    )
