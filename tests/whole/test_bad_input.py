"""What a user can get wrong, through the command line: message, exit code, nothing left behind."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from bitwright.cli import main

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


def _model(
    nodes: list[onnx.NodeProto], *, shape: tuple[int | str, ...] = ("N", 2, 4, 4),
    weight: np.ndarray | None = None,
) -> bytes:  # fmt: skip
    weight = np.ones((2, 2, 1, 1), np.float32) if weight is None else weight
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    ).SerializeToString()


CONV = helper.make_node("Conv", ["x", "w"], ["y"], name="conv")
GOOD = _model([CONV])
SAMPLES = {"x": np.ones((3, 2, 4, 4), np.float32)}


@pytest.fixture
def compiled(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Runs `bitwright compile`; the folder `build` must not exist afterwards."""

    def run(
        model: bytes = GOOD, samples: dict[str, np.ndarray] = SAMPLES, target: str = "cpu",
        output: Path | None = None, *options: str,
    ) -> tuple[int, str]:  # fmt: skip
        (tmp_path / "m.onnx").write_bytes(model)
        np.savez(tmp_path / "s.npz", **samples)  # pyright: ignore[reportArgumentType]
        style = () if target == "cpu" else ("--style", "overlay")
        before = sorted(tmp_path.iterdir())
        folder = tmp_path / "build" if output is None else output
        result = CliRunner().invoke(
            main,
            [
                *("compile", str(tmp_path / "m.onnx"), "--target", target),
                *("--calibration", str(tmp_path / "s.npz"), "-o", str(folder), *style, *options),
            ],
        )
        assert sorted(tmp_path.iterdir()) == before, "something was left behind"
        assert "Traceback" not in result.stderr
        message = result.stderr.split("error: ", 1)[1].strip()
        return result.exit_code, message.replace(str(tmp_path), "DIR")

    return run


def test_not_an_onnx_file(compiled: Callable[..., tuple[int, str]]) -> None:
    code, message = compiled(b"%PDF-1.4 hello")
    assert code == 31
    assert message.startswith("DIR/m.onnx is not an ONNX")


def test_truncated_file(compiled: Callable[..., tuple[int, str]]) -> None:
    data = (DIGITS / "digits.onnx").read_bytes()
    code, message = compiled(data[: len(data) // 2])
    assert code == 32
    assert message.startswith("DIR/m.onnx")
    assert "truncated" in message


def test_unknown_operator(compiled: Callable[..., tuple[int, str]]) -> None:
    node = helper.make_node("LpPool", ["x"], ["y"], name="norms", kernel_shape=[2, 2])
    code, message = compiled(_model([node]))
    assert code == 33
    assert "LpPool" in message
    assert "norms" in message
    assert "17" in message


def test_dynamic_spatial_shape(compiled: Callable[..., tuple[int, str]]) -> None:
    code, message = compiled(_model([CONV], shape=("N", 2, "height", 4)))
    assert code == 34
    assert "'x'" in message
    assert "height" in message


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers(
    compiled: Callable[..., tuple[int, str]], value: float
) -> None:
    weight = np.ones((2, 2, 1, 1), np.float32)
    weight[0, 1] = value
    code, message = compiled(_model([CONV], weight=weight))
    assert code == 35
    assert "'w'" in message
    assert "1 " in message


def test_calibration_of_wrong_shape(compiled: Callable[..., tuple[int, str]]) -> None:
    code, message = compiled(samples={"x": np.ones((3, 2, 5, 4), np.float32)})
    assert code == 41
    assert "'x'" in message
    assert "[3, 2, 5, 4]" in message


def test_calibration_of_wrong_type(compiled: Callable[..., tuple[int, str]]) -> None:
    code, message = compiled(samples={"x": np.full((3, 2, 4, 4), "a")})
    assert code == 42
    assert "'x'" in message


def test_model_that_does_not_fit(compiled: Callable[..., tuple[int, str]]) -> None:
    weight = np.random.default_rng(0).normal(size=(512, 2, 4, 4)).astype(np.float32)
    wide = np.random.default_rng(1).normal(size=(512, 512, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"], name="first"),
        helper.make_node("Constant", [], ["v"], value=numpy_helper.from_array(wide)),
        helper.make_node("Conv", ["h", "v"], ["y"], name="second"),
    ]
    code, message = compiled(_model(nodes, weight=weight), target="icebreaker")
    assert code == 51
    assert "icebreaker" in message
    assert "bram: needs" in message
    assert "has 30" in message


def test_operation_that_the_overlay_lacks(compiled: Callable[..., tuple[int, str]]) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="conv"),
        helper.make_node("Sigmoid", ["a"], ["b"], name="gate"),
        helper.make_node("Mul", ["a", "b"], ["y"], name="product"),
    ]
    code, message = compiled(_model(nodes), target="ulx3s-12f")
    assert code == 52
    assert "bw.mul" in message
    assert "product" in message


def test_unknown_target(compiled: Callable[..., tuple[int, str]]) -> None:
    code, message = compiled(target="zx81")
    assert code == 5
    assert "zx81" in message
    assert "icebreaker" in message


def test_output_folder_that_cannot_be_written(
    compiled: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    for output, reason in ((file, "is a file"), (file / "build", "is not a folder")):
        code, message = compiled(output=output)
        assert code == 61
        assert reason in message
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("precious")
    code, message = compiled(output=other)
    assert code == 61
    assert message == (
        "Output folder DIR/other holds files that are not a Bitwright build (no report.json of "
        "ours); choose an empty or new folder with -o"
    )
    assert (other / "mine.txt").read_text() == "precious"


def test_output_folder_with_other_files_is_kept(
    compiled: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    other = tmp_path / "project"
    other.mkdir()
    (other / "report.json").write_text('{"tests": 12}')
    (other / "thesis.txt").write_text("precious")
    code, message = compiled(output=other)
    assert code == 61
    assert "not a Bitwright build" in message
    assert (other / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        ("lanes=0", "Machine parameter lanes is 0; expected a power of two from 2 to 64"),
        ("requant_lanes=0", "Machine parameter requant_lanes is 0; expected a power of two that"),
        ("act_words=99999999999", "Machine parameter act_words is 99999999999; expected 0 (what"),
        ("colour=1", "Machine parameter colour=1 is not known; expected one of lanes, rows"),
    ],
)
def test_machines_that_cannot_be(
    compiled: Callable[..., tuple[int, str]], machine: str, message: str
) -> None:
    code, found = compiled(GOOD, SAMPLES, "ulx3s-12f", None, "--machine", machine)
    assert code == 5
    assert found.startswith(message)


@pytest.mark.parametrize(
    ("option", "value", "shown"),
    [
        ("--machine", "lanes=8", "{'lanes': 8}"),
        ("--clock", "50", "50.0"),
        ("--style", "overlay", "overlay"),
        ("--objective", "luts", "luts"),
    ],
)
def test_options_of_the_machine_on_a_cpu(
    compiled: Callable[..., tuple[int, str]], option: str, value: str, shown: str
) -> None:
    code, message = compiled(GOOD, SAMPLES, "cpu", None, option, value)
    assert code == 2
    assert message == (
        f"{option} is {shown}, and the target 'cpu' is no FPGA machine; leave it out, or "
        "compile for a board (`bitwright targets` lists them)"
    )


@pytest.mark.parametrize(
    ("target", "cpu", "code", "expected"),
    [
        ("ulx3s-12f", "host", 2, "--cpu is host, and the target 'ulx3s-12f' is no processor; leave "
         "it out, or compile for cpu"),
        ("cpu", "486", 5, "CPU level '486' is none that this machine makes code for: "),
    ],
)  # fmt: skip
def test_processor_levels(
    compiled: Callable[..., tuple[int, str]], target: str, cpu: str, code: int, expected: str
) -> None:
    found, message = compiled(GOOD, SAMPLES, target, None, "--cpu", cpu)
    assert found == code
    assert message.startswith(expected)


def test_a_constant_tensor_on_the_overlay(compiled: Callable[..., tuple[int, str]]) -> None:
    plane = np.random.default_rng(0).normal(size=(1, 2, 4, 4)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="conv"),
        helper.make_node("Relu", ["a"], ["r"], name="relu"),
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(plane)),
        helper.make_node("Add", ["r", "c"], ["y"], name="shift"),
    ]
    code, message = compiled(_model(nodes), target="ulx3s-12f")
    assert code == 52
    assert "shift" in message
    assert "constant tensor" in message
