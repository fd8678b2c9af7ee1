"""Modules on disk: text plus data, both directions, and the time of a 20 MB model."""

import time
from pathlib import Path

import numpy as np
import pytest

from bitwright.ir import reference, serialize
from bitwright.ir.builder import Builder
from bitwright.ir.context import IrError, parse


def _linear(inputs: int, outputs: int):  # type: ignore[no-untyped-def]
    random = np.random.default_rng(0)
    builder = Builder([("x", (1, inputs), None)])
    weight = builder.constant(random.normal(size=(outputs, inputs)).astype(np.float32))
    bias = builder.constant(np.zeros(outputs, np.float32))
    result = builder.named("dense;1").linear(builder.inputs[0], weight, bias)
    return builder.finish([("y", result)])


def test_saved_modules_come_back_the_same(tmp_path: Path) -> None:
    module = _linear(32, 8)
    serialize.save(module, tmp_path / "m.mlir")
    text = (tmp_path / "m.mlir").read_text()
    assert '#bw.blob<"c0">' in text
    assert "dense;1" in text
    assert len(text) < 2000
    loaded = serialize.load(tmp_path / "m.mlir")
    assert str(loaded) == str(module)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.mlir", "m.npz"]
    x = {"x": np.ones((1, 32), np.float32)}
    assert (reference.run(loaded, x)["y"] == reference.run(module, x)["y"]).all()


def test_the_same_module_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        serialize.save(_linear(32, 8), tmp_path / f"{name}.mlir")
    for suffix in ("mlir", "npz"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_lost_data_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.mlir"
    serialize.save(_linear(32, 8), path)
    path.with_suffix(".npz").unlink()
    with pytest.raises(IrError) as error:
        serialize.load(path)
    assert str(error.value) == (
        f"{path} names the constant 'c0', which {path.with_suffix('.npz')} does not hold; keep the "
        "two files of one `save` together"
    )


def test_twenty_megabytes_save_and_load_in_seconds(tmp_path: Path) -> None:
    module = _linear(1000, 5000)
    start = time.monotonic()
    serialize.save(module, tmp_path / "m.mlir")
    serialize.load(tmp_path / "m.mlir")
    assert (tmp_path / "m.npz").stat().st_size > 20_000_000
    print(f"20 MB saved and loaded in {time.monotonic() - start:.2f} s")


def test_memories_of_programs_come_back(tmp_path: Path) -> None:
    words = ", ".join(f"[{n % 100}, {n % 7}]" for n in range(100))
    text = f'"accel.memory"() {{memory = "params", value = dense<[{words}]> : tensor<100x2xi8>}}'
    module = parse(f"{text} : () -> ()")
    serialize.save(module, tmp_path / "p.mlir")
    assert "bw.blob" in (tmp_path / "p.mlir").read_text()
    assert str(serialize.load(tmp_path / "p.mlir")) == str(module)
