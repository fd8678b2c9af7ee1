"""Text tests of the passes to the overlay: one module after each of them."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.errors import BitwrightError
from bitwright.hwgen.assemble import assemble
from bitwright.hwgen.isa import InstructionError
from bitwright.ir import graph, reference
from bitwright.ir.builder import Builder
from bitwright.ir.context import parse
from bitwright.ir.machine import DSP
from bitwright.ir.types import QuantParams
from bitwright.passes.allocate import Allocate
from bitwright.passes.legalize import Legalize
from bitwright.passes.partition import NothingForTheOverlay, partition
from bitwright.passes.pipeline import run_pipeline
from bitwright.passes.tile import Tile
from bitwright.passes.tile_program import UnsupportedOnOverlay

FOLDER = Path(__file__).parent / "lowering"
TILED = "partition,legalize,tile{lanes=4 rows=8 requant_lanes=2}"
PIPELINES = {
    "partition": "partition",
    "legalize": "partition,legalize",
    "tile": TILED,
    "allocate": TILED + ",allocate{weight_words=600}",
    "stream": TILED + ",stream{weight_words=256 memory=fixed memory_latency=6}",
}
X = QuantParams((0.5,), 3, 8, -128, 127)


@pytest.mark.parametrize("name", PIPELINES)
def test_text(name: str) -> None:
    module = parse((FOLDER / "layer.in.mlir").read_text())
    found = run_pipeline(module, PIPELINES[name]).operation.get_asm(enable_debug_info=True)
    golden = FOLDER / f"layer.{name}.mlir"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(f"{found}\n")
    assert found.strip() == golden.read_text().strip()
    assert str(parse(golden.read_text())) == str(run_pipeline(module, PIPELINES[name]))


def test_parts_compute_what_the_whole_computes() -> None:
    module = parse((FOLDER / "layer.in.mlir").read_text())
    x = np.random.default_rng(3).integers(-128, 128, size=(4, 8, 8, 3)).astype(np.int8)
    whole = reference.run(module, {"image": x})["classes"]
    parts = partition(module)
    assert parts.on_host == ("to NCHW",)
    core = reference.run(parts.before, {"image": x})
    for module in (parts.core, run_pipeline(parts.core, "legalize")):
        assert (reference.run(module, core)["classes"] == whole).all()
    assert [item.name for item in graph.outputs(parts.core)] == ["classes"]


def test_flattening_of_a_transposed_map_is_a_matter_of_weights() -> None:
    """As Keras flattens: rows and columns outside, channels inside."""
    rng = np.random.default_rng(4)
    builder = Builder([("x", (1, 3, 4, 5), X)])
    pooled = builder.max_pool2d(builder.inputs[0], kernel=(2, 2), stride=(1, 1))
    flat = builder.reshape(builder.transpose(pooled, (0, 2, 3, 1)), (1, 36))
    params = QuantParams((0.5, 0.25), 0, 4, -7, 7, axis=0)
    weight = builder.constant(rng.integers(-7, 8, (2, 36)).astype(np.int8), params)
    sums = builder.linear(flat, weight, builder.constant(np.array([5, -6])))
    y = builder.requantize(sums, X, multiplier=[30000], shift=[20])
    module = builder.finish([("y", y)])
    x = {"x": rng.integers(-128, 128, (8, 3, 4, 5)).astype(np.int8)}
    wanted = reference.run(module, x)["y"]
    assert len(np.unique(wanted)) > 2
    legal = Legalize().run(partition(module).core)
    assert "bw.transpose" not in str(legal)
    np.testing.assert_array_equal(reference.run(legal, x)["y"], wanted)
    assert Tile().unsupported(legal) == {}


def _error(kind: type[BitwrightError], module: object) -> str:
    with pytest.raises(kind) as error:
        Tile().run(partition(module).core)  # type: ignore[arg-type]
    return str(error.value)


def test_a_model_of_moves_alone_is_refused() -> None:
    builder = Builder([("x", (1, 2, 3), X)])
    module = builder.finish([("y", builder.transpose(builder.inputs[0], (0, 2, 1)))])
    assert _error(NothingForTheOverlay, module) == (
        "The model has no operation for the overlay: all of it is reshaping, transposing, "
        "padding or a softmax; compile it with --target cpu"
    )


def test_an_operation_without_instruction_is_named() -> None:
    builder = Builder([("x", (1, 2, 3, 3), X), ("z", (1, 2, 3, 3), X)])
    acc = builder.named("gate").mul(*builder.inputs)
    y = builder.requantize(acc, X, multiplier=[1], shift=[8])
    assert _error(UnsupportedOnOverlay, builder.finish([("y", y)])) == (
        "bw.mul (gate) with operands [1, 2, 3, 3], [1, 2, 3, 3]: the overlay has no instruction "
        "for it; compile with --target cpu, or change the model there"
    )


def test_weights_of_more_bits_than_the_machine_has_are_refused() -> None:
    builder = Builder([("x", (1, 2, 3, 3), X)])
    params = QuantParams((0.5, 0.25), 0, 4, -7, 7, axis=0)
    weight = builder.constant(np.full((2, 2, 1, 1), -3, np.int8), params)
    acc = builder.named("narrow").conv2d(
        builder.inputs[0], weight, builder.constant(np.zeros(2, np.int32))
    )
    y = builder.requantize(acc, X, multiplier=[1], shift=[8])
    core = partition(builder.finish([("y", y)])).core
    machine = Tile(rows=16, engine=DSP, pixels=2, banks=2, precision=4)
    assert machine.unsupported(core) == {}
    with pytest.raises(UnsupportedOnOverlay) as error:
        replace(machine, precision=2).run(core)
    assert str(error.value) == (
        "Layer 'narrow' has weights of 3 bits, and the machine is to have precision = 2; leave "
        "precision out, or quantize with fewer bits of weights"
    )


def test_a_fixed_batch_is_refused() -> None:
    builder = Builder([("x", (4, 2, 3, 3), X)])
    y = builder.max_pool2d(builder.inputs[0], kernel=(3, 3), stride=(1, 1))
    assert _error(UnsupportedOnOverlay, builder.finish([("y", y)])) == (
        "A tensor of shape [4, 2, 3, 3] on the overlay: expected batch 1 and rank 2, 3 or 4; "
        "export the model with a symbolic batch, or compile with --target cpu"
    )


def _pool(width: int, kernel: int, stride: int) -> ir.Module:
    builder = Builder([("x", (1, 2, 1, width), X)])
    acc = builder.named("pool").sum_pool2d(
        builder.inputs[0], kernel=(1, kernel), stride=(1, stride)
    )
    return builder.finish([("y", builder.requantize(acc, X, multiplier=[1], shift=[8]))])


@pytest.mark.parametrize(
    ("width", "kernel", "stride", "message"),
    [
        (129, 1, 64, "x_ox (columns per tile of a row) is 64; this machine holds 0 to 63"),
        (300, 256, 2, "n_kx (trip count: kernel columns) is 256; this machine holds 1 to 255"),
        (4096, 2, 2, "width (columns of the source; outside of them pad_value is read) is 4096; "
         "this machine holds 1 to 4095"),
    ],
)  # fmt: skip
def test_a_field_that_is_too_small_names_the_layer(
    width: int, kernel: int, stride: int, message: str
) -> None:
    program = Allocate().run(Tile().run(_pool(width, kernel, stride)))
    with pytest.raises(InstructionError) as error:
        assemble(program)
    assert str(error.value) == (
        f"Layer 'pool': CHANNELWISE field {message}; compile with --target cpu, or change the "
        "model there"
    )
