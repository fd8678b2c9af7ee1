"""Integer layers of language models: native code equals the reference bit for bit."""

import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bitwright.codegen.cpu import dynamic
from bitwright.codegen.cpu.decoder import build_decoder
from bitwright.codegen.cpu.level import LEVELS, CpuLevel, cpu_level
from bitwright.flows.decoding import Session, Target
from bitwright.flows.integer_weights import IntegerWeights
from bitwright.ir import reference
from bitwright.ir.builder import Builder
from bitwright.passes.quantize.groups import WEIGHTS, quantize_matrix
from bitwright.runtime.decoder import DecoderLibrary

sys.path.insert(0, str(Path(__file__).parents[1] / "frontend" / "llm"))
import tiny_decoder as tiny

Array = NDArray[Any]
HOST = cpu_level("host")
LOWEST = next(level for level in LEVELS.values() if level.machine == platform.machine())
SHAPES = ((75, 172, 43), (64, 96, 32), (130, 64, 64))
"""Outputs, depth, weights in a group."""
INFINITE, NAN, ZERO, TINY, HUGE = range(5)


def rows_of(count: int, depth: int) -> Array:
    """Rows of all magnitudes; five of them special, where there are so many."""
    random = np.random.default_rng(depth)
    x = random.normal(size=(1, count, depth)) * 10.0 ** random.integers(-9, 9, (1, count, 1))
    x = x.astype(np.float32)
    if count > HUGE:
        x[0, INFINITE, 3], x[0, NAN, 5] = -np.inf, np.nan
        x[0, ZERO], x[0, TINY], x[0, HUGE] = 0, 2.0**-101, 3e38
    return x


@pytest.mark.parametrize(
    ("level", "rows", "widths"),
    [(HOST, 1, WEIGHTS), (HOST, 7, WEIGHTS), (LOWEST, 6, ("8", "ternary"))],
    ids=["a row", "several rows", "the lowest level"],
)
def test_layers_equal_the_reference(
    level: CpuLevel, rows: int, widths: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dynamic, "UNROLLED", 40)  # so that some groups are loops
    monkeypatch.setattr(dynamic, "SECOND_CACHE", 1000)
    random = np.random.default_rng(1)
    inputs = {f"x{depth}": rows_of(rows, depth) for _, depth, _ in SHAPES}
    builder = Builder([(name, x.shape, None) for name, x in inputs.items()])
    results: list[tuple[str, Any]] = []
    for x, (outputs, depth, length) in zip(builder.inputs, SHAPES, strict=True):
        for width in widths:
            weight = random.normal(size=(outputs, depth)).astype(np.float32)
            made = quantize_matrix(weight, WEIGHTS[width], length)
            scales = made.scales if width != "5" else made.scales * np.float32(1.1)  # no float16
            bias = random.normal(size=outputs).astype(np.float32)
            parts = map(builder.plain, (made.values, scales, bias))
            results.append((f"{outputs} {width}", builder.dynamic_linear(x, *parts)))
    module = builder.finish(results)
    built = build_decoder(module, ("main",), tmp_path, level=level)
    library = DecoderLibrary(built.library, built.description, built.constants)
    found, wanted = library.run(inputs, "main"), reference.run(module, inputs)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
        assert np.isnan(array).sum() == (2 * array.shape[2] if rows > 1 else 0)


def test_weights_of_a_matrix_lie_in_memory_once(tmp_path: Path) -> None:
    """For all functions, and in as many bits as they need."""
    decoder = tiny.decoder(tiny.config(width=64, hidden=128))
    session = Session(
        decoder, context=8, prompt=4, target="cpu", integers=IntegerWeights("ternary", 64)
    )
    functions = session._engine._bound.values()  # pyright: ignore
    stored = [{a.ctypes.data: a.nbytes for a in bound._kept} for bound in functions]  # pyright: ignore
    shared = set(stored[0]) & set(stored[1])
    quarter = 128 * 64 // 4
    assert sum(stored[0][address] == quarter for address in shared) == 3 * 2  # gate, up, down


@pytest.mark.parametrize("weights", ["8", "4"])
def test_a_decoder_of_integers(weights: str) -> None:
    """Where a float differs by rounding an activation may round to its neighbour."""
    decoder = tiny.decoder(tiny.config(), ("_bias",))
    tokens = np.random.default_rng(0).integers(0, 300, 16).tolist()
    results: list[Array] = []
    targets: tuple[Target, ...] = ("reference", "cpu")
    for target in targets:
        session = Session(
            decoder, context=16, prompt=7, target=target, integers=IntegerWeights(weights)
        )
        fed = [session.feed(tokens[:9]), *(session.feed([token]) for token in tokens[9:])]
        results.append(np.concatenate(fed))
        session.restart()
        assert np.array_equal(session.feed(tokens[:9]), fed[0])
    wanted, found = results
    assert np.abs(found - wanted).max() < 2e-2 * np.abs(wanted).max()
    assert not np.array_equal(wanted, Session(decoder, context=16, prompt=7).feed(tokens))


def test_tiles_fill_the_registers_and_divide_the_vectors() -> None:
    assert dynamic.choose_tile(64, 8, 12) == dynamic.Tile(6, 2)
    assert dynamic.choose_tile(2, 4, 12) == dynamic.Tile(2, 4)
    for rows, vectors in ((64, 6), (7, 3), (3, 8)):
        tile = dynamic.choose_tile(rows, vectors, 24)
        assert vectors % tile.vectors == 0
        assert tile.rows * tile.vectors <= 24
    assert [dynamic.choose_vectors(needed, 1) for needed in (1, 2, 11, 32)] == [1, 2, 6, 8]
    assert [dynamic.choose_vectors(256, fields) for fields in (1, 2, 4, 8, 12)] == [8, 8, 4, 2, 1]
