"""Tiles that are measured: the same results, kept for the next time."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.codegen.cpu import tune
from bitwright.codegen.cpu.errors import CpuLevelError
from bitwright.codegen.cpu.level import LEVELS, cpu_level
from bitwright.codegen.cpu.library import build_library
from bitwright.codegen.cpu.tiles import Tile, Work, ranked
from bitwright.codegen.cpu.tune import tuned
from bitwright.flows.compile import NotForFpga, compile_model
from bitwright.ir import reference
from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams
from bitwright.runtime.library import load_library

pytestmark = pytest.mark.skipif(
    not cpu_level("host").has_dot_products, reason="this processor has no AVX-512 VNNI"
)

X = QuantParams((0.5,), -3, 8, -128, 127)
W = QuantParams((0.1,), 0, 8, -127, 127)
CONV = Work(rows=6, columns=6, vectors=2, depth=72)
DENSE = Work(rows=1, columns=3, vectors=1, depth=20)
"""The shapes of the network below."""


def network() -> ir.Module:
    rng = np.random.default_rng(0)
    builder = Builder([("x", (1, 8, 8, 8), X), ("z", (3, 20), X)])
    kernel = builder.constant(rng.integers(-127, 128, (32, 8, 3, 3)), W)
    sums = builder.conv2d(builder.inputs[0], kernel, builder.constant(np.arange(32)))
    y = builder.requantize(sums, X, multiplier=[700], shift=[20])
    weight = builder.constant(rng.integers(-127, 128, (10, 20)), W)
    dense = builder.linear(builder.inputs[1], weight, builder.constant(np.arange(10)))
    v = builder.requantize(dense, X, multiplier=[900], shift=[20])
    return builder.finish([("y", builder.transpose(y, (0, 2, 3, 1))), ("v", v)])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[Work]:
    """One round of the measurement of each shape; the shapes, in the order of measuring."""
    measured: list[Work] = []
    fastest = tune._fastest

    def recorded(work: Work, *rest: object) -> Tile:
        measured.append(work)
        return fastest(work, *rest)  # pyright: ignore

    monkeypatch.setattr(tune, "ROUNDS", 1)
    monkeypatch.setattr(tune, "CANDIDATES", 2)
    monkeypatch.setattr(tune, "_fastest", recorded)
    return measured


def test_measured_once_and_kept(tmp_path: Path, quick: list[Work]) -> None:
    module, steps = network(), list[tuple[str, int, int]]()
    levels = (cpu_level("host"),)
    choose = tuned(
        module, levels, folder=tmp_path, progress=lambda *step: steps.append(step)
    )  # fmt: skip
    assert quick == [CONV, DENSE]
    assert steps == [("tune", 0, 2), ("tune", 1, 2), ("tune", 2, 2)]
    assert choose(CONV, None, None) in ranked(CONV)[:2]
    again = tuned(module, levels, folder=tmp_path)
    assert quick == [CONV, DENSE]
    assert [again(work, None, None) for work in quick] == [
        choose(work, None, None) for work in quick
    ]


def test_a_damaged_file_is_measured_again(tmp_path: Path, quick: list[Work]) -> None:
    tuned(network(), (cpu_level("host"),), folder=tmp_path)
    (file,) = tmp_path.iterdir()
    whole = json.loads(file.read_text())
    file.write_text(file.read_text()[:40])
    tuned(network(), (cpu_level("host"),), folder=tmp_path)
    whole["tiles"][0][4:] = [99, 99]  # no tile of that shape
    file.write_text(json.dumps(whole))
    tuned(network(), (cpu_level("host"),), folder=tmp_path)
    assert quick == [CONV, DENSE, CONV, DENSE, CONV]


def test_every_tile_gives_the_same_results(tmp_path: Path) -> None:
    module = network()
    rng = np.random.default_rng(1)
    given = {
        "x": rng.integers(-128, 128, (1, 8, 8, 8)).astype(np.int8),
        "z": rng.integers(-128, 128, (3, 20)).astype(np.int8),
    }
    expected = reference.run(module, given)
    taken: set[tuple[Work, Tile]] = set()
    for number in (0, 1, 5, -1):

        def choose(work: Work, op: object, requantize: object, number: int = number) -> Tile:
            tiles = ranked(work)
            taken.add((work, tiles[number % len(tiles)]))
            return tiles[number % len(tiles)]

        built = build_library(module, tmp_path / str(number), choose=choose)
        found = load_library(built.library).run(given)
        for name, wanted in expected.items():
            np.testing.assert_array_equal(found[name], wanted)
    assert len(taken) > 4


def test_the_fastest_tile_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = ranked(CONV)

    def call(module: object, level: object, tile: Tile) -> Callable[[], object]:
        seconds = 1e-3 if tile == fast else 2e-2
        return lambda: time.sleep(seconds)

    monkeypatch.setattr(tune, "_call", call)
    monkeypatch.setattr(tune, "ROUNDS", 2)
    for fast in (tiles[0], tiles[3]):
        assert tune._fastest(CONV, network(), cpu_level("host")) == fast


def test_no_level_with_tiles() -> None:
    with pytest.raises(CpuLevelError) as caught:
        tuned(network(), (LEVELS["aarch64+dotprod"], LEVELS["aarch64"]))
    assert str(caught.value) == (
        "--tune measures tiles of dot products, which code for aarch64+dotprod, aarch64 does not "
        "have; leave it out, or compile for x86-64-v4-vnni"
    )


def test_a_level_that_this_machine_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "cpu_level", lambda name: LEVELS["x86-64-v3"])
    with pytest.raises(CpuLevelError) as caught:
        tuned(network(), (LEVELS["x86-64-v4-vnni"],))
    assert str(caught.value) == (
        "--tune measures code for x86-64-v4-vnni, and this machine is x86-64-v3; tune on the "
        "machine that the library is for, or leave --tune out"
    )


def test_an_fpga_has_no_tiles(tmp_path: Path) -> None:
    with pytest.raises(NotForFpga) as caught:
        compile_model(tmp_path / "model.onnx", "ulx3s-85f", tune=True)
    assert str(caught.value) == (
        "--tune is for processors, and the target 'ulx3s-85f' is none; leave it out, or compile "
        "for cpu"
    )
