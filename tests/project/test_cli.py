"""The command line over a stand-in for the api: what is passed on, exit codes, messages."""

import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import bitwright
from bitwright.cli import main
from bitwright.errors import BitwrightError
from bitwright.report import Candidate, Model, Quantization, Report, Target, Tensor


class Spoilt(BitwrightError):
    exit_code = 4


def report() -> Report:
    tensor = Tensor(name="x", shape=(1, 1), type="i8")
    return Report(
        model=Model(
            name="tiny",
            file="tiny.onnx",
            sha256="0" * 64,
            parameters=1,
            macs=1,
            inputs=(tensor,),
            outputs=(tensor,),
        ),
        target=Target(name="cpu", kind="cpu"),
        quantization=Quantization(weight_bits=4, activation_bits=8),
    )


class FakeApi:
    """Notes every call; gives back `result`, or raises it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.result: Any = report()

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            progress = options.pop("progress", None)
            if progress is not None:
                progress("first step", 0, 0)
                progress("second step", 1, 2)
            self.calls.append((name, arguments, options))
            if isinstance(self.result, BaseException):
                raise self.result
            return self.result

        return call


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    fake = FakeApi()
    monkeypatch.setattr(bitwright, "api", fake, raising=False)
    monkeypatch.setitem(sys.modules, "bitwright.api", fake)
    monkeypatch.delenv("BITWRIGHT_DEBUG", raising=False)
    return fake


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, prog_name="bitwright")


def test_compile_passes_everything_on(api: FakeApi) -> None:
    result = invoke(
        *("compile", "m.onnx", "--target", "ulx3s-85f", "--calibration", "c.npz"),
        *("--weights", "4", "--activations", "6", "--ranges", "mse", "--seed", "5"),
        *("--machine", "lanes=8, rows=16", "--objective", "luts", "--top", "3"),
        *("--clock", "80", "-o", "there"),
        *("--shape", "x=1, 3,8,8", "--shape", "a=b=4"),
    )
    assert result.exit_code == 0, result.output
    assert api.calls == [
        (
            "compile_model",
            (Path("m.onnx"), "ulx3s-85f", Path("c.npz")),
            {
                "weights": 4,
                "group": None,
                "tokenizer": None,
                "activations": 6,
                "output": Path("there"),
                "seed": 5,
                "machine": {"lanes": 8, "rows": 16},
                "cpu": None,
                "tune": False,
                "objective": "luts",
                "style": None,
                "interval": None,
                "fps": None,
                "folding": None,
                "ranges": "mse",
                "clock": 80.0,
                "shapes": {"x": (1, 3, 8, 8), "a=b": (4,)},
            },
        )
    ]
    assert "tiny on cpu" in result.stdout
    assert "W4A8" in result.stdout
    assert result.stderr == "first step ...\nsecond step ...\n"


def test_a_file_fixes_the_machine(api: FakeApi) -> None:
    invoke("compile", "m.onnx", "-t", "ulx3s-85f", "--machine", "m.toml")
    assert api.calls[0][2]["machine"] == Path("m.toml")


@pytest.mark.parametrize(("options", "tables"), [((), 1), (("--top", "0"), 0)])
def test_compile_prints_the_best_machines(
    api: FakeApi, options: tuple[str, ...], tables: int
) -> None:
    candidate = Candidate(
        style="overlay",
        parameters={"engine": "weightserial", "lanes": 8, "rows": 16, "requant_lanes": 2},
        cycles=1000, interval=1000, resources={"lut": 1, "ff": 1, "bram": 1, "dsp": 1, "spram": 0},
        spent={"matrix": 1000}, limits=(),
    )  # fmt: skip
    api.result.set_clock(80.0)
    api.result.candidates = (candidate, candidate)
    result = invoke("compile", "m.onnx", "-t", "ulx3s-85f", *options)
    assert result.exit_code == 0, result.output
    title = "the best 2 of 2 designs that fit cpu, at 80.0 MHz; the first one is built"
    assert result.stdout.count(title) == tables
    assert result.stdout.count("8 x 16, requantize 2") == 2 * tables


def test_compile_defaults(api: FakeApi) -> None:
    assert invoke("compile", "m.onnx", "-t", "cpu", "-c", "c.npz").exit_code == 0
    assert api.calls[0][2] == {
        "weights": None,
        "group": None,
        "tokenizer": None,
        "activations": None,
        "output": Path("build"),
        "seed": 0,
        "machine": None,
        "cpu": None,
        "tune": False,
        "objective": None,
        "style": None,
        "interval": None,
        "fps": None,
        "folding": None,
        "ranges": None,
        "clock": None,
        "shapes": {},
    }


def test_compile_of_a_language_model(api: FakeApi) -> None:
    options = ("--weights", "ternary", "--group", "64", "--tokenizer", "t.bin")
    assert invoke("compile", "m.bin", "-t", "cpu", *options).exit_code == 0
    given = api.calls[0][2]
    found = (given["weights"], given["group"], given["tokenizer"])
    assert found == ("ternary", 64, Path("t.bin"))


def test_compile_prints_what_the_library_is_large(api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "libmodel.so").write_bytes(bytes(1234))
    api.result.files["library"] = "libmodel.so"
    api.result.seconds["compile"] = 1.25
    result = invoke("compile", "m.bin", "-t", "cpu", "-o", str(tmp_path))
    assert f"library: 1,234 bytes, {tmp_path}/libmodel.so\ncompile: 1.2 s\n" in result.stdout


def test_simulate(api: FakeApi) -> None:
    result = invoke("simulate", "b", "-i", "x.npz", "-o", "y.npz", "--trace", "w.fst")
    assert result.exit_code == 0, result.output
    options = {"netlist": False, "trace": Path("w.fst"), "limit": None}
    assert api.calls == [("simulate", (Path("b"), Path("x.npz"), Path("y.npz")), options)]


def test_bitstream(api: FakeApi) -> None:
    result = invoke("bitstream", "b", "--seed", "3")
    assert result.exit_code == 0, result.output
    options = {"seed": 3, "attempts": 3, "clock": None}
    assert api.calls == [("bitstream", (Path("b"),), options)]


def test_run(api: FakeApi) -> None:
    assert invoke("run", "b", "--input", "x.npy").exit_code == 0
    assert api.calls == [("run", (Path("b"), Path("x.npy"), None), {"threads": 1, "check": False})]


class FakeInspection:
    def table(self) -> str:
        return "ten layers"

    def json(self) -> str:
        return '{"layers": []}'

    def save_html(self, path: Path) -> None:
        path.write_text("<html>")


def test_inspect(api: FakeApi, tmp_path: Path) -> None:
    api.result = FakeInspection()
    assert invoke("inspect", "m.onnx").stdout == "ten layers\n"
    arguments = ("-t", "cpu", "--json", "--shape", "N=2")
    assert invoke("inspect", "m.onnx", *arguments).stdout == '{"layers": []}\n'
    page = tmp_path / "graph.html"
    assert invoke("inspect", "m.onnx", "--html", str(page)).stdout == ""
    assert page.read_text() == "<html>"
    assert api.calls[:2] == [
        ("inspect", (Path("m.onnx"), None), {"shapes": {}}),
        ("inspect", (Path("m.onnx"), "cpu"), {"shapes": {"N": (2,)}}),
    ]


def test_opt_prints_or_writes(api: FakeApi) -> None:
    api.result = "module {}"
    assert invoke("opt", "m.mlir", "-p", "fold,quantize{weights=4}").stdout == "module {}\n"
    assert invoke("opt", "m.mlir", "-p", "fold", "-o", "out.mlir").stdout == ""
    assert [call[1] for call in api.calls] == [
        (Path("m.mlir"), "fold,quantize{weights=4}", None),
        (Path("m.mlir"), "fold", Path("out.mlir")),
    ]


def test_targets() -> None:
    result = invoke("targets")
    assert result.exit_code == 0
    for name in ("cpu", "ulx3s-85f", "icebreaker", "83,640"):
        assert name in result.stdout


def test_a_user_error_is_one_message(api: FakeApi) -> None:
    api.result = Spoilt("Input 'x' has shape [1, 3]; expected [1, 4]")
    result = invoke("run", "b", "-i", "x.npz")
    assert result.exit_code == 4
    assert result.stderr == "error: Input 'x' has shape [1, 3]; expected [1, 4]\n"
    assert result.stdout == ""


def test_long_messages_are_not_wrapped(api: FakeApi) -> None:
    api.result = Spoilt("word " * 100 + "end")
    assert invoke("run", "b", "-i", "x").stderr == "error: " + "word " * 100 + "end\n"


@pytest.mark.parametrize("how", ["option", "environment"])
def test_debug_shows_the_traceback(api: FakeApi, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    api.result = Spoilt("no")
    if how == "environment":
        monkeypatch.setenv("BITWRIGHT_DEBUG", "1")
    result = invoke(*(["--debug"] if how == "option" else []), "inspect", "m.onnx")
    assert result.exit_code == 4
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.endswith("error: no\n")


def test_a_defect_says_so(api: FakeApi) -> None:
    api.result = KeyError("scale")
    result = invoke("inspect", "m.onnx")
    assert result.exit_code == 1
    assert result.stderr == (
        "error: KeyError: 'scale'\n"
        "This is a defect in Bitwright. To see where, run the command again as: "
        "bitwright --debug ...\n"
    )


def test_a_file_system_error(api: FakeApi) -> None:
    api.result = PermissionError(13, "Permission denied", "/root/x")
    result = invoke("inspect", "m.onnx")
    assert result.exit_code == 6
    assert result.stderr == "error: /root/x: Permission denied\n"


def test_interrupted(api: FakeApi) -> None:
    api.result = KeyboardInterrupt()
    result = invoke("simulate", "b", "-i", "x.npz")
    assert result.exit_code == 130
    assert result.stderr.endswith("error: interrupted\n")


def test_compile_without_calibration(api: FakeApi) -> None:
    """Whether a model needs it, only its import can tell."""
    assert invoke("compile", "m.tflite", "-t", "cpu").exit_code == 0
    assert api.calls[0][1] == (Path("m.tflite"), "cpu", None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compile", "m.onnx", "-c", "c"), "Missing option '--target' / '-t'."),
        (("simulate", "b"), "Missing option '--input' / '-i'."),
        (("bake",), "No such command 'bake'."),
        (
            ("compile", "m", "-t", "cpu", "-c", "c", "--weights", "9"),
            "Invalid value for '--weights': '9' is none of 1 to 8 and ternary",
        ),
        (
            ("compile", "m", "-t", "cpu", "--objective", "price"),
            "Invalid value for '--objective': 'price' is not one of 'latency', 'throughput', "
            "'luts'.",
        ),
        (
            ("compile", "m", "-t", "cpu", "-c", "c", "--machine", "lanes=8,rows"),
            "Invalid value for '--machine': 'rows' is not of the form NAME=VALUE, such as lanes=8",
        ),
        *(
            (
                ("inspect", "m", "--shape", text),
                f"Invalid value for '--shape': '{text}' is not of the form NAME=SIZE,..., such as "
                "x=1,3,224,224",
            )
            for text in ("x", "=3", "x=", "x=1,,3", "x=-1", "x=1.5")
        ),
        (
            ("inspect", "m", "--shape", "x=1", "--shape", "x=1"),
            "Invalid value for '--shape': 'x' is given twice",
        ),
    ],
)
def test_usage_errors(api: FakeApi, arguments: tuple[str, ...], message: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert f"Error: {message}" in result.stderr
    assert api.calls == []


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert f"  bitwright {command}" in result.stdout
