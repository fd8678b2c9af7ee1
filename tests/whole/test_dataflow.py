"""A small model as a pipeline, through the command line: folded, simulated, compared."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from bitwright.cli import main

GOAL = 500  # cycles from image to image


def _model() -> bytes:
    """Convolutions with a stride and a residual, depthwise ones, pooling, a dense layer."""
    random = np.random.default_rng(0)
    shapes = {"w": (6, 3, 3, 3), "d": (6, 1, 3, 3), "p": (6, 6, 1, 1), "v": (4, 24)}
    weights = {n: random.normal(size=shape).astype(np.float32) for n, shape in shapes.items()}
    pads = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="stem", strides=[2, 1], **pads),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "d"], ["c"], name="depthwise", group=6, **pads),
        helper.make_node("Conv", ["c", "p"], ["e"], name="pointwise"),
        helper.make_node("Add", ["b", "e"], ["f"], name="residual"),
        helper.make_node("MaxPool", ["f"], ["g"], name="pool", kernel_shape=[2, 3],
                         strides=[2, 2]),
        helper.make_node("Flatten", ["g"], ["h"]),
        helper.make_node("Gemm", ["h", "v"], ["i"], name="dense", transB=1),
        helper.make_node("Softmax", ["i"], ["y"], name="softmax", axis=1),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", 3, 8, 6))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("N", 4))],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    ).SerializeToString()


def _invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _compile(folder: Path, build: str, *options: object) -> Result:
    return _invoke(
        "compile",
        folder / "m.onnx",
        "-t",
        "ulx3s-12f",
        "-c",
        folder / "x.npz",
        "-o",
        folder / build,
        *options,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds m.onnx, its inputs, and a build of it."""
    path = tmp_path_factory.mktemp("dataflow")
    (path / "m.onnx").write_bytes(_model())
    x = np.random.default_rng(1).normal(size=(8, 3, 8, 6)).astype(np.float32)
    np.savez(path / "x.npz", x=x)
    result = _compile(path, "build", "--style", "dataflow", "--interval", GOAL)
    assert result.exit_code == 0, result.output
    return path


def _report(folder: Path, build: str = "build") -> dict[str, object]:
    return json.loads((folder / build / "report.json").read_text())


def test_the_machine_is_the_reference_to_the_cycle(folder: Path) -> None:
    result = _invoke("simulate", folder / "build", "-i", folder / "x.npz")
    assert result.exit_code == 0, result.output
    report = _report(folder)
    rtl = report["bit_exact"]["rtl"]  # pyright: ignore
    assert (rtl["samples"], rtl["mismatches"]) == (8, 0)
    assert report["cycles"]["simulated"] == report["cycles"]["predicted"]  # pyright: ignore
    assert report["cycles"]["interval"] == report["candidates"][0]["interval"]  # pyright: ignore
    kinds = [stage["kind"] for stage in report["stages"]]  # pyright: ignore
    assert kinds == ["matrix", "channelwise", "matrix", "add", "channelwise", "matrix"]


def test_an_interval_that_is_not_the_predicted_one(folder: Path) -> None:
    copy = folder / "interval"
    shutil.copytree(folder / "build", copy)
    document = json.loads((copy / "report.json").read_text())
    real = document["candidates"][0]["interval"]
    document["candidates"][0]["interval"] = real + 1
    (copy / "report.json").write_text(json.dumps(document))
    result = _invoke("simulate", copy, "-i", folder / "x.npz", "--limit", 2)
    assert result.exit_code == 81
    assert result.stderr.split("error: ", 1)[1].strip() == (
        f"The rtl began an image {real} cycles after the one before; predicted were {real + 1}, "
        f"with an image every {real + 1}. This is a defect in Bitwright: please report it with the "
        f"build folder"
    )


def test_the_report_says_how_each_layer_is_folded(folder: Path) -> None:
    report = _report(folder)
    (candidate,) = report["candidates"]  # pyright: ignore
    stages = report["stages"]
    assert candidate["interval"] == max(stage["steps"] for stage in stages)  # pyright: ignore
    assert candidate["interval"] <= GOAL
    assert sum(candidate["spent"].values()) == candidate["cycles"]
    clock = 1e6 * report["clock_mhz"]  # pyright: ignore
    assert report["throughput"] == pytest.approx(clock / candidate["interval"])
    for kind in ("lut", "ff", "bram", "dsp"):
        counts = report["resources"][kind]  # pyright: ignore
        assert counts["predicted"] <= counts["available"]


def test_a_folding_makes_the_same_machine_again(folder: Path) -> None:
    result = _compile(
        folder, "again", "--style", "dataflow", "--folding", folder / "build" / "folding.json"
    )
    assert result.exit_code == 0, result.output
    for name in ("folding.json", "rtl/wb/bitwright_wb.v"):
        assert (folder / "again" / name).read_text() == (folder / "build" / name).read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--style", "overlay", "--fps", "100"),
            "--fps is 100.0, which only --style dataflow has; leave it out, or compile with "
            "--style dataflow",
        ),
        (
            ("--style", "dataflow", "--machine", "lanes=8"),
            "--machine is {'lanes': 8}, which only --style overlay has; leave it out, or compile "
            "with --style overlay",
        ),
        (
            ("--style", "dataflow", "--fps", "100", "--interval", "9"),
            "--interval is 9 and --fps is 100.0; expected one of them",
        ),
        (("--fps", "0"), "--fps is 0; expected images per second, more than 0"),
        (("--fps", "nan"), "--fps is nan; expected images per second, more than 0"),
        (
            ("--machine", "lanes=8", "--interval", "9"),
            "--machine is {'lanes': 8} and --interval is 9; expected one of them",
        ),
    ],
)
def test_options_of_the_other_style_are_refused(
    folder: Path, options: tuple[str, ...], message: str
) -> None:
    result = _compile(folder, "refused", *options)
    assert result.exit_code == 2
    assert result.stderr.split("error: ", 1)[1].strip() == message


def test_a_processor_has_no_pipeline(folder: Path) -> None:
    result = _invoke(
        "compile", folder / "m.onnx", "-t", "cpu", "-o", folder / "cpu", "--interval", 9
    )
    assert result.exit_code == 2
    assert result.stderr.split("error: ", 1)[1].strip() == (
        "--interval is 9, and the target 'cpu' is no FPGA machine; leave it out, or compile for a "
        "board (`bitwright targets` lists them)"
    )
