"""The commands on one small model, one after the other, as a user runs them."""

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from bitwright.cli import main


def _model() -> bytes:
    random = np.random.default_rng(0)
    weights = {
        "w": random.normal(size=(8, 3, 3, 3)).astype(np.float32),
        "v": random.normal(size=(4, 8)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("GlobalAveragePool", ["b"], ["c"], name="pool"),
        helper.make_node("Flatten", ["c"], ["d"], name="flatten"),
        helper.make_node("Gemm", ["d", "v"], ["e"], name="dense", transB=1),
        helper.make_node("Softmax", ["e"], ["y"], name="softmax", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", 3, 5, 5))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("N", 4))],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    ).SerializeToString()


def _invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _ok(*arguments: object) -> str:
    result = _invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds for both kinds of targets, and inputs."""
    path = tmp_path_factory.mktemp("commands")
    (path / "m.onnx").write_bytes(_model())
    x = np.random.default_rng(1).normal(size=(12, 3, 5, 5)).astype(np.float32)
    np.savez(path / "x.npz", x=x, label=np.arange(12))
    np.save(path / "x.npy", x[:3])
    for target in ("cpu", "icebreaker"):
        style = ("--style", "overlay") if target != "cpu" else ()
        _ok(
            *("compile", path / "m.onnx", "-t", target, *style),
            *("-c", path / "x.npz", "-o", path / target),
        )
    return path


def test_native_library_and_rtl_give_the_same_numbers(folder: Path) -> None:
    _ok("run", folder / "cpu", "-i", folder / "x.npz", "-o", folder / "cpu.npz", "--check")
    output = _ok("simulate", folder / "icebreaker", "-i", folder / "x.npz", "-o", folder / "r.npz")
    assert "RTL = reference" in output
    cpu, rtl = np.load(folder / "cpu.npz")["y"], np.load(folder / "r.npz")["y"]
    assert cpu.shape == (12, 4)
    assert (cpu == rtl).all()
    assert np.abs(cpu.sum(axis=1) - 1).max() < 0.02
    report = json.loads((folder / "icebreaker" / "report.json").read_text())
    assert report["cycles"]["simulated"] == report["cycles"]["predicted"] > 0
    assert report["bit_exact"]["rtl"]["exact"]
    assert (
        sum(step["predicted"] for step in report["cycles"]["steps"])
        <= (report["cycles"]["predicted"])
    )


def test_lone_array_and_waveform(folder: Path) -> None:
    wave = folder / "w.fst"
    _ok("simulate", folder / "icebreaker", "-i", folder / "x.npy", "--limit", 1, "--trace", wave)
    assert wave.stat().st_size > 1000


def test_a_wrong_program_is_found(folder: Path) -> None:
    program = folder / "icebreaker" / "program.mlir"
    good = program.read_text()
    assert "zero_point = -128" in good
    program.write_text(good.replace("zero_point = -128", "zero_point = -127", 1))
    result = _invoke("simulate", folder / "icebreaker", "-i", folder / "x.npz", "-o", folder / "n")
    assert result.exit_code == 81
    assert re.search(r"The rtl differs from the reference in \d+ of 96 elements", result.stderr)
    assert not (folder / "n").exists()
    report = json.loads((folder / "icebreaker" / "report.json").read_text())
    assert not report["bit_exact"]["rtl"]["exact"]
    program.write_text(re.sub(r"n_plane = \d", "n_plane = 2", good, count=1))
    assert _invoke("simulate", folder / "icebreaker", "-i", folder / "x.npz").exit_code == 81
    program.write_text(good)
    _ok("simulate", folder / "icebreaker", "-i", folder / "x.npz")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ("simulate", "cpu"),
            5,
            "Build DIR/cpu is for the target 'cpu', which has no machine to simulate or "
            "synthesise; compile with an FPGA target (`bitwright targets` lists them)",
        ),
        (
            ("run", "icebreaker"),
            5,
            "Build DIR/icebreaker is for the target 'icebreaker' and has no native library; "
            "compile with --target cpu, or use `bitwright simulate`",
        ),
        (
            ("simulate", "icebreaker", "--netlist"),
            6,
            "Build DIR/icebreaker has no netlist (DIR/icebreaker/fpga/netlist.v); run `bitwright "
            "bitstream DIR/icebreaker` first",
        ),
    ],
)
def test_a_command_for_another_build(
    folder: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    command, build, *options = arguments
    result = _invoke(command, folder / build, "-i", folder / "x.npz", *options)
    assert result.exit_code == code
    assert result.stderr.split("error: ")[1].strip().replace(str(folder), "DIR") == message


def test_inspect_and_opt(folder: Path) -> None:
    assert "conv" in _ok("inspect", folder / "m.onnx")
    text = _ok("opt", folder / "cpu" / "model.mlir", "-p", "partition,legalize,tile{lanes=4}")
    assert "accel.matmul" in text
    text = _ok("opt", folder / "icebreaker" / "program.mlir", "-p", "assemble")
    (line,) = (line for line in text.splitlines() if 'memory = "program"' in line)
    words = (folder / "icebreaker" / "image" / "program.hex").read_text().split()
    assert f"tensor<{len(words)}x4xi8>" in line
    _ok(
        *("opt", folder / "cpu" / "float.mlir", "-o", folder / "q.mlir"),
        *("-p", f"fold,quantize{{weights=8 calibration={folder}/x.npz}}"),
    )
    assert "bw.requantize" in (folder / "q.mlir").read_text()


def _compile_and_simulate(path: Path, nodes: list[onnx.NodeProto], shape: tuple[int, ...],
                          outputs: list[str], **weights: np.ndarray) -> None:  # fmt: skip
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, ("N", *shape))],
        [value(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (path / "m.onnx").write_bytes(model.SerializeToString())
    x = np.random.default_rng(0).normal(size=(6, *shape)).astype(np.float32)
    np.savez(path / "x.npz", x=x)
    _ok(
        *("compile", path / "m.onnx", "-t", "icebreaker", "--style", "overlay"),
        *("-c", path / "x.npz", "-o", path / "b"),
    )
    _ok("simulate", path / "b", "-i", path / "x.npz", "--limit", 2)


def test_tensor_names_like_our_own(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["t1"], name="first"),
        helper.make_node("Tanh", ["t1"], ["y"], name="second"),
    ]
    _compile_and_simulate(tmp_path, nodes, (1, 8, 7), ["y", "t1"])


def test_zero_weights_and_a_window_larger_than_the_map(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="conv", pads=[1, 1, 1, 1])]
    zeros = np.zeros((3, 2, 3, 3), np.float32)
    _compile_and_simulate(tmp_path, nodes, (2, 1, 1), ["y"], w=zeros)
