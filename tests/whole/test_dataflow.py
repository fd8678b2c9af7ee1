"""A TFLite model as a pipeline, through the command line: folded, simulated, compared."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bitwright.cli import main

sys.path.insert(0, str(Path(__file__).parents[1] / "frontend"))

import tflite_cases as cases  # pyright: ignore[reportMissingImports]


def _invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _compile(folder: Path, build: str, *options: object) -> Result:
    return _invoke(
        "compile", folder / "m.tflite", "-t", "ulx3s-12f", "-o", folder / build, *options
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds m.tflite, its inputs, and a build of it."""
    path = tmp_path_factory.mktemp("dataflow")
    (path / "m.tflite").write_bytes(cases.CASES["network"]())
    np.savez(path / "x.npz", x=cases.inputs("network", (1, 5, 6, 3)))
    result = _compile(path, "build", "--style", "dataflow")
    assert result.exit_code == 0, result.output
    return path


def _report(folder: Path, build: str = "build") -> dict[str, object]:
    return json.loads((folder / build / "report.json").read_text())


def test_the_machine_gives_litert_s_answers(folder: Path) -> None:
    result = _invoke("simulate", folder / "build", "-i", folder / "x.npz", "-o", folder / "y.npz")
    assert result.exit_code == 0, result.output
    report = _report(folder)
    assert report["bit_exact"]["rtl"]["mismatches"] == 0  # pyright: ignore
    assert report["cycles"]["simulated"] == report["cycles"]["predicted"]  # pyright: ignore
    with np.load(cases.GOLDEN) as golden, np.load(folder / "y.npz") as found:
        wanted = golden["network"][:, 0]
        np.testing.assert_array_equal(found["y"].reshape(wanted.shape), wanted)


def test_the_report_says_how_each_layer_is_folded(folder: Path) -> None:
    report = _report(folder)
    (candidate,) = report["candidates"]  # pyright: ignore
    stages = report["stages"]
    assert candidate["interval"] == max(stage["steps"] for stage in stages)  # pyright: ignore
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


def test_a_goal_takes_less_of_the_device(folder: Path) -> None:
    fastest = _report(folder)["candidates"][0]  # pyright: ignore
    result = _compile(folder, "slow", "--style", "dataflow", "--interval", 20 * fastest["interval"])
    assert result.exit_code == 0, result.output
    slow = _report(folder, "slow")["candidates"][0]  # pyright: ignore
    assert slow["interval"] == 20 * fastest["interval"]
    assert slow["resources"]["lut"] < fastest["resources"]["lut"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--fps", "100"),
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
            "--interval is 9 and --fps is 100.0; expected one goal",
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
        "compile", folder / "m.tflite", "-t", "cpu", "-o", folder / "cpu", "--interval", 9
    )
    assert result.exit_code == 2
    assert result.stderr.split("error: ", 1)[1].strip() == (
        "--interval is 9, and the target 'cpu' is no FPGA machine; leave it out, or compile for a "
        "board (`bitwright targets` lists them)"
    )
