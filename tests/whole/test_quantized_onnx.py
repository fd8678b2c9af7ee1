"""Quantized ONNX models through the command line, and MLPerf Tiny's against ONNX Runtime."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from bitwright.cli import main
from bitwright.flows.models import import_model
from bitwright.ir import graph, reference
from bitwright.runtime.library import load_library

sys.path.insert(0, str(Path(__file__).parents[1] / "passes"))

from qdq_networks import Grid, Network  # pyright: ignore[reportMissingImports]


def _model(folder: Path, dtype: str = "int8") -> Path:
    net = Network(np.random.default_rng(3), dtype=dtype)
    x = net.input((1, 3, 6, 6), net.grid(4.0))
    y = net.binary("Add", x, net.conv(x, 3, activation="Relu"))
    onnx.save(net.model(y), folder / "m.onnx")
    return folder / "m.onnx"


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_compile_keeps_the_models_arithmetic(tmp_path: Path) -> None:
    model, build = _model(tmp_path, "uint8"), tmp_path / "build"
    result = _run("compile", str(model), "-t", "cpu", "-o", str(build))
    assert result.exit_code == 0, result.stderr
    report = json.loads((build / "report.json").read_text())
    quantization = report["quantization"]
    assert quantization["rounding"] == "half_even"
    assert quantization["weight_bits"] == quantization["activation_bits"] == 8
    assert quantization["calibration_samples"] == 0
    assert report["bit_exact"]["cpu"]["mismatches"] == 0
    assert report["model"]["inputs"][0]["type"] == "i8"
    for item in quantization["deviations"]:
        assert item["differing"] < item["values"] / 1000, item
    # real numbers go in and come out
    session = onnxruntime.InferenceSession(model)
    x = np.random.default_rng(0).normal(size=(1, 3, 6, 6)).astype(np.float32)
    name = session.get_inputs()[0].name
    np.savez(tmp_path / "x.npz", **{name: x})
    ran = _run("run", str(build), "-i", str(tmp_path / "x.npz"), "-o", str(tmp_path / "y.npz"))
    assert ran.exit_code == 0, ran.stderr
    (found,) = np.load(tmp_path / "y.npz").values()
    wanted = np.asarray(session.run(None, {name: x})[0])
    step = load_library(build / report["files"]["library"]).outputs[0].scale
    assert np.abs(found - wanted).max() < 1.01 * step


def test_inspect_shows_the_integers(tmp_path: Path) -> None:
    result = _run("inspect", str(_model(tmp_path)), "--target", "cpu")
    assert result.exit_code == 0, result.stderr
    assert "requantize" in result.stdout
    assert "everything is supported" in result.stdout


def test_inspect_shows_what_stays_float(tmp_path: Path) -> None:
    net = Network(np.random.default_rng(3))
    x = net.input((1, 3, 6, 6), Grid(0.1))
    made = net.node("Conv", [net.real(x), net.constant(np.ones((2, 3, 1, 1), np.float32))])
    onnx.save(net.model(net.quantize(made, (1, 2, 6, 6), Grid(0.1))), tmp_path / "m.onnx")
    why = (
        "'t9' (bw.conv2d) has a float weight, but its input is quantized. Quantize the weight as "
        "well (a constant with a DequantizeLinear behind it)"
    )
    result = _run("inspect", str(tmp_path / "m.onnx"), "--target", "cpu", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["target"]["supported"] is False
    assert found["target"]["problems"] == [why]
    assert [layer["operation"] for layer in found["layers"]].count("quantize") == 2
    refused = _run("compile", str(tmp_path / "m.onnx"), "-t", "cpu", "-o", str(tmp_path / "b"))
    assert refused.exit_code == 3
    assert refused.stderr.split("error: ", 1)[1].strip() == why


def test_quantized_weights_alone_are_read_as_floats(tmp_path: Path) -> None:
    net = Network(np.random.default_rng(3))
    weight, _ = net.weight((6, 4), 1)
    made = net.node("MatMul", ["x", weight])
    net.inputs.append(onnx.helper.make_tensor_value_info("x", 1, [1, 6]))
    graph_ = onnx.helper.make_graph(
        net.nodes, "g", net.inputs, [onnx.helper.make_tensor_value_info(made, 1, [1, 4])],
        [onnx.numpy_helper.from_array(array, name) for name, array in net.weights.items()],
    )  # fmt: skip
    imports = [onnx.helper.make_opsetid("", 17)]
    proto = onnx.helper.make_model(graph_, opset_imports=imports, ir_version=8)
    onnx.save(proto, tmp_path / "m.onnx")
    imported = import_model(tmp_path / "m.onnx")
    assert not imported.quantized
    kinds = [operation.operation.name for operation in graph.operations(imported.module)]
    assert [kind for kind in kinds if kind != "bw.constant"] == ["bw.linear"]
    x = np.random.default_rng(0).normal(size=(1, 6)).astype(np.float32)
    wanted = _onnx_runtime(tmp_path / "m.onnx", x, optimise=False)
    np.testing.assert_allclose(reference.run(imported.module, {"x": x})[made], wanted, 1e-5)


def _onnx_runtime(path: Path, x: NDArray[Any], optimise: bool) -> NDArray[Any]:
    options, level = onnxruntime.SessionOptions(), onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimise else level.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: x[i : i + 1]})[0] for i in range(len(x))])


@pytest.mark.parametrize(("name", "rows"), [("kws", 60), ("ad", 100), ("ic", 10), ("vww", 4)])
def test_mlperf_tiny(data_folder: Path, name: str, rows: int) -> None:
    """ONNX Runtime's integer kernels to within a step of the softmax; its float ones nearly so."""
    path = data_folder / "mlperf_tiny" / f"{name}_int8.onnx"
    x = np.load(data_folder / "mlperf_tiny" / f"{name}_golden.npz")["x"][:rows]
    imported = import_model(path)
    assert (imported.quantized, imported.rounding) == (True, "half_even")
    item, output = graph.inputs(imported.module)[0], graph.outputs(imported.module)[0]
    found = reference.run(imported.module, {item.name: x})[output.name].astype(np.int64)
    error = np.abs(found - _onnx_runtime(path, x, optimise=True))
    assert (error <= 1).mean() >= 0.999
    assert (error == 0).mean() >= 0.999
    if name != "vww":  # its four rows sit where ONNX Runtime's two results differ by two steps
        assert (np.abs(found - _onnx_runtime(path, x, optimise=False)) <= 1).mean() >= 0.999
