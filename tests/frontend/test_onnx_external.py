"""Weights that lie outside of the decoded model: found, mapped, and kept inside of the folder."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bitwright.frontend.onnx import errors, external, load, source, wire
from bitwright.ir import graph, reference
from bitwright.ir.blobs import LARGE_BYTES

GEMM = [helper.make_node("Gemm", ["x", "w"], ["y"])]


def _random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.fixture
def saved(tmp_path, model):
    """A model whose weight [4, 8] lies in weights.bin, and the change of one of its entries."""

    def save(**entries):
        path = tmp_path / "model" / "m.onnx"
        path.parent.mkdir(exist_ok=True)
        onnx.save(
            model(GEMM, {"x": (1, 4)}, {"w": _random(4, 8)}), path, save_as_external_data=True,
            location="weights.bin", size_threshold=0,
        )  # fmt: skip
        proto = onnx.load(path, load_external_data=False)
        for entry in proto.graph.initializer[0].external_data:
            entry.value = entries.pop(entry.key, entry.value)
        for key, value in entries.items():
            proto.graph.initializer[0].external_data.add(key=key, value=value)
        path.write_bytes(proto.SerializeToString())
        return path

    return save


def _fails(source, message):
    with pytest.raises(errors.ExternalDataError) as raised:
        load(source)
    assert str(raised.value) == message
    assert raised.value.exit_code == 3


def test_beside_the_model(saved):
    x = _random(1, 4)
    found = reference.run(load(saved()), {"x": x})["y"]
    np.testing.assert_allclose(found, x @ _random(4, 8), rtol=1e-5)


def test_bytes_alone(saved):
    _fails(
        saved().read_bytes(),
        "the model keeps tensor 'w' in the external file 'weights.bin', which bytes alone do not "
        "bring; give the path of the model instead",
    )


def test_a_missing_file(saved):
    path = saved()
    (path.parent / "weights.bin").unlink()
    _fails(
        path, f"{path} keeps tensor 'w' in the external file 'weights.bin', which cannot be read: "
        "No such file or directory; put it beside the model",
    )  # fmt: skip


def test_paths_out_of_the_folder(saved, tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(128))
    start = "{path} keeps tensor 'w' in the external file {location!r}, "
    for location in (str(secret), "C:\\weights.bin", "\\\\host\\weights.bin"):
        path = saved(location=location)
        _fails(
            path, start.format(path=path, location=location)
            + "an absolute path; expected one relative to the model's folder",
        )  # fmt: skip
    outside = (
        f"which is {secret}, outside of the model's folder {tmp_path / 'model'}; put a copy of "
        "the file beside the model"
    )
    path = saved(location="../secret.bin")
    _fails(path, start.format(path=path, location="../secret.bin") + outside)
    (tmp_path / "model" / "link.bin").symlink_to(secret)
    path = saved(location="link.bin")
    _fails(path, start.format(path=path, location="link.bin") + outside)
    (tmp_path / "model" / "folder").symlink_to(tmp_path)
    path = saved(location="folder/secret.bin")
    _fails(path, start.format(path=path, location="folder/secret.bin") + outside)
    path = saved(location=".")
    _fails(path, start.format(path=path, location=".") + "which is not a file")
    path = saved(location="a\0b")
    _fails(
        path, start.format(path=path, location="a\0b")
        + "which cannot be read: embedded null byte; put it beside the model",
    )  # fmt: skip


def test_offsets_and_lengths(saved):
    path = saved(offset="100")
    _fails(
        path, f"{path}: tensor 'w' has 128 bytes from byte 100 of 'weights.bin', which has 128; "
        "copy or export the file again",
    )  # fmt: skip
    for offset in ("-4", "x", "9" * 5000):
        path = saved(offset=offset)
        _fails(
            path, f"{path}: tensor 'w' has the offset {offset!r} and the length '128' in "
            "'weights.bin'; expected numbers of bytes",
        )  # fmt: skip
    path = saved(length="64")
    with pytest.raises(
        errors.InvalidModelError, match=r"tensor name: w\) raw_data size \(64 bytes\)"
    ):
        load(path)


def test_a_large_tensor_of_another_length(model, tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(
        model(GEMM, {"x": (1, 256)}, {"w": _random(256, 128)}), path, save_as_external_data=True,
        location="weights.bin", size_threshold=0,
    )  # fmt: skip
    proto = onnx.load(path, load_external_data=False)
    proto.graph.initializer[0].dims[0] = 255
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(errors.InvalidModelError) as raised:
        load(path)
    assert str(raised.value) == (
        f"{path}: tensor 'w' of shape [255, 128] cannot be read: it has 131072 bytes, expected "
        "130560"
    )


def _large(kind):
    weight = _random(256, 128)
    if kind == "float_data":
        return helper.make_tensor("w", TensorProto.FLOAT, weight.shape, weight.reshape(-1))
    if kind == "double_data":
        return helper.make_tensor(
            "w", TensorProto.DOUBLE, weight.shape, weight.reshape(-1).astype(np.float64)
        )
    return numpy_helper.from_array(weight, "w")


@pytest.mark.parametrize("kind", ["raw_data", "float_data", "double_data", "constant"])
def test_large_tensors_are_views_of_the_file(kind, model):
    proto = model(GEMM, {"x": (1, 256)}, {"w": np.zeros((1, 1), np.float32)})
    del proto.graph.initializer[:]
    if kind == "constant":
        proto.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=_large(kind)))
    else:
        proto.graph.initializer.append(_large(kind))
    if kind == "double_data":
        proto.graph.node.insert(0, helper.make_node("Cast", ["w"], ["v"], to=TensorProto.FLOAT))
        proto.graph.node[1].input[1] = "v"
    data = proto.SerializeToString()
    read = source.read(data)
    assert read.arrays["w"].base is not None
    assert not read.arrays["w"].flags.writeable
    np.testing.assert_array_equal(read.arrays["w"], _random(256, 128))
    assert read.proto.ByteSize() < 500
    x = _random(1, 256)
    module = load(data)
    np.testing.assert_allclose(
        reference.run(module, {"x": x})["y"], x @ _random(256, 128), rtol=1e-4, atol=1e-4
    )
    if kind in ("raw_data", "float_data"):
        constants = [graph.constant_of(operation.result) for operation in graph.operations(module)]
        held = np.frombuffer(data, np.uint8)
        assert any(array is not None and np.shares_memory(array, held) for array in constants)


def test_what_is_stripped_and_joined_again_is_the_same(model):
    """Protobuf reads the stripped file as the whole one without its large tensors."""
    weights = {"w": _random(256, 128), "b": _random(128)}
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"], name="fc")]
    proto = model(nodes, {"x": (1, 256)}, weights)
    data = proto.SerializeToString()
    stripped = onnx.ModelProto.FromString(wire.strip(memoryview(data), LARGE_BYTES))
    tensor = stripped.graph.initializer[0]
    found = external.Files("m", memoryview(data), None).bytes_of(tensor)
    tensor.CopyFrom(external.inlined(tensor, found))
    assert stripped == proto


@pytest.mark.parametrize("declared", [False, True])
def test_two_large_tensors_of_one_name(model, declared):
    """As before ONNX's lists of inputs and initializers were apart (IR version 3), and after."""
    inputs = {"x": (1, 256), "w": (256, 128)} if declared else {"x": (1, 256)}
    proto = model(GEMM, inputs, {"w": _random(256, 128)})
    x = _random(1, 256)
    found = reference.run(load(proto.SerializeToString()), {"x": x})["y"]
    np.testing.assert_allclose(found, x @ _random(256, 128), rtol=1e-4, atol=1e-4)
    proto.graph.initializer.append(proto.graph.initializer[0])
    with pytest.raises(errors.InvalidModelError, match=r"single static assignment.*\(SSA\)"):
        load(proto.SerializeToString())


def test_mapped_and_read_files(tmp_path, monkeypatch):
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    assert bytes(external.view(path)) == b"abc"
    monkeypatch.setattr(external, "MAPPED_BYTES", 1)
    assert bytes(external.view(path)) == b"abc"
    path.write_bytes(b"")
    assert bytes(external.view(path)) == b""
