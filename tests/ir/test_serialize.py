"""Modules on disk: text plus data, both directions, and the time of a 20 MB model."""

import time
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from torch_mlir import ir

from bitwright.ir import graph, reference, serialize
from bitwright.ir.builder import Builder
from bitwright.ir.bw import Blob, ConstantOp
from bitwright.ir.context import IrError, clone, parse
from bitwright.ir.types import QuantParams, shape_of


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


def test_constants_that_the_file_does_not_align(tmp_path: Path) -> None:
    builder = Builder([("x", (1, 3), QuantParams((0.5,), 0, 8, -128, 127))])
    x = builder.inputs[0]
    for outputs in (129, 131, 133, 135):  # weights of odd sizes before biases of 32 bits
        weight = np.ones((outputs, shape_of(x)[1]), np.int8)
        params = QuantParams((0.1,) * outputs, 0, 8, -127, 127, axis=0)
        acc = builder.linear(
            x, builder.constant(weight, params), builder.constant(np.arange(outputs))
        )
        x = builder.requantize(acc, QuantParams((1.0,), 0, 8, -128, 127), multiplier=[1], shift=[1])
    module = builder.finish([("y", x)])
    serialize.save(module, tmp_path / "m.mlir")
    assert str(serialize.load(tmp_path / "m.mlir")) == str(module)


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


def test_large_constants_are_shared_and_mapped(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).normal(size=(300, 200)).astype(np.float32)
    weight.flags.writeable = False
    builder = Builder([("x", (1, 200), None)])
    constant = builder.constant(weight)
    assert graph.constant_of(constant) is weight
    transposed = builder.constant(weight.T)
    inner = builder.linear(builder.inputs[0], constant, builder.constant(np.zeros(300, np.float32)))
    outer = builder.linear(inner, transposed, builder.constant(np.zeros(200, np.float32)))
    module = builder.finish([("y", outer)])
    assert '#bw.blob<"w0">' in str(module)
    copy = clone(module)
    serialize.save(copy, tmp_path / "m.mlir")
    loaded = serialize.load(tmp_path / "m.mlir")
    assert str(loaded) == str(module)
    for found in (copy, loaded):
        arrays = [graph.constant_of(operation.result) for operation in graph.operations(found)]
        assert (arrays[0] == weight).all()
        assert (arrays[1] == weight.T).all()
        assert not arrays[0].flags.writeable  # type: ignore[union-attr]
    x = {"x": np.ones((1, 200), np.float32)}
    assert (reference.run(loaded, x)["y"] == reference.run(module, x)["y"]).all()


def test_a_writable_array_is_copied() -> None:
    builder = Builder([("x", (200,), None)])
    array = np.ones((300, 200), np.float32)
    values = [builder.constant(array), builder.constant(array[:, ::-1]), builder.plain(array)]
    array[:] = 0
    for value in values:
        assert (graph.constant_of(value) == 1).all()
    assert array.flags.writeable


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, ml_dtypes.int4, np.float16, np.bool_])
def test_large_constants_of_every_plain_type(tmp_path: Path, dtype: type) -> None:
    builder = Builder([("x", (1,), None)])
    array = (np.arange(70000 * 2) % 7).reshape(2, -1).astype(dtype)
    module = builder.finish([("y", builder.plain(array))])
    serialize.save(module, tmp_path / "m.mlir")
    found = reference.run(serialize.load(tmp_path / "m.mlir"), {"x": np.ones(1, np.float32)})["y"]
    assert found.dtype == array.dtype
    assert (found == array).all()


def test_a_large_constant_of_another_shape_does_not_verify() -> None:
    builder = Builder([("x", (1,), None)])
    value = builder.constant(np.zeros((300, 200), np.float32))
    with builder.context:
        blob = Blob.get(ir.StringAttr.get("w0"))
    wrong = builder.make(ConstantOp, ((200, 300), None), (), value=blob)
    with pytest.raises(IrError, match="result has shape"):
        builder.finish([("y", value), ("z", wrong)])


def test_text_without_its_data_is_named() -> None:
    builder = Builder([("x", (1,), None)])
    value = builder.constant(np.zeros((300, 200), np.float32))
    module = parse(str(builder.finish([("y", value)])))
    with pytest.raises(IrError) as error:
        reference.run(module, {"x": np.ones(1, np.float32)})
    assert str(error.value) == (
        "The data of the constant 'w0' is not in memory; read the module from a file that has its "
        ".npz beside it (`bitwright opt -o` writes both)"
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data[:-30], "File is not a zip file"),
        (lambda data: data.replace(b"\0\0\x80?", b"\0\0\0?", 1),
         "its member 'c0.npy' is damaged (wrong checksum)"),
        (lambda data: b"", "cannot mmap an empty file"),
    ],
)  # fmt: skip
def test_damaged_data_is_named(
    tmp_path: Path, change: Callable[[bytes], bytes], reason: str
) -> None:
    builder = Builder([("x", (1,), None)])
    module = builder.finish([("y", builder.constant(np.ones((300, 200), np.float32)))])
    path, data = tmp_path / "m.mlir", tmp_path / "m.npz"
    serialize.save(module, path)
    data.write_bytes(change(data.read_bytes()))
    with pytest.raises(IrError) as error:
        serialize.load(path)
    assert str(error.value) == (
        f"Cannot read the constants {data} of {path}: {reason}; compile the model again"
    )


def test_compressed_data_and_data_of_another_module_are_named(tmp_path: Path) -> None:
    builder = Builder([("x", (1,), None)])
    module = builder.finish([("y", builder.plain(np.ones((300, 200), np.float32)))])
    path, data = tmp_path / "m.mlir", tmp_path / "m.npz"
    serialize.save(module, path)
    np.savez_compressed(data, c0=np.ones((300, 200), np.float32))
    with pytest.raises(IrError, match=r"its member 'c0\.npy' is compressed; expected it stored"):
        serialize.load(path)
    np.savez(data, c0=np.ones((300, 200), np.int8))
    with pytest.raises(IrError, match=f"The constant 'c0' in {data} does not fit {path}: "):
        serialize.load(path)
    np.savez(data, c0=np.ones((200, 300), np.float32))
    with pytest.raises(IrError, match=r"does not verify: [\s\S]*result has shape"):
        serialize.load(path)
    np.savez(data, c0=np.ones(3, dtype=object))
    with pytest.raises(IrError, match=r"its member 'c0\.npy' holds Python objects"):
        serialize.load(path)
